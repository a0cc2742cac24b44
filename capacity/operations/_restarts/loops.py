"""Restart loops: who restarts again and again, why, and which change would fix it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from capacity._docker.containers import Container, Inventory
from capacity._docker.engine import Engine, engine_errors, engine_time, moment, survey
from capacity._docker.events import deaths, memory_kills
from capacity._docker.logs import health_output, last_lines
from capacity.errors import ContainerGone
from capacity.model import Change
from capacity.operations._restarts.causes import KILLED, NEVER_RAN, Cause, Diagnosis, diagnose
from capacity.operations._restarts.proposals import Known, propose

__all__ = ["RestartLoop", "find_restart_loops"]

_HOUR = 3600
_DAY = 24 * _HOUR
_STEADY = 10.0  # seconds; a shorter time is no proof


@dataclass(frozen=True)
class RestartLoop:
    """A container that restarts again and again, or that cannot be started at all.

    Attributes:
        service: `project/service`.
        host: its Engine.
        container: its name.
        restarts: deaths within the window as the Engine's events tell, at least; or the history's
            count where that is larger.
        total: restarts since the container was made.
        back_off: whether the Engine is waiting before the next try.
        diagnosis: why.
        changes: what would fix it; empty = by hand.
        advice: what to do, in one line.
        cannot_start: it does not restart: its Engine, or its shell, could not begin its program.
        ended: it does not run, and its Engine will not start it again: its retries are used up, or
            somebody stopped it.
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
    cannot_start: bool = False
    ended: bool = False


