"""What would end a restart loop: changes, and what to do in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from capacity._compose import Project, load_project
from capacity._compose.declared import declarations
from capacity._docker.containers import Container, Inventory
from capacity.compliance import PortProposal, Targets, collect_facts, load_rules, propose_ports
from capacity.errors import ComposeError
from capacity.model import Change, Reason, Setting
from capacity.operations._dependencies import not_awaited
from capacity.operations._restarts.causes import Diagnosis
from capacity.settings import Settings

__all__ = ["Known", "port_moves", "propose"]

_GRAIN = 1 << 20


_RETRIES = "on-failure:3"


@dataclass(frozen=True)
class Known:
    """What else is known for proposals.

    Attributes:
        sized: service -> memory that sizing proposes, bytes.
        moves: ports that the compliance plan moves.
        restarts: service -> restarts that the metrics show within the window.
        days: service -> restarts in the last day, of those that are in a loop by them.
    """

    sized: Mapping[str, float] = field(default_factory=dict)
    moves: Sequence[PortProposal] = ()
    restarts: Mapping[str, float] = field(default_factory=dict)
    days: Mapping[str, float] = field(default_factory=dict)


def port_moves(settings: Settings) -> tuple[PortProposal, ...]:
    """The free ports that the compliance plan has for services in a conflict: of the Engines, and
    of the files they came from.

    Raises:
        EngineError: no Engine answers.
        InputError: the rules cannot be read.
    """
    rules = load_rules(settings.compliance.rules)
    facts = collect_facts(Targets(engine=True), settings, rules)
    projects: dict[tuple[str, ...], Project] = {}
    for container in facts.inventory.containers if facts.inventory else ():
        if (
            container.config_files
            and container.config_files not in projects
            and all(Path(file).is_file() for file in container.config_files)
        ):
            # a file that Compose would refuse tells nothing, and what runs does
            with suppress(ComposeError):
                projects[container.config_files] = load_project(
                    container.config_files,
                    name=container.project,
                    folder=container.working_dir,
                    profiles=("*",),
                    env_files=container.env_files,
                )
    return propose_ports(replace(facts, projects=tuple(projects.values())), rules)


def propose(
    container: Container, diagnosis: Diagnosis, inventory: Inventory, known: Known
) -> tuple[list[Change], str]:
    """Changes that would fix a loop, and what to do in one line."""
    if diagnosis.fix == "memory":
        return _more_memory(container, inventory, known)
    if diagnosis.fix == "port":
        moves = [move.change() for move in known.moves if move.service == container.key]
        changes = [change for change in moves if change is not None]
        advice = (
            "Move it to the free port"
            if changes
            else "Another process has its port: `ss -tlnp` on the host tells which"
        )
        return changes, advice
    if diagnosis.fix == "wait":
        return _wait(container, diagnosis, inventory)
    if diagnosis.fix == "health":
        return (
            [],
            (
                "The process runs and its health check fails: look at the lines, then fix the "
                "check "
                "or the service"
            ),
        )
    return [], "By hand: the lines tell what is missing"


def _wait(
    container: Container, diagnosis: Diagnosis, inventory: Inventory
) -> tuple[list[Change], str]:
    """Few retries now, and from the next start on it waits for the health of what it needs."""
    changes = []
    if container.restart_policy != _RETRIES:
        changes.append(
            Change(
                container.key,
                Setting.RESTART_POLICY,
                container.restart_policy or None,
                _RETRIES,
                Reason.UNSTABLE,
            )
        )
    files = declarations([container]).get(container.project)
    service = files.service(container.service) if files else None
    declared = dict(service.depends_on) if service else None
    early = (
        {}
        if not container.composed
        else not_awaited(container, diagnosis.lines, inventory, declared)
    )
    if not early:
        return (
            changes,
            (
                "Give what it needs a health check, and `depends_on: {condition: service_healthy}` "
                "here"
            ),
        )
    before: dict[str, object] = {name: condition for name, condition in early.items() if condition}
    after: dict[str, object] = dict.fromkeys(early, "service_healthy")
    changes.append(
        Change(container.key, Setting.DEPENDS_ON, before or None, after, Reason.UNSTABLE)
    )
    return changes, f"From the next start on it waits until {', '.join(early)} is healthy"


def _more_memory(
    container: Container, inventory: Inventory, known: Known
) -> tuple[list[Change], str]:
    """Twice as much, or what sizing says where that is more; never more than the host has."""
    if container.memory is None:
        return [], "It has no limit: the host itself is out of memory"
    from capacity.sizing._decisions.need import (
        AFTER_A_LOOP,  # pandas, which most loops are ended without
    )

    top = inventory.host(container.host).memory
    wanted = max(container.memory * AFTER_A_LOOP, known.sized.get(container.key, 0.0))
    after = min(math.ceil(wanted / _GRAIN) * _GRAIN, top // _GRAIN * _GRAIN)
    if after <= container.memory:
        return [], "The host has no more memory to give: move it, or fix its use"
    evidence = {"restarts": float(container.restart_count)}
    change = Change(
        container.key,
        Setting.MEMORY,
        float(container.memory),
        float(after),
        Reason.OOM_KILLED,
        evidence,
    )
    return [change], "Raise its memory limit, then look again"
