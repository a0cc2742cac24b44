"""What policies would have done to a service's own past: decide, wait, look, and again.

Usage is known whatever the limit would have been, so the outcome of every limit can be computed
("full observability", Rzadca et al., EuroSys 2020). It is censored where it ran under a limit: a
replay of such a window flatters every policy alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from capacity._common.text.lengths_of_time import in_days, parse_length
from capacity.errors import InputError
from capacity.forecasting._models.daily_summaries import summarise
from capacity.model import Resource
from capacity.sizing._policies.base import Floats, column_max, column_quantile
from capacity.sizing._policies.registry import POLICIES, Past
from capacity.sizing._usage.frames import checked
from capacity.sizing._usage.nan_math import by_service, counted_on

__all__ = ["DEFAULT_POLICIES", "DEFAULT_RISKS", "replay"]

DEFAULT_POLICIES = ("capacity", "maximum", "krr", "vpa", "autopilot", "seed")
DEFAULT_RISKS = (0.2, 0.1, 0.05, 0.02, 0.01)
_DAY = 86_400
_SAME = 1e-9


def replay(
    usage: pd.DataFrame,
    *,
    signal: Resource | str = Resource.MEMORY,
    policies: Sequence[str] = DEFAULT_POLICIES,
    every: str = "7D",
    horizon: str = "7D",
    risk: Sequence[float] = DEFAULT_RISKS,
    current: pd.Series[float] | Mapping[str, float] | None = None,
    kills: pd.DataFrame | None = None,
    first: str = "28D",
) -> pd.DataFrame:
    """Limits and their outcomes at past moments of decision.

    Args:
        usage: UTC grid x services, cores or bytes, NaN = no sample.
        signal: `cpu` or `memory`.
        policies: names from `POLICIES`. Those that know no risk answer the same at each.
        every: time between decisions.
        horizon: how long each limit is judged.
        risk: risks to ask at.
        current: limit in force before the first decision, by service; NaN or absent = none.
        kills: for memory under these limits, times x services, for policies that heed them; default
            none.
        first: how much past the first decision has.

    Returns:
        One row a policy, risk, time and service that had samples before and after: `limit`, `peak`
        (of the horizon), `breached`, `breach_minutes`, `slack` (share of the limit above each day's
        95th percentile, averaged over days, as Autopilot defines it; never below 0), `changed`
        (other than at the decision before).

    Raises:
        InputError: an unknown policy or resource, a risk that is no share, or a time that is no
            length of time.
    """
    _check(signal, policies, risk)
    resource, ahead_by = Resource(signal), parse_length(horizon)
    usage = checked(usage)
    index = pd.DatetimeIndex(usage.index)
    if len(index) < 2:
        return _table([])
    step = index[1] - index[0]
    values = usage.to_numpy(np.float64)
    in_force: Floats = np.asarray(by_service(current, usage.columns), dtype=np.float64)
    killed = counted_on(usage, kills)
    rules = {name: POLICIES[name]() for name in policies}
    before: dict[str, Floats] = {}
    length = max(1, round(_DAY / step.total_seconds()))
    whole = values[: len(values) // length * length]
    days = summarise(whole if len(whole) else values, round(step.total_seconds()))
    parts, lengths = [], (parse_length(every), ahead_by, parse_length(first))
    for position in _decisions(len(index), step, *lengths):
        ahead = values[position : position + round(ahead_by / step)]
        peak = column_max(ahead)
        # a decision within a day has days of its own
        shared = days[: position // length] if position % length == 0 else None
        past = Past(
            values[:position],
            round(step.total_seconds()),
            resource,
            in_force,
            shared,
            horizon=in_days(ahead_by),
            kills=None if killed is None else killed[:position],
        )
        seen = np.isfinite(column_max(past.last(7))) & np.isfinite(peak)
        for name, rule in rules.items():
            limits = rule.limits(past, risk)
            outcome = _outcome(limits, before.get(name), ahead, peak, step)
            for row, asked in enumerate(risk):
                keys = {"policy": name, "time": index[position], "risk": asked}
                parts.append(_rows(keys, usage.columns, seen, outcome, row))
            before[name] = limits
    return _table(parts)


def _check(signal: str, policies: Sequence[str], risk: Sequence[float]) -> None:
    """Refuse what cannot be replayed."""
    if signal not in {*Resource}:
        raise InputError(f"{signal!r} has no limits", "Use cpu or memory")
    if unknown := [name for name in policies if name not in POLICIES]:
        raise InputError(f"There is no policy {unknown[0]!r}", f"Known are {', '.join(POLICIES)}")
    if wrong := [each for each in risk if not 0 < each < 1]:
        raise InputError(f"risk {wrong[0]} is not between 0 and 1", "Use shares such as 0.02")


def _decisions(
    points: int, step: pd.Timedelta, every: pd.Timedelta, horizon: pd.Timedelta, first: pd.Timedelta
) -> range:
    """Positions of the first sample after each decision whose whole horizon is known."""
    return range(
        round(first / step), points - round(horizon / step) + 1, max(1, round(every / step))
    )


def _outcome(
    limits: Floats, before: Floats | None, ahead: Floats, peak: Floats, step: pd.Timedelta
) -> dict[str, Any]:
    """Every column of the result, each of shape (risks, services)."""
    above = np.stack([(ahead > limit).sum(axis=0) for limit in limits])
    changed = (
        np.full(limits.shape, np.nan)
        if before is None
        else np.abs(limits - before) > _SAME * np.abs(before)
    )
    return {
        "limit": limits,
        "peak": np.broadcast_to(peak, limits.shape),
        "breached": peak > limits,
        "breach_minutes": above * (step / pd.Timedelta("1min")),
        "slack": _slack(limits, ahead, step),
        "changed": changed,
    }


def _slack(limits: Floats, ahead: Floats, step: pd.Timedelta) -> Floats:
    """(limit - p95 of the day's samples) / limit, averaged over the days, as far as it is
    positive.
    """
    length = max(1, round(_DAY / step.total_seconds()))
    daily = np.stack(
        [
            column_quantile(ahead[start : start + length], 0.95)
            for start in range(0, len(ahead), length)
        ]
    )
    known = np.isfinite(daily)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((limits[:, None] - daily) / limits[:, None], 0.0, 1.0)
    total = np.where(known, share, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=0), 1))


def _rows(
    keys: dict[str, Any], services: pd.Index[Any], seen: Any, outcome: dict[str, Any], row: int
) -> pd.DataFrame:
    kept = seen & np.isfinite(outcome["limit"][row])
    return pd.DataFrame(
        {
            **keys,
            "service": services[kept],
            **{name: column[row][kept] for name, column in outcome.items()},
        }
    )


def _table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = [
        "policy",
        "risk",
        "time",
        "service",
        "limit",
        "peak",
        "breached",
        "breach_minutes",
        "slack",
        "changed",
    ]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]
