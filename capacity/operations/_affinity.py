"""Core balance: where each service runs, how busy each core is, and cpusets that would even it
out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from capacity._docker.containers import Container, Inventory
from capacity._docker.engine import Engine
from capacity._docker.usage import container_usage
from capacity.changes._journal.adjustments import AppliedChange
from capacity.model import Change, Reason, Setting
from capacity.sizing import Placement, ServiceType, place
from capacity.sizing._placement import imbalance, is_even
from capacity.sizing._service_types import type_of

__all__ = ["Applied", "Balance", "applied", "balance", "measure_load"]

_HOUR = pd.Timedelta("1h")
_LONGEST = 168  # hours compared on each side: a whole week has every hour of it


_BALANCED_FROM = 4  # cores; below them no rule asks for balance, and categories alone decide
_LEAST_GAIN = 0.05  # of the imbalance: less is not worth a change to every service


@dataclass(frozen=True)
class Applied:
    """What an applied balance has brought on one host.

    Attributes:
        run: of the journal.
        at: when its last core change was made, UTC.
        hours: compared before it and after it, the same number.
        before: mean busy share of each core over the hours before the first of its core changes.
        after: the same over the hours since the last of them.
        imbalance_before: standard deviation over mean of `before`.
        imbalance_after: the same of `after`.
    """

    run: str
    at: datetime
    hours: int
    before: pd.Series[float]
    after: pd.Series[float]
    imbalance_before: float
    imbalance_after: float


@dataclass(frozen=True)
class Balance:
    """One host.

    Attributes:
        host: its Engine.
        measured: busy share of each core over the window; empty without metrics.
        measured_imbalance: standard deviation over mean of that; None without metrics.
        placement: proposed cores.
        changes: what would bring it about; none where it would not pass for even, or would bring
            nothing.
        worthwhile: whether the cores as measured leave something to gain, or were not measured.
        applied: what the last applied balance has brought; None where there is none, or no metrics
            on both sides of it.
    """

    host: str
    measured: pd.Series[float]
    measured_imbalance: float | None
    placement: Placement
    changes: tuple[Change, ...]
    worthwhile: bool = True
    applied: Applied | None = None


def balance(
    inventory: Inventory,
    load: pd.Series[float],
    types: tuple[ServiceType, ...],
    *,
    ranges: Mapping[str, str | None] | None = None,
    pinned: frozenset[str] = frozenset(),
    busy: pd.DataFrame | None = None,
    made: Iterable[AppliedChange] = (),
) -> list[Balance]:
    """Cores for every running service of every host.

    Args:
        inventory: what runs; from the Engines.
        load: forecast busy cores by service, on all hosts together; services that are missing count
            as idle.
        types: categories of services, the first that fits.
        ranges: cpuset of a category.
        pinned: services whose cores stay as they are.
        busy: busy share of each core (`host/core` columns) over time.
        made: the journal's changes, the oldest first: where one set cores, before and after are
            compared.

    Returns:
        one entry a host, by name.
    """
    found, known = [], tuple(made)
    for host in sorted(inventory.hosts, key=lambda machine: machine.name):
        running = {
            container.key: container
            for container in inventory.containers
            if container.host == host.name and container.running and not container.oneoff
        }
        if not running or host.cores < 1:
            continue
        kinds = {key: type_of(key, types).category for key in running}
        fixed = {
            key: container.cpuset or f"0-{host.cores - 1}"
            for key, container in running.items()
            if key in pinned
        }
        here = pd.Series({key: _share(inventory, key, host.name) for key in running}, dtype=float)
        mine = load.reindex(list(running)).astype(float) * here
        placement = place(mine, kinds, host.cores, ranges=ranges, pinned=fixed)
        shares = _cores_of(busy, host.name, host.hostname)
        cores = shares.mean()
        uneven = _uneven(cores) if len(cores) else None
        # who gives a category cores of its own wants that, whatever is gained
        gain = any((ranges or {}).values()) or _gains(cores, placement, host.cores)
        changes = _moves(placement, running, host.cores) if gain else ()
        brought = applied(
            shares,
            [adjustment for adjustment in known if adjustment.host in {host.name, host.hostname}],
        )
        found.append(Balance(host.name, cores, uneven, placement, changes, gain, brought))
    return found


def _gains(measured: pd.Series[float], placement: Placement, cores: int) -> bool:
    """Whether a placement is worth its changes, against how busy the cores are now."""
    known = measured.dropna()
    if known.empty or cores < _BALANCED_FROM:
        return True
    now = _uneven(known)
    even = is_even(now, float(known.max()))
    return not even and placement.imbalance <= now - _LEAST_GAIN


def _moves(
    placement: Placement, running: Mapping[str, Container], cores: int
) -> tuple[Change, ...]:
    """Changes to the cores of a placement, where it is even."""
    if not placement.even and cores >= _BALANCED_FROM:
        return ()
    return tuple(
        Change(
            str(key),
            Setting.CPUSET,
            running[str(key)].cpuset or None,
            str(row["cpuset"]),
            Reason.CORE_BALANCE,
        )
        for key, row in placement.table.iterrows()
        if not row["pinned"] and row["cpuset"] != running[str(key)].cpuset
    )


def _share(inventory: Inventory, key: str, host: str) -> float:
    """Share of a service's running containers that are on a host: its load is that of all of
    them.
    """
    hosts = [container.host for container in inventory.of(key) if container.running]
    return hosts.count(host) / max(len(hosts), 1)


def applied(busy: pd.DataFrame, made: Sequence[AppliedChange]) -> Applied | None:
    """How busy each core was before and after the last run that set cores and still stands; None
    without samples of both.

    Args:
        busy: busy share of each core of one host, by the hour; a sample at a time speaks of the
            hour that ends then.
        made: changes on that host, the oldest first.
    """
    cores = [
        adjustment
        for adjustment in made
        if adjustment.what == Setting.CPUSET and adjustment.outcome in {"verified", "done"}
    ]
    if not cores or busy.empty:
        return None
    mine = [core.time for core in cores if core.run == cores[-1].run]
    known = busy.dropna(how="all")
    times = pd.DatetimeIndex(known.index)
    before, after = (
        known[times <= pd.Timestamp(min(mine))],
        known[times - _HOUR >= pd.Timestamp(max(mine))],
    )
    hours = min(len(before), len(after), _LONGEST)
    if not hours:
        return None
    sides = before.tail(hours).mean(), after.head(hours).mean()
    return Applied(cores[-1].run, max(mine), hours, *sides, _uneven(sides[0]), _uneven(sides[1]))


def _uneven(cores: pd.Series[float]) -> float:
    return float(imbalance(np.asarray(cores, dtype=np.float64)))


def _cores_of(busy: pd.DataFrame | None, *names: str) -> pd.DataFrame:
    """Busy share of each core of a host, in their order, whatever the metrics call it; all where
    there is one host only.
    """
    if busy is None or busy.empty:
        return pd.DataFrame()
    hosts = {str(name).rpartition("/")[0] for name in busy.columns}
    chosen = [
        name for name in busy.columns if str(name).rpartition("/")[0] in names or len(hosts) == 1
    ]
    return busy[sorted(chosen, key=_core_order)]


def _core_order(column: object) -> tuple[str, int, str]:
    host, _, core = str(column).rpartition("/")
    return host, int(core) if core.isdigit() else -1, core


def measure_load(
    engines: Mapping[str, Engine], inventory: Inventory, seconds: float = 2.0
) -> pd.Series[float]:
    """Busy cores of every running service over a few seconds: the Engines' counters read twice.

    Raises:
        EngineError: an Engine does not answer.
    """
    running = [container for container in inventory.containers if container.running]
    first = container_usage(engines, running)
    time.sleep(seconds)
    second = container_usage(engines, running)
    found: dict[str, float] = {}
    for container in running:
        if container.id in first and container.id in second:
            (began, before), (ended, after) = first[container.id], second[container.id]
            busy = max(after.cpu_seconds - before.cpu_seconds, 0.0) / max(ended - began, 1e-3)
            found[container.key] = found.get(container.key, 0.0) + busy
    return pd.Series(found, dtype=float)
