"""What could be given back, in bytes and cores, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from capacity.model import Action, Resource

__all__ = ["Prices", "savings"]

_GIB = float(1 << 30)


@dataclass(frozen=True)
class Prices:
    """What a month costs; None = not priced.

    Attributes:
        memory_gib: of a GiB.
        core: of a core.
        currency: the name of the money.
    """

    memory_gib: float | None = None
    core: float | None = None
    currency: str = "EUR"

    def of(self, resource: Resource, amount: float) -> float | None:
        """What an amount of bytes or cores costs a month."""
        price = self.memory_gib if resource is Resource.MEMORY else self.core
        if price is None:
            return None
        return price * (amount / _GIB if resource is Resource.MEMORY else amount)


def savings(
    tables: Mapping[Resource, pd.DataFrame],
    prices: Prices | None = None,
    replicas: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """What lowering the limits that can be lowered gives back.

    Returns:
        one row a service and resource, the largest share first: `service`, `resource`, `current`,
        `limit`, `reclaimable` (bytes or cores, of all replicas), `share` (of the limit in force),
        `worth` (a month; NaN without a price).
    """
    prices, replicas = prices or Prices(), replicas or {}
    rows = []
    for resource, table in tables.items():
        for service, row in table[table["action"] == Action.LOWER].iterrows():
            freed = float(row["current"] - row["limit"]) * replicas.get(str(service), 1)
            rows.append(
                {
                    "service": str(service),
                    "resource": str(resource),
                    "current": row["current"],
                    "limit": row["limit"],
                    "reclaimable": freed,
                    "share": 1 - row["limit"] / row["current"],
                    "worth": prices.of(resource, freed),
                }
            )
    columns = ["service", "resource", "current", "limit", "reclaimable", "share", "worth"]
    found = pd.DataFrame(rows, columns=columns).astype({"worth": float})
    return found.sort_values("share", ascending=False, ignore_index=True, kind="stable")
