"""The few decisions of the week: what, by when, to what effect, with which command."""

from __future__ import annotations

import math
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from capacity._common.text.escape import operand
from capacity._common.text.units import count_cores, format_memory
from capacity.changes._plan.commands import logs_command, update_command
from capacity.model import Action, Reason, Resource, RestartLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from capacity.history import History
    from capacity.reporting.weekly._limit_crossings import LimitCrossing

    _Row = dict[Any, Any]

__all__ = ["MOST_DECISIONS", "Decision", "weekly_decisions"]

MOST_DECISIONS = 5
_UNEVEN = 1.5  # worst replica over the mean one, from which it is worth a word
_SOON = 14  # days until a leak is full
_ANSWERED = {Reason.OOM_KILLED, Reason.HOST_CEILING, Reason.OWN_BOUNDS}
"""What a loop of kills is answered with, in place of the advice to look at the log."""
_MORE_MEMORY = {
    Reason.HOST_CEILING: (
        "all that its host has",
        "Move it to a larger host, or make it need less memory",
        "capacity recommend {service} --why",
    ),
    Reason.OWN_BOUNDS: (
        "the most that the settings allow",
        "Raise its max_memory_mib, or make it need less memory",
        "capacity recommend {service} --why",
    ),
}
_PRINT = {Resource.CPU: count_cores, Resource.MEMORY: format_memory}


@dataclass(frozen=True)
class Decision:
    """One thing to decide this week.

    Attributes:
        service: `project/service`.
        what: the change in a few words.
        why: what was seen.
        by: when it should be done.
        effect: what will be different.
        command: what does it by hand.
        code: of the runbook: a reason, or a cause of restarts.
        planned: whether the week's plan has the change, so that `capacity apply` can do it.
        urgency: for the order; above 60 is bad, above 25 worth a warning.
    """

    service: str
    what: str
    why: str
    by: str
    effect: str
    command: str
    code: str
    planned: bool
    urgency: float

    @property
    def apply(self) -> str:
        """The dry run of this change alone, from the folder of the page; empty = not planned."""
        service = quote(operand(self.service))
        return f"capacity apply plan.yaml --service {service}" if self.planned else ""

    @property
    def level(self) -> str:
        """`bad`, `warn` or `quiet`."""
        return "bad" if self.urgency > 60 else "warn" if self.urgency > 25 else "quiet"


def weekly_decisions(
    history: History,
    tables: dict[Resource, pd.DataFrame],
    risks: list[LimitCrossing],
    limit: RestartLimit | None = None,
) -> list[Decision]:
    """At most five decisions, the most urgent first; one a service."""
    killed = {
        str(service)
        for service, row in tables[Resource.MEMORY].iterrows()
        if row["oom_kills"] > 0 and row["reason"] in _ANSWERED
    }
    candidates = [
        *(loop for loop in _loops(history, limit) if loop.service not in killed),
        *_at_the_most(tables[Resource.MEMORY]),
        *_changes(history, tables, risks),
    ]
    best: dict[str, Decision] = {}
    for decision in sorted(candidates, key=lambda decision: (-decision.urgency, decision.service)):
        best.setdefault(decision.service, decision)
    return list(best.values())[:MOST_DECISIONS]


def _loops(history: History, limit: RestartLimit | None) -> list[Decision]:
    """Services in a restart loop, and those that may be."""
    return [
        Decision(
            service=str(service),
            what="Stop the restart loop" if row["loop"] else "See whether it is a restart loop",
            why=f"{row['total']:.0f} restarts in the last day, {row['worst_hour']:.0f} in the "
            "worst hour",
            by="now" if row["loop"] else "this week",
            effect="the service stays up; limits can be sized once it runs steadily",
            command=logs_command(str(service)),
            code=str(Reason.UNSTABLE),
            planned=False,
            urgency=(95 if row["loop"] else 50) + min(row["total"], 400) / 100,
        )
        for service, row in history.restarting(limit).iterrows()
    ]


