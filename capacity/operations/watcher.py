"""`python -m capacity.operations.watcher LOCK POOL ADDRESS`: removes a program's pool when its last user is gone.

However that one went; a pool that was made to stay is left alone.

The user holds the other end of this process's input and a shared lock on LOCK. When the input ends, the user has left or died;
if nobody else holds the lock, the containers go.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Wait, look, remove."""
    lock, name, address = sys.argv[1:4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is meant for the user, not for who cleans up after it
    while os.read(0, 1024):
        pass
    from capacity.inventory.engine import connect_all
    from capacity.operations.leases import retire
    from capacity.operations.pool import leave_pool
    from capacity.settings import EngineSettings

    def remove() -> None:
        with connect_all(EngineSettings(hosts={"pool": address})) as (engines, _):
            leave_pool(engines["pool"], name)

    retire(Path(lock), remove)


if __name__ == "__main__":
    main()
