"""`capacity.history._joined_sources`: days of several sources are those of one that saw all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.history._joined_sources import host_names, join_blocks, name_hosts
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._prometheus.parse import Answer
from capacity.history._service_series import SeriesBlock, merge_replicas
from capacity.model import Signal
from capacity.settings import IdentitySettings

LABEL = "container_label_com_docker_compose_"
POINTS = 24
CONTAINERS = st.lists(
    st.tuples(
        st.sampled_from(["shop", "blog"]),
        st.sampled_from(["web", "db"]),
        st.integers(1, 3),
        st.sampled_from(["dock1", "dock2", "dock3"]),
        st.lists(st.none() | st.integers(0, 99), min_size=POINTS, max_size=POINTS),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda container: container[:4],
)
Container = tuple[str, str, int, str, list[int | None]]


def answer(containers: list[Container]) -> Answer:
    """What a server says of containers."""
    labels = [
        {
            "instance": f"{host}:8080",
            f"{LABEL}project": project,
            f"{LABEL}service": service,
            f"{LABEL}container_number": str(number),
        }
        for project, service, number, host, _ in containers
    ]
    values = [
        [np.nan if value is None else float(value) for value in row] for *_, row in containers
    ]
    return Answer(labels, np.array(values).reshape(-1, POINTS), ())


def merged(containers: list[Container], signal: Signal) -> SeriesBlock:
    """Rows of services."""
    return merge_replicas(answer(containers), CATALOGUE[signal], IdentitySettings())


@given(CONTAINERS, st.sampled_from([Signal.MEMORY, Signal.RESTARTS]))
def test_hosts_of_two_sources_are_a_fleet_as_those_of_one(
    containers: list[Container], signal: Signal
) -> None:
    """Values, hosts and replicas, for signals that are added and for those of which the worst
    replica counts.
    """
    parts = [
        [container for container in containers if (container[3] == "dock1") is here]
        for here in (True, False)
    ]
    joined = join_blocks([merged(part, signal) for part in parts if part], CATALOGUE[signal])
    whole = merged(containers, signal)
    assert joined.names == whole.names
    assert joined.replicas == whole.replicas
    np.testing.assert_array_equal(joined.values, whole.values)
    alone = [name for name in whole.names if len(hosts_of(containers, name)) == 1]
    for name in alone:
        place = whole.names.index(name)
        assert joined.hosts[place] == whole.hosts[place]


def hosts_of(containers: list[Container], name: str) -> set[str]:
    """Where a service runs."""
    return {host for project, service, _, host, _ in containers if f"{project}/{service}" == name}


@given(CONTAINERS, st.sampled_from([Signal.MEMORY, Signal.RESTARTS]))
def test_two_servers_that_scrape_the_same_hosts_count_nothing_twice(
    containers: list[Container], signal: Signal
) -> None:
    """A pair for high availability is one fleet, with as many replicas and as many restarts."""
    once = merged(containers, signal)
    twice = join_blocks([once, once], CATALOGUE[signal])
    assert (twice.names, twice.replicas) == (once.names, once.replicas)
    np.testing.assert_array_equal(twice.values, once.values)


@pytest.mark.parametrize(
    ("only", "several", "expected"),
    [
        (None, False, ["cadvisor", "localhost"]),
        (None, True, ["cadvisor", "rack-a"]),
        ("big", True, ["big"]),
        ("big", False, ["big"]),
    ],
)
def test_what_tells_no_hosts_apart_is_named_by_the_source(
    only: str | None, *, several: bool, expected: list[str]
) -> None:
    """`localhost` of two sources are two hosts, and exporters' containers of one host are one."""
    block = SeriesBlock(
        ["cadvisor", "localhost"], ["cadvisor", "localhost"], [1, 1], np.array([[1.0], [2.0]])
    )
    named = host_names("rack-a", only, several=several)
    found = name_hosts(block, CATALOGUE[Signal.HOST_CORES], named)
    assert found.names == expected
    up = SeriesBlock(["node/localhost:9100"], ["localhost"], [1], np.array([[1.0]]))
    target = name_hosts(up, CATALOGUE[Signal.UP], named).names
    assert target == [f"node/{only or ('rack-a' if several else 'localhost')}:9100"]


def test_uneven_replicas_of_two_sources() -> None:
    """One replica on each host: the busier one over the mean of both."""
    row = np.full((1, 4), 3.0)
    blocks = [
        SeriesBlock(["shop/web"], [host], [1], row * times)
        for host, times in (("dock1", 1), ("dock2", 3))
    ]
    assert join_blocks(blocks, CATALOGUE[Signal.CPU]).uneven == {"shop/web": 1.5}
