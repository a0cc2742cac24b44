"""The command line: parse, call the library, print. Exit codes: 0 fine, 1 findings or failed work,
2 usage or input.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Annotated, Any

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]  # typer's own
from typer.core import TyperGroup
from typer.exceptions import TyperException

from capacity._cli.commands import (
    archive,
    check,
    collect,
    explore,
    history,
    monitor,
    operations,
    report,
)
from capacity._cli.commands.changes import apply
from capacity._cli.printing import VisibleFormatter, say, say_block
from capacity._common.interrupts import is_interrupt
from capacity.errors import CapacityError

__all__ = ["app", "main"]


class _Interrupted(Exception):
    """An interruption, with what the library says became of the work; it may say nothing."""


class _Root(TyperGroup):
    """All commands; typer makes a mere exit code of an interruption, without what the library has
    noted on it.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (CapacityError, TyperException, typer.Exit):
            raise
        except BaseException as error:
            if not is_interrupt(error):
                raise
            raise _Interrupted("; ".join(getattr(error, "__notes__", []))) from error


app = typer.Typer(
    cls=_Root,
    help="What each Docker/Compose service will need next week, and what its limits should be.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (history, archive, collect, report, explore, check, apply, monitor, operations):
    group.register(app)

_INTERRUPTED = 130
_COMPLETE = "_CAPACITY_COMPLETE"
_KEPT = "what was finished is kept, run it again to go on"


def main() -> None:
    """Run the command line; every expected failure is one line on standard error."""
    _log_to_stderr()
    if _COMPLETE in os.environ:  # a shell asks; no option of every help page is needed for it
        completion_init()
    became = _KEPT
    try:
        code = app(standalone_mode=False)
    except CapacityError as error:
        say_block(f"capacity: {' '.join(str(error).split())}")
        code = error.exit_code
    except typer.Exit as error:
        code = error.exit_code
    except (KeyboardInterrupt, _Interrupted, typer.Abort) as error:
        code, became = _INTERRUPTED, str(error) or _KEPT
    except TyperException as error:  # a wrong option or argument
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        # a group called without a command answers with its help
        say_block(
            message if "\n" in message else f"capacity: {message.rstrip('.')}. See capacity --help"
        )
        code = 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _leave(0)
    except OSError as error:  # wherever the disk is full, one line says so
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        say_block(f"capacity: {error.strerror}. Free some space, then run it again")
        code = 1
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this code
        say_block(f"capacity: interrupted; {became}")
        _leave(_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what is done.")] = False,
) -> None:
    if verbose:
        logging.getLogger("capacity").setLevel(logging.INFO)
    if version:
        from capacity._common.version import VERSION

        say(VERSION)
        raise typer.Exit


def _log_to_stderr() -> None:
    """Only our own log lines: what libraries log of a failure is told once, by the error itself."""
    logging.getLogger().addHandler(logging.NullHandler())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("capacity: %(message)s"))
    logging.getLogger("capacity").addHandler(handler)


def _leave(code: int) -> None:
    """End at once: a download that nobody waits for must not hold the exit up."""
    os._exit(code)
