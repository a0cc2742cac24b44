"""Our policy: put the margin where it buys the most.

Three voices say how likely next week's peak is to pass any multiple of the trailing peak: a forest
trained on the fleet's own past weeks, the forecaster's distribution of the peak, and a prior for
fleets with little past. Margins are then chosen so that the expected breaches of the fleet are what
was asked for, at the least cost: a service whose peak is certain gets little, one that may double
gets more, one that nothing would help does not get everything. Below a risk of one in ten no single
service runs one far above it, as far as what is known bears a limit that prevents it; none gets
less than a peak it reaches every day. What was wrong on the latest weeks, judged as if they were
still to come, corrects the risk that is asked.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.model import Resource
from capacity.sizing._policies.allocate import allocate, most, within_budget
from capacity.sizing._policies.base import LEAST, Floats, Past, column_quantile
from capacity.sizing._policies.daily_features import FEATURES, Days, days_of
from capacity.sizing._policies.forest import MARGINS, learn_exceedance

__all__ = ["EVEN_ODDS", "PEAK_LEVELS", "Allocation", "Capacity", "PeakDistribution"]

PEAK_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_FIRST_ORIGIN = 9  # days before a past week can be learned from
_WEEK = 7
_HELD_OUT = 2  # weeks kept back to measure how wrong the chances are
_JUDGED = 400  # services whose held-out weeks are looked at
_FORECAST_DAYS = 28
_FORECAST, _FORECAST_ALONE = (
    0.1,
    0.5,
)  # weight of the forecaster beside a learned forest, and beside the prior
_MOST_ALONE = float(np.log(3.0))  # the highest margin on the prior's word
_FURTHER, _BEYOND = (
    1.25,
    float(np.log(2.0)),
)  # how much further than ever before a peak may be thought to stray
_FLOOR = FEATURES.index("lowest daily peak")
_STEADY, _STEADY_DAYS = 0.98, 14.0
EVEN_ODDS = 0.5
_KNOWN_DAYS, _SPREAD = FEATURES.index("days with samples"), FEATURES.index("spread of daily peaks")
_LADDER = (0.5, 0.35, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Risks at which margins are chosen; what lies between is read from these, so that no limit falls
with the risk.
"""
_FIRST = _LADDER.index(0.2)  # the one that all others are chosen from, outwards


