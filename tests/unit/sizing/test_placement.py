"""Cores for services: complete, within their category, and more even than dealing them out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._common.text.units import parse_cpuset
from capacity.errors import InputError
from capacity.model import Resource
from capacity.sizing import Prices, forecast_load, place, savings
from capacity.sizing._placement import CATEGORIES, core_ranges, format_cores_list, imbalance
from tests.fixtures.frames import cell_at


@settings(max_examples=60, deadline=None)
@given(cores=st.integers(1, 128), services=st.integers(0, 60), seed=st.integers(0, 2**31))
def test_every_service_gets_cores_of_its_category(cores: int, services: int, seed: int) -> None:
    """From 1 to 128 cores nobody is left without, nothing lies outside the host, and all load is
    placed.
    """
    rng = np.random.default_rng(seed)
    load = pd.Series(
        rng.lognormal(-1, 1, services),
        index=[f"s{number}" for number in range(services)],
        dtype=float,
    )
    kinds = {name: str(rng.choice(CATEGORIES)) for name in load.index}
    made = place(load, kinds, cores)
    allowed = core_ranges(cores)
    for name, cpuset in made.table["cpuset"].items():
        assert set(parse_cpuset(cpuset)) <= set(allowed[kinds[str(name)]])
    assert made.load.sum() == pytest.approx(load.sum())


def test_packing_is_more_even_than_dealing_out() -> None:
    """On fleets of many sizes the packed imbalance is the smaller one, by a wide margin on
    average.
    """
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(30):
        load = pd.Series(rng.lognormal(-1.5, 1, 40), index=[f"s{number}" for number in range(40)])
        made = place(load, {}, 8, ranges={"standard": "0-7"})
        ratios.append(made.imbalance / made.round_robin)
    assert np.mean(ratios) < 0.5


def test_pinned_services_and_own_ranges_are_kept() -> None:
    """What is pinned stays and is counted; a category's own range is used."""
    load = pd.Series({"web": 1.0, "db": 1.0, "old": 3.0})
    made = place(
        load, {"db": "infrastructure"}, 8, ranges={"infrastructure": "6-7"}, pinned={"old": "0,2"}
    )
    assert made.table.loc["old", "cpuset"] == "0,2"
    assert made.table.loc["old", "pinned"]
    assert set(parse_cpuset(cell_at(made.table, "db", "cpuset"))) <= {6, 7}
    assert made.load[0] >= 1.5
    with pytest.raises(InputError, match="core 9"):
        place(load, {}, 8, ranges={"standard": "4-9"})
    with pytest.raises(InputError, match="old is pinned to core 8"):
        place(load, {}, 8, pinned={"old": "0,8"})


def test_dealing_out_leaves_pinned_services_where_they_are() -> None:
    """With everything pinned there is nothing to deal out, so both indices are those of the
    pins.
    """
    load = pd.Series({"web": 1.0, "db": 3.0})
    made = place(load, {}, 4, pinned={"web": "0", "db": "0-3"})
    assert made.round_robin == made.imbalance > 0


def test_load_is_the_mean_median_forecast_of_all_replicas() -> None:
    """Two replicas at half a core load a host with a whole one; other quantiles do not count."""
    columns = pd.MultiIndex.from_product([["web", "db"], [0.5, 0.9]], names=["service", "quantile"])
    bands = pd.DataFrame([[0.4, 9, 1, 9], [0.6, 9, 3, 9]], columns=columns, dtype=float)
    assert forecast_load(bands, {"web": 2}).to_dict() == {"web": 1.0, "db": 2.0}
    assert forecast_load(bands.iloc[:, :0]).empty


def test_a_service_wider_than_a_core_gets_a_range() -> None:
    """Three busy cores are spread over five, at seven tenths each."""
    made = place(pd.Series({"big": 3.0}), {}, 16)
    assert made.table.loc["big", "cpuset"] == "8-12"


@given(st.sets(st.integers(0, 200), min_size=1))
def test_cpusets_are_read_as_they_are_written(cores: set[int]) -> None:
    """Docker's notation survives the round trip."""
    assert parse_cpuset(format_cores_list(sorted(cores))) == tuple(sorted(cores))


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "-1", "1,,2", "99999"])
def test_nonsense_is_no_cpuset(text: str) -> None:
    """Named with the way to write it."""
    with pytest.raises(InputError, match="list of cores"):
        parse_cpuset(text)


def test_imbalance_is_deviation_over_mean() -> None:
    """Even is 0, one of two busy is 1, idle is 0."""
    assert imbalance(np.array([2.0, 2.0])) == 0
    assert imbalance(np.array([0.0, 2.0])) == 1
    assert imbalance(np.zeros(4)) == 0


def test_waste_is_what_lowering_gives_back_times_replicas() -> None:
    """Bytes and cores, priced where a price is known."""
    table = pd.DataFrame(
        {
            "action": ["lower", "keep"],
            "current": [4.0 * 2**30, 9.0],
            "limit": [1.0 * 2**30, np.nan],
        },
        ["a", "b"],
    )
    found = savings({Resource.MEMORY: table}, Prices(memory_gib=2.0), {"a": 3})
    assert found["reclaimable"].tolist() == [9.0 * 2**30]
    assert found["worth"].tolist() == [18.0]
    assert found["share"].tolist() == [0.75]
    assert savings({Resource.CPU: table})["worth"].isna().all()


def test_services_without_load_are_spread_too() -> None:
    """What nobody has measured does not all end on the first core."""
    load = pd.Series(0.0, index=[f"a/{number}" for number in range(8)])
    made = place(load, {}, 4, ranges={"standard": "0-3"})
    assert made.table["cpuset"].value_counts().to_dict() == {str(core): 2 for core in range(4)}
