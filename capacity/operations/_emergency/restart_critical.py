"""Bring up what is critical, and wait until it is healthy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from capacity._common.text.suggest import closest_names
from capacity._compose.declared import declarations
from capacity._docker import lifecycle
from capacity._docker.containers import Container, Inventory
from capacity._docker.engine import Engine, connect_all, survey
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Kind
from capacity.changes._result import StepResult
from capacity.errors import (
    EngineError,
    InputError,
)
from capacity.model import StepState
from capacity.operations._dependencies import dependencies, in_order, jobs
from capacity.operations._emergency.journal import (
    journalled_run,
)
from capacity.operations._emergency.selection import silent_hosts, such_as
from capacity.operations._readiness import has_ended_well, wait_ready
from capacity.settings import Settings

__all__ = ["restart_critical"]


_UNSEEN = "it has no container on a host that answers"


def _must_exist(services: Sequence[str], inventory: Inventory) -> None:
    """Refuse the first service that has no container anywhere, with the way to name or to make
    it.
    """
    for key in services:
        inside = sorted(
            {container.key for container in inventory.containers if container.project == key}
        )
        if inside:
            raise InputError(
                f"{key!r} is a project, not a service", f"Name its services: {', '.join(inside)}"
            )
        if not inventory.of(key) and "/" not in key:
            raise InputError(
                f"There is no service {key!r}", f"Write project/service. {such_as(key, inventory)}"
            )
        if not inventory.of(key) and not inventory.unreachable:
            near = closest_names(key, {container.key for container in inventory.containers})
            other = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InputError(
                f"{key} has no container", f"Start it with docker compose up -d{other}"
            )


def restart_critical(
    settings: Settings, services: Sequence[str], *, dry_run: bool = True
) -> list[StepResult]:
    """Start the named services where they are down, what they depend on first, each healthy before
    the next.

    Args:
        settings: Engines, journal, where compose files are.
        services: `project/service`, in the order that breaks ties.
        dry_run: say what would be started, and touch nothing.

    Raises:
        InputError: no such service, one without a container, or a circle of dependencies.
        EngineError: no Engine answers.
    """
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        projects = declarations(inventory.containers, settings.apply.projects)
        needs = dependencies(inventory.containers, projects)
        _must_exist(services, inventory)
        ends = jobs(inventory.containers, projects)
        down = [
            container
            for key in in_order(services, needs)
            for container in inventory.of(key)
            if not container.running
            and (key in services or not (key in ends and has_ended_well(container)))
        ]
        unseen = [
            StepResult(key, "-", StepState.FAILED, _UNSEEN, container="-")
            for key in services
            if not inventory.of(key)
        ]
        if dry_run:
            found = [
                StepResult(each.key, each.host, StepState.WOULD_START, container=each.name)
                for each in down
            ]
        else:
            with journalled_run(settings, "emergency-restart", lock=False) as journal:
                found = _bring_all_up(engines, journal, down, needs, ends)
        return found + unseen + silent_hosts(unreachable)


def _bring_all_up(
    engines: Mapping[str, Engine],
    journal: Journal,
    down: Sequence[Container],
    needs: Mapping[str, Sequence[str]],
    ends: Collection[str],
) -> list[StepResult]:
    """One after the other; what needs one that did not come up is not tried."""
    found: list[StepResult] = []
    for number, container in enumerate(down):
        broken = {
            done.service for done in found if done.state in {StepState.FAILED, StepState.SKIPPED}
        }
        waits = broken & set(in_order([container.key], needs)) - {container.key}
        engine, job = engines[container.host], container.key in ends
        found.append(_bring_up(engine, journal, number, container, waits, job=job))
    return found


def _bring_up(
    engine: Engine,
    journal: Journal,
    number: int,
    container: Container,
    waits: Collection[str],
    *,
    job: bool = False,
) -> StepResult:
    """Start a container, announced in the journal first; one that needs what is down is left
    alone.
    """
    named: dict[str, Any] = {
        "step": number,
        "service": container.key,
        "host": container.host,
        "container": container.name,
        "id": container.id,
    }
    if waits:
        wrong = f"it needs {', '.join(sorted(waits))}"
        journal.write(Kind.REFUSED, **named, reason=wrong)
        return StepResult(
            container.key, container.host, StepState.SKIPPED, wrong, container=container.name
        )
    journal.write(Kind.STARTING, **named)
    try:
        lifecycle.start(engine, container.id, container.name)
        wrong = wait_ready(engine, container, job=job)
        wrong = wrong and f"{wrong}; `docker logs {container.name}` tells why"
    except EngineError as error:
        wrong = str(error)
    journal.write(Kind.START_FAILED if wrong else Kind.STARTED_AGAIN, **named, reason=wrong)
    return StepResult(
        container.key,
        container.host,
        StepState.FAILED if wrong else StepState.STARTED,
        wrong,
        container=container.name,
    )
