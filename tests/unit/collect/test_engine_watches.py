"""Engines come and go by themselves: what answers is collected, and keeps its counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._collect import engine_watches
from capacity._collect.engine_watches import EngineWatches
from capacity._docker.addresses import Address
from capacity._docker.engine import Engine
from capacity.errors import EngineUnreachable
from capacity.settings import EngineSettings
from tests.unit.collect.test_engine_watch import NOWHERE, Fleet

FLEETS = ("a", "b", "c")


class Wire:
    """Fleets of which some are reached, by name."""

    def __init__(self, answering: set[str]) -> None:
        self.answering = answering
        self.fleets = {name: Fleet({"id0": (f"{name}-web", "at0", 0)}) for name in FLEETS}

    @contextmanager
    def connect(self, name: str, address: Address, settings: EngineSettings) -> Iterator[Engine]:
        """As the real one."""
        del address, settings
        self._check(name)
        engine = self.fleets[name].engine()
        listed = engine.api.containers

        def containers() -> object:
            self._check(name)
            return listed()

        engine.api.containers = containers
        yield engine

    def _check(self, name: str) -> None:
        if name not in self.answering:
            raise EngineUnreachable(f"{name} does not answer", "Start it")


def watches(wire: Wire) -> EngineWatches:
    """Watches on all fleets of a wire."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_watches, "connect", wire.connect)
        return EngineWatches(
            EngineSettings(hosts={name: f"unix:///{name}.sock" for name in FLEETS}), NOWHERE
        )


def _look(made: EngineWatches, wire: Wire, at: float) -> dict[str, int]:
    """Name -> restarts of what a look found, after what was begun has ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_watches, "connect", wire.connect)
        patch.setattr(engine_watches, "_PAUSE", 0.0)
        made.looks(at)
        while not all(attempt.done() for attempt in made._attempts.values()):
            time.sleep(0.001)
        found = made.looks(at + 1)
        while not all(attempt.done() for attempt in made._attempts.values()):
            time.sleep(0.001)
    readings = [reading for look in found for reading in look.containers]
    return {reading.container.name: reading.all_restarts for reading in readings}


@settings(max_examples=25, deadline=None)
@given(st.sets(st.sampled_from(FLEETS), min_size=1), st.lists(st.sets(st.sampled_from(FLEETS))))
def test_what_answers_is_collected_and_keeps_its_counts(
    first: set[str], later: list[set[str]]
) -> None:
    """However Engines come and go, every one that answers is looked at; the counts of one that
    never went away go on whatever the others do.
    """
    wire = Wire(first)
    steady = min(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_watches, "_PAUSE", 0.0)
        made = watches(wire)
    try:
        for number, answering in enumerate([first, *later]):
            wire.answering = answering | {steady}
            wire.fleets[steady].running = {f"id{number}": (f"{steady}-web", f"at{number}", 0)}
            found = _look(made, wire, 15.0 * number)
            assert found.keys() == {f"{name}-web" for name in wire.answering}
            assert found[f"{steady}-web"] == number
    finally:
        made.close()


def test_no_engine_at_all_is_an_error() -> None:
    """A collector that begins with nobody to ask says so."""
    with pytest.raises(EngineUnreachable):
        watches(Wire(set()))


def test_an_engine_that_stays_away_is_asked_once_in_a_pause() -> None:
    """Looks come every few seconds; attempts do not."""
    wire = Wire({"a"})
    made = watches(wire)
    try:
        for at in range(20):
            made.looks(float(at))
            assert not made._attempts
    finally:
        made.close()
