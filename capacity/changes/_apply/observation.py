"""After a change: watch the service for the time of observation, and name the first thing that went
wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from capacity._docker.containers import Container
from capacity._docker.engine import Engine, engine_errors, engine_time, inspect, moment
from capacity._docker.events import last_lives, memory_kills
from capacity._docker.usage import MEASURED_AT_ONCE, Usage, usage
from capacity.changes._journal.models import IntentEntry, ObservedState
from capacity.changes._plan.plan import is_lowering
from capacity.changes._rollback.containers import current_containers, pair_replicas
from capacity.errors import ChangeRefused, ContainerGone, EngineError
from capacity.model import Setting

__all__ = ["OUTLIVE_AT_MOST", "WatchedStep", "begin_watch", "watch_steps"]

_POLL = 0.5  # seconds
_STEADY = 2.0  # seconds that a container runs before it counts as up
_COMPOSE = "com.docker.compose."
_UP = frozenset({"running", "restarting"})
_ENDLESS = ("always", "unless-stopped")
OUTLIVE_AT_MOST = 300.0
"""Seconds beyond the observation that a container in a restart loop may need to outlive its last
life.
"""
_OUTLIVED = 1.5  # times its last life
_EVENTS = 900.0  # seconds; what died longer ago is no loop that an observation could wait for
_PERIOD = 0.1  # seconds, of the kernel's CPU accounting
_FEWEST_PERIODS = 20  # less is no evidence of throttling


@dataclass(frozen=True)
class WatchedStep:
    """A changed service under observation: its containers and their CPU periods when it began.

    `lives` has the seconds from start to death of those replicas that had died before the change
    and were started again.
    """

    intent: IntentEntry
    engine: Engine
    containers: tuple[Container, ...]
    promise: float | None
    before: dict[str, Usage] = field(default_factory=dict)
    lives: dict[int, float] = field(default_factory=dict)


def begin_watch(intent: IntentEntry, engine: Engine, target: float, seconds: float) -> WatchedStep:
    """Start to observe a step's service.

    Args:
        intent: the step.
        engine: where it runs.
        target: share of throttled periods that a CPU limit may have where the change itself
            promises none.
        seconds: how long it will be watched; too short a time tells nothing about throttling.
    """
    containers = tuple(current_containers(intent, engine))
    promise = None
    for change in intent.detail.changes if seconds >= _FEWEST_PERIODS * _PERIOD else []:
        # a raise cannot make it worse, and rolling it back would
        if change.what is Setting.CPUS and is_lowering(Setting.CPUS, change.before, change.after):
            promise = max(
                change.evidence.get("throttled_after", target),
                change.evidence.get("throttled", 0.0),
            )
    before = {}
    if promise is not None:
        before = {
            container.id: usage(engine, container.id)
            for container in containers
            if container.running
        }
    return WatchedStep(
        intent, engine, containers, promise, before, _lives(intent, engine) if seconds else {}
    )


def _lives(intent: IntentEntry, engine: Engine) -> dict[int, float]:
    """Replica -> how long it lived last; a change of the restart policy has a rule of its own for
    loops.
    """
    if intent.detail.mode != "live" or Setting.RESTART_POLICY in intent.detail.settings:
        return {}  # what Compose has just replaced did not die
    again = [before for before in intent.detail.containers if before.seen.restart_count]
    now = engine_time(engine) if again else 0.0
    known = last_lives(engine, now - _EVENTS, now) if again else {}
    found = {before.replica: known.get(before.id) or _life(before.seen) for before in again}
    return {replica: life for replica, life in found.items() if life is not None}


def _life(seen: ObservedState) -> float | None:
    """How long a container lived that waited for its next try; None where it ran, whose former
    start the Engine does not tell.
    """
    if seen.state != "restarting":
        return None
    return max(moment(seen.finished_at) - moment(seen.started_at), 0.0) if seen.finished_at else 0.0


def watch_steps(
    watched: Iterable[WatchedStep], seconds: float, failed: Callable[[WatchedStep, str], None]
) -> list[WatchedStep]:
    """Look at all of them until the time is over.

    A container that had died and been started again before the change would die after the
    observation where that is shorter than its pause and its life: it is watched on until it has
    lived half as long again as the last time, at most `OUTLIVE_AT_MOST` seconds more.

    Args:
        watched: from `begin_watch`.
        seconds: how long.
        failed: called at once with whatever went wrong; it is not watched any longer.

    Returns:
        Those with which nothing went wrong.

    Raises:
        EngineUnreachable: an Engine is gone.
    """
    left = list(watched)
    good: list[WatchedStep] = []
    ahead = {
        name: engine_time(engine) - time.time()
        for name, engine in {service.engine.host.name: service.engine for service in left}.items()
    }
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(max(min(len(left), MEASURED_AT_ONCE), 1)) as pool:
        while left:
            over, late = time.monotonic() >= end, time.monotonic() >= end + OUTLIVE_AT_MOST
            looks = _look(left, ahead, pool, over=over, late=late)
            left = []
            for look in looks:
                if look.wrong:
                    failed(look.service, look.wrong)
                else:
                    (good if look.last else left).append(look.service)
            if left:
                time.sleep(_POLL if over else min(_POLL, max(end - time.monotonic(), 0)))
    return good


@dataclass(frozen=True)
class _Look:
    """What went wrong with a service, empty where nothing did, and whether this look was its
    last.
    """

    service: WatchedStep
    wrong: str
    last: bool


def _look(
    services: list[WatchedStep],
    ahead: Mapping[str, float],
    pool: ThreadPoolExecutor,
    *,
    over: bool,
    late: bool,
) -> list[_Look]:
    """Look at each service once, in their order; throttling and loops show only at the last look.

    Args:
        services: those that are still watched.
        ahead: host -> seconds that its clock is ahead of ours.
        pool: what asks Engines beside each other.
        over: whether the time of observation is over.
        late: whether those that have not outlived their last life are not awaited any longer.
    """
    killed = _killed(services, ahead)
    reasons = [
        killed.get(service.intent.step) or reason
        for service, reason in zip(services, pool.map(wrong, services), strict=True)
    ]
    last = [
        over and (late or bool(reason) or _outlived(service, ahead))
        for service, reason in zip(services, reasons, strict=True)
    ]
    asked = [
        service if is_last and not reason else None
        for service, is_last, reason in zip(services, last, reasons, strict=True)
    ]
    at_end = pool.map(lambda service: _throttled(service) if service is not None else "", asked)
    return [
        _Look(service, reason or slow or (_still_loops(service) if is_last else ""), is_last)
        for service, reason, slow, is_last in zip(services, reasons, at_end, last, strict=True)
    ]


def _outlived(watched: WatchedStep, ahead: Mapping[str, float]) -> bool:
    """Whether every container that had died before the change has lived longer since than the last
    time.
    """
    now = time.time() + ahead[watched.intent.host]
    for container in watched.containers:
        life = watched.lives.get(container.replica)
        if life is None:
            continue
        try:
            found = inspect(watched.engine, container.id)
        except ContainerGone:  # that is a fault of its own
            continue
        if found.state == "restarting" or (
            found.running and now - moment(found.started_at) < _OUTLIVED * life
        ):
            return False
    return True


def _killed(left: list[WatchedStep], ahead: Mapping[str, float]) -> dict[int | None, str]:
    """Step -> what was killed for memory since its change."""
    found: dict[int | None, str] = {}
    for name, offset in ahead.items():
        here = [watched for watched in left if watched.intent.host == name]
        if not here:
            continue
        since = min(watched.intent.time.timestamp() for watched in here) + offset
        for container, when in memory_kills(here[0].engine, since, time.time() + offset):
            for watched in here:
                names = {known.id: known.name for known in watched.containers}
                if container in names and when >= watched.intent.time.timestamp() + offset:
                    found[watched.intent.step] = f"{names[container]} was killed for memory"
    return found


def wrong(watched: WatchedStep) -> str:
    """What went wrong since the change, empty if nothing."""
    live = watched.intent.detail.mode == "live"
    seen = {was.id: was.seen for was in watched.intent.detail.containers} if live else {}
    try:
        now = current_containers(watched.intent, watched.engine) if live else _same(watched)
    except (ChangeRefused, ContainerGone) as error:
        return error.message
    former = [known.seen.state for known in watched.intent.detail.containers]
    meant = any(state in _UP for state in former)  # a job that had ended before may end again
    for was, container in pair_replicas(watched.containers, now):
        if container is None:
            return f"{was.name} does not exist any more"
        reason = _sick(
            was, container, seen.get(was.id), loops=_about_restarts(watched), meant=meant
        )
        if reason:
            return f"{container.name} {reason}" + (
                "" if container.running else _unmet(container, watched.engine)
            )
    return ""


def _same(watched: WatchedStep) -> list[Container]:
    return [inspect(watched.engine, container.id) for container in watched.containers]


def _unmet(container: Container, engine: Engine) -> str:
    """What a container that ended needs and does not have, by the labels that Compose puts on it;
    empty where that is unknown.
    """
    needed = {
        part.partition(":")[0]
        for part in container.labels.get(f"{_COMPOSE}depends_on", "").split(",")
        if part
    }
    beside: list[Container] = []
    with (
        suppress(EngineError),
        engine_errors(engine.host.name, f"list the containers of {container.project}"),
    ):  # it is a hint only
        found = (
            engine.api.containers(
                all=True, filters={"label": f"{_COMPOSE}project={container.project}"}
            )
            if needed
            else []
        )
        beside = [inspect(engine, each["Id"]) for each in found]
    sick = sorted(
        f"{other.key} is {_how(other)}"
        for other in beside
        if other.service in needed and not _is_well(other)
    )
    return f"; it needs what is not well: {', '.join(sick)}" if sick else ""


def _is_well(container: Container) -> bool:
    """Whether a container runs and is healthy, or has ended as a job does."""
    return (
        container.health in {None, "", "healthy"}
        if container.running
        else container.state == "exited" and not container.exit_code
    )


def _how(container: Container) -> str:
    return str(container.health) if container.running else container.state


def _sick(
    was: Container, now: Container, seen: ObservedState | None, *, loops: bool, meant: bool
) -> str:
    before = seen or ObservedState(restart_count=was.restart_count, started_at=was.started_at)
    state = seen.state if seen else "running" if meant or now.exit_code else "exited"
    if now.oom_killed and not before.oom_killed:
        return "was killed for memory"
    ended = state in _UP and now.state == "exited"
    if loops:  # whether that is over is asked at the end
        return (
            f"ended with exit code {now.exit_code}, and is not tried again"
            if ended and now.exit_code
            else ""
        )
    if now.restart_count > before.restart_count:
        return f"restarted (exit code {now.exit_code})"
    done = (
        seen is not None
        and now.state == "exited"
        and not now.exit_code
        and not now.restart_policy.startswith(_ENDLESS)
    )
    # a limit does not make a job end well before its time, and between two tries it has not ended
    if (ended or (state == "running" and not now.running)) and not done:
        return f"stopped (exit code {now.exit_code})"
    waited = state == "restarting"  # the Engine was about to start it again
    if now.started_at != before.started_at and not waited:
        return "was started again"
    if now.health == "unhealthy" and before.health != "unhealthy":
        return "became unhealthy"
    return ""


def _about_restarts(watched: WatchedStep) -> bool:
    """Whether the change is one of the restart policy, which a container in a loop gets: its last
    tries are no surprise.
    """
    return Setting.RESTART_POLICY in watched.intent.detail.settings


def _still_loops(watched: WatchedStep) -> str:
    """Whether a container that got another restart policy restarts again and again all the same."""
    for container in (
        watched.containers
        if _about_restarts(watched) and watched.intent.detail.mode == "live"
        else ()
    ):
        now = inspect(watched.engine, container.id)
        if now.state == "restarting" or (
            now.restart_count > container.restart_count and _just_started(now, watched.engine)
        ):
            return f"{container.name} still restarts again and again"
    return ""


def _just_started(container: Container, engine: Engine) -> bool:
    """Whether a container may be between two tries: it runs, and has not for long."""
    return container.running and engine_time(engine) - moment(container.started_at) < _STEADY


def _throttled(watched: WatchedStep) -> str:
    """Whether a CPU limit holds the service back more than promised; asked once, at the end."""
    for container in watched.containers:
        start = watched.before.get(container.id)
        if start is None or watched.promise is None:
            continue
        now = usage(watched.engine, container.id)
        periods = now.periods - start.periods
        share = (now.throttled - start.throttled) / periods if periods >= _FEWEST_PERIODS else 0.0
        if share > watched.promise:
            return (
                f"{container.name} was throttled in {share:.0%} of its CPU periods, promised were "
                f"at most {watched.promise:.0%}"
            )
    return ""
