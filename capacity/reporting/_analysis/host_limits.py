"""What the limits of a host's services add up to: in force, and once all proposals are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from capacity.history import History

__all__ = ["LimitSums", "limit_sums", "replicas_on"]


class LimitSums(NamedTuple):
    """Sums over the running replicas of a host, in cores or bytes; what has no limit adds
    nothing.
    """

    in_force: float
    proposed: float
    unlimited: int


def replicas_on(history: History, host: str) -> pd.Series[float]:
    """Replicas there of each running service of a host; those of a service on several hosts count
    evenly.
    """
    running = history.running()
    places = {
        name: history.hosts.get(name, "").split(",") for name in history.services if running[name]
    }
    mine = {
        name: history.replicas.get(name, 1) / len(hosts)
        for name, hosts in places.items()
        if host in hosts
    }
    return pd.Series(mine, dtype=float)


def limit_sums(history: History, table: pd.DataFrame, host: str) -> LimitSums:
    """The sums of one host, from a table of `capacity.sizing.recommend`."""
    mine = replicas_on(history, host)
    current = table["current"].reindex(mine.index)
    proposed = table["limit"].reindex(mine.index).fillna(current)
    unlimited = int(current.isna().sum())
    return LimitSums(float((current * mine).sum()), float((proposed * mine).sum()), unlimited)
