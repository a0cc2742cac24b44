"""Restart loops: who restarts again and again, why, and which change would mend it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from capacity.compliance import PortMove, gather, load_rules, propose_moves
from capacity.compliance.facts import Facts
from capacity.errors import ComposeError, ContainerGone
from capacity.inventory.compose import Project, load_project
from capacity.inventory.containers import Container, Inventory
from capacity.inventory.declared import declarations
from capacity.inventory.engine import Engine, engine_errors, engine_time, survey
from capacity.inventory.events import deaths, memory_kills
from capacity.inventory.logs import health_output, last_lines
from capacity.model import Change, Reason, ServiceKey, What
from capacity.operations.causes import KILLED, Cause, Diagnosis, diagnose
from capacity.operations.depends import not_awaited
from capacity.settings import Settings

__all__ = ["RestartLoop", "find_restart_loops", "port_moves", "propose"]

_AFTER_A_KILL = 1.5
_GRAIN = 1 << 20
_RETRIES = "on-failure:3"


@dataclass(frozen=True)
class RestartLoop:
    """A container that restarts again and again, or that its Engine could not start though its restart policy says it runs.

    Attributes:
        service: `project/service`.
        host: its Engine.
        container: its name.
        restarts: deaths within the window as the Engine's events tell, at least; or the history's count where that is larger.
        total: restarts since the container was made.
        back_off: whether the Engine is waiting before the next try.
        diagnosis: why.
        changes: what would mend it; empty = by hand.
        advice: what to do, in one line.
    """

    service: str
    host: str
    container: str
    restarts: int
    total: int
    back_off: bool
    diagnosis: Diagnosis
    changes: tuple[Change, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class Known:
    """What else is known for proposals.

    Attributes:
        sized: service -> memory that sizing proposes, bytes.
        moves: ports that the compliance plan moves.
        restarts: service -> restarts that the metrics show within the window.
    """

    sized: Mapping[str, float] = field(default_factory=dict)
    moves: Sequence[PortMove] = ()
    restarts: Mapping[str, float] = field(default_factory=dict)


def find_restart_loops(
    engines: Mapping[str, Engine],
    causes: Sequence[Cause],
    *,
    more_than: int = 3,
    window: float = 600.0,
    known: Known | None = None,
) -> list[RestartLoop]:
    """Containers that died more than so many times within the window, the worst first, with cause and proposed changes.

    Args:
        engines: open connections.
        causes: from `load_causes`.
        more_than: deaths that are still no loop.
        window: seconds looked back.
        known: what sizing, compliance and metrics say.

    Raises:
        EngineError: an Engine does not answer.
    """
    known = known or Known()
    inventory = survey(engines, {})
    died: dict[str, list[int]] = {}
    killed: set[str] = set()
    for engine in engines.values():
        now = engine_time(engine)
        died |= deaths(engine, now - window, now)
        killed |= {container for container, _ in memory_kills(engine, now - window, now)}
    found = []
    for one in inventory.containers:
        codes = died.get(one.id, [])
        count = max(len(codes), math.floor(known.restarts.get(one.key, 0)))
        loops = count > more_than or (one.state == "restarting" and one.restart_count > more_than)
        refused = start_error(engines[one.host], one) if loops or _should_run(one) else ""
        if loops or refused:
            diagnosis = _diagnosis(one, engines[one.host], causes, codes=codes, killed=one.id in killed, refused=refused)
            changes, advice = propose(one, diagnosis, inventory, known)
            seen, waits = max(count, more_than + 1) if loops else count, one.state == "restarting"
            found.append(
                RestartLoop(one.key, one.host, one.name, seen, one.restart_count, waits, diagnosis, tuple(changes), advice)
            )
    return sorted(found, key=lambda loop: (-loop.restarts, loop.service))


def _should_run(one: Container) -> bool:
    """Whether a container is down that its restart policy wants up; one that ended by itself or was stopped has no error."""
    return not one.oneoff and one.state in {"created", "exited"} and one.restart_policy not in {"", "no"}


def start_error(engine: Engine, one: Container) -> str:
    """What the Engine said when it could not start a container, as with a port that is taken; empty where it could.

    Raises:
        EngineError: no answer.
    """
    try:
        with engine_errors(engine.host.name, f"inspect {one.name}"):
            return str(engine.api.inspect_container(one.id)["State"].get("Error") or "")
    except ContainerGone:
        return ""


def _diagnosis(
    one: Container, engine: Engine, causes: Sequence[Cause], *, codes: Sequence[int], killed: bool, refused: str
) -> Diagnosis:
    code = one.exit_code or (codes[-1] if codes else 0)  # a process that runs again has none of its own
    return diagnose(
        causes,
        # the Engine misses kills where the container is gone at once, so one that it did see speaks for the others
        oom_killed=one.oom_killed or (killed and code == KILLED),
        exit_code=code,
        health=one.health,
        log=[refused] if refused else last_lines(engine, one.id),  # the log is of an earlier start
        health_log=health_output(engine, one.id),
    )


def port_moves(settings: Settings) -> tuple[PortMove, ...]:
    """The free ports that the compliance plan has for services in a conflict: of the Engines, and of the files they came from.

    Raises:
        EngineError: no Engine answers.
        InputError: the rules cannot be read.
    """
    facts = gather.from_engines(Facts(), settings.engine)
    projects: dict[tuple[str, ...], Project] = {}
    for one in facts.inventory.containers if facts.inventory else ():
        if one.config_files and one.config_files not in projects and all(Path(file).is_file() for file in one.config_files):
            # a file that Compose would refuse tells nothing, and what runs does
            with suppress(ComposeError):
                projects[one.config_files] = load_project(
                    one.config_files, name=one.project, folder=one.working_dir, profiles=("*",), env_files=one.env_files
                )
    rules = load_rules(settings.compliance.rules)
    return propose_moves(replace(facts, projects=tuple(projects.values())), rules)


def propose(one: Container, diagnosis: Diagnosis, inventory: Inventory, known: Known) -> tuple[list[Change], str]:
    """Changes that would mend a loop, and what to do in one line."""
    if diagnosis.fix == "memory":
        return _more_memory(one, inventory, known)
    if diagnosis.fix == "port":
        moves = [move.change() for move in known.moves if move.service == one.key]
        changes = [change for change in moves if change is not None]
        advice = "Move it to the free port" if changes else "Another process has its port: `ss -tlnp` on the host tells which"
        return changes, advice
    if diagnosis.fix == "wait":
        return _wait(one, diagnosis, inventory)
    if diagnosis.fix == "health":
        return [], "The process runs and its health check fails: look at the lines, then mend the check or the service"
    return [], "By hand: the lines tell what is missing"


def _wait(one: Container, diagnosis: Diagnosis, inventory: Inventory) -> tuple[list[Change], str]:
    """Few retries now, and from the next start on it waits for the health of what it needs."""
    changes = []
    if one.restart_policy != _RETRIES:
        changes.append(Change(one.key, What.RESTART_POLICY, one.restart_policy or None, _RETRIES, Reason.UNSTABLE))
    files = declarations([one]).get(one.project)
    service = files.service(one.service) if files else None
    declared = dict(service.depends_on) if service else None
    early = {} if one.project == ServiceKey.STANDALONE else not_awaited(one, diagnosis.lines, inventory, declared)
    if not early:
        return changes, "Give what it needs a health check, and `depends_on: {condition: service_healthy}` here"
    before: dict[str, object] = {name: condition for name, condition in early.items() if condition}
    after: dict[str, object] = dict.fromkeys(early, "service_healthy")
    changes.append(Change(one.key, What.DEPENDS_ON, before or None, after, Reason.UNSTABLE))
    return changes, f"From the next start on it waits until {', '.join(early)} is healthy"


def _more_memory(one: Container, inventory: Inventory, known: Known) -> tuple[list[Change], str]:
    """Half more, or what sizing says where that is more; never more than the host has."""
    if one.memory is None:
        return [], "It has no limit: the host itself is out of memory"
    top = inventory.host(one.host).memory
    wanted = max(one.memory * _AFTER_A_KILL, known.sized.get(one.key, 0.0))
    after = min(math.ceil(wanted / _GRAIN) * _GRAIN, top // _GRAIN * _GRAIN)
    if after <= one.memory:
        return [], "The host has no more memory to give: move it, or mend its use"
    evidence = {"restarts": float(one.restart_count)}
    change = Change(one.key, What.MEMORY, float(one.memory), float(after), Reason.OOM_KILLED, evidence)
    return [change], "Raise its memory limit, then look again"
