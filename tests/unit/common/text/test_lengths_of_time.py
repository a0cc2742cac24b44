"""Lengths of time as people write them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.lengths_of_time import in_days, parse_length
from capacity.errors import InputError

SECONDS = {"s": 1, "min": 60, "h": 3600, "D": 86_400, "W": 604_800}


@given(st.integers(1, 10_000), st.sampled_from(sorted(SECONDS)))
def test_a_number_and_a_unit_are_a_length(number: int, unit: str) -> None:
    """What a length says is so many of its unit, as a length and in days."""
    length = parse_length(f"{number}{unit}")
    assert length == pd.Timedelta(seconds=number * SECONDS[unit])
    assert parse_length(length) == length
    assert in_days(length) == pytest.approx(number * SECONDS[unit] / SECONDS["D"])


@given(st.integers(0, 10**12))
def test_a_number_without_a_unit_is_refused(number: int) -> None:
    """Nobody means nanoseconds; the message asks for a unit."""
    with pytest.raises(InputError, match="has no unit"):
        parse_length(f" {number} ")


@pytest.mark.parametrize("text", ["", "soon", "D", "1 day 3", "1e300D", "10000000D", "nat"])
def test_what_is_no_length_is_refused(text: str) -> None:
    """Nothing but a number with a unit passes; the message names what was written."""
    with pytest.raises(InputError, match="is no length of time"):
        parse_length(text)


@given(st.integers(-10_000, 0), st.sampled_from(sorted(SECONDS)))
def test_a_length_is_above_zero(number: int, unit: str) -> None:
    """No time and time backwards are refused, in days too."""
    with pytest.raises(InputError, match="above zero"):
        in_days(f"{number}{unit}")
