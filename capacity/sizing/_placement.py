"""Which cores each service runs on: by category, packed by forecast load, so that no core is far
busier than the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capacity._common.text.units import parse_cpuset
from capacity.errors import InputError

__all__ = [
    "CATEGORIES",
    "IDLE",
    "MOST_UNEVEN",
    "Placement",
    "core_ranges",
    "forecast_load",
    "format_cores_list",
    "imbalance",
    "is_even",
    "place",
]

CATEGORIES = ("infrastructure", "critical", "standard")
Cores = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
MOST_UNEVEN = 0.35
"""The imbalance up to which cores are evenly used."""
IDLE = 0.05
"""Busy share of the busiest core up to which a host is idle, and its imbalance means nothing."""
_BUSY = 0.7  # share of a core that is planned for; a service that needs more gets more cores


@dataclass(frozen=True)
class Placement:
    """A proposed assignment.

    Attributes:
        table: one row a service: `category`, `load` (cores), `cpuset` (as Docker writes it),
            `pinned` (was it left alone).
        load: predicted busy share of each core, index = core.
        imbalance: index of the proposal, see `imbalance`.
        round_robin: index if all but the pinned services were dealt out one core after the other.
    """

    table: pd.DataFrame
    load: pd.Series[float]
    imbalance: float
    round_robin: float

    @property
    def even(self) -> bool:
        """Whether the proposal would pass for evenly used cores."""
        return is_even(self.imbalance, float(self.load.max()))

    @property
    def advice(self) -> str:
        """What to do where it would not, which is then not proposed."""
        return (
            f"That is more than the {MOST_UNEVEN:g} which are allowed, so it is not proposed: give "
            "the categories other cores under [placement], or move a service"
        )


def format_cores_list(cores: Sequence[int]) -> str:
    """A cpuset as Docker writes it: runs joined by a dash."""
    runs: list[list[int]] = []
    for core in sorted(cores):
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def core_ranges(
    cores: int, wanted: Mapping[str, str | None] | None = None
) -> dict[str, tuple[int, ...]]:
    """Cores of each category; by default a quarter for infrastructure, a quarter for what is
    critical, the rest for all others.

    With fewer than four cores all categories share all of them.

    Raises:
        InputError: a range names a core that the host does not have.
    """
    if cores < 1:
        raise InputError(f"A host with {cores} cores", "Give the number of its cores")
    every = tuple(range(cores))
    quarter = cores // 4
    standing = {
        "infrastructure": every[:quarter],
        "critical": every[quarter : 2 * quarter],
        "standard": every[2 * quarter :],
    }
    ranges = standing if quarter else dict.fromkeys(CATEGORIES, every)
    for category, text in (wanted or {}).items():
        if text is not None:
            ranges[category] = parse_cpuset(text)
            if ranges[category][-1] >= cores:
                raise InputError(
                    f"{category} is to use core {ranges[category][-1]}",
                    f"The host has cores 0 to {cores - 1}",
                )
    return ranges


def forecast_load(
    bands: pd.DataFrame, replicas: Mapping[str, float] | None = None
) -> pd.Series[float]:
    """Busy cores of each service in the coming time: the mean of its median forecast, all replicas
    together.

    Args:
        bands: future grid x (service, quantile), cores of one replica.
        replicas: service -> how many; what is not named has one.
    """
    if 0.5 not in bands.columns.get_level_values("quantile"):
        return pd.Series(dtype=float)
    median: pd.DataFrame = bands.xs(0.5, axis=1, level="quantile")  # type: ignore[assignment]  # a frame, level by level
    load = median.mean()
    return load * pd.Series(
        {name: float((replicas or {}).get(str(name), 1)) for name in load.index}, dtype=float
    )


def place(
    load: pd.Series[float],
    category: Mapping[str, str],
    cores: int,
    *,
    ranges: Mapping[str, str | None] | None = None,
    pinned: Mapping[str, str] | None = None,
) -> Placement:
    """Cores for every service, the busiest first, each onto the least busy cores of its category
    (Graham, 1969, LPT rule).

    Args:
        load: forecast busy cores of each service; NaN counts as none.
        category: service -> name in `CATEGORIES`; `standard` where nothing is said.
        cores: how many the host has.
        ranges: cpuset of a category, as far as it is not the default.
        pinned: service -> cpuset that stays as it is.

    Raises:
        InputError: impossible cores, also of a pinned service.
    """
    allowed = core_ranges(cores, ranges)
    pinned = pinned or {}
    needs = load.fillna(0.0).sort_values(ascending=False, kind="stable")
    chosen = _pinned_cores({name: pinned[name] for name in pinned if name in needs.index}, cores)
    busy, count = np.zeros(cores), np.zeros(cores)
    for service, cpuset in chosen.items():
        busy[list(cpuset)] += needs[service] / len(cpuset)
    kept = busy.copy()
    for name, need in needs.items():
        if name in chosen:
            continue
        mine = allowed[category.get(str(name), "standard")]
        width = min(len(mine), max(1, math.ceil(need / _BUSY)))
        best = sorted(mine, key=lambda core: (busy[core], count[core], core))[
            :width
        ]  # idle services are spread too
        chosen[str(name)] = tuple(best)
        busy[best] += need / width
        count[best] += 1
    table = pd.DataFrame(
        {
            "category": [category.get(str(name), "standard") for name in load.index],
            "load": load.to_numpy(),
            "cpuset": [format_cores_list(chosen[str(name)]) for name in load.index],
            "pinned": [str(name) in pinned for name in load.index],
        },
        index=load.index,
    )
    free = load.drop([name for name in load.index if name in pinned])
    in_turn = _round_robin(free, category, allowed, kept)
    return Placement(table, pd.Series(busy, name="busy"), imbalance(busy), imbalance(in_turn))


def _pinned_cores(pinned: Mapping[str, str], cores: int) -> dict[str, tuple[int, ...]]:
    """The cores of pinned services.

    Raises:
        InputError: the host has fewer.
    """
    chosen = {name: parse_cpuset(cpuset) for name, cpuset in pinned.items()}
    for name, mine in chosen.items():
        if mine[-1] >= cores:
            raise InputError(
                f"{name} is pinned to core {mine[-1]}", f"The host has cores 0 to {cores - 1}"
            )
    return chosen


def is_even(index: float, busiest: float, most: float = MOST_UNEVEN, idle: float = IDLE) -> bool:
    """Whether cores are evenly used: the imbalance is allowed, or the host idle."""
    return index <= most or busiest <= idle


def imbalance(busy: Cores) -> float:
    """Standard deviation of the cores' load over their mean: 0 is even; 0 for idle cores."""
    mean = float(np.mean(busy)) if len(busy) else 0.0
    return float(np.std(busy) / mean) if mean > 0 else 0.0


def _round_robin(
    load: pd.Series[float],
    category: Mapping[str, str],
    allowed: Mapping[str, tuple[int, ...]],
    kept: Cores,
) -> Cores:
    """Load of each core if each category deals its services out one core after the other, beside
    what is kept there.
    """
    busy = kept.copy()
    dealt = dict.fromkeys(CATEGORIES, 0)
    for name, need in load.fillna(0.0).items():
        kind = category.get(str(name), "standard")
        mine = allowed[kind]
        busy[mine[dealt[kind] % len(mine)]] += need
        dealt[kind] += 1
    return busy
