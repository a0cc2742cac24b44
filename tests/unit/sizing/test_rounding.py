"""Whole units of limits, whatever the amount."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.units import MIB
from capacity.model import Resource
from capacity.sizing._rounding import SMALLEST, grains, round_down, round_up

CPU, MEMORY = Resource.CPU, Resource.MEMORY
AMOUNTS = {CPU: st.floats(0.001, 1024), MEMORY: st.floats(1, 2**44)}
CASES = st.sampled_from(Resource).flatmap(lambda kind: st.tuples(st.just(kind), AMOUNTS[kind]))
_WHOLE = 1e-6  # of a grain: nearer than this is the grain itself


def number(values: pd.Series[float]) -> float:
    """The one number of a series."""
    (found,) = values
    return float(found)


@given(CASES)
def test_the_two_whole_amounts_beside_an_amount(case: tuple[Resource, float]) -> None:
    """Both are whole grains, the lower one not above and the higher one not below the amount, each
    by less than a grain.
    """
    resource, amount = case
    asked = pd.Series([amount])
    grain = number(grains(asked, resource))
    low, high = number(round_down(asked, resource)), number(round_up(asked, resource))
    for whole in (low, high):
        assert whole / grain == pytest.approx(round(whole / grain), abs=_WHOLE)
    assert low <= amount + _WHOLE * grain
    assert amount - low < grain * (1 + _WHOLE)
    assert high >= amount - _WHOLE * grain
    assert high - amount < grain * (1 + _WHOLE)


@given(CASES)
def test_what_is_whole_stays(case: tuple[Resource, float]) -> None:
    """A rounded amount is its own rounding, also after the last bit of a quotient."""
    resource, amount = case
    whole = round_up(pd.Series([amount]), resource)
    for asked in (whole, whole * 3 / 3, whole * (1 + 1e-14)):
        assert number(round_up(asked, resource)) == pytest.approx(number(whole), rel=1e-12)
        assert number(round_down(asked, resource)) == pytest.approx(number(whole), rel=1e-12)


@pytest.mark.parametrize(
    ("resource", "amount", "low", "high"),
    [
        (CPU, 0.0301, 0.030, 0.031),
        (CPU, 0.9994, 0.999, 1.0),
        (CPU, 1.0, 1.0, 1.0),
        (CPU, 1.001, 1.0, 1.01),
        (CPU, 57.00000000001, 57.0, 57.0),
        (MEMORY, 100.25 * MIB, 100 * MIB, 101 * MIB),
        (MEMORY, 1.0, 0.0, MIB),
    ],
)
def test_thousandths_below_a_core_hundredths_above_and_mebibytes(
    resource: Resource, amount: float, low: float, high: float
) -> None:
    """The grains that people see in limits."""
    asked = pd.Series([amount])
    assert (number(round_down(asked, resource)), number(round_up(asked, resource))) == (low, high)


@pytest.mark.parametrize("resource", list(Resource))
def test_each_service_is_rounded_by_itself(resource: Resource) -> None:
    """Names stay, and an unknown limit stays unknown."""
    asked = pd.Series([np.nan, 0.5, 1.234567], ["a", "b", "c"])
    for rounded in (round_up(asked, resource), round_down(asked, resource)):
        assert list(rounded.index) == ["a", "b", "c"]
        assert rounded.isna().to_list() == [True, False, False]
    assert list(grains(asked, resource).index) == ["a", "b", "c"]


def test_the_smallest_limits_are_whole() -> None:
    """What Docker takes at least needs no rounding: six mebibytes, a hundredth of a core."""
    assert SMALLEST == {CPU: 0.01, MEMORY: 6 * MIB}
    for resource, least in SMALLEST.items():
        assert number(round_up(pd.Series([least]), resource)) == least
