"""Lengths of time as people write them: `28D`, `36h`."""

from __future__ import annotations

import pandas as pd

from capacity.errors import InputError

__all__ = ["in_days", "parse_length"]

_HINT = "Write it as 28D or 36h"


def parse_length(text: str | pd.Timedelta) -> pd.Timedelta:
    """A length of time such as `28D` or `36h`.

    Raises:
        InputError: not a length, without a unit, or not longer than nothing.
    """
    if isinstance(text, str) and text.strip().isdecimal():  # pandas would take nanoseconds
        raise InputError(f"{text!r} is no length of time: it has no unit", _HINT)
    try:
        length = pd.Timedelta(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no length of time", _HINT) from error
    if not length > pd.Timedelta(0):
        raise InputError(f"{text!r} is no length of time above zero", _HINT)
    return length


def in_days(length: str | pd.Timedelta) -> float:
    """A length of time in days.

    Raises:
        InputError: as `parse_length`.
    """
    return float(parse_length(length) / pd.Timedelta("1D"))
