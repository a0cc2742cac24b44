"""Core balance: where each service runs, how busy each core is, and cpusets that would even it out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capacity.errors import ContainerGone
from capacity.inventory.containers import Inventory
from capacity.inventory.engine import Engine, usage
from capacity.model import Change, Reason, What
from capacity.sizing import Placement, ServiceType, place
from capacity.sizing.defaults import type_of
from capacity.sizing.placement import imbalance

__all__ = ["Balance", "balance", "measure_load"]


@dataclass(frozen=True)
class Balance:
    """One host.

    Attributes:
        host: its Engine.
        measured: busy share of each core over the window; empty without metrics.
        measured_imbalance: standard deviation over mean of that; None without metrics.
        placement: proposed cores.
        changes: what would bring it about.
    """

    host: str
    measured: pd.Series[float]
    measured_imbalance: float | None
    placement: Placement
    changes: tuple[Change, ...]


def balance(
    inventory: Inventory,
    load: pd.Series[float],
    types: tuple[ServiceType, ...],
    *,
    ranges: Mapping[str, str | None] | None = None,
    pinned: frozenset[str] = frozenset(),
    busy: pd.DataFrame | None = None,
) -> list[Balance]:
    """Cores for every running service of every host.

    Args:
        inventory: what runs; from the Engines.
        load: forecast busy cores by service; services that are missing count as idle.
        types: categories of services, the first that fits.
        ranges: cpuset of a category.
        pinned: services whose cores stay as they are.
        busy: busy share of each core (`host/core` columns) over time.

    Returns:
        one entry a host, by name.
    """
    found = []
    for host in sorted(inventory.hosts, key=lambda one: one.name):
        running = {one.key: one for one in inventory.containers if one.host == host.name and one.running and not one.oneoff}
        if not running or host.cores < 1:
            continue
        kinds = {key: type_of(key, types).category for key in running}
        fixed = {key: one.cpuset or f"0-{host.cores - 1}" for key, one in running.items() if key in pinned}
        mine = load.reindex(list(running)).astype(float)
        placement = place(mine, kinds, host.cores, ranges=ranges, pinned=fixed)
        changes = tuple(
            Change(str(key), What.CPUSET, running[str(key)].cpuset or None, str(row["cpuset"]), Reason.CORE_BALANCE)
            for key, row in placement.table.iterrows()
            if not row["pinned"] and row["cpuset"] != running[str(key)].cpuset
        )
        cores = _cores_of(busy, host.name, host.hostname)
        uneven = imbalance(np.asarray(cores, dtype=np.float64)) if len(cores) else None
        found.append(Balance(host.name, cores, uneven, placement, changes))
    return found


def _cores_of(busy: pd.DataFrame | None, *names: str) -> pd.Series[float]:
    """Mean busy share of each core of a host, whatever the metrics call it; all cores where there is one host only."""
    if busy is None or busy.empty:
        return pd.Series(dtype=float)
    mean = busy.mean()
    hosts = {str(name).rpartition("/")[0] for name in mean.index}
    chosen = [name for name in mean.index if str(name).rpartition("/")[0] in names or len(hosts) == 1]
    return mean[chosen].sort_index()


def measure_load(engines: Mapping[str, Engine], inventory: Inventory, seconds: float = 2.0) -> pd.Series[float]:
    """Busy cores of every running service over a few seconds: the Engines' counters read twice.

    Raises:
        EngineError: an Engine does not answer.
    """
    running = [one for one in inventory.containers if one.running]
    first = [_cpu_seconds(engines[one.host], one.id) for one in running]
    time.sleep(seconds)
    found: dict[str, float] = {}
    for one, before in zip(running, first, strict=True):
        after = _cpu_seconds(engines[one.host], one.id)
        if before is not None and after is not None:
            busy = max(after[1] - before[1], 0.0) / max(after[0] - before[0], 1e-3)
            found[one.key] = found.get(one.key, 0.0) + busy
    return pd.Series(found, dtype=float)


def _cpu_seconds(engine: Engine, container: str) -> tuple[float, float] | None:
    """Our clock and the CPU seconds used so far; None where it has gone."""
    try:
        return time.monotonic(), usage(engine, container).cpu_seconds
    except ContainerGone:
        return None
