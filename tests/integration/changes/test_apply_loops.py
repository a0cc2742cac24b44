"""More memory for a container in a restart loop: whether it is enough shows only when it has
outlived its last life.
"""

from __future__ import annotations

import time

import pytest

from capacity._docker import Container, snapshot
from capacity._docker.engine import moment
from capacity.changes import apply_plan
from capacity.changes._apply import observation
from capacity.settings import Settings
from tests.fixtures.fleets.faults import LOOP, block
from tests.fixtures.running.fleet import MIB, Fleet, memory, plan_of
from tests.fixtures.running.servers import wait_for

LIFE = 1  # seconds


def grows(shop: Fleet, mib: int) -> None:
    """A container that takes so much memory some seconds after each start, has 16 MiB, and is tried
    again and again.
    """
    shell, option, script = block(mib)
    shop.run(
        "late",
        [shell, option, f"sleep {LIFE}; {script}"],
        mem_limit=16 * MIB,
        memswap_limit=16 * MIB,
        **LOOP,
    )


def late(settings: Settings) -> Container:
    """The container as it is."""
    (found,) = snapshot(settings.engine).of("standalone/late")
    return found


def in_pause(settings: Settings) -> Container:
    """Wait until the Engine pauses for more than a second before its next try."""

    def pauses() -> Container | None:
        found = late(settings)
        return found if found.state == "restarting" and found.restart_count >= 5 else None

    return wait_for(pauses, "a long pause")


def test_too_little_memory_is_found_out_after_the_pause(shop: Fleet) -> None:
    """It waits for its next try when the observation is over: it is awaited, killed again, and has
    its former limit back.
    """
    grows(shop, 30)
    settings = shop.settings(observe=0.5)
    in_pause(settings)
    (done,) = apply_plan(plan_of(memory("standalone/late", 16, 20)), settings).outcomes
    assert done.state == "failed"
    assert (
        "late was killed for memory" in done.reason
        or "late restarted (exit code 137)" in done.reason
    )
    assert late(settings).memory == 16 * MIB


def test_enough_memory_is_good_once_the_last_life_is_outlived(shop: Fleet) -> None:
    """The run ends not before it has lived half as long again as the last time, and the limit
    stays.
    """
    grows(shop, 30)
    settings = shop.settings(observe=0.5)
    in_pause(settings)
    (done,) = apply_plan(plan_of(memory("standalone/late", 16, 64)), settings).outcomes
    assert (done.state, done.reason) == ("done", "")
    found = late(settings)
    assert (found.state, found.memory) == ("running", 64 * MIB)
    assert time.time() - moment(found.started_at) > 1.5 * LIFE


def test_a_try_that_is_under_way_is_awaited_too(shop: Fleet) -> None:
    """It runs when the change comes; how long it lived before is in the Engine's events."""
    grows(shop, 30)
    settings = shop.settings(observe=0.5)
    pause = in_pause(settings)
    wait_for(lambda: late(settings).state == "running" or None, "its next try")
    assert late(settings).restart_count == pause.restart_count
    (done,) = apply_plan(plan_of(memory("standalone/late", 16, 20)), settings).outcomes
    assert done.state == "failed"
    assert late(settings).memory == 16 * MIB


def test_the_wait_has_an_end(shop: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose pause is longer than the bound is not awaited for ever; a service that
    never died is not at all.
    """
    grows(shop, 30)
    shop.run("calm", mem_limit=32 * MIB, memswap_limit=64 * MIB)
    settings = shop.settings(observe=0.5)
    began = time.monotonic()
    apply_plan(plan_of(memory("standalone/calm", 32, 48)), settings)
    assert time.monotonic() - began < 3
    in_pause(settings)
    monkeypatch.setattr(observation, "OUTLIVE_AT_MOST", 1.0)
    began = time.monotonic()
    (done,) = apply_plan(plan_of(memory("standalone/late", 16, 20)), settings).outcomes
    assert (done.state, time.monotonic() - began < 4) == ("done", True)
