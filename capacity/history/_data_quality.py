"""Whether a history is good enough to act on: what reports, recommendations and plans all say."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from capacity._common.text.counting import counted
from capacity.history._history import History
from capacity.history._metrics.signals import CATALOGUE
from capacity.model import Signal

__all__ = ["DataQuality", "coverage_of_running", "data_quality", "judged"]

_GOOD_COVERAGE, _FAIR_COVERAGE = 0.95, 0.8
_FEW_DROPPED = 0.001  # of all samples of a signal: impossible ones that are not worth a word
_GOOD_DAYS, _FAIR_DAYS = 14, 7
_FRESH = pd.Timedelta("2h")


@dataclass(frozen=True)
class DataQuality:
    """Whether the data is good enough.

    Attributes:
        level: `good`, `fair` or `poor`, which is not to be acted on.
        against: what speaks against acting on it: gaps, a short history, an old one.
        needed: what must be there before it is acted on; empty unless it is poor.
        besides: what else is wrong with it.
    """

    level: str
    against: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong with it."""
        return self.against + self.besides

    @property
    def warning(self) -> str:
        """Why nothing should be done yet, and what is needed first; empty = go ahead."""
        if not self.needed:
            return ""
        return (
            f"Not good enough to act on: {'; '.join(self.against)}. Needed first: "
            f"{'; '.join(self.needed)}"
        )


def data_quality(history: History) -> DataQuality:
    """The quality of a history with its samples."""
    found = judged(coverage_of_running(history), history.last_sample, history.end)
    besides = []
    missing = [
        str(signal)
        for signal, entry in CATALOGUE.items()
        if history[signal].empty and signal is not Signal.OOM_KILLS and not entry.optional
    ]
    if missing:
        besides.append(f"no samples of {', '.join(missing)}")
    quality = history.coverage()
    dropped = int(quality["dropped"].sum())
    if dropped > _FEW_DROPPED * quality["dropped"].size * len(history.memory.index):
        besides.append(f"{counted(dropped, 'sample')} dropped, which cannot be true")
    level = "fair" if besides and found.level == "good" else found.level
    return DataQuality(level, found.against, found.needed, tuple(besides))


def coverage_of_running(history: History) -> pd.DataFrame:
    """What `judged` takes of a history, or of a part of one: one row a service.

    Returns:
        columns `alive` and `first` of `History.coverage`, and `running`.
    """
    quality = history.coverage()[["alive", "first"]]
    return quality.assign(running=history.running().to_numpy())


def judged(coverage: pd.DataFrame, newest: pd.Timestamp | None, end: pd.Timestamp) -> DataQuality:
    """The quality as far as gaps, length and age tell it.

    Args:
        coverage: of `coverage_of_running`, of all parts.
        newest: time of the newest sample.
        end: of the window.
    """
    running = coverage[coverage["running"].to_numpy(bool)]
    alive = float(running["alive"].median()) if len(running) else 0.0
    first = coverage["first"].min() if len(coverage) else end
    days = (end - first) / pd.Timedelta("1D")
    late = end - newest if newest is not None else pd.Timedelta.max
    against = []
    if alive < _GOOD_COVERAGE:
        against.append(f"the typical running service has only {alive:.0%} of its samples")
    if days < _GOOD_DAYS:
        against.append(f"history reaches back only {days:.1f} days")
    if late > _FRESH:
        against.append(
            f"the newest sample is {late / pd.Timedelta('1h'):.0f} hours older than the report's "
            "time"
        )
    enough = first + _FAIR_DAYS * pd.Timedelta("1D")
    conditions = [
        (alive < _FAIR_COVERAGE, f"{_FAIR_COVERAGE:.0%} of the samples of a typical service"),
        (days < _FAIR_DAYS, f"a week of history, there on {enough:%a %d %b}"),
        (late > 12 * _FRESH, "a sample of the last day"),
    ]
    needed = tuple(said for applies, said in conditions if applies)
    level = "poor" if needed else "fair" if against else "good"
    return DataQuality(level, tuple(against), needed)
