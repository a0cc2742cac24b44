"""One fleet from several sources: their days side by side become one.

A service is known by its project and name, wherever it runs: on hosts of several sources it is one
service with replicas on each. A host that two sources have measured is one host, its containers are
counted once. What cannot tell hosts apart, `localhost` or the name of an exporter's container, is
named by the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity.history._metrics.signals import SignalQuery, SignalScope
from capacity.history._service_series import SeriesBlock, add_known, hosts_at_the_end, last_known

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Freshness", "column_name", "host_names", "join_blocks", "name_hosts"]

_LATE = pd.Timedelta("1h")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


@dataclass
class Freshness:
    """How far each of several sources has been measured: one that did not answer must not look as
    if its services had stopped.
    """

    _newest: dict[str, pd.Timestamp] = field(default_factory=dict)
    _services: dict[str, set[str]] = field(default_factory=dict)

    def add(self, source: str, block: SeriesBlock, day: date, step: int, end: pd.Timestamp) -> None:
        """Add a day of usage of a source, of which what is before `end` counts."""
        known = np.flatnonzero(np.isfinite(block.values).any(axis=0))
        if not len(known):
            return
        last = pd.Timestamp(day, tz="UTC") + pd.Timedelta(seconds=int(known[-1]) * step)
        last = min(last, end - pd.Timedelta(seconds=step))
        self._newest[source] = max(last, self._newest.get(source, last))
        for name in block.names:
            self._services.setdefault(name, set()).add(source)

    def by_service(self) -> dict[str, pd.Timestamp]:
        """Service -> newest sample of any service of the sources that know it."""
        return {
            name: max(self._newest[source] for source in sources)
            for name, sources in self._services.items()
        }

    def notes(self, sources: Iterable[str]) -> Iterator[str]:
        """What to say of the sources that lag behind the others."""
        newest = max(self._newest.values(), default=None)
        for source in sources:
            last = self._newest.get(source)
            if last is None:
                yield f"{source} has no samples in this window: what it measures is missing."
            elif newest is not None and newest - last > _LATE:
                yield (
                    f"{source} has no samples after {last:%Y-%m-%d %H:%M} UTC, others have: what "
                    "it measures is missing from then on."
                )


@dataclass
class _Row:
    """What is joined so far of one service, host, core or target."""

    values: NDArray[np.float64]
    replicas: int
    last: dict[str, int] = field(default_factory=dict)
    parts: list[tuple[NDArray[np.float64], int, float]] = field(default_factory=list)


def host_names(source: str, only: str | None, *, several: bool) -> Callable[[str], str]:
    """How the hosts of a source are called.

    Args:
        source: its name in the archive.
        only: the name of its only host, if the settings say it.
        several: whether other sources stand beside it; then a loopback address is no name.
    """

    def named(host: str) -> str:
        if only is not None:
            return only
        return source if several and host in _LOOPBACK else host

    return named


def name_hosts(block: SeriesBlock, entry: SignalQuery, named: Callable[[str], str]) -> SeriesBlock:
    """A source's day with its hosts called otherwise; names that become one are joined."""
    hosts = [_each(text, named) for text in block.hosts]
    names = [column_name(name, entry.scope, named) for name in block.names]
    if hosts == block.hosts and names == block.names:
        return block
    alone = (
        SeriesBlock([name], [host], [count], row[None, :], _of(block, name))
        for name, host, count, row in zip(names, hosts, block.replicas, block.values, strict=True)
    )
    return join_blocks(alone, entry)


def _of(block: SeriesBlock, name: str) -> dict[str, float]:
    return {name: block.uneven[name]} if name in block.uneven else {}


def _each(hosts: str, named: Callable[[str], str]) -> str:
    return ",".join(sorted({named(host) for host in hosts.split(",")}))


def column_name(name: str, scope: SignalScope, named: Callable[[str], str]) -> str:
    """A column's name with its host called otherwise."""
    if scope is SignalScope.SERVICE:
        return name
    if scope is SignalScope.HOST:
        return named(name)
    if scope is SignalScope.CORE:
        host, slash, core = name.rpartition("/")
        return f"{named(host)}{slash}{core}"
    job, slash, address = name.partition("/")
    host, colon, port = address.rpartition(":")
    host, rest = (host, colon + port) if port.isdigit() and host else (address, "")
    return f"{job}{slash}{named(host)}{rest}"


def join_blocks(blocks: Iterable[SeriesBlock], entry: SignalQuery) -> SeriesBlock:
    """One day of a signal from that of each source, all on one grid.

    Containers on different hosts are combined as the signal combines replicas; what was measured
    on the same host twice is the same, and its highest value counts.
    """
    rows: dict[str, _Row] = {}
    points = 0
    for block in blocks:
        points = block.values.shape[1]
        for number, name in enumerate(block.names):
            part = _row(block, number)
            rows[name] = _joined(rows[name], part, entry) if name in rows else part
    names = sorted(rows)
    return SeriesBlock(
        names,
        [hosts_at_the_end(rows[name].last, points) for name in names],
        [rows[name].replicas for name in names],
        np.stack([rows[name].values for name in names]) if names else np.empty((0, points)),
        {name: ratio for name in names if (ratio := _uneven(rows[name])) is not None},
    )


def _row(block: SeriesBlock, number: int) -> _Row:
    values, count = block.values[number], block.replicas[number]
    last = dict.fromkeys(block.hosts[number].split(","), last_known(values))
    part = values, count, block.uneven.get(block.names[number], 1.0)
    return _Row(values, count, last, [part])


def _joined(known: _Row, new: _Row, entry: SignalQuery) -> _Row:
    same = entry.scope is not SignalScope.SERVICE or bool(known.last.keys() & new.last.keys())
    add = np.fmax if same or entry.combine == "max" else add_known
    return replace(
        known,
        values=add(known.values, new.values),
        replicas=max(known.replicas, new.replicas) if same else known.replicas + new.replicas,
        last={
            host: max(known.last.get(host, -1), new.last.get(host, -1))
            for host in {**known.last, **new.last}
        },
        parts=known.parts if same else [*known.parts, *new.parts],
    )


def _uneven(row: _Row) -> float | None:
    """Mean use of the busiest replica over that of all, as far as the sources' own ratios tell."""
    busiest, total, count = 0.0, 0.0, 0
    for values, replicas, ratio in row.parts:
        seen = values[np.isfinite(values)]
        if seen.size:
            most = float(seen.mean())
            busiest, count = max(busiest, most), count + replicas
            total += replicas * most / ratio
    if count < 2 or total <= 0:
        return None
    if len(row.parts) == 1 and row.parts[0][2] == 1.0:
        return None
    return round(busiest * count / total, 3)
