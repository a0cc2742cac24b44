"""What starts before what, and cores for everybody."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.units import parse_cpuset
from capacity._docker.containers import Host, Inventory
from capacity.errors import InputError
from capacity.operations._affinity import balance
from capacity.operations._dependencies import dependencies, in_order
from capacity.sizing import TYPES
from tests.fixtures.fleets.containers import shop_container


def test_dependencies_come_from_the_labels_of_compose() -> None:
    """`db:service_healthy:false,cache:...` names two services of the same project."""
    label = {"com.docker.compose.depends_on": "db:service_healthy:false,cache:service_started:true"}
    assert dependencies([shop_container("web", labels=label), shop_container("db")]) == {
        "shop/web": ["shop/db", "shop/cache"],
        "shop/db": [],
    }


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
        )
    )
)
def test_what_is_needed_comes_first(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    """Every service once, after all that it needs; edges point to lower numbers, so there is no
    circle.
    """
    count, edges = drawn
    needs = {
        str(n): [str(low) for high, low in sorted(edges) if high == n and low < high]
        for n in range(count)
    }
    order = in_order(list(needs), needs)
    assert sorted(order) == sorted(needs)
    assert all(
        order.index(need) < order.index(name) for name, wanted in needs.items() for need in wanted
    )


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_circle_is_named(size: int) -> None:
    """Services that wait for each other are an error, not an endless loop."""
    needs = {str(n): [str((n + 1) % size)] for n in range(size)}
    with pytest.raises(InputError, match="circle: 0"):
        in_order(["0"], needs)


@given(
    cores=st.integers(2, 128),
    loads=st.lists(st.one_of(st.floats(0, 200), st.just(float("nan"))), min_size=1, max_size=30),
    names=st.lists(
        st.sampled_from(["postgres", "redis", "kong", "agent", "web"]), min_size=30, max_size=30
    ),
    pinned=st.booleans(),
)
def test_nobody_is_left_without_cores(
    cores: int, loads: list[float], names: list[str], *, pinned: bool
) -> None:
    """From 2 to 128 cores every service gets at least one core that exists, whatever its load."""
    keys = [f"{names[number]}-{number}" for number in range(len(loads))]
    host = Host("here", "unix://x", "here", cores, 1 << 34, "28", "2")
    inventory = Inventory((host,), tuple(shop_container(key, cpuset="0") for key in keys))
    load = pd.Series(loads[:-1], index=[f"shop/{key}" for key in keys[:-1]], dtype=float)
    fixed = frozenset({f"shop/{keys[0]}"} if pinned else ())
    (found,) = balance(inventory, load, TYPES, pinned=fixed)
    table = found.placement.table
    assert sorted(table.index) == sorted(f"shop/{key}" for key in keys)
    assert all(set(parse_cpuset(cpuset)) <= set(range(cores)) for cpuset in table["cpuset"])
    assert {change.service for change in found.changes}.isdisjoint(fixed)
    assert all(change.before == "0" and change.after != "0" for change in found.changes)


def test_measured_cores_are_those_of_the_host() -> None:
    """With several hosts in the metrics only its own cores count; with one there is no doubt."""
    host = Host("here", "unix://x", "machine", 2, 1 << 34, "28", "2")
    inventory = Inventory((host,), (shop_container("web"),))
    busy = pd.DataFrame({"machine/0": [0.9, 0.7], "machine/1": [0.2, 0.0], "other/0": [0.5, 0.5]})
    (found,) = balance(inventory, pd.Series(dtype=float), TYPES, busy=busy)
    assert found.measured.to_dict() == pytest.approx({"machine/0": 0.8, "machine/1": 0.1})
    assert found.measured_imbalance == pytest.approx(0.35 / 0.45)
    (found,) = balance(inventory, pd.Series(dtype=float), TYPES, busy=busy[["other/0"]])
    assert list(found.measured.index) == ["other/0"]
    (found,) = balance(inventory, pd.Series(dtype=float), TYPES)
    assert found.measured_imbalance is None
