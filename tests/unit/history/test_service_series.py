"""`capacity.history._service_series`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capacity.history._metrics.signals import CATALOGUE
from capacity.history._prometheus.parse import Answer
from capacity.history._service_series import merge_replicas
from capacity.model import ServiceKey, Signal
from capacity.settings import IdentitySettings

IDENTITY = IdentitySettings()
POINTS = 6
rows = arrays(np.float64, (4, POINTS), elements=st.one_of(st.just(np.nan), st.floats(0, 1e9)))


def container(
    number: int = 1,
    *,
    project: str = "shop",
    service: str = "web",
    host: str = "dock1:8080",
    **more: str,
) -> dict[str, str]:
    """Labels of a Compose container."""
    return {
        IDENTITY.project: project,
        IDENTITY.service: service,
        IDENTITY.number: str(number),
        "name": f"{project}-{service}-{number}",
        "instance": host,
        "id": "/docker/1",
        **more,
    }


def merged(labels: list[dict[str, str]], values: Any, signal: Signal = Signal.MEMORY) -> Any:
    """The block of these series."""
    return merge_replicas(
        Answer(labels, np.array(values, dtype=np.float64)), CATALOGUE[signal], IDENTITY
    )


@given(rows)
def test_the_worst_replica_stands_for_the_service(values: np.ndarray) -> None:
    """At each moment the value is the maximum over replicas on all hosts, NaN only where all
    are.
    """
    labels = [
        container(1),
        container(2),
        container(3, host="dock2:8080"),
        container(1, host="dock2:8080"),
    ]
    block = merged(labels, values)
    assert block.names == ["shop/web"]
    assert {*block.hosts[0].split(",")} <= {"dock1", "dock2"}
    assert block.replicas == [4]
    np.testing.assert_array_equal(block.values[0], np.fmax.reduce(values))


@given(rows)
def test_the_order_of_series_does_not_matter(values: np.ndarray) -> None:
    """The server promises no order."""
    labels = [container(1), container(2), container(1, service="db"), container(1, project="a")]
    result, other = merged(labels, values), merged(labels[::-1], values[::-1])
    assert (result.names, result.hosts, result.replicas) == (
        other.names,
        other.hosts,
        other.replicas,
    )
    np.testing.assert_array_equal(result.values, other.values)


def test_a_recreated_container_counts_once_while_both_ids_are_seen() -> None:
    """Old and new id overlap for five minutes: neither the value nor the number of replicas
    doubles.
    """
    old, new = container(id="/docker/old"), container(id="/docker/new")
    block = merged([old, new], [[5, 5, 5, np.nan, np.nan, np.nan], [np.nan, np.nan, 4, 4, 4, 4]])
    assert block.values.tolist() == [[5, 5, 5, 4, 4, 4]]
    assert block.replicas == [1]


def test_uneven_replicas_are_told_apart_from_even_ones() -> None:
    """The busiest replica's mean over the mean of all; one replica, or idle ones, are not
    uneven.
    """
    block = merged([container(1), container(2)], [[6, 6, 6, np.nan, 6, 6], [2, 2, 2, 2, 2, 2]])
    assert block.uneven == {"shop/web": 1.5}
    assert not merged([container(1), container(2)], [[0.0] * 6, [0.0] * 6]).uneven
    assert not merged([container(1)], [[5.0] * 6]).uneven


def test_a_service_that_moved_is_neither_uneven_nor_on_both_hosts() -> None:
    """It had one replica after the other; those at the same time stay on both."""
    nan = np.nan
    labels = [container(host="dock1:8080"), container(host="dock2:8080")]
    moved = merged(labels, [[9, 9, 9, nan, nan, nan], [nan, nan, nan, 1, 1, 1]])
    assert moved.hosts == ["dock2"]
    assert moved.uneven == {}
    both = merged(labels, [[9, 9, 9, 9, 9, 9], [nan, 1, 1, 1, 1, 1]])
    assert both.hosts == ["dock1,dock2"]
    assert both.uneven == {"shop/web": 1.8}


@given(rows)
def test_cpu_is_added_up_over_the_cores_of_one_container(values: np.ndarray) -> None:
    """Without a total, the per-CPU counters of one container are its use; cores unknown at a moment
    are left out.
    """
    block = merged([container(cpu=f"cpu0{index}") for index in range(4)], values, Signal.CPU)
    total = np.where(np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0))
    np.testing.assert_array_equal(block.values[0], total)


def test_a_total_is_not_added_to_its_parts() -> None:
    """`cpu="total"` is the sum already; where it is missing (cAdvisor was upgraded that day) the
    parts are.
    """
    labels = [container(cpu=name) for name in ("cpu00", "cpu01", "total")]
    block = merged(labels, [[1, 1, 1], [2, 2, 2], [np.nan, 3, 3]], Signal.CPU)
    assert block.values.tolist() == [[3, 3, 3]]


@pytest.mark.parametrize("signal", [Signal.CPU, Signal.MEMORY, Signal.RESTARTS])
def test_the_same_series_twice_counts_once(signal: Signal) -> None:
    """Two Prometheus replicas behind one address give each series twice."""
    block = merged([container(), container()], [[1, 2, np.nan], [1, np.nan, 3]], signal)
    assert block.values.tolist() == [[1, 2, 3]]


def test_events_of_replicas_are_added_up() -> None:
    """Two replicas that restart once each are two restarts."""
    block = merged(
        [container(1), container(2)], [[1, 0, np.nan], [1, np.nan, np.nan]], Signal.RESTARTS
    )
    np.testing.assert_array_equal(block.values, [[2, 0, np.nan]])


@pytest.mark.parametrize(
    "odd",
    [
        "<script>alert(1)</script>",
        "a/b//c",
        'it\'s "quoted"',
        "x" * 300,
        "käse 🧀",
        "new\nline",
        "a,b",
    ],
)
def test_odd_names_pass_unchanged(odd: str) -> None:
    """A name is data: nothing in it is interpreted, cut or lost."""
    block = merged(
        [container(service=odd), {"name": odd, "instance": "dock1:8080"}], [[1.0], [2.0]]
    )
    assert block.names == sorted([f"shop/{odd}", f"standalone/{odd}"])
    assert ServiceKey.parse(f"shop/{odd}") == ServiceKey("shop", odd)


def test_hosts_cores_and_targets_have_their_own_names() -> None:
    """Signals that are not of services are named by host, by host and core, or by job and
    address.
    """
    node = {"instance": "dock1:9100", "job": "node"}
    assert merged([node], [[1.0]], Signal.HOST_CPU).names == ["dock1"]
    assert merged([{**node, "cpu": "3"}], [[1.0]], Signal.CORE_BUSY).names == ["dock1/3"]
    assert merged([node], [[1.0]], Signal.UP).names == ["node/dock1:9100"]
    assert merged([{}], [[1.0]], Signal.HOST_CPU).names == ["unknown"]


def test_an_empty_answer_is_an_empty_block() -> None:
    """No series, no rows, but still the grid."""
    assert merge_replicas(
        Answer([], np.empty((0, 4))), CATALOGUE[Signal.CPU], IDENTITY
    ).values.shape == (
        0,
        4,
    )
