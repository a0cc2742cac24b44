"""What every table of settings has: typed values are not shown, unknown keys are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    field_validator,
)

__all__ = [
    "LONGEST",
    "MOST_CORES",
    "MOST_MIB",
    "SECONDS_A_DAY",
    "Moments",
    "Table",
    "ordered",
    "utc",
]


SECONDS_A_DAY = 86_400


MOST_MIB, MOST_CORES = 2**24, 10_000  # of one machine


LONGEST = 65_536


class Table(BaseModel):
    # the text of a validation error may end in a log, so it must not show what was typed
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _seen_whole(cls, value: Any) -> Any:
        """No path, name or address has a NUL, at which the system's own calls end."""
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, (str, Path)) and ("\0" in str(text) or len(str(text)) > LONGEST):
                raise ValueError(f"a text with a NUL, or of more than {LONGEST} characters")
        return value


Moments = tuple[datetime, datetime]


def utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def ordered(spans: list[Moments]) -> list[Moments]:
    """Spans in UTC; a moment without a zone is UTC."""
    for first, last in spans:
        if utc(first) >= utc(last):
            raise ValueError(f"{first} is not before {last}")
    return [(utc(first), utc(last)) for first, last in spans]
