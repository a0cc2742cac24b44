"""`capacity archive`: what the archive holds, whether it is whole, and letting go of old days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.options import Config, Json, Quiet, settings_of
from capacity._cli.printing import print_rows, say
from capacity._common.text.counting import counted
from capacity.errors import InputError

if TYPE_CHECKING:
    from datetime import date

    from capacity.history import ArchiveStatus
    from capacity.settings import Settings

__all__ = ["register"]

_NAMED = 3  # gaps of a cell

Held = Annotated[
    str | None, typer.Option("--source", help="Only this source, by its name in the archive.")
]


def status(config: Config = None, source: Held = None, as_json: Json = False) -> None:
    """Days, services, gaps and bytes of each signal in the archive."""
    from capacity.history import archive_status

    path = settings_of(config, None).archive.path
    found = archive_status(path, source)
    rows = [_facts(signal) if as_json else _cells(signal) for signal in found]
    print_rows(rows, as_json=as_json, title=f"Archive {path}")


def verify(
    config: Config = None, source: Held = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Read every file of the archive with its checksums; exit code 1 when one is damaged. Nothing
    is changed: the next fetch asks again for a damaged day.
    """
    from capacity.history import verify_archive

    path = settings_of(config, None).archive.path
    read, damaged = 0, []
    for fault in verify_archive(path, source):
        read += 1
        if fault is not None:
            damaged.append({"file": str(fault.path.relative_to(path)), "cause": fault.cause})
    if damaged or as_json:
        print_rows(damaged, as_json=as_json, title=f"Damaged in {path}")
    if not quiet and not as_json:
        say(f"{counted(read, 'file')} read, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(1)


def prune(
    older_than: Annotated[
        str, typer.Option("--older-than", help="Age from which days go, such as 400D.")
    ],
    config: Config = None,
    source: Held = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them; without it only what would go is shown.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove old days from the archive; shown first, done with --yes. A server that has forgotten
    them cannot give them back.
    """
    from capacity.history import prune_archive

    settings = settings_of(config, None)
    before = _first_kept(older_than, settings)
    gone = prune_archive(settings.archive.path, before, source, dry_run=not yes)
    rows: list[dict[str, object]] = [
        {
            "source": part.source,
            "signal": part.signal,
            "files": len(part.files),
            "bytes": part.size if as_json else _size(part.size),
        }
        for part in gone
    ]
    print_rows(rows, as_json=as_json, title=f"Days before {before}")
    if not yes:
        say("capacity: nothing was removed; --yes does it", err=True)


def _first_kept(older_than: str, settings: Settings) -> date:
    """The first day that stays.

    Raises:
        InputError: a report's window would lose days.
    """
    import pandas as pd

    from capacity import _api

    age, window = _api.parse_length(older_than), settings.report.window_days
    if age < pd.Timedelta(days=window):
        raise InputError(
            f"Reports look back {window} days, and {older_than} would leave them fewer",
            "Give a longer age, or lower report.window_days",
        )
    return (pd.Timestamp(datetime.now(UTC)) - age).date()


def _facts(signal: ArchiveStatus) -> dict[str, object]:
    """For programs."""
    return {
        "source": signal.source,
        "signal": signal.signal,
        "step": signal.step,
        "current": signal.current,
        "days": signal.days,
        "oldest": None if signal.oldest is None else signal.oldest.isoformat(),
        "newest": None if signal.newest is None else signal.newest.isoformat(),
        "gaps": [day.isoformat() for day in signal.gaps],
        "services": signal.services,
        "service_days": signal.service_days,
        "bytes": signal.size,
        "bytes_per_service_day": signal.bytes_per_service_day,
        "damaged": signal.damaged,
    }


def _cells(signal: ArchiveStatus) -> dict[str, object]:
    """For people."""
    each = signal.bytes_per_service_day
    missing = ", ".join(str(day) for day in signal.gaps[:_NAMED])
    more = len(signal.gaps) - _NAMED
    return {
        "source": signal.source,
        "signal": signal.signal if signal.current else f"{signal.signal} (asked no more)",
        "days": signal.days,
        "oldest": signal.oldest,
        "newest": signal.newest,
        "missing days": (missing + (f" and {more} more" if more > 0 else "")) or None,
        "services": signal.services,
        "size": _size(signal.size),
        "a service-day": None if each is None else _size(each),
        "damaged": signal.damaged or None,
    }


def _size(count: float) -> str:
    from capacity._common.text.units import format_memory

    return format_memory(count)


def register(app: typer.Typer) -> None:
    """Add the group `archive`."""
    group = typer.Typer(
        help="Look after the history on disk: what it holds, whether it is whole, old days.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (status, verify, prune):
        group.command()(command)
    app.add_typer(group, name="archive")
