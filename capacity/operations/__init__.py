"""Fleet operations: restart loops, instance pools, core balance, emergencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capacity.operations._pools.pool import InstancePool
    from capacity.operations._pools.session import Instance
    from capacity.operations._restarts.loops import RestartLoop, find_restart_loops

__all__ = ["Instance", "InstancePool", "RestartLoop", "find_restart_loops"]


def __getattr__(name: str) -> Any:
    """Load the public names on first use: the watcher of a pool needs none of them."""
    if name in {"Instance", "InstancePool"}:
        from capacity.operations._pools import pool

        return getattr(pool, name)
    if name in {"RestartLoop", "find_restart_loops"}:
        from capacity.operations._restarts import loops

        return getattr(loops, name)
    raise AttributeError(f"module 'capacity.operations' has no attribute {name!r}")
