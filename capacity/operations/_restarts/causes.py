"""Why a container died: exit code, kill, log lines, health output; patterns are data that people
may extend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capacity._common.bundled import bundled
from capacity._common.files import read_bounded
from capacity._common.text.secrets import MOST_READ, redact_lines
from capacity.errors import ComposeError, InputError

__all__ = ["BY_STATE", "KILLED", "NEVER_RAN", "Cause", "Diagnosis", "diagnose", "load_causes"]

_FIXES = ("memory", "wait", "port", "health", "manual")
_KEYS = {"cause", "pattern", "example", "fix"}
_MOST_LINES = 8
KILLED = 137
BY_STATE = ("failing-health-check", "killed", "ends-by-itself", "cannot-start", "crash")
"""Causes that no log tells: health and exit code do."""

NEVER_RAN = (126, 127, 128)  # what shells and the Engine say of a program that could not be begun


@dataclass(frozen=True)
class Cause:
    """A cause by its pattern on log lines; `fix` is memory, wait, port, health or manual."""

    cause: str
    pattern: re.Pattern[str]
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """What a container died of, how that is fixed, and the lines that say so, without secrets."""

    cause: str
    fix: str
    lines: tuple[str, ...] = ()


def load_causes(file: str | Path | None = None) -> tuple[Cause, ...]:
    """The causes of a YAML file, then those that come with capacity, unless it says
    `builtin: false`.

    Args:
        file: your own file; default none.

    Raises:
        InputError: unreadable, or without causes, or an entry that is none, or whose example its
            own pattern does not fit.
    """
    builtin = bundled("data/restart_causes.yaml")
    if file is None:
        return _read(builtin)[0]
    own, alone = _read(Path(file))
    return own if alone else (*own, *_read(builtin)[0])


def _read(place: Path) -> tuple[tuple[Cause, ...], bool]:
    """The causes of a file, and whether it wants no others."""
    from capacity._compose.yaml.written_out import read_written_out

    try:
        said = read_written_out(read_bounded(place).decode(), str(place))
        entries, alone = _entries(said)
        return tuple(_cause(entry) for entry in entries), alone
    except (
        OSError,
        UnicodeDecodeError,
        ComposeError,
        KeyError,
        TypeError,
        ValueError,
        re.error,
    ) as error:
        cause = " ".join(str(error).split())
        raise InputError(
            f"{place} holds no causes of restarts: {cause}", "See data/restart_causes.yaml"
        ) from error


def _entries(said: Any) -> tuple[list[Any], bool]:
    if not isinstance(said, dict) or not isinstance(said.get("causes"), list) or not said["causes"]:
        raise ValueError("it has no list `causes:` with entries at its top")
    other = sorted(map(str, said.keys() - {"causes", "builtin"}))
    if other or not isinstance(said.get("builtin", True), bool):
        raise ValueError(
            "beside `causes` it may say `builtin: false`, not "
            f"{', '.join(other) or 'what it says there'}"
        )
    return said["causes"], said.get("builtin") is False


def _cause(entry: dict[str, Any]) -> Cause:
    if set(entry) != _KEYS:
        raise ValueError(
            f"an entry has {', '.join(sorted(_KEYS))}, not {', '.join(sorted(map(str, entry)))}"
        )
    if entry["fix"] not in _FIXES:
        raise ValueError(
            f"{entry['cause']}: there is no fix {entry['fix']!r}, use {', '.join(_FIXES)}"
        )
    pattern = re.compile(entry["pattern"], re.IGNORECASE)
    if not pattern.search(entry["example"]):
        raise ValueError(f"{entry['cause']}: the pattern does not fit its own example")
    return Cause(str(entry["cause"]), pattern, entry["fix"])


def diagnose(
    causes: Sequence[Cause],
    *,
    oom_killed: bool,
    exit_code: int,
    health: str | None,
    log: Iterable[str],
    health_log: Iterable[str] = (),
) -> Diagnosis:
    """The most certain cause: the kernel's kill, then the log, then health, then the exit code.

    Args:
        causes: from `load_causes`.
        oom_killed: what the Engine says.
        exit_code: of the last end.
        health: `healthy`, `unhealthy`, `starting` or None.
        log: last lines, the oldest first.
        health_log: output of the last health checks.
    """
    said, tests = (
        [line for line in log if line.strip()],
        [line for line in health_log if line.strip()],
    )
    lines, checks = redact_lines(said), redact_lines(tests)
    if oom_killed:
        return Diagnosis("out-of-memory", "memory", tuple(lines[-_MOST_LINES:]))
    both = list(zip([*said, *tests], [*lines, *checks], strict=True))
    for cause in causes:  # by the words as they were written: what is hidden may be what tells
        found = [shown for line, shown in both if cause.pattern.search(line[:MOST_READ])]
        if found:
            return Diagnosis(cause.cause, cause.fix, tuple(found[-_MOST_LINES:]))
    if health == "unhealthy":
        return Diagnosis("failing-health-check", "health", tuple((checks or lines)[-_MOST_LINES:]))
    cause_by_code = {
        KILLED: "killed",
        0: "ends-by-itself",
        **dict.fromkeys(NEVER_RAN, "cannot-start"),
    }.get(exit_code, "crash")
    return Diagnosis(cause_by_code, "manual", tuple(lines[-_MOST_LINES:]))