def find_restart_loops(
    engines: Mapping[str, Engine],
    causes: Sequence[Cause],
    *,
    more_than: int = 3,
    window: float = 600.0,
    known: Known | None = None,
) -> list[RestartLoop]:
    """Containers that died more than so many times within the window or cannot start, the worst
    first, with cause and changes.

    One that has run on since its last start for twice the longest time between two of its deaths is
    fixed, and left out.

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
    seen = _seen(engines, window)
    found = [
        loop
        for container in inventory.containers
        if (
            loop := _loop(
                container,
                engines[container.host],
                seen,
                causes,
                _Asked(more_than, window, known, inventory),
            )
        )
    ]
    return sorted(found, key=lambda loop: (-loop.restarts, loop.service))


@dataclass(frozen=True)
class _Seen:
    """What the Engines saw within the window.

    Attributes:
        died: id of a container -> exit code and time of each death.
        killed: ids of containers that the kernel killed for memory.
        clocks: host -> its time now, seconds.
    """

    died: Mapping[str, list[tuple[int, float]]]
    killed: frozenset[str]
    clocks: Mapping[str, float]


@dataclass(frozen=True)
class _Asked:
    more_than: int
    window: float
    known: Known
    inventory: Inventory


def _seen(engines: Mapping[str, Engine], window: float) -> _Seen:
    died: dict[str, list[tuple[int, float]]] = {}
    killed: set[str] = set()
    clocks: dict[str, float] = {}
    for engine in engines.values():
        now = clocks[engine.host.name] = engine_time(engine)
        died |= deaths(engine, now - window, now)
        killed |= {container for container, _ in memory_kills(engine, now - window, now)}
    return _Seen(died, frozenset(killed), clocks)


def _loop(
    container: Container, engine: Engine, seen: _Seen, causes: Sequence[Cause], asked: _Asked
) -> RestartLoop | None:
    """The loop that a container is in, or its failure to start; None where there is neither."""
    deaths_seen = seen.died.get(container.id, [])
    times = [when for _, when in deaths_seen]
    count, loops = _frequency(container, engine, times, seen.clocks[container.host], asked)
    down = _is_down(container)
    refused = start_error(engine, container) if loops or down else ""
    if not (loops or refused or (down and container.exit_code in NEVER_RAN)):
        return None
    diagnosis = _diagnosis(
        container,
        engine,
        causes,
        codes=[code for code, _ in deaths_seen],
        killed=container.id in seen.killed,
        refused=refused,
        since=times[-2] if len(times) > 1 else None,  # the last try that ended, and the one after
    )
    changes, advice = propose(container, diagnosis, asked.inventory, asked.known)
    return RestartLoop(
        service=container.key,
        host=container.host,
        container=container.name,
        restarts=max(count, asked.more_than + 1) if loops else count,
        total=container.restart_count,
        back_off=container.state == "restarting",
        diagnosis=diagnosis,
        changes=tuple(changes),
        advice=advice,
        cannot_start=not loops,
        ended=loops and down,
    )


def _frequency(
    container: Container, engine: Engine, times: Sequence[float], now: float, asked: _Asked
) -> tuple[int, bool]:
    """Restarts of a container, and whether they are a loop that goes on: within the window by the
    Engine's events, the metrics, or its count over the container's life; else in the last day.
    """
    counted = asked.known.restarts.get(container.key, 0)
    count = max(len(times), math.floor(counted))
    between = _between(times, counted, asked.window)
    # the Engine keeps few events, and health checks fill them
    if container.restart_count > max(asked.more_than, count):
        average = _on_average(container, engine, now, asked.window)
        if average > count:
            count, between = math.floor(average), asked.window / average
    loops = count > asked.more_than or (
        container.state == "restarting" and container.restart_count > asked.more_than
    )
    if not loops and container.key in asked.known.days:
        count = math.floor(asked.known.days[container.key])
        loops, between = count > 0, _DAY / count
    return count, loops and not _is_steady(container, now, between)


def _is_down(container: Container) -> bool:
    """Whether a container does not run; one that ended by itself or was stopped has no error of the
    Engine, and another code.
    """
    return not container.oneoff and container.state in {"created", "exited"}


def _between(times: Sequence[float], counted: float, window: float) -> float:
    """The longest time between two deaths, seconds: as events tell, else the mean of what the
    metrics counted.
    """
    if len(times) > 1:
        return max(later - earlier for earlier, later in pairwise(times))
    hours = max(math.ceil(window / _HOUR), 1)  # metrics are counted by the hour
    return hours * _HOUR / counted if counted > 1 else window


def _is_steady(container: Container, now: float, between: float) -> bool:
    """Whether a container has run on for so long since its last start that its loop is over."""
    if (
        not container.running
        or container.health in {"starting", "unhealthy"}
        or not container.started_at
    ):
        return False
    return now - moment(container.started_at) > max(2 * between, _STEADY)


def _on_average(container: Container, engine: Engine, now: float, window: float) -> float:
    """Restarts within the window, as the Engine has counted them over the container's life."""
    try:
        with engine_errors(engine.host.name, f"inspect {container.name}"):
            created = str(engine.api.inspect_container(container.id)["Created"])
    except ContainerGone:
        return 0.0
    return container.restart_count * window / max(now - moment(created), window)


def start_error(engine: Engine, container: Container) -> str:
    """What the Engine said when it could not start a container, as with a port that is taken; empty
    where it could.

    Raises:
        EngineError: no answer.
    """
    try:
        with engine_errors(engine.host.name, f"inspect {container.name}"):
            return str(engine.api.inspect_container(container.id)["State"].get("Error") or "")
    except ContainerGone:
        return ""


def _diagnosis(
    container: Container,
    engine: Engine,
    causes: Sequence[Cause],
    *,
    codes: Sequence[int],
    killed: bool,
    refused: str,
    since: float | None,
) -> Diagnosis:
    code = container.exit_code or (
        codes[-1] if codes else 0
    )  # a process that runs again has none of its own
    log = (
        [refused]
        if refused
        else last_lines(engine, container.id, since=since) or last_lines(engine, container.id)
    )
    found = diagnose(
        causes,
        # the Engine misses kills where the container is gone at once, so one that it did see speaks
        # for the others
        oom_killed=container.oom_killed or (killed and code == KILLED),
        exit_code=code,
        health=container.health,
        log=log,  # where the Engine could not start it that is of an earlier start
        health_log=health_output(engine, container.id),
    )
    ended_well = not refused and not code and bool(codes or not container.running)
    # `on-failure` would leave a process down that ends with 0, whatever it has written
    return replace(found, fix="manual") if ended_well and found.fix == "wait" else found
