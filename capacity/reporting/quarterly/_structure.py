"""Services to split, merge, pool or retire: candidates by what a quarter shows, with reasons.

None is a proposal of a change: what a service is for is not in its metrics, so its owner decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from capacity._common.text.units import count_cores
from capacity.model import Resource, ServiceKey
from capacity.reporting._html.formatting import NAMES, PRINT
from capacity.sizing._service_types import type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from capacity.history import History
    from capacity.sizing import ServiceType

__all__ = ["Restructuring", "restructurings"]

_GONE = pd.Timedelta("14D")
_IDLE_CORES = 0.01  # peak CPU of a service that does nothing but be there
_LARGE = 0.5  # of its host
_BURST, _RARE = 6.0, 0.05  # times the median, in at most this share of the hours
_TINY = {Resource.CPU: 0.1, Resource.MEMORY: 96 * 2.0**20}
_FEW = 3  # tiny services that are worth one
_SHARED = 0.7  # peak of the sum over the sum of peaks below which peaks do not meet
_FEWEST_HOURS = 14 * 24
_Key = TypeVar("_Key", bound="tuple[object, ...]")


@dataclass(frozen=True)
class Restructuring:
    """A candidate: `what` is split, merge, pool or retire; `why` names the numbers."""

    what: str
    services: tuple[str, ...]
    why: str


def restructurings(quarter: History, types: Iterable[ServiceType]) -> list[Restructuring]:
    """All candidates of a quarter, in the order retire, split, pool, merge."""
    hourly = {resource: quarter[resource.usage].resample("1h").max() for resource in Resource}
    known = {
        resource: frame.loc[:, (frame.notna().sum() >= _FEWEST_HOURS).to_numpy()]
        for resource, frame in hourly.items()
    }
    running = quarter.running()
    alive = {
        resource: frame.loc[:, [bool(running.get(name, False)) for name in frame.columns]]
        for resource, frame in known.items()
    }
    kinds = tuple(types)
    idle = list(_retired(quarter, alive))
    spare = {name for each in idle for name in each.services}
    busy = {resource: frame.drop(columns=spare & {*frame}) for resource, frame in alive.items()}
    return [
        *idle,
        *_split(quarter, busy),
        *_pooled(quarter, busy, lambda name: type_of(name, kinds).name),
        *_merged(quarter, busy),
    ]


def _retired(quarter: History, alive: dict[Resource, pd.DataFrame]) -> Iterator[Restructuring]:
    last = quarter.coverage()["last"]
    for name, seen in last[last < quarter.end - _GONE].items():
        yield Restructuring("retire", (str(name),), f"not seen since {seen:%d %b %Y}")
    peaks = alive[Resource.CPU].max()
    for name in peaks.index[peaks < _IDLE_CORES]:
        memory = alive[Resource.MEMORY].get(name)
        holds = (
            f"; it holds {PRINT[Resource.MEMORY](memory.median())}" if memory is not None else ""
        )
        most = f"never used as much as {count_cores(_IDLE_CORES)}"
        yield Restructuring("retire", (str(name),), f"{most}{holds}")


def _split(quarter: History, alive: dict[Resource, pd.DataFrame]) -> Iterator[Restructuring]:
    for resource, frame in alive.items():
        sizes, show = quarter.host_size(resource), PRINT[resource]
        for name in map(str, frame.columns):
            hours = frame[name].dropna()
            peak, middle = float(hours.max()), float(hours.median())
            times = quarter.replicas.get(name, 1)
            share = peak / times / float(sizes.get(name, np.nan))
            rare = float((hours > peak / 2).mean())
            if share > _LARGE:
                why = (
                    f"its {NAMES[resource]} peak of {show(peak)} is {share:.0%} of its host: no "
                    "other host of that size can take it over beside its own services"
                )
                yield Restructuring("split", (name,), why)
            elif middle > _TINY[resource] and peak > _BURST * middle and rare <= _RARE:
                why = (
                    f"{NAMES[resource]} of {show(peak)} in {rare:.1%} of the hours, {show(middle)} "
                    "in a typical one: a job of its own would need that room for those hours alone"
                )
                yield Restructuring("split", (name,), why)


def _pooled(
    quarter: History, alive: dict[Resource, pd.DataFrame], kind: Callable[[str], str]
) -> Iterator[Restructuring]:
    """Numbered siblings, and services of one type on one host, whose peaks do not meet."""
    frame = alive[Resource.MEMORY]
    for (_, family, alike), names in _grouped(
        frame.columns, lambda name: _family(quarter, name, kind)
    ):
        parts = frame[names]
        alone, together = float(parts.max().sum()), float(parts.sum(axis=1).max())
        if len(names) < 2 or not (alike or together < _SHARED * alone):
            continue
        show = PRINT[Resource.MEMORY]
        why = f"{family}; their memory peaks add up to {show(alone)}, at any one time they used "
        yield Restructuring("pool", tuple(names), f"{why}{show(together)} at most")


def _family(quarter: History, name: str, kind: Callable[[str], str]) -> tuple[str, str, bool]:
    """What a service could be pooled with: its numbered siblings before those of its type."""
    host, base = quarter.hosts.get(name, ""), re.sub(r"[-_]?\d+$", "", name)
    if base != name:
        return host, f"numbered copies of {base}", True
    return host, f"services of type {kind(name)} on {host or 'one host'}", False


def _merged(quarter: History, alive: dict[Resource, pd.DataFrame]) -> Iterator[Restructuring]:
    peaks = {resource: frame.max() for resource, frame in alive.items()}
    tiny = [
        str(name)
        for name in alive[Resource.MEMORY].columns
        if all(peaks[resource].get(name, np.inf) < _TINY[resource] for resource in Resource)
    ]
    for (_, project), names in _grouped(
        tiny, lambda name: (quarter.hosts.get(name, ""), ServiceKey.parse(name).project)
    ):
        if len(names) >= _FEW:
            cores, memory = (float(peaks[resource][names].sum()) for resource in Resource)
            why = (
                f"{len(names)} services of {project} that together need "
                f"{count_cores(cores)} and {PRINT[Resource.MEMORY](memory)}, with limits, health "
                "checks and updates for each"
            )
            yield Restructuring("merge", tuple(names), why)


def _grouped(names: Iterable[str], key: Callable[[str], _Key]) -> Iterator[tuple[_Key, list[str]]]:
    """Names by a key, both in order."""
    ordered = sorted(map(str, names), key=lambda name: (*map(str, key(name)), name))
    return ((which, list(group)) for which, group in groupby(ordered, key))
