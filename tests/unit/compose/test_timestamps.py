"""Which scalars go-yaml takes for times, and how Go prints them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._compose.yaml.timestamps import timestamp


@given(st.dates())
def test_any_day(day: date) -> None:
    """With and without zeros in front."""
    printed = f"{day:%Y}".zfill(4) + f"-{day:%m-%d} 00:00:00 +0000 UTC"
    assert timestamp(day.isoformat()) == printed
    assert timestamp(f"{day.year:04}-{day.month}-{day.day}") == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("2024-01-01T1:2:3.450Z", "2024-01-01 01:02:03.45 +0000 UTC"),
        ("2024-01-01t10:20:30-02:30", "2024-01-01 10:20:30 -0230 -0230"),
        ("2024-01-01 10:20:30", "2024-01-01 10:20:30 +0000 UTC"),
        ("2024-01-01 10:20:30Z", None),
        ("2024-01-01T10:20:30", None),
        ("2024-01-01 10:20", None),
        ("2024-13-01", None),
        ("2023-02-29", None),
        ("24-01-01", None),
        ("2024-01", None),
    ],
)
def test_times(text: str, printed: str | None) -> None:
    """A zone behind a T, none behind a space, and only days that are."""
    assert timestamp(text) == printed
