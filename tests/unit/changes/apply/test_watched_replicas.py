"""The watch compares every replica with itself, whatever order the Engine lists them in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.containers import Container
from capacity._docker.engine import Engine
from capacity.changes._apply import observation
from capacity.changes._apply.observation import WatchedStep, wrong
from capacity.changes._journal.models import ContainerBefore
from tests.fixtures.fleets.containers import HOST, container
from tests.unit.changes.apply.test_remaining_changes import LIMIT, step

REPLICAS = (1, 2, 3)


def replica(number: int, **more: Any) -> Container:
    """One of three, each with a start and a count of restarts of its own."""
    return container(
        f"web-{number}", replica=number, restart_count=number, started_at=f"at{number}", **more
    )


def _wrong(now: list[Container]) -> str:
    """What the watch says of a live change after which an Engine answers so."""
    was = tuple(replica(number) for number in REPLICAS)
    entry = step(LIMIT, "here", [])
    intent = entry.model_copy(
        update={
            "detail": entry.detail.model_copy(
                update={"containers": tuple(ContainerBefore.of(each) for each in was)}
            )
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observation, "current_containers", lambda *_: now)
        return wrong(WatchedStep(intent, Engine(HOST, None), was, None))


@given(st.permutations(REPLICAS))
def test_the_order_of_the_answer_says_nothing(order: list[int]) -> None:
    """Nothing went wrong with any of them."""
    assert _wrong([replica(number) for number in order]) == ""


@given(st.permutations(REPLICAS), st.sampled_from(REPLICAS))
def test_a_replica_that_is_missing_is_named(order: list[int], gone: int) -> None:
    """And no other is compared with its state."""
    now = [replica(number) for number in order if number != gone]
    assert _wrong(now) == f"web-{gone} does not exist any more"


@given(st.permutations(REPLICAS), st.sampled_from(REPLICAS))
def test_a_replica_that_was_killed_is_named(order: list[int], killed: int) -> None:
    """It alone."""
    now = [replica(number, oom_killed=number == killed) for number in order]
    assert _wrong(now) == f"web-{killed} was killed for memory"
