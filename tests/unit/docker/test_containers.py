"""Descriptions of containers: labels are anybody's, and something else may answer for an Engine."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.containers import Container, as_an_engine, read_container
from capacity._docker.usage import _read
from capacity.errors import EngineError
from tests.fixtures.generated.hostile import HIDDEN, SIGNS

NUMBER = "com.docker.compose.container-number"
SERVICE = "com.docker.compose.service"
GOOD: dict[str, Any] = {
    "Id": "a" * 64,
    "Name": "/shop-web-1",
    "Config": {
        "Labels": {
            "com.docker.compose.project": "shop",
            "com.docker.compose.service": "web",
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.project.config_files": "/a.yaml,/b.yaml",
            NUMBER: "2",
        },
        "Env": ["A=b"],
        "Image": "x",
        "ExposedPorts": {"80/tcp": {}},
    },
    "HostConfig": {
        "Memory": 2**26,
        "MemorySwap": 2**27,
        "NanoCpus": 10**9,
        "PidsLimit": 5,
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
    },
    "State": {"Status": "running", "Health": {"Status": "healthy"}, "ExitCode": 0},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in the description."""
    named = value.items() if isinstance(value, dict) else ()
    for name, part in enumerate(value) if isinstance(value, list) else named:
        yield (*above, name)
        yield from places(part, (*above, name))


def changed(place: tuple[Any, ...], value: object, of: Any = GOOD) -> Any:
    """A description with one part of it replaced."""
    whole: Any = copy.deepcopy(of)
    inside = whole
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    return whole


@given(
    label=st.sampled_from(sorted(GOOD["Config"]["Labels"])),
    text=st.text()
    | st.sampled_from([*SIGNS, *HIDDEN, "\u0661", "\u00b2", "9" * 5000, "-1", "1.5"]),
)
def test_any_text_of_a_label_is_read(label: str, text: str) -> None:
    """Whoever may start a container must not keep the others from being seen."""
    found = read_container("here", changed(("Config", "Labels", label), text))
    assert isinstance(found, Container)
    assert found.replica == 2 or label in {NUMBER, SERVICE}


@given(place=st.sampled_from([*places(GOOD)]), value=JSON)
def test_any_other_shape_is_read_or_an_error_of_the_engine(
    place: tuple[Any, ...], value: object
) -> None:
    """It names the host."""
    with suppress(EngineError):
        assert read_container("here", changed(place, value)).host == "here"


STATS: dict[str, Any] = {
    "memory_stats": {"usage": 5, "stats": {"inactive_file": 1}},
    "cpu_stats": {
        "cpu_usage": {"total_usage": 10**9},
        "throttling_data": {"periods": 3, "throttled_periods": 1},
    },
}


@given(place=st.sampled_from([*places(STATS)]), value=JSON)
def test_any_statistics_are_read_or_an_error_of_the_engine(
    place: tuple[Any, ...], value: object
) -> None:
    """What a container uses now, from something that may be no Engine."""
    spoilt = changed(place, value, STATS)
    with suppress(EngineError), as_an_engine("here", "measures"):
        found = _read(spoilt)
        assert found.memory >= 0


@pytest.mark.parametrize("value", [[], 5, "x"])
def test_what_no_engine_says_names_the_host(value: object) -> None:
    """With what to look at."""
    with pytest.raises(EngineError, match="here describes a container as no Engine does"):
        read_container("here", changed(("HostConfig", "PortBindings"), {"80/tcp": [value or 1]}))


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True)


@given(NAMES, NAMES, st.integers(1, 999), st.booleans())
def test_a_task_of_a_stack_is_its_service(
    stack: str, service: str, number: int, stacked: bool
) -> None:
    """Swarm's labels name stack and service, whatever signs both have; a service that was made
    without a stack is of none.
    """
    swarm = f"{stack}_{service}" if stacked else service
    labels = {
        "com.docker.swarm.service.name": swarm,
        "com.docker.swarm.task.name": f"{swarm}.{number}.{'x' * 25}",
        **({"com.docker.stack.namespace": stack} if stacked else {}),
    }
    name = f"/{swarm}.{number}.{'x' * 25}"
    task: Any = {**GOOD, "Name": name, "Config": {"Labels": labels}}
    found = read_container("here", task)
    assert found.key == f"{stack if stacked else 'standalone'}/{service}"
    assert found.replica == number
    assert found.swarm_service == swarm
