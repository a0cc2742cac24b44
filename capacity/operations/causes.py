"""Why a container died: exit code, kill, log lines, health output; patterns are data that people may extend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capacity.bundled import bundled
from capacity.errors import InputError

__all__ = ["KILLED", "NEVER_RAN", "Cause", "Diagnosis", "diagnose", "load_causes", "redact"]

_FIXES = ("memory", "wait", "port", "health", "manual")
_KEYS = {"cause", "pattern", "example", "fix"}
_MOST_LINES = 8
_LONGEST = 300
_READ = 4000  # letters of a line that are looked at: patterns must not take for ever on a line without end
KILLED = 137
NEVER_RAN = (126, 127, 128)  # what shells and the Engine say of a program that could not be begun
_NAMED = (
    r"(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|authorization|cookie|dsn)"
)
_VALUE = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\S+)"""
# More is hidden than must be: a log line that says too little is mended by a look at the host, a leaked password is not.
_SECRETS = (
    re.compile(r"""(?i)((?:authorization|cookie)\\?["']?\s*[=:]\s*).+"""),
    re.compile(rf"""(?i)({_NAMED}[\w-]*\\?["']?\s*[=:]\s*){_VALUE}"""),
    re.compile(rf"""(?i)(--?[\w-]{{0,40}}{_NAMED}[\w-]*\s+){_VALUE}"""),
    re.compile(r"""(?i)(\b(?:bearer|basic)\s+)[^\s"']{8,}"""),
    re.compile(r"(\w+://[^\s/:@]*:)\S+(?=@)"),
    re.compile(r"()\b(?:eyJ[\w-]{10,}\.[\w-]+\.[\w-]*|gh[pousr]_\w{20,}|sk-[\w-]{16,}|AKIA[0-9A-Z]{16})"),
    re.compile(r"()[A-Za-z0-9+/]{60,}={0,2}"),  # keys, line by line
)


@dataclass(frozen=True)
class Cause:
    """A cause by its pattern on log lines; `fix` is memory, wait, port, health or manual."""

    cause: str
    pattern: re.Pattern[str]
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """What a container died of, how that is mended, and the lines that say so, without secrets."""

    cause: str
    fix: str
    lines: tuple[str, ...] = ()


def redact(line: str) -> str:
    """A line of a log without what looks like a password, token or key, and cut to a length for people."""
    line = line[:_READ]
    for secret in _SECRETS:
        line = secret.sub(r"\1[redacted]", line)
    line = "".join(letter if letter.isprintable() else " " for letter in line).strip()
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."


def load_causes(file: str | Path | None = None) -> tuple[Cause, ...]:
    """The causes of a YAML file; default the one that comes with capacity.

    Raises:
        InputError: unreadable, or an entry that is none, or whose example its own pattern does not fit.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    place = Path(file) if file is not None else bundled("data/restart_causes.yaml")
    try:
        said = YAML(typ="safe").load(place.read_text(encoding="utf-8"))
        return tuple(_cause(entry) for entry in said["causes"])
    except (OSError, UnicodeDecodeError, YAMLError, KeyError, TypeError, ValueError, re.error) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{place} holds no causes of restarts: {cause}", "See data/restart_causes.yaml") from error


def _cause(entry: dict[str, Any]) -> Cause:
    if set(entry) != _KEYS:
        raise ValueError(f"an entry has {', '.join(sorted(_KEYS))}, not {', '.join(sorted(map(str, entry)))}")
    if entry["fix"] not in _FIXES:
        raise ValueError(f"{entry['cause']}: there is no fix {entry['fix']!r}, use {', '.join(_FIXES)}")
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
    lines = [redact(line) for line in log if line.strip()]
    checks = [redact(line) for line in health_log if line.strip()]
    if oom_killed:
        return Diagnosis("out-of-memory", "memory", tuple(lines[-_MOST_LINES:]))
    for cause in causes:
        found = [line for line in [*lines, *checks] if cause.pattern.search(line)]
        if found:
            return Diagnosis(cause.cause, cause.fix, tuple(found[-_MOST_LINES:]))
    if health == "unhealthy":
        return Diagnosis("failing-health-check", "health", tuple((checks or lines)[-_MOST_LINES:]))
    said = {KILLED: "killed", 0: "ends-by-itself", **dict.fromkeys(NEVER_RAN, "cannot-start")}.get(exit_code, "crash")
    return Diagnosis(said, "manual", tuple(lines[-_MOST_LINES:]))
