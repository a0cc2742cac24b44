"""`python -m capacity.operations._pools.watcher USERS POOL LOCKS JOURNAL ENGINE`: removes a pool
whose last user could not: it was killed, interrupted while it did, or refused by the Engine.

The user holds the other end of this process's input and a shared lock on USERS. When the input
ends, the user has left or died; if nobody else holds the lock, the containers that say LOCKS go.
One that leaves by itself writes a byte before, without its lock by then. One that was killed writes
nothing, and the kernel may end this input a little before it frees that one's lock: so the lock is
tried for a while.

One runs beside each user for as long as that uses the pool, so it loads next to nothing until there
is something to remove.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from capacity.operations._pools.leases import retire

__all__ = ["main"]

_PATIENCE = 10.0  # seconds for the kernel to free the locks of a process that was killed


def main() -> None:
    """Wait, look, remove."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is meant for the user of the pool
    users, name, locks, journal, said = sys.argv[1:6]

    def remove() -> bool:
        from capacity.operations._pools.containers import pool_engine, remove_unused
        from capacity.settings import EngineSettings

        with pool_engine(EngineSettings.model_validate_json(said)) as engine:
            return remove_unused(engine, name, locks, Path(journal) if journal else None)

    retire(Path(users), remove, patience=0.0 if _left() else _PATIENCE)


def _left() -> bool:
    """Wait for the end of the input; whether the user said before that it leaves."""
    said = False
    while os.read(0, 1024):
        said = True
    return said


if __name__ == "__main__":
    main()