def _at_the_most(memory: pd.DataFrame) -> list[Decision]:
    """Services killed for memory at the highest limit that their host or the settings allow."""
    found = []
    for service, row in memory.iterrows():
        advice = _MORE_MEMORY.get(row["reason"])
        if row["action"] != Action.KEEP or not row["oom_kills"] > 0 or advice is None:
            continue
        bound, what, command = advice
        found.append(
            Decision(
                service=str(service),
                what=what,
                why=f"killed for memory {row['oom_kills']:.0f} times at "
                f"{format_memory(row['current'])}, {bound}",
                by="now",
                effect="without it the kills go on: no limit that is allowed is high enough",
                command=command.format(service=quote(operand(str(service)))),
                code=str(row["reason"]),
                planned=False,
                urgency=_kill_urgency(row["oom_kills"]),
            )
        )
    return found


def _kill_urgency(kills: float) -> float:
    return float(90.0 + min(kills, 100) / 25)


def _changes(
    history: History, tables: dict[Resource, pd.DataFrame], risks: list[LimitCrossing]
) -> list[Decision]:
    """One decision a service with a proposed change, for the more urgent of its resources, with
    both in the command.
    """
    crossing = {(risk.service, risk.resource): risk for risk in risks}
    sizes = {resource: history.host_size(resource) for resource in Resource}
    rows: dict[Resource, dict[Any, dict[Any, Any]]] = {
        resource: tables[resource].to_dict("index") for resource in Resource
    }
    found = []
    for service in history.services:
        every = {resource: rows[resource][service] for resource in Resource}
        pressure = math.fsum(
            _share(every[resource], sizes[resource].get(service)) for resource in Resource
        )
        rated = [
            (
                _urgency(
                    row,
                    resource,
                    pressure,
                    sizes[resource].get(service),
                    crossing.get((service, resource)),
                ),
                resource,
            )
            for resource, row in every.items()
            if np.isfinite(row["limit"]) and row["reason"] != Reason.LIMIT_UNKNOWN
        ]
        if not rated:
            continue
        urgency, resource = max(rated)
        row, risk = every[resource], crossing.get((service, resource))
        # lowering one limit is no part of a rescue that raises the other
        together = {
            part: every[part]
            for _, part in rated
            if (every[part]["action"] == "lower") == (row["action"] == "lower")
        }
        found.append(_decision(service, resource, together, risk, urgency))
    return found


def _decision(
    service: str,
    resource: Resource,
    together: dict[Resource, dict[Any, Any]],
    risk: LimitCrossing | None,
    urgency: float,
) -> Decision:
    """The decision about a service, for its more urgent resource, with both in the command."""
    row = together[resource]
    return Decision(
        service=service,
        what="; ".join(_what(part, together[part]) for part in Resource if part in together),
        why=_why(resource, together, risk),
        by=_by_when(row, risk),
        effect=_effects(resource, together),
        code=str(row["reason"]),
        planned=True,
        command=update_command(
            service, {part: float(each["limit"]) for part, each in together.items()}
        ),
        urgency=urgency,
    )


def _share(row: _Row, host: float | None) -> float:
    """Share of its host that a service takes at busy times, what others then lack."""
    busy = row["p95"]
    return float(busy / host) if host and host > 0 and np.isfinite(busy) else 0.0


def _urgency(
    row: _Row, resource: Resource, pressure: float, host: float | None, risk: LimitCrossing | None
) -> float:
    """Kills first, then limits about to be reached, then throttling, then unlimited giants, then
    waste.
    """
    by_chance = 100.0 if resource is Resource.MEMORY else 50.0  # CPU beyond a limit only waits
    match Reason(row["reason"]):
        case Reason.OOM_KILLED:
            return _kill_urgency(row["oom_kills"])
        case Reason.BREACH_EXPECTED:
            return (
                75.0 + (10.0 if risk.median else 0.0)
                if risk
                else 30.0 + by_chance * float(row["breach_now"])
            )
        case Reason.LEAK:
            return 72.0 if row["days_to_limit"] < _SOON else 45.0
        case Reason.THROTTLED:
            return float(65.0 + 10 * row["throttled"])
        case Reason.UNLIMITED | Reason.HOST_CEILING:
            return 30.0 + 60 * min(pressure, 1.0)
        case _:
            freed = float(row["current"] - row["limit"])
            return 10.0 + (40.0 * freed / host if host and math.isfinite(freed) else 0.0)


