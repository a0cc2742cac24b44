"""Bytes, cores and lists of cores: read them as Docker does, print them for people.

The memory grammar is that of Docker's go-units `RAMInBytes`: a decimal number, at most one space,
an optional unit of b, k, m, g, t or p with an optional `b` or `ib` behind it, in any case. Every
unit is a power of 1024, also `kb`. `2Gi`, a Kubernetes unit, is refused by Docker and therefore
here.
"""

from __future__ import annotations

import math
import re

from capacity.errors import InputError

__all__ = [
    "MIB",
    "count_cores",
    "format_cores",
    "format_memory",
    "parse_cores",
    "parse_cpuset",
]
__all__ += ["parse_memory"]

MIB = 1024**2
_EXPONENTS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_MEMORY = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE | re.ASCII)
_CORES = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_CORE = re.compile(r"\d{1,5}", re.ASCII)
_MOST_CORES = 1024
_LARGEST = 2**63  # Docker keeps sizes in a signed 64-bit number


def parse_memory(text: str) -> int:
    """Bytes of a Docker memory size such as `512m`, `1.5g` or `2 GiB`.

    Raises:
        InputError: the text is no size that Docker accepts.
    """
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is no memory size", _memory_hint(text))
    number, unit = match.groups()
    size = float(number) * 1024 ** _EXPONENTS[(unit or "b").lower()]
    if size >= _LARGEST:
        raise InputError(f"{text!r} is more than Docker can count", _memory_hint(text))
    return int(size)


def _memory_hint(text: str) -> str:
    kubernetes = re.fullmatch(r"(\d+)([KMGT])i", text)
    if kubernetes:
        number, unit = kubernetes.groups()
        return f"That is a Kubernetes unit; Docker reads {number}{unit.lower()}"
    return "Write it as Docker does, for example 512m or 2g"


def parse_cores(text: str) -> float:
    """Cores of a Docker `cpus` value such as `1.5`.

    Raises:
        InputError: not a positive finite number.
    """
    cores = float(text) if _CORES.fullmatch(text) else math.nan
    if not (math.isfinite(cores) and cores > 0):
        raise InputError(
            f"{text!r} is no number of cores", "Write a positive number, for example 1.5"
        )
    return cores


def format_memory(size: float | None) -> str:
    """Bytes for people, three significant digits, powers of 1024: `1.46 GiB`; `-` for None and
    NaN.
    """
    if size is None or math.isnan(size):
        return "-"
    if math.isinf(size):
        return "∞"
    sign, size = ("-" if size < 0 else ""), abs(size)
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    index = 0
    while round(size, 1) >= 1000 and index < len(units) - 1:
        size /= 1024
        index += 1
    return f"{sign}{_three_digits(size)} {units[index]}"


def format_cores(cores: float | None) -> str:
    """Cores for people: `1.85`, `0.137`, `0.20`; `-` for None and NaN."""
    if cores is None or math.isnan(cores):
        return "-"
    if math.isinf(cores):
        return "∞"
    return _three_digits(cores) if abs(cores) >= 1 else f"{cores:.3f}".removesuffix("0")


def count_cores(cores: float | None) -> str:
    """Cores with their noun: `1 core`, `1.85 cores`."""
    number = format_cores(cores)
    return f"{number} core" if number == "1" else f"{number} cores"


def _three_digits(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_cpuset(text: str) -> tuple[int, ...]:
    """Cores of a cpuset such as `0-3,8`, in order.

    Raises:
        InputError: not a cpuset.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if (
            not _CORE.fullmatch(first)
            or (dash and not _CORE.fullmatch(last))
            or int(last or first) < int(first)
            or int(last or first) > _MOST_CORES
        ):
            raise InputError(f"{text!r} is no list of cores", "Write it as 0-3,8")
        found.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))
