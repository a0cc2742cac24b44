"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capacity._common.text.addresses import with_scheme
from capacity._common.text.printable import visible
from capacity.errors import InputError

_DAY = 86_400

if TYPE_CHECKING:
    from capacity._common.progress import Progress
    from capacity.settings import Settings

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; default capacity.toml if it is there."),
]


def _address_or_name(source: str | None) -> str | None:
    return None if source is None else with_scheme(source)


Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        help="Address of a metrics server, or a source's name in the archive.",
        callback=_address_or_name,
    ),
]
Sample = Annotated[bool, typer.Option("--sample", help="Use the bundled sample fleet.")]
Offline = Annotated[bool, typer.Option("--offline", help="Ask no server; use the archive alone.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="End of the window, UTC, such as 2026-11-23T06:00; default now."),
]
Window = Annotated[str | None, typer.Option("--window", help="Length of the window, such as 28D.")]
Services = Annotated[
    str | None,
    typer.Option("--services", help="Only services that match this glob, such as 'shop/*'."),
]
Horizon = Annotated[str, typer.Option("--horizon", help="How far ahead, such as 7D.")]
Resource_ = Annotated[str, typer.Option("--signal", help="cpu or memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]


def finite(value: float | None) -> float | None:
    """A number that can be counted to: option parsers take `nan` and `inf` for one within any
    bounds.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to count to")
    return value


def settings_of(config: Path | None, source: str | None) -> Settings:
    """Settings of a file, with the address, or the names of its sources, given on the command
    line.
    """
    from capacity.settings import load_settings

    chosen = None if source is None else load_settings(config).only(source)
    return chosen or load_settings(config, prometheus__url=source)


def with_scheduler(settings: Settings, scheduler: str | None) -> Settings:
    """Settings with the scheduler given on the command line.

    Raises:
        InputError: it is no address.
    """
    from capacity.errors import SettingsError
    from capacity.settings import override

    if scheduler is None:
        return settings
    try:
        return override(settings, "compute__scheduler", scheduler)
    except SettingsError as error:
        raise InputError(
            f"{scheduler!r} is no address of a scheduler", "Write it as tcp://host:8786"
        ) from error


def one_source(source: str | None, *, sample: bool, offline: bool) -> str | None:
    """The source that the options name together."""
    if sample and (source is not None or offline):
        raise InputError("--sample goes alone", "Leave out --source and --offline")
    return "sample" if sample else source


def history_of(
    settings: Settings,
    source: str | None,
    sample: bool,
    offline: bool,
    as_of: str | None,
    services: str | None,
    *,
    quiet: bool,
) -> Any:
    """The history that the options ask for."""
    from capacity import _api

    return _api.open_history(
        one_source(source, sample=sample, offline=offline),
        as_of=as_of,
        services=services,
        offline=offline,
        settings=settings,
        progress=progress_of(quiet=quiet),
    )


def warn_of_horizon(history: Any, horizon: str) -> None:
    """Say so where a forecast reaches further ahead than the history reaches back."""
    from capacity import _api
    from capacity._cli.printing import say

    ahead, back = _api.parse_length(horizon), history.end - history.start
    if ahead > back:
        days = back.total_seconds() / _DAY
        say(
            f"capacity: {horizon} ahead is further than the {days:.0f} days of history reach back; "
            "what is so far ahead is a guess",
            err=True,
        )


def signal_of(text: str) -> Any:
    """A signal by name."""
    from capacity.model import Signal

    try:
        return Signal(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no signal", f"Use one of {', '.join(Signal)}") from error


def progress_of(*, quiet: bool) -> Progress | None:
    """A bar on a terminal, log lines otherwise."""
    if quiet:
        return None
    if sys.stderr.isatty():
        return _Bar()
    from capacity._common.progress import LogProgress

    return LogProgress()


class _Bar:
    """A progress bar on a terminal."""

    def start(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(visible(what), total=total)
        self._bar.start()

    def advance(self, note: str = "") -> None:
        del note
        self._bar.advance(self._task)

    def finish(self) -> None:
        self._bar.stop()