@dataclass(frozen=True)
class PeakDistribution:
    """How likely the coming peak is to pass any limit.

    Attributes:
        peaks: trailing 14-day peak of each service; NaN = never seen.
        chances: services x `MARGINS`, chance that the peak passes exp(margin) x the trailing one.
        floors: lowest margin of each service: a peak it reached on every one of the last fourteen
            days with samples.
        tops: highest margin of each service that what is known bears.
        trust: share of the fleet's own past in the chances, 0 to 1; the rest is the prior's.
    """

    peaks: Floats
    chances: Floats
    floors: Floats
    tops: Floats
    trust: float

    def at(self, limits: Floats) -> Floats:
        """Chance that the peak passes each limit; NaN where either is unknown. Outside the margins
        it is the nearest one's.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            margins = np.log(limits / self.peaks)
        found = [
            np.interp(margin, MARGINS, row)
            for margin, row in zip(margins, self.chances, strict=True)
        ]
        quiet = (self.peaks == 0) & np.isfinite(limits)
        return np.where(quiet, (limits <= 0) * 1.0, np.where(np.isfinite(margins), found, np.nan))

    def limit(self, service: int, chance: float) -> float:
        """The lowest limit that the peak of a service passes with at most this chance; NaN where it
        is unknown.
        """
        # the chances fall along a row, so they are read backwards; the last of equal ones is the
        # lowest margin
        margin = np.interp(chance, self.chances[service][::-1], MARGINS[::-1])
        return float(np.exp(margin) * self.peaks[service])


@dataclass(frozen=True)
class Allocation:
    """One decision.

    Attributes:
        limits: risks x services; NaN = no answer.
        outlook: the chances for the coming week.
        drift: realised over expected breaches, by risk.
        steady: steady peak of each service, the 98th percentile of its last fourteen days; NaN =
            never seen.
    """

    limits: Floats
    outlook: PeakDistribution
    drift: Floats
    steady: Floats

    def least(self) -> Floats:
        """What every service should get at each risk, however cheap for the fleet it were to write
        it off: risks x services.

        Its steady peak, and even odds of holding the coming one, corrected by the drift, as far as
        what is known bears that.
        """
        outlook = self.outlook
        services = range(len(outlook.peaks))
        even = [
            [outlook.limit(service, EVEN_ODDS / drift) for service in services]
            for drift in self.drift
        ]
        return np.fmax(self.steady, np.minimum(even, np.exp(outlook.tops) * outlook.peaks))

    def within(self, budget: float, copies: Floats | None = None) -> Floats:
        """Limits that add up to `budget` at most, each taken so many times, with the least expected
        number of breaches.

        None is below the steady peak where the budget has room for that; NaN where one is taken no
        times.
        """
        outlook, count = (
            self.outlook,
            np.ones(len(self.outlook.peaks)) if copies is None else copies,
        )
        known = (outlook.peaks > 0) & (count > 0)
        answer = np.where(
            np.isfinite(outlook.peaks) & (count > 0), np.maximum(outlook.peaks, 0.0), np.nan
        )
        if known.any():
            chances, peaks = outlook.chances[known], outlook.peaks[known]
            dear, steady = peaks * count[known], float((self.steady * count)[known].sum())
            chosen = within_budget(
                chances, dear, budget, np.log(np.maximum(self.steady[known], LEAST) / peaks)
            )
            if (np.exp(MARGINS[chosen]) * dear).sum() > budget:
                if (
                    steady <= budget
                ):  # too little for the next step of every margin: all share alike what is left
                    answer[known] = self.steady[known] * (budget / steady)
                    return answer
                chosen = within_budget(chances, dear, budget)
            share = min(1.0, budget / float((np.exp(MARGINS[chosen]) * dear).sum()))
            answer[known] = np.exp(MARGINS[chosen]) * peaks * share
        return answer


@dataclass
class Capacity:
    """Learns anew at every decision; keeps only summaries of days and forecasts it has already
    made.
    """

    name: str = "capacity"
    seed: int = 0
    forecasts: bool = True
    _kept: dict[int, tuple[NDArray[np.intp], Floats]] = field(default_factory=dict, repr=False)

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """Limits at which the fleet's expected share of breaches is each risk; never lower at a
        lower risk.
        """
        return self.allocate(past, risks).limits

    def allocate(self, past: Past, risks: Sequence[float]) -> Allocation:
        """The limits, and the chances they were chosen by."""
        outlook = self.outlook(past)
        answer = np.where(
            np.isfinite(outlook.peaks), np.maximum(outlook.peaks, 0.0), np.nan
        ) * np.ones((len(risks), 1))
        known = outlook.peaks > 0
        steps = _steps(risks)
        drift = self.drift(past, steps) if known.any() else np.ones(len(steps))
        chances, peaks, floors, tops = (
            each[known] for each in (outlook.chances, outlook.peaks, outlook.floors, outlook.tops)
        )
        margins = np.zeros((len(steps), len(peaks)))
        for number, step in enumerate(steps) if known.any() else ():
            margins[number] = MARGINS[
                allocate(
                    chances, peaks, step / drift[number], most(step), floors, tops, past.resource
                )
            ]
        first = steps.index(_LADDER[_FIRST])
        margins[first:] = np.maximum.accumulate(margins[first:], axis=0)
        margins[first::-1] = np.minimum.accumulate(margins[first::-1], axis=0)
        answer[:, known] = np.exp(_between(steps, margins, risks)) * peaks
        drift = _between(steps, drift[:, None], risks)[:, 0]
        return Allocation(answer, outlook, drift, column_quantile(past.last(_STEADY_DAYS), _STEADY))

    def outlook(self, past: Past) -> PeakDistribution:
        """Chances for the horizon after `past`."""
        days = _days(past)
        return self._outlook(
            past, days, len(days), self._fit(days, len(days) - _WEEK), horizon=past.horizon
        )

    def drift(self, past: Past, risks: Sequence[float]) -> Floats:
        """Realised over expected breaches on the latest weeks, by chances that had not seen them,
        shrunk to the prior.

        What strikes many services at once makes one week differ from the next by more than chance,
        so the prior counts as so many weeks of the fleet, however large it is.
        """
        prior = _prior()["drift"]
        assumed = prior["realised"] * (prior["risk"] / np.asarray(risks)) ** prior["exponent"]
        realised, expected = np.zeros(len(risks)), np.zeros(len(risks))
        days = _days(past)
        cut = len(days) - _WEEK * (_HELD_OUT + 1)
        if cut < _FIRST_ORIGIN:
            return np.asarray(assumed)
        model, weeks = self._fit(days, cut), 0
        for back in range(1, _HELD_OUT + 1):
            now = len(days) - _WEEK * back
            judged = _some(
                np.flatnonzero(
                    np.isfinite(days.next_peak(now)) & (days.base(now) > 0) & days.alive(now)
                ),
                _JUDGED,
            )
            if not len(judged):
                continue
            weeks += 1
            outlook = self._outlook(past, days, now, model, judged)
            peak, unit = days.next_peak(now)[judged], outlook.peaks
            for number, risk in enumerate(risks):
                chosen = allocate(
                    outlook.chances,
                    unit,
                    risk,
                    most(risk),
                    outlook.floors,
                    outlook.tops,
                    past.resource,
                )
                realised[number] += (peak > np.exp(MARGINS[chosen]) * unit).sum()
                expected[number] += outlook.chances[np.arange(len(chosen)), chosen].sum()
        weight = np.maximum(prior["least"], prior["weeks"] * expected / max(weeks, 1))
        return np.asarray((weight * assumed + realised) / (weight + expected))

    def _fit(self, days: Days, last: int) -> Any:
        """What past weeks that began on day `last` at the latest teach; None = too little."""
        return learn_exceedance(
            days, range(_FIRST_ORIGIN, last + 1), np.arange(days.table.shape[1]), self.seed
        )

    def _outlook(
        self,
        past: Past,
        days: Days,
        day: int,
        model: Any,
        chosen: NDArray[np.intp] | None = None,
        horizon: float = _WEEK,
    ) -> PeakDistribution:
        """Chances for the week, or other horizon, that begins with `day`, for all services or the
        chosen ones.
        """
        chosen = np.arange(days.table.shape[1]) if chosen is None else chosen
        peaks, now = days.base(day)[chosen], days.features(day)[chosen]
        weeks = len(chosen) * max(0, day - _WEEK - _FIRST_ORIGIN + 1) / _WEEK
        prior = _prior()
        trust = weeks / (weeks + prior["weight"]) if model is not None else 0.0
        chances = assumed(now, past.resource)
        if model is not None:
            chances = trust * model(now) + (1 - trust) * chances
        if (
            horizon != _WEEK
        ):  # what is learned is learned by the week; each further one may do it as well
            chances = 1 - (1 - chances) ** (horizon / _WEEK)
        if self.forecasts:
            told = chances_from(self._forecast(past, days, day, chosen, horizon), peaks)
            weight = trust * _FORECAST + (1 - trust) * _FORECAST_ALONE
            chances = np.where(np.isfinite(told), weight * told + (1 - weight) * chances, chances)
        tops = (1 - trust) * _MOST_ALONE + trust * (
            _FURTHER * _borne_out(days, day)[chosen] + _BEYOND
        )
        return PeakDistribution(
            peaks, np.asarray(np.minimum.accumulate(chances, axis=1)), now[:, _FLOOR], tops, trust
        )

    def _forecast(
        self, past: Past, days: Days, day: int, chosen: NDArray[np.intp], horizon: float
    ) -> Floats:
        """Services x `PEAK_LEVELS` for the horizon that begins with `day`; NaN where the forecaster
        offers none.
        """
        if past.forecast is not None and day == len(days):
            return past.forecast[chosen]
        if horizon != _WEEK:
            return _peak_quantiles(past, len(days) - day, chosen, horizon)
        kept, quantiles = self._kept.get(
            day, (np.zeros(0, np.intp), np.zeros((0, len(PEAK_LEVELS))))
        )
        if not np.isin(chosen, kept).all():
            kept, quantiles = chosen, _peak_quantiles(past, len(days) - day, chosen)
            self._kept[day] = (kept, quantiles)
        return quantiles[np.searchsorted(kept, chosen)]


def _steps(risks: Sequence[float]) -> tuple[float, ...]:
    """The part of the ladder that these risks need: from the first step, or the loosest, to the
    next stricter one.
    """
    start = 0 if max(risks) > _LADDER[_FIRST] else _FIRST
    end = np.searchsorted(-np.asarray(_LADDER), -min(risks))
    return _LADDER[start : max(int(end), _FIRST) + 1]


def _between(steps: Sequence[float], values: Floats, risks: Sequence[float]) -> Floats:
    """Rows of `values`, one a step of the ladder, read at other risks by their logarithm; outside
    the ladder the nearest.
    """
    place = np.interp(-np.log(risks), -np.log(steps), np.arange(len(steps)))
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, len(steps) - 1)
    share = (place - below)[:, None]
    return np.asarray((1 - share) * values[below] + share * values[above])


def _borne_out(days: Days, day: int) -> Floats:
    """How far peaks have strayed before `day` (a logarithm): the service's own, or what two
    services at least have shown.

    What a single one did is no ground for giving all the others many times what they use.
    """
    strays = [_stray(days, origin) for origin in range(_FIRST_ORIGIN, day - _WEEK + 1)]
    own = np.max(strays, axis=0, initial=0.0) if strays else np.zeros(days.table.shape[1])
    second = np.sort(own)[-2] if len(own) > 1 else 0.0
    return np.maximum(own, second)


def _stray(days: Days, origin: int) -> Floats:
    peak, base = days.next_peak(origin), days.base(origin)
    seen = (peak > 0) & (base > 0)
    return np.log(np.where(seen, peak, 1.0) / np.where(seen, base, 1.0))


def _days(past: Past) -> Days:
    return past.days if past.days is not None else Days(days_of(past.values, past.step))


def _some(services: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """At most `count` of them, evenly spread."""
    return services[:: max(1, -(-len(services) // count))]


def _peak_quantiles(
    past: Past, days_ago: int, chosen: NDArray[np.intp], horizon: float = _WEEK
) -> Floats:
    """The forecaster's distribution of the peak of the week, or horizon, that began `days_ago`,
    from the samples before.
    """
    from capacity.forecasting import Forecaster

    length = max(1, 86_400 // past.step)
    end = len(past.values) - days_ago * length
    values = past.values[max(0, end - _FORECAST_DAYS * length) : end, chosen]
    index = pd.date_range(
        "2000-01-03", periods=len(values), freq=pd.Timedelta(seconds=past.step), tz="UTC"
    )
    usage = pd.DataFrame(
        values, index=index, columns=[f"fleet/{number}" for number in range(len(chosen))]
    )
    peaks = (
        Forecaster(quantiles=PEAK_LEVELS, random_state=0)
        .fit(usage)
        .predict_peak(pd.Timedelta(days=horizon))
    )
    return peaks.reindex(usage.columns).to_numpy(np.float64)


def chances_from(quantiles: Floats, peaks: Floats) -> Floats:
    """Chance to pass each margin, from the peak's quantiles: services x `MARGINS`; exponential
    tails outside them.
    """
    levels = np.asarray(PEAK_LEVELS)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.maximum(quantiles, LEAST) / peaks[:, None])
    told = np.full((len(quantiles), len(MARGINS)), np.nan)
    for row in np.flatnonzero(np.isfinite(logs).all(axis=1)):
        low, high = logs[row, 0], logs[row, -1]
        inside = 1 - np.interp(MARGINS, logs[row], levels)
        below = 1 - levels[0] * np.exp(np.minimum(5 * (MARGINS - low), 0))
        above = (1 - levels[-1]) * np.exp(np.minimum(-2 * (MARGINS - high), 0))
        told[row] = np.where(low > MARGINS, below, np.where(high < MARGINS, above, inside))
    return told


def assumed(now: Floats, resource: Resource) -> Floats:
    """The prior's chances, services x `MARGINS`: by days of history and by how much daily peaks
    spread.
    """
    told = np.empty((len(now), len(MARGINS)))
    tables = _prior()["strata"][resource]
    for row, (days, spread) in enumerate(zip(now[:, _KNOWN_DAYS], now[:, _SPREAD], strict=True)):
        entry = next(
            entry
            for entry in tables
            if days < entry["days_below"] and spread < entry["spread_below"]
        )
        told[row] = 1 - np.interp(MARGINS, entry["strays"], _prior()["levels"], left=0.0, right=1.0)
    return told


@cache
def _prior() -> dict[str, Any]:
    prior = json.loads((Path(__file__).parent / "prior.json").read_text(encoding="utf-8"))
    for entry in itertools.chain(*prior["strata"].values()):
        for bound in ("days_below", "spread_below"):
            entry[bound] = np.inf if entry[bound] is None else entry[bound]
    return dict(prior)