def _what(resource: Resource, row: _Row) -> str:
    name = "CPU" if resource is Resource.CPU else "memory"
    show = _PRINT[resource]
    if row["action"] == Action.SET:
        return f"Set a {name} limit of {show(row['limit'])}"
    verb = "Raise" if row["action"] == Action.RAISE else "Lower"
    return f"{verb} {name} from {show(row['current'])} to {show(row['limit'])}"


def _why(resource: Resource, together: dict[Resource, _Row], risk: LimitCrossing | None) -> str:
    uneven = together[resource]["uneven"]
    beside = (
        f"; sized for its worst replica, which uses {uneven:.1f} times the mean one"
        if uneven > _UNEVEN
        else ""
    )
    return _cause(resource, together, risk) + beside


def _cause(resource: Resource, together: dict[Resource, _Row], risk: LimitCrossing | None) -> str:
    row, show = together[resource], _PRINT[resource]
    match Reason(row["reason"]):
        case Reason.OOM_KILLED:
            return f"killed for memory {row['oom_kills']:.0f} times in the window"
        case Reason.THROTTLED:
            return f"throttled in {row['throttled']:.0%} of the periods at busy times"
        case Reason.BREACH_EXPECTED:
            when = f"; the band reaches it on {risk.upper:%a %d %b %H:%M} UTC" if risk else ""
            return (
                f"next week's peak is {show(row['peak'])}, in a bad week "
                f"{show(row['peak_high'])}{when}"
            )
        case Reason.LEAK:
            return _leak(row, show)
        case Reason.CALENDAR_PEAK | Reason.STARTUP_PEAK | Reason.TYPE_DEFAULT:
            return _of_its_own(row, show)
        case Reason.OWN_BOUNDS | Reason.BUDGET:
            return Reason(row["reason"]).text
        case Reason.HOST_CEILING if np.isfinite(row["current"]):
            return f"the need of {show(row['peak_high'])} is more than its host has"
        case Reason.UNLIMITED | Reason.HOST_CEILING:
            return _unlimited(together)
        case _:
            return f"peaked at {show(row['observed_peak'])} of {show(row['current'])}"


def _of_its_own(row: _Row, show: Callable[[float], str]) -> str:
    """What only this service asks for."""
    match Reason(row["reason"]):
        case Reason.CALENDAR_PEAK:
            return f"its peak of the {row['rhythm']} is due, {show(row['past_peak'])} before"
        case Reason.STARTUP_PEAK:
            return f"it needs {show(row['startup_peak'])} to start"
        case _:
            return f"too little history; the default for its type, {row['type']}"


def _unlimited(together: dict[Resource, _Row]) -> str:
    most = [_PRINT[part](row["observed_peak"]) for part, row in together.items()]
    return f"no limit; it has used up to {' and '.join(most)}"


def _leak(row: _Row, show: Callable[[float], str]) -> str:
    daily = (
        (row["limit"] - row["observed_peak"]) / row["days_to_limit"]
        if row["days_to_limit"]
        else math.nan
    )
    return (
        f"it leaks {show(daily)} a day; the new limit lasts {row['days_to_limit']:.0f} "
        "days, fix the leak meanwhile"
    )


def _by_when(row: _Row, risk: LimitCrossing | None) -> str:
    match Reason(row["reason"]):
        case Reason.OOM_KILLED:
            return "now"
        case Reason.BREACH_EXPECTED if risk:
            return f"{risk.upper:%a %d %b}"
        case Reason.OVERSIZED:
            return "this month"
        case _:
            return "this week"


def _effects(first: Resource, together: dict[Resource, _Row]) -> str:
    """What changes, for every limit that is changed: one good number must not hide another."""
    order = sorted(together, key=lambda part: part is not first)
    freed = [
        _PRINT[part](row["current"] - row["limit"])
        for part, row in together.items()
        if row["action"] == Action.LOWER
    ]
    gain = f"frees {' and '.join(freed)}; " if freed else ""
    chances = "; ".join(
        f"{_chances(together[part])} ({'CPU' if part is Resource.CPU else 'memory'})"
        for part in order
    )
    return f"{gain}chance that next week's peak passes the limit: {chances}"


def _chances(row: _Row) -> str:
    after = _chance(row["breach_after"])
    if row["action"] == Action.SET:
        return after
    return f"{_chance(row['breach_now'])} now, {after} after"


def _chance(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "unknown"
