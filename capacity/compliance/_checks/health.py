"""Health checks and restart loops."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from capacity._docker.engine import moment
from capacity.compliance._facts.facts import Facts, RunningContainer
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Status, Verdict, failed, passed, unknown
from capacity.model import RestartLimit, ServiceKey, Signal

_MINUTES_A_DAY = 1440
_ZERO_TIME = datetime(2, 1, 1, tzinfo=UTC).timestamp()  # the Engine's year 1, in any zone


@check("health-check", "files", "engine")
def health_check(facts: Facts) -> Iterator[Verdict]:
    """Every service has a health check, of its compose file or of its image; a job that others wait
    for to end needs none.

    What runs has the last word: a check that only the file has is not in force.
    """
    jobs = _awaited_jobs(facts)
    for key in sorted({*facts.declared, *facts.live}):
        service = facts.declared.get(key)
        where = service.where("healthcheck.test", "healthcheck") if service else None
        evidence = Evidence.at(where, "none", "a health check")
        known = {
            live.container.name: live.posture.has_health_check
            for live in facts.live.get(key, ())
            if live.posture is not None
        }
        bare = [name for name, checked in known.items() if not checked]
        check = service.service.healthcheck if service else None
        if key in jobs:
            yield passed(key, "is a job that others wait for to end", evidence)
        elif check is not None and check.has_no_command:
            yield failed(key, "declares a health check without a command", evidence)
        elif bare and check is not None and not check.off:
            yield failed(key, f"declares a health check, and {bare[0]} runs without", evidence)
        elif bare or (check is not None and check.off and not known):
            off = check is not None and check.off
            text = "switches its health check off" if off else "has no health check"
            yield failed(key, text, evidence)
        elif known:
            source = "declares a health check" if check else "has its image's health check"
            yield passed(key, source, evidence)
        elif check is not None and check.test:
            yield passed(key, "declares a health check", evidence)
        elif service is None:
            yield unknown(key, "The Engine was not asked for its health check", evidence)
        else:
            cause = "declares no health check; its image, which was not looked at, may have one"
            yield unknown(key, cause, evidence)


def _awaited_jobs(facts: Facts) -> set[str]:
    """Services that another one waits for until they have ended well."""
    return {
        str(ServiceKey(pair.project.name, name))
        for _, pair in facts.pairs
        for name, condition in pair.service.depends_on.items()
        if condition == "service_completed_successfully"
    }


@check("health-passing", "engine")
def health_passing(facts: Facts) -> Iterator[Verdict]:
    """The health check of every running container passes."""
    for key in facts.live:
        for container in facts.running(key):
            name, health = container.container.name, container.container.health
            look = f"docker inspect -f '{{{{.State.Health.Status}}}}' {name}"
            evidence = Evidence(
                value=health or "no health check",
                threshold="healthy",
                query=look,
                host=container.container.host,
            )
            if health == "healthy":
                yield passed(key, f"{name} is healthy", evidence)
            elif health == "unhealthy":
                yield failed(key, f"{name} is unhealthy", evidence)
            elif health == "starting":
                yield unknown(key, f"{name} is starting", evidence)
            else:
                yield unknown(key, f"{name} has no health check to pass", evidence)


@check("restart-loop", "engine", "history", "prometheus")
def restart_loop(
    facts: Facts,
    *,
    restarts: Annotated[int, Field(ge=1)] | None = None,
    minutes: Annotated[int, Field(ge=1, le=60)] | None = None,
    a_day: Annotated[int, Field(ge=1)] | None = None,
    days: Annotated[float, Field(gt=0)] = 1.0,
) -> Iterator[Verdict]:
    """No container restarts more often than so many times in so many minutes, nor so many times
    in the last day; default what the settings' `[operations]` call a loop.

    Three sources: Prometheus asked for this very window, the Engine with its count of restarts
        and its last events, and the
    hourly counts of history. An hour with few restarts clears a service and one with very many
    fails it; in between, hourly counts alone cannot tell.
    """
    usual = facts.restart_limit
    restarts = usual.more_than if restarts is None else restarts
    minutes = int(max(usual.minutes, 1)) if minutes is None else minutes
    known = RestartLimit(restarts, minutes, usual.a_day if a_day is None else a_day)
    limit = f"{restarts} restarts in {minutes} min, fewer than {known.a_day} in a day"
    worst = _worst_hours(facts, days)
    totals = {} if facts.history is None else facts.history.restarts()["total"].dropna().to_dict()
    for key in facts.keys:
        said = [
            *_probed(facts, key, restarts, minutes, limit),
            *(_engine(facts, container, known, limit) for container in facts.live.get(key, ())),
        ]
        remembered = [*_history(facts, key, worst, totals, known, days, limit)]
        verdicts = said or remembered
        clear = next((verdict for verdict in verdicts if verdict.status is Status.PASS), None)
        failing = [verdict for verdict in (*said, *remembered) if verdict.status is Status.FAIL]
        if failing:
            yield from failing
        elif clear is not None and key not in _unclear(facts, verdicts):
            yield clear
        else:
            yield from verdicts


def _unclear(facts: Facts, verdicts: list[Verdict]) -> set[str]:
    """Services of which one container cannot be judged, unless Prometheus cleared them."""
    if facts.monitoring is not None and facts.monitoring.restarts is not None:
        return set()
    return {verdict.subject for verdict in verdicts if verdict.status is Status.NOT_EVALUATED}


def _probed(facts: Facts, key: str, restarts: int, minutes: int, limit: str) -> Iterator[Verdict]:
    probe = facts.monitoring.restarts if facts.monitoring else None
    if probe is None or probe.minutes != minutes or key not in probe.most:
        return
    most = probe.most[key]
    evidence = Evidence(
        value=f"{most:g} restarts",
        threshold=limit,
        window=f"the last {probe.hours:g} h",
        query=probe.query,
    )
    text = f"restarted {most:g} times within {minutes} minutes"
    yield failed(key, text, evidence) if most > restarts else passed(key, text, evidence)


def _engine(facts: Facts, live: RunningContainer, known: RestartLimit, limit: str) -> Verdict:
    restarts, minutes = known.more_than, int(known.minutes)
    container = live.container
    count, name = container.restart_count, container.name
    look = f"docker inspect -f '{{{{.RestartCount}}}} {{{{.State.Status}}}}' {name}"
    shown = f"{count} restarts since it was started, {container.state}"
    evidence = Evidence(value=shown, threshold=limit, query=look, host=container.host)
    if count <= restarts:
        return passed(container.key, f"{name} was restarted {count} times in all", evidence)
    if container.state == "restarting" or _lives_shortly(live, minutes, count):
        return failed(
            container.key, f"{name} restarts again and again: {count} times so far", evidence
        )
    ends = facts.ends.get(container.host)
    at = facts.at if ends is None or ends.at is None else datetime.fromtimestamp(ends.at, UTC)
    recent = ends.counts.get(container.id, 0) if ends is not None and ends.minutes == minutes else 0
    if recent > restarts:
        return failed(
            container.key, f"{name} ended {recent} times in the last {minutes} minutes", evidence
        )
    if count >= known.a_day and not _runs_since(live, at, _MINUTES_A_DAY):
        return _frequent(live, at, known, evidence)
    if container.running and _runs_since(live, at, minutes):
        return passed(container.key, f"{name} has run for more than {minutes} minutes", evidence)
    if ends is not None and ends.minutes == minutes and ends.complete:
        return passed(
            container.key, f"{name} ended {recent} times in the last {minutes} minutes", evidence
        )
    return unknown(
        container.key, f"{name} was restarted {count} times; the Engine does not say when", evidence
    )


def _frequent(
    live: RunningContainer, at: datetime | None, known: RestartLimit, evidence: Evidence
) -> Verdict:
    """Of a container with the restarts of a loop by the day, of which some were in the last day."""
    container, count = live.container, live.container.restart_count
    created = _moment(live.posture.created_at if live.posture else "")
    if at is not None and created is not None and at - created <= timedelta(days=1):
        text = f"{container.name} was restarted {count} times since it was made, within a day"
        return failed(container.key, text, evidence)
    cause = (
        f"{container.name} was restarted {count} times; whether {known.a_day} of them were in the "
        "last day the Engine does not say"
    )
    return unknown(container.key, cause, evidence)


def _runs_since(live: RunningContainer, at: datetime | None, minutes: int) -> bool:
    started = _moment(live.container.started_at)
    return at is not None and started is not None and (at - started).total_seconds() > minutes * 60


def _lives_shortly(live: RunningContainer, minutes: int, count: int) -> bool:
    """Whether all restarts lie within the window: the Engine waits longer before each of them, up
    to a minute.
    """
    started, created = (
        _moment(live.container.started_at),
        _moment(live.posture.created_at if live.posture else ""),
    )
    if started is None or created is None:
        return False
    return count > 0 and (started - created).total_seconds() <= minutes * 60


def _moment(text: str) -> datetime | None:
    """A time as the Engine writes it; None for its zero time."""
    try:
        seconds = moment(text)
    except (ValueError, OverflowError):
        return None
    return datetime.fromtimestamp(seconds, UTC) if seconds > _ZERO_TIME else None


def _worst_hours(facts: Facts, days: float) -> dict[str, float | None]:
    """Service -> most restarts in one hour of the last days; None where they were not counted."""
    history = facts.history
    if history is None:
        return {}
    most = history.restarts(days)["worst_hour"].dropna()
    counted = {str(name): float(value) for name, value in most.items()}
    return {name: counted.get(name) for name in (*history.services, *counted)}


def _history(
    facts: Facts,
    key: str,
    worst: dict[str, float | None],
    totals: dict[Any, float],
    known: RestartLimit,
    days: float,
    limit: str,
) -> Iterator[Verdict]:
    if facts.history is None or key not in worst:
        return
    most = worst[key]
    if most is None:
        yield unknown(key, "history holds no count of its restarts", Evidence(threshold=limit))
        return
    total = totals.get(key, 0.0)
    evidence = Evidence(
        value=f"{total:.0f} restarts in the last day, {most:.0f} in the worst hour",
        threshold=limit,
        window=f"the last {days:g} days",
        query=facts.history.queries.get(Signal.RESTARTS, ""),
    )
    loop = known.is_loop(total, most)
    if loop is False:
        yield passed(key, f"restarted {most:.0f} times in its worst hour", evidence)
    elif loop and total >= known.a_day:
        yield failed(key, f"restarted {total:.0f} times in the last day", evidence)
    elif loop:
        yield failed(key, f"restarted {most:.0f} times within an hour", evidence)
    else:
        cause = (
            f"restarted {most:.0f} times within an hour; whether {known.minutes:g} minutes held "
            f"more than {known.more_than} is not recorded"
        )
        yield unknown(key, cause, evidence)
