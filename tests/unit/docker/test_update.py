"""Updates above the kernel's two interfaces: the same limits in force, and nobody killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.containers import Container, live_value, read_container
from capacity._docker.responses import ContainerAnswer
from capacity._docker.update import LIVE, not_in_force, send_update, update_body
from capacity.errors import EngineRefused
from capacity.model import Setting, Value
from tests.fixtures.fleets.engines import Kernel, engine_on

MIB = 2**20
MEBIBYTES = st.integers(6, 64 * 1024).map(lambda count: count * MIB)
VERSIONS = st.sampled_from(["1", "2"])


def container(**limits: Any) -> Container:
    """A running container with these limits."""
    state = {"Status": "running"}
    said = {"Id": "c" * 64, "Name": "/web", "HostConfig": limits, "State": state}
    return read_container("here", cast("ContainerAnswer", said))


def after(now: Container, body: dict[str, Any]) -> Container:
    """The container as the Engine describes it once it has taken an update."""
    known = {
        "Memory": now.memory or 0,
        "MemorySwap": now.memory_swap or 0,
        "MemoryReservation": now.reservation or 0,
        "NanoCpus": round((now.cpus or 0) * 1e9),
        "CpusetCpus": now.cpuset,
        "PidsLimit": now.pids or 0,
    }
    return container(**(known | body))


@given(
    version=VERSIONS,
    used=MEBIBYTES,
    cache=st.integers(0, 2**40),
    before=st.none() | MEBIBYTES,
    wanted=st.none() | MEBIBYTES,
)
def test_nobody_is_killed_for_a_limit(
    version: str, used: int, cache: int, before: int | None, wanted: int | None
) -> None:
    """Below its use a limit is refused on both versions, and page cache that can go is no use."""
    kernel = Kernel(version, used)
    engine, now = engine_on(kernel, cache), container(Memory=before or 0)
    body = update_body(now, {Setting.MEMORY: wanted}, engine.host)
    if wanted is not None and used > wanted and (before is None or wanted < before):
        with pytest.raises(EngineRefused):
            send_update(engine, now, body)
        assert not kernel.files
    elif wanted is None or used < wanted:
        send_update(engine, now, body)
        assert not not_in_force(after(now, body), {Setting.MEMORY: wanted}, engine.host)
    assert not kernel.killed or (before is not None and wanted is not None and wanted >= before)


@given(
    version=VERSIONS,
    memory=MEBIBYTES,
    before=MEBIBYTES,
    swap=st.none() | st.just(-1) | st.integers(0, 2**40),
)
def test_swap_stays_what_it_was(version: str, memory: int, before: int, swap: int | None) -> None:
    """Memory and swap are one number on v1 and two on v2: what may be swapped out stays the same,
    or as large as the memory where that was the usual.
    """
    both = swap if swap is None or swap == -1 else before + swap
    kernel = Kernel(version, used=0)
    engine, now = engine_on(kernel), container(Memory=before, MemorySwap=both or 0)
    send_update(engine, now, update_body(now, {Setting.MEMORY: memory}, engine.host))
    if version == "1":
        left = kernel.files["memsw.limit_in_bytes"] - kernel.files["limit_in_bytes"]
    else:
        left = kernel.files["swap.max"]
    if swap == -1:
        assert left >= 2**61
    else:
        assert left == (memory if swap in {None, before} else swap)


@given(version=VERSIONS, memory=MEBIBYTES)
def test_a_lifted_limit_leaves_swap_without_a_limit_too(version: str, memory: int) -> None:
    """On v2 two equal numbers would leave no swap at all."""
    kernel = Kernel(version, used=0)
    engine, now = engine_on(kernel), container(Memory=memory, MemorySwap=2 * memory)
    body = update_body(now, {Setting.MEMORY: None}, engine.host)
    send_update(engine, now, body)
    assert min(kernel.files.values()) >= 2**61
    assert after(now, body).memory is None


@given(version=VERSIONS, memory=st.none() | MEBIBYTES)
def test_a_lifted_reservation_neither_reclaims_nor_protects(
    version: str, memory: int | None
) -> None:
    """What is above it is reclaimed first on v1; what is below it is spared on v2."""
    kernel = Kernel(version, used=0)
    engine = engine_on(kernel)
    now = container(Memory=memory or 0, MemoryReservation=512 * MIB)
    body = update_body(now, {Setting.RESERVATION: None}, engine.host)
    send_update(engine, now, body)
    if version == "1":
        assert kernel.files["soft_limit_in_bytes"] >= (memory or 2**62)
    else:
        assert kernel.files["low"] <= 6 * MIB
    assert not not_in_force(after(now, body), {Setting.RESERVATION: None}, engine.host)


@given(
    version=VERSIONS,
    wanted=st.fixed_dictionaries(
        {},
        optional={
            Setting.MEMORY: MEBIBYTES,
            Setting.CPUS: st.none() | st.integers(1, 400).map(lambda cents: cents / 100),
            Setting.CPUSET: st.none() | st.sampled_from(["0", "0-3", "1,3"]),
            Setting.PIDS: st.none() | st.integers(1, 2**22),
        },
    ),
)
def test_what_was_set_reads_back_equal(version: str, wanted: dict[Setting, Value]) -> None:
    """The Engine's description after an update holds what was asked for, on both versions."""
    engine, now = engine_on(Kernel(version, used=0)), container()
    body = update_body(now, wanted, engine.host)
    found = after(now, body)
    assert not not_in_force(found, wanted, engine.host)
    again = update_body(found, {what: live_value(found, what) for what in wanted}, engine.host)
    assert not not_in_force(after(found, again), wanted, engine.host)
    assert set(wanted) <= set(LIVE)


def test_a_stopped_container_may_get_any_limit() -> None:
    """Nothing of it can be killed: a rollback stops it for this."""
    kernel = Kernel("2", used=0)
    engine, now = engine_on(kernel), replace(container(Memory=512 * MIB), state="exited")
    send_update(engine, now, update_body(now, {Setting.MEMORY: 64 * MIB}, engine.host))
    assert kernel.files["max"] == 64 * MIB
