"""Where the command line starts, as `capacity` and as `python -m capacity`: an interrupt is one
line from the first moment on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from capacity._common.interrupts import is_interrupt

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["give_again", "main"]

_SOON = 0.05  # seconds; by then the callback has ended


def main() -> None:
    """Load the command line and run it."""
    sys.unraisablehook = give_again
    try:
        from capacity import _cli
        from capacity._cli.printing import say_crash
    except BaseException as error:
        if not is_interrupt(error):
            raise
        sys.stderr.write("capacity: interrupted before anything was done\n")  # noqa: TID251 - ours
        sys.stderr.flush()
        os._exit(130)
    sys.excepthook = say_crash
    _cli.main()


def give_again(ignored: UnraisableHookArgs) -> None:
    """Send an interrupt again that fell into a callback of compiled code, which can only ignore
    it.
    """
    main_thread = threading.main_thread().ident
    if ignored.exc_type is KeyboardInterrupt and main_thread is not None:
        threading.Timer(_SOON, signal.pthread_kill, (main_thread, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(ignored)


if __name__ == "__main__":
    main()
