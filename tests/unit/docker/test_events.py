"""Events are asked for by the clock of the Engine that has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.engine import Engine
from capacity._docker.events import recent_ends
from tests.fixtures.fleets.containers import HOST


class _Stream:
    """Events with a close."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._events)

    def close(self) -> None:
        """As docker-py's."""


@given(st.integers(-86400, 86400), st.integers(1, 60), st.lists(st.integers(0, 7200)))
def test_ends_are_counted_by_the_engines_clock(ahead: int, minutes: int, ages: list[int]) -> None:
    """However wrong its clock goes, what it says ended in its own last minutes is counted."""
    clock = datetime(2026, 11, 29, tzinfo=UTC) + timedelta(seconds=ahead)
    now = int(clock.timestamp())

    def events(since: int, until: int, **_: Any) -> _Stream:
        found = {"Type": "container", "Action": "die", "id": "x"}
        return _Stream([found for age in ages if since <= now - age <= until])

    api = SimpleNamespace(events=events, info=lambda: {"SystemTime": clock.isoformat()})
    ends = recent_ends(Engine(HOST, api), minutes)
    assert ends.counts.get("x", 0) == sum(age <= 60 * minutes for age in ages)
