"""Where the command line starts, as `capacity` and as `python -m capacity`: an interrupt is one line from the first moment on."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from capacity import cli
    except KeyboardInterrupt:
        sys.stderr.write("capacity: interrupted before anything was done\n")
        sys.stderr.flush()
        os._exit(130)
    cli.main()


if __name__ == "__main__":
    main()
