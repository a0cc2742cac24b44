"""From a plan and what runs to the steps of a run; what must not be applied now is refused with its
reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from capacity._common.files import digest
from capacity._common.setting_values import equal, show_value
from capacity._common.text.units import parse_cpuset
from capacity._compose.declared import DeclaredProject, declared_value
from capacity._compose.edit.extends import bases_of
from capacity._compose.edit.files import read_bytes
from capacity._docker.containers import Container, Host, Inventory, live_value
from capacity._docker.update import LIVE
from capacity.changes._plan.commands import service_update_command
from capacity.changes._plan.file_edits import edit_service
from capacity.changes._plan.plan import FILE_ONLY, RECREATING, Plan, PlannedChange
from capacity.errors import ChangeRefused
from capacity.model import ServiceKey, Setting, Value
from capacity.settings import ApplySettings

__all__ = ["Refusal", "Step", "canary_groups", "check_plan", "edited_files", "make_steps"]

Mode = Literal["live", "recreate", "file"]
_Group = tuple[int, str, str, Mode]  # order, service, host
_Groups = dict[_Group, list[PlannedChange]]
_BY_NAME = frozenset({Setting.ENVIRONMENT, Setting.DEPENDS_ON, Setting.ULIMITS})
_OF_FILES = frozenset({Setting.CPU_RESERVATION, Setting.HEALTH_CHECK, Setting.REPLICAS})


@dataclass(frozen=True)
class Refusal:
    """A change that is not applied, and why."""

    change: PlannedChange
    reason: str


@dataclass(frozen=True)
class Step:
    """What is done to one service at once: its changes of one order, its containers, its compose
    project.
    """

    number: int
    service: str
    host: Host
    mode: Mode
    changes: tuple[PlannedChange, ...]
    containers: tuple[Container, ...]
    declared: DeclaredProject | None
    with_file: bool = True

    @property
    def wanted(self) -> dict[Setting, Value]:
        """What the containers are to have."""
        return {change.what: change.after for change in self.changes}

    @property
    def live(self) -> dict[Setting, Value]:
        """The part of it that the Engine changes live."""
        return {what: value for what, value in self.wanted.items() if what in LIVE}


def check_plan(plan: Plan, now: datetime) -> None:
    """Refuse a plan whose time is over.

    Raises:
        ChangeRefused: past its validity.
    """
    if now > plan.valid_until:
        raise ChangeRefused(
            f"The plan {plan.plan_id} was valid until {plan.valid_until:%Y-%m-%d %H:%M} UTC",
            "Make a new one with a report",
        )


def make_steps(
    changes: Iterable[PlannedChange],
    inventory: Inventory,
    projects: Mapping[str, DeclaredProject],
    plan: Plan,
    rules: ApplySettings,
) -> tuple[list[Step], list[Refusal]]:
    """The steps in their order, and the changes that must not be applied.

    Args:
        changes: those of the plan that are meant.
        inventory: what runs now.
        projects: what the compose files declare, from `declarations`.
        plan: with the hashes of the files it was made for.
        rules: whether containers may be replaced, and changed although their compose file cannot be
            read here.
    """
    groups: _Groups = {}
    refused: list[Refusal] = []
    meant: set[tuple[str, str, Setting, int]] = set()
    for change in changes:
        found = inventory.of(change.service, change.host)
        hosts = sorted({container.host for container in found})
        reason = _not_now(change, found, inventory, projects, plan, live_only=rules.live_only)
        _, _, what, port = change.key
        targets = {(container.host, container.id, what, port) for container in found}
        if not reason and targets & meant:
            reason = "the plan says it twice of one container, under two names of its host"
        if reason:
            refused.append(Refusal(change, reason))
            continue
        meant |= targets
        mode: Mode = (
            "live" if change.what not in RECREATING else "recreate" if rules.recreate else "file"
        )
        for host in hosts:
            groups.setdefault((change.order, change.service, host, mode), []).append(change)
    return _numbered(groups, inventory, projects), refused


def _numbered(
    groups: _Groups, inventory: Inventory, projects: Mapping[str, DeclaredProject]
) -> list[Step]:
    """A step for each group of changes that are made together."""
    steps = []
    for number, ((_, service, host, mode), together) in enumerate(
        _heirs_first(groups, projects), start=1
    ):
        containers = tuple(
            container for container in inventory.of(service, host) if container.host == host
        )
        declared = projects.get(ServiceKey.parse(service).project)
        readable = declared if declared is not None and declared.project is not None else None
        steps.append(
            Step(
                number,
                service,
                inventory.host(host),
                "file" if all(change.what in FILE_ONLY for change in together) else mode,
                tuple(together),
                containers,
                readable,
                readable is not None,
            )
        )
    return steps


def _heirs_first(
    groups: _Groups, projects: Mapping[str, DeclaredProject]
) -> list[tuple[_Group, list[PlannedChange]]]:
    """The groups by their order; a service behind those that would take its new value over and are
    to have one of their own.
    """
    bases = _bases([service for _, service, _, _ in groups], projects)
    turns: dict[_Group, int] = {}
    settings = {group: {change.what for change in some} for group, some in groups.items()}
    for group in sorted(groups, key=lambda group: -len(bases[group[1]])):
        heirs = [
            turn
            for other, turn in turns.items()
            if group[1] in bases[other[1]] and settings[other] & settings[group]
        ]
        turns[group] = max([group[0], *heirs])
    return sorted(
        groups.items(), key=lambda item: (turns[item[0]], -len(bases[item[0][1]]), item[0])
    )


def _bases(services: Iterable[str], projects: Mapping[str, DeclaredProject]) -> dict[str, set[str]]:
    """Service -> all services that it takes values over from in its compose files."""
    keys = [ServiceKey.parse(service) for service in services]
    known = {
        name: bases_of(declared.project.sources, {})
        for name in {key.project for key in keys}
        if (declared := projects.get(name)) is not None and declared.project is not None
    }
    return {
        str(key): {
            str(ServiceKey(key.project, base))
            for base in known.get(key.project, {}).get(key.service, ())
        }
        for key in keys
    }


def canary_groups(steps: list[Step], canary: int) -> list[list[Step]]:
    """The steps in the groups that are watched one after the other: the canaries, then the rest.

    Canaries are services, heirs before those they take values over from; where there is only one,
    they are its first replicas, and its file waits for the rest.
    """
    files = {step.declared.name: step.declared for step in steps if step.declared is not None}
    bases = _bases([step.service for step in steps], files)
    services = sorted(
        {(step.service, step.host.name) for step in steps},
        key=lambda service: (-len(bases[service[0]]), service),
    )
    if not canary or not steps:
        return [steps] if steps else []
    if len(services) > 1:
        first = set(services[:canary])
        groups = [
            [step for step in steps if ((step.service, step.host.name) in first) is chosen]
            for chosen in (True, False)
        ]
        return [group for group in groups if group]
    early, late = [], []
    last = max(step.number for step in steps)
    for step in steps:
        if step.mode == "live" and len(step.containers) > canary:
            early.append(replace(step, containers=step.containers[:canary], with_file=False))
            late.append(
                replace(step, number=step.number + last, containers=step.containers[canary:])
            )
        else:
            late.append(replace(step, number=step.number + last))
    return [group for group in (early, late) if group]


def _not_now(
    change: PlannedChange,
    found: tuple[Container, ...],
    inventory: Inventory,
    projects: Mapping[str, DeclaredProject],
    plan: Plan,
    *,
    live_only: bool,
) -> str:
    """Why a change must not be applied; empty when it may."""
    if not found:
        silent = ", ".join(f"{name}: {why}" for name, why in inventory.unreachable.items())
        return f"no container of it on {change.host or 'any host'}" + (
            f" (not answering: {silent})" if silent else ""
        )
    swarm = next((container.swarm_service for container in found if container.swarm_service), "")
    if swarm:
        return _left_to_swarm(swarm, change)
    hosts = {container.host for container in found}
    deaf = [name for name in sorted(hosts) if change.what in inventory.host(name).unlimited]
    if deaf:
        return _cannot_limit(inventory.host(deaf[0]), change.what)
    if len(hosts) > 1 and change.host:
        return (
            f"it runs on {', '.join(sorted(hosts))}, and the plan's host {change.host} is none of "
            "them"
        )
    reason = _differs_live(change, found) or _too_much(
        change, [inventory.host(name) for name in hosts]
    )
    reason = reason or _port_taken(change, hosts, inventory)
    if reason:
        return reason
    if not any(container.composed for container in found):
        return (
            "it is no Compose service, and a new container takes one"
            if change.what in RECREATING | FILE_ONLY
            else ""
        )
    declared = projects.get(ServiceKey.parse(change.service).project)
    if declared is None or declared.project is None:
        why = declared.missing if declared else "its project is not known"
        return (
            ""
            if live_only and change.what in LIVE
            else f"its compose file cannot be changed in the same step: {why}"
        )
    return _differs_declared(change, declared, plan)


def _cannot_limit(host: Host, what: Setting) -> str:
    """Why a host does not hold a limit that its Engine would take."""
    named = f" ({host.kind})" if host.kind else ""
    cause = (
        "delegate the cgroup's controllers to its user, as Docker's rootless mode describes"
        if host.kind == "rootless"
        else "switch the controller on where its kernel starts, such as cgroup_enable=memory"
    )
    return f"the Engine of {host.name}{named} cannot limit {what}: {cause}"


def _left_to_swarm(swarm_service: str, change: PlannedChange) -> str:
    """What to run instead: Swarm replaces its tasks, and with them whatever was changed live."""
    command = service_update_command(swarm_service, {change.what: change.after})
    run = f"run `{command}`" if command else "deploy the stack again"
    return (
        f"Swarm makes its tasks anew as the stack file says: set it there, under deploy, and {run}"
    )


def _differs_live(change: PlannedChange, found: tuple[Container, ...]) -> str:
    if change.what not in LIVE:
        return ""
    values = [live_value(container, change.what) for container in found]
    if all(equal(change.what, value, change.before) for value in values):
        return ""
    if all(equal(change.what, value, change.after) for value in values):
        return "it is in force already"
    shown = ", ".join(sorted({show_value(change.what, value) for value in values}))
    return f"the plan was made for {show_value(change.what, change.before)}, in force is {shown}"


def _too_much(change: PlannedChange, hosts: list[Host]) -> str:
    for host in hosts:
        if (
            change.what is Setting.CPUS
            and isinstance(change.after, (int, float))
            and change.after > host.cores
        ):
            return f"{host.name} has {host.cores} cores"
        if (
            change.what is Setting.CPUSET
            and isinstance(change.after, str)
            and max(parse_cpuset(change.after)) >= host.cores
        ):
            return f"{host.name} has the cores 0 to {host.cores - 1}"
    return ""


def _port_taken(change: PlannedChange, hosts: set[str], inventory: Inventory) -> str:
    if change.what is not Setting.HOST_PORT:
        return ""
    if change.before == change.after:
        return "it is in force already"
    for container in inventory.containers:
        other = container.running and container.host in hosts and container.key != change.service
        if other and any(port.host_port == change.after for port in container.ports):
            port = show_value(Setting.HOST_PORT, change.after)
            return f"{container.name} has the port {port} already"
    return ""


def _differs_declared(change: PlannedChange, declared: DeclaredProject, plan: Plan) -> str:
    service = declared.service(ServiceKey.parse(change.service).service)
    if service is None:
        return "its compose files do not declare it any more"
    for path in declared.files:
        expected = plan.made_from.files.get(str(path))
        if expected and expected != digest(read_bytes(path)):
            return f"{path} has changed since the plan was made"
    value, _ = declared_value(service, change.what)
    if change.what in _BY_NAME and isinstance(change.after, dict):
        before = change.before if isinstance(change.before, dict) else {}
        here = value if isinstance(value, dict) else {}
        other = [
            name
            for name in change.after
            if here.get(name) not in {_text(before.get(name)), _text(change.after[name])}
        ]
        return f"the file says something else for {', '.join(other)}" if other else ""
    if change.what in _OF_FILES and not equal(change.what, value, change.before):
        return (
            f"the plan was made for {show_value(change.what, change.before)}, the file says "
            f"{show_value(change.what, value)}"
        )
    return ""


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def edited_files(
    step: Step, texts: Mapping[Path, str] | None = None
) -> dict[Path, tuple[str, str]]:
    """Compose file -> its text before and after a step; see `edit_service`.

    Raises:
        EditRefused: the edit could not be made exactly.
        ChangeRefused: the service is not in the files.
    """
    if step.declared is None or not step.with_file:
        return {}
    return edit_service(step.declared, step.service, step.changes, texts)
