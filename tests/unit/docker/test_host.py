"""An Engine's description of its machine: as recorded of several kinds, and broken."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.containers import Host
from capacity._docker.host import read_host
from capacity._docker.responses import InfoAnswer
from capacity.errors import EngineError
from capacity.model import Setting
from tests.fixtures.fleets import engines

RESOURCES = {
    Setting.MEMORY,
    Setting.MEMORY_SWAP,
    Setting.RESERVATION,
    Setting.CPUS,
    Setting.CPUSET,
    Setting.PIDS,
}


def read(kind: str, **more: Any) -> Host:
    """The host of a recorded kind."""
    info = cast("InfoAnswer", {**engines.INFOS[kind], **more})
    return read_host("here", "unix://x", info, engines.VERSIONS[kind])


@pytest.mark.parametrize(
    ("kind", "cgroup", "podman", "named", "unlimited"),
    [
        ("debian-12-v1", "1", False, "", set()),
        ("debian-13-v2", "2", False, "", set()),
        ("no-swap-accounting", "2", False, "", {Setting.MEMORY_SWAP}),
        ("rootless-v1", "1", False, "rootless", RESOURCES),
        ("rootless-v2", "2", False, "rootless", {Setting.CPUSET}),
        ("user-namespaces", "2", False, "user namespaces", set()),
        ("docker-desktop", "2", False, "Docker Desktop", set()),
        ("podman-4-v2", "2", True, "", set()),
    ],
)
def test_what_can_be_limited_is_what_the_engine_says(
    kind: str, cgroup: str, podman: bool, named: str, unlimited: set[Setting]
) -> None:
    """Version, kind and what the kernel cannot hold come from `/info`, in this one place."""
    host = read(kind)
    assert (host.cgroup, host.podman, host.kind) == (cgroup, podman, named)
    assert set(host.unlimited) == unlimited
    assert host.kills_at_lowering is (cgroup == "2")


def test_an_engine_that_does_not_say_is_of_the_first_version() -> None:
    """Engines before 20.10 know no other, and may leave out what they have."""
    host = read_host("here", "", {"NCPU": 2}, {})
    assert (host.cgroup, host.unlimited, host.cores) == ("1", (), 2)


@given(
    word=st.sampled_from(["CgroupVersion", "CgroupDriver", "SecurityOptions", "MemoryLimit"]),
    value=st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.text()),
)
def test_any_description_is_read_or_refused(word: str, value: object) -> None:
    """Something else may answer at an Engine's address."""
    with suppress(EngineError):
        json.dumps(str(read("debian-13-v2", **{word: value})))
