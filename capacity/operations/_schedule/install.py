"""Put the schedule in place and take it away again: systemd timers or a crontab."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capacity._common.files import storage_error, write_text
from capacity.errors import InputError, WorkError
from capacity.operations._schedule.render import BEGIN, END

__all__ = [
    "SystemdPlace",
    "install_crontab",
    "install_units",
    "is_installed",
    "remove_crontab",
    "remove_units",
]

Tool = Callable[[Sequence[str], str | None], str]


@dataclass(frozen=True)
class SystemdPlace:
    """Where units go.

    Attributes:
        folder: of unit files.
        options: that systemctl needs for it.
    """

    folder: Path
    options: tuple[str, ...]

    @classmethod
    def of(cls, *, system: bool) -> SystemdPlace:
        """The system's units, or those of this user."""
        if system:
            return cls(Path("/etc/systemd/system"), ())
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return cls(Path(home) / "systemd" / "user", ("--user",))


def call_tool(words: Sequence[str], text: str | None = None) -> str:
    """What a program prints; its error output as an error.

    Raises:
        InputError: this machine does not have it.
        WorkError: it failed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - systemctl and crontab, with our own words
            words, input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{words[0]} is not on this machine",
            "Take another kind of schedule: --as systemd, cron or compose",
        ) from error
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise WorkError(
            f"{' '.join(words)} failed: {told}", "`capacity schedule show` prints what it should do"
        )
    return done.stdout


def install_units(units: dict[str, str], place: SystemdPlace, tool: Tool = call_tool) -> list[Path]:
    """Write the units and start their timers; those of jobs that are gone are removed.

    Raises:
        StorageError: a unit cannot be written.
        WorkError, InputError: systemd does not take them.
    """
    _reach(place, tool)
    stale = [path for path in _own(place) if path.name not in units]
    _stop(stale, place, tool)
    for name, text in units.items():
        write_text(place.folder / name, text)
    tool(["systemctl", *place.options, "daemon-reload"], None)
    timers = sorted(name for name in units if name.endswith(".timer"))
    if timers:
        tool(["systemctl", *place.options, "enable", "--now", *timers], None)
    return [place.folder / name for name in units]


def remove_units(place: SystemdPlace, tool: Tool = call_tool) -> list[Path]:
    """Stop the timers and remove the units; the paths that were there."""
    found = _own(place)
    if found:
        _reach(place, tool)
        _stop(found, place, tool)
        tool(["systemctl", *place.options, "daemon-reload"], None)
    return found


def install_crontab(block: str, tool: Tool = call_tool) -> None:
    """Put the block into this user's crontab, in place of an earlier one; all else stays."""
    tool(["crontab", "-"], _without_block(_crontab(tool)) + block)


def remove_crontab(tool: Tool = call_tool) -> bool:
    """Take the block out of this user's crontab; whether there was one."""
    before = _crontab(tool)
    after = _without_block(before)
    if after != before:
        tool(["crontab", "-"], after)
    return after != before


def is_installed(places: Sequence[SystemdPlace], tool: Tool = call_tool) -> bool:
    """Whether one of the places has our units, or this user's crontab our block."""
    if any(_own(place) for place in places):
        return True
    try:
        return BEGIN in _crontab(tool)
    except (InputError, WorkError):  # no cron here
        return False


def _own(place: SystemdPlace) -> list[Path]:
    return sorted(
        path
        for pattern in ("capacity-*.timer", "capacity-*.service")
        for path in place.folder.glob(pattern)
        if "capacity: " in path.read_text(encoding="utf-8", errors="replace")
    )


def _reach(place: SystemdPlace, tool: Tool) -> None:
    """Ask systemd for its version, before anything is written or removed.

    Raises:
        WorkError: it does not answer.
    """
    try:
        tool(["systemctl", *place.options, "show", "--property=Version"], None)
    except WorkError as error:
        hint = (
            "This user has no systemd session here: `loginctl enable-linger` gives one that stays "
            "without a login. Or take --system as root, or --as cron"
            if place.options
            else "systemd does not run here; take --as cron or compose"
        )
        raise WorkError(error.message, hint) from error


def _stop(paths: list[Path], place: SystemdPlace, tool: Tool) -> None:
    timers = [path.name for path in paths if path.suffix == ".timer"]
    if timers:
        tool(["systemctl", *place.options, "disable", "--now", *timers], None)
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(path, error) from error


def _crontab(tool: Tool) -> str:
    """This user's crontab; empty where there is none."""
    try:
        return tool(["crontab", "-l"], None)
    except WorkError as error:
        if "no crontab" in error.message:
            return ""
        raise


def _without_block(crontab: str) -> str:
    """The crontab without our lines.

    Raises:
        InputError: only one of the two marks is there, so where the block ends is not known.
    """
    if (BEGIN in crontab) != (END in crontab):
        raise InputError(
            "The crontab has one of the two marks of the capacity schedule, not both",
            f"Remove the line `{BEGIN}` or `{END}` with `crontab -e`",
        )
    head, mark, rest = crontab.partition(BEGIN)
    if not mark:
        return crontab if not crontab or crontab.endswith("\n") else crontab + "\n"
    return head + rest.partition(END)[2].removeprefix("\n")
