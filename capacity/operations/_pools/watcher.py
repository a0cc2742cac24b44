"""`python -m capacity.operations._pools.watcher LOCK POOL LOCKS JOURNAL ENGINE`: removes a pool
after its last user.

However that one went; a pool that was made to stay is left alone.

The user holds the other end of this process's input and a shared lock on LOCK. When the input ends,
the user has left or died; if nobody else holds the lock, the containers that say LOCKS go. One that
leaves by itself writes a byte before, without its lock by then. One that was killed writes nothing,
and the kernel may end this input a little before it frees that one's lock: so the lock is tried for
a while.
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
    lock, name, locks, journal, said = sys.argv[1:6]
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a Ctrl-C is meant for the user, not for who cleans up after it
    from capacity._docker.addresses import addresses
    from capacity._docker.engine import connect
    from capacity.operations._pools.cleanup import leave_pool
    from capacity.operations._pools.journal import ProgramJournal
    from capacity.operations._pools.leases import retire
    from capacity.settings import EngineSettings

    settings = EngineSettings.model_validate_json(said)
    host, address = next(
        iter(addresses(settings).items())
    )  # now: another docker context may be chosen later
    left = _wait()

    def remove() -> bool:
        with (
            connect(host, address, settings) as engine,
            ProgramJournal(Path(journal) if journal else None, "pool-leave", name) as book,
        ):
            return leave_pool(engine, name, locks, book)

    retire(Path(lock), remove, patience=0.0 if left else _PATIENCE)


def _wait() -> bool:
    """Wait for the end of the input; whether the user said before that it leaves."""
    left = False
    while os.read(0, 1024):
        left = True
    return left


if __name__ == "__main__":
    main()
