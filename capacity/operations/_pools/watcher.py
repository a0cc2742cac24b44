"""`python -m capacity.operations._pools.watcher USERS POOL LOCKS JOURNAL ENGINE`: removes a pool
after its last user, however that one went; a pool that was made to stay is left alone.

The user holds the other end of this process's input and a shared lock on USERS. When the input
ends, the user has left or died; if nobody else holds the lock, the containers that say LOCKS go.
One that leaves by itself writes a byte before, without its lock by then. One that was killed writes
nothing, and the kernel may end this input a little before it frees that one's lock: so the lock is
tried for a while.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

__all__ = ["main"]

_PATIENCE = 10.0  # seconds for the kernel to free the locks of a process that was killed


def main() -> None:
    """Wait, look, remove."""
    users, name, locks, journal, said = sys.argv[1:6]
    # before the imports, which take a while: an interrupt is meant for the user of the pool
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from capacity._docker.addresses import addresses
    from capacity._docker.engine import connect
    from capacity.operations._pools.containers import instances_of, stands, try_to_remove
    from capacity.operations._pools.journal import program_journal
    from capacity.operations._pools.leases import retire
    from capacity.operations._pools.locks import LOCKS
    from capacity.settings import EngineSettings

    settings = EngineSettings.model_validate_json(said)
    # now, for another docker context may be chosen later
    host, address = next(iter(addresses(settings).items()))
    folder = Path(journal) if journal else None

    def remove() -> bool:
        with (
            connect(host, address, settings) as engine,
            program_journal(folder, "pool-leave", name) as book,
        ):
            found = instances_of(engine, name)
            if stands(found):
                return False
            for container in found:
                if container.labels.get(LOCKS) == locks:  # others are guarded elsewhere
                    try_to_remove(engine, book, container)
        return True

    retire(Path(users), remove, patience=0.0 if _left() else _PATIENCE)


def _left() -> bool:
    """Wait for the end of the input; whether the user said before that it leaves."""
    said = False
    while os.read(0, 1024):
        said = True
    return said


if __name__ == "__main__":
    main()
