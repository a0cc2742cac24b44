"""Times, amounts and resources as people write them."""

from __future__ import annotations

import pandas as pd

from capacity._common.text.units import parse_cores, parse_memory
from capacity.errors import InputError
from capacity.model import Resource

__all__ = ["parse_amount", "parse_time", "resource_of"]


def parse_time(text: str | pd.Timestamp) -> pd.Timestamp:
    """A moment in UTC; text without a zone is UTC.

    Raises:
        InputError: not a time.
    """
    try:
        time = pd.Timestamp(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no time", "Write it as 2026-11-23 or 2026-11-23T06:00"
        ) from error
    if pd.isna(time):
        raise InputError(f"{text!r} is no time", "Write it as 2026-11-23 or 2026-11-23T06:00")
    return time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")


def parse_amount(text: str | None, signal: Resource | str) -> float | None:
    """An amount of a resource: `64g` as Docker writes memory, a number of cores for cpu; None stays
    None.

    Raises:
        InputError: not an amount.
    """
    if text is None:
        return None
    if resource_of(signal) is Resource.MEMORY:
        return float(parse_memory(text))
    return parse_cores(text)


def resource_of(signal: Resource | str) -> Resource:
    """A resource by name; InputError where it is neither."""
    try:
        return Resource(signal)
    except ValueError as error:
        raise InputError(
            f"{signal!r} is neither cpu nor memory", "Only these two are forecast and limited"
        ) from error
