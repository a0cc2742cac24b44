"""Which samples are possible: what no container can have used or done is no sample.

Counters that jump, gauges with a sentinel, memory that the kernel does not account: each gives a
number that would size a limit. They are dropped where history becomes frames, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity._common.text.counting import counted
from capacity.history._metrics.signals import CATALOGUE, SignalScope
from capacity.model import Resource, Signal

__all__ = ["DropReason", "DroppedSamples", "drop_impossible", "dropped_notes"]

_TIB = 2.0**40
_MOST = {Resource.CPU: 4096.0, Resource.MEMORY: 64 * _TIB}
"""More cores and bytes than any host has."""
_HOST_SIZE = {Resource.CPU: Signal.HOST_CORES, Resource.MEMORY: Signal.HOST_MEMORY_TOTAL}
_SIZES = {size: resource for resource, size in _HOST_SIZE.items()}
_LIMITS = {resource.limit: resource for resource in Resource}
_MOST_EVENTS = 3600.0  # within an hour: one a second
_ROOM = 1.1  # rates are extrapolated to the ends of their window, so they may pass it a bit
_NAMED = 3  # services of a note
_ROWS = 288  # looked at at once, to keep what is computed of them small


class DropReason(StrEnum):
    """Why a sample cannot be true: a closed list."""

    NEGATIVE = "negative"
    NOT_FINITE = "not-finite"
    ABOVE_HOST = "above-host"
    TOO_MUCH = "too-much"
    ZERO_MEMORY = "zero-memory"

    @property
    def text(self) -> str:
        """What the samples were, for people."""
        return _TEXTS[self]


_TEXTS = {
    DropReason.NEGATIVE: "below zero",
    DropReason.NOT_FINITE: "infinite",
    DropReason.ABOVE_HOST: "more than the host has",
    DropReason.TOO_MUCH: "more than all of the time, or an event a second",
    DropReason.ZERO_MEMORY: "0 B for a running container, so memory is not accounted there",
}


@dataclass(frozen=True)
class DroppedSamples:
    """Samples of one column that were no samples.

    Attributes:
        signal: which signal.
        name: service or host.
        reason: why they cannot be true.
        count: how many.
    """

    signal: Signal
    name: str
    reason: DropReason
    count: int


def drop_impossible(
    frames: Mapping[Signal, pd.DataFrame], hosts: Mapping[str, str]
) -> tuple[dict[Signal, pd.DataFrame], tuple[DroppedSamples, ...]]:
    """The frames without samples that no container or host can have given, and what was dropped.

    A limit that is none becomes NaN: one below or at zero, more than any host has, and a memory
    limit of at least the host's whole memory. All are how some exporters spell unlimited.

    Args:
        frames: signal -> UTC grid x services or hosts, as in `History`.
        hosts: service -> host, several joined by a comma.
    """
    kept = dict(frames)
    dropped: list[DroppedSamples] = []
    for size, resource in _SIZES.items():
        if size in kept:
            kept[size] = _keep(kept[size], size, _MOST[resource], dropped)
    sizes = {resource: kept[size].max() for size, resource in _SIZES.items() if size in kept}
    for signal, frame in frames.items():
        if signal in _LIMITS:
            kept[signal] = _limiting(frame, _MOST[_LIMITS[signal]])
        elif signal not in _SIZES:
            kept[signal] = _keep(frame, signal, _most(signal, frame, hosts, sizes), dropped)
    limits, total = Signal.MEMORY_LIMIT, Signal.HOST_MEMORY_TOTAL
    if limits in kept and total in kept:
        kept[limits] = _effective(kept[limits], kept[total], hosts)
    return kept, tuple(dropped)


def dropped_notes(dropped: tuple[DroppedSamples, ...]) -> tuple[str, ...]:
    """One sentence a signal and reason, with the names that most were dropped of."""
    notes = []
    for signal, reason in dict.fromkeys((entry.signal, entry.reason) for entry in dropped):
        those = [entry for entry in dropped if (entry.signal, entry.reason) == (signal, reason)]
        those.sort(key=lambda entry: (-entry.count, entry.name))
        names = ", ".join(f"{entry.name} ({entry.count})" for entry in those[:_NAMED])
        more = f" and {len(those) - _NAMED} more" if len(those) > _NAMED else ""
        total = sum(entry.count for entry in those)
        notes.append(
            f"{counted(total, 'sample')} of {signal} dropped, which cannot be true "
            f"({reason.text}): {names}{more}."
        )
    return tuple(notes)


def _most(
    signal: Signal,
    frame: pd.DataFrame,
    hosts: Mapping[str, str],
    sizes: Mapping[Resource, pd.Series[float]],
) -> NDArray[np.float64] | float:
    """The most that each column of a signal can be."""
    entry = CATALOGUE[signal]
    if entry.unit == "share":
        return _ROOM
    if entry.unit == "events":
        return _MOST_EVENTS
    resource = Resource.CPU if entry.unit == "cores" else Resource.MEMORY
    if signal is Signal.MEMORY_SWAP:  # lies on a disk, and may be more than the host's memory
        return _MOST[resource]
    placed = hosts if entry.scope is SignalScope.SERVICE else {}
    none = pd.Series(dtype=np.float64)
    tops = _tops(list(frame.columns), placed, sizes.get(resource, none), resource)
    # cache is the most of its active part and of its inactive one, which are the same pages in turn
    return 2 * tops if signal is Signal.MEMORY_CACHE else tops


def _tops(
    names: list[str], hosts: Mapping[str, str], sizes: pd.Series[float], resource: Resource
) -> NDArray[np.float64]:
    """The most that each column can have used: the largest of its hosts in the window."""
    found = []
    for name in names:
        known = [sizes.get(host, np.nan) for host in hosts.get(name, name).split(",")]
        whole = bool(known) and bool(np.isfinite(known).all())
        found.append(min(max(known) * _ROOM, _MOST[resource]) if whole else _MOST[resource])
    return np.array(found, dtype=np.float64)


def _keep(
    frame: pd.DataFrame,
    signal: Signal,
    most: NDArray[np.float64] | float,
    dropped: list[DroppedSamples],
) -> pd.DataFrame:
    """The frame with NaN in place of impossible samples; columns that lose all of them go."""
    values = frame.to_numpy(np.float64)
    bad = np.zeros(values.shape, dtype=np.bool_)
    counts: dict[DropReason, NDArray[np.int64]] = {}
    for start in range(0, len(values), _ROWS):
        rows = slice(start, start + _ROWS)
        found = _wrong(values[rows], most, signal)
        for reason, where in found.items():
            bad[rows] |= where
            counts[reason] = counts.get(reason, np.int64(0)) + where.sum(axis=0)
    if not bad.any():
        return frame
    dropped += [
        DroppedSamples(signal, str(frame.columns[int(column)]), reason, int(count[column]))
        for reason, count in counts.items()
        for column in np.flatnonzero(count)
    ]
    answer = frame.mask(bad)
    return answer.loc[:, answer.notna().any().to_numpy()]


def _wrong(
    values: NDArray[np.float64], most: NDArray[np.float64] | float, signal: Signal
) -> dict[DropReason, NDArray[np.bool_]]:
    """Which samples cannot be true, by reason."""
    counted = CATALOGUE[signal].unit in {"share", "events"}
    above = DropReason.TOO_MUCH if counted else DropReason.ABOVE_HOST
    least = 1 - _ROOM if CATALOGUE[signal].unit == "share" else 0.0
    with np.errstate(invalid="ignore"):
        wrong = {
            DropReason.NOT_FINITE: np.isinf(values),
            DropReason.NEGATIVE: np.isfinite(values) & (values < least),
            above: np.isfinite(values) & (values > most),
        }
    return {**wrong, DropReason.ZERO_MEMORY: values == 0} if signal is Signal.MEMORY else wrong


def _limiting(limits: pd.DataFrame, most: float) -> pd.DataFrame:
    """Limits that are above zero and not more than any host has."""
    values = limits.to_numpy(np.float64)
    none = np.isfinite(values) & ((values <= 0) | (values > most)) | np.isinf(values)
    return limits.mask(none) if none.any() else limits


def _effective(
    limits: pd.DataFrame, totals: pd.DataFrame, hosts: Mapping[str, str]
) -> pd.DataFrame:
    """Limits below the memory that the host had at that time."""
    size = totals.ffill().bfill().reindex(limits.index, method="ffill").bfill()
    placed = [hosts.get(str(name), "") for name in limits.columns]
    tops = {
        where: size.reindex(columns=where.split(",")).min(axis=1, skipna=False)
        for where in dict.fromkeys(placed)
    }
    above = pd.DataFrame(tops, index=limits.index)[placed]
    return limits.mask(limits.to_numpy(np.float64) >= above.to_numpy(np.float64))
