"""A server has as much to do at once as it bears: less when it is overloaded, more again later."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from capacity.history._prometheus.client import PrometheusSource, Range
from capacity.history._prometheus.in_flight import InFlight
from capacity.settings import PrometheusSettings
from tests.fixtures.running.web_server import Answer, web

MOST, ASKED = 4, 60
SLOW, FAST = 8, 16
"""Requests from which on the server is in trouble, and well again."""


def answers_of(url: str, read_timeout: float = 180.0) -> int:
    """How many queries a server answers that has four to work on at once."""
    chosen = {"url": url, "max_in_flight": MOST, "read_timeout": read_timeout}
    source = PrometheusSource(PrometheusSettings.model_validate(chosen))
    try:
        asked = [Range("up", 60 * number, 60, 1) for number in range(ASKED)]
        return len(list(source.ranges(asked)))
    finally:
        source.close()


@given(st.integers(1, 8), st.lists(st.booleans(), max_size=60))
def test_it_halves_and_grows_within_its_bounds(most: int, answers: list[bool]) -> None:
    """Whatever comes: from one to the most; a failure halves, and many good answers bring back
    everything.
    """
    bound = InFlight(most)
    for good in answers:
        before = bound.allowed
        if good:
            bound.went_well()
            assert before <= bound.allowed <= min(before + 1, most)
        else:
            bound.overloaded()
            assert bound.allowed == max(before // 2, 1)
    for _ in range(sum(range(1, most + 1))):
        bound.went_well()
    assert bound.allowed == most


def test_threads_keep_to_it_and_none_waits_for_ever() -> None:
    """Sixteen threads, three at once; those that wait when all is over get no place."""
    bound, stopped, lock = InFlight(3), threading.Event(), threading.Lock()
    working, highest, placed = [0], [0], list[bool]()

    def work() -> None:
        with bound.place(stopped) as mine:
            placed.append(mine)
            with lock:
                working[0] += mine
                highest[0] = max(highest[0], working[0])
            stopped.wait(0.01)
            with lock:
                working[0] -= mine

    def run(before: Callable[[], object]) -> None:
        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        before()
        for thread in threads:
            thread.join(30)

    run(lambda: None)
    assert highest[0] == 3
    assert placed == [True] * 16
    with bound.place(stopped), bound.place(stopped), bound.place(stopped):
        placed.clear()
        run(stopped.set)
    assert placed == [False] * 16


def test_a_slow_server_is_asked_less_at_once_and_later_as_much_as_before() -> None:
    """Counted at the server: while each answer takes more than a quarter of the patience it has one
    query to work on, and in the end the whole budget again. Every answer comes.
    """
    seen: list[int] = []

    def answer(number: int, _: str) -> Answer:
        seen.append(server.busy)
        return Answer(seconds=0.7 if SLOW <= number < FAST else 0.15)

    with web(answer) as server:
        assert answers_of(server.url, read_timeout=2.0) == ASKED
    assert max(seen[SLOW : SLOW + MOST]) == MOST
    assert seen[SLOW + MOST : FAST] == [1] * (FAST - SLOW - MOST)
    assert max(seen[FAST:]) == max(seen) == MOST


def test_a_server_that_refuses_for_a_while_still_answers_everything() -> None:
    """A burst of 503 from something in front of it: all is asked again, and nothing is lost."""

    def answer(number: int, _: str) -> Answer:
        if SLOW <= number < FAST:
            return Answer(status=503, body=b"no upstream", headers={"Content-Type": "text/plain"})
        return Answer()

    with web(answer) as server:
        assert answers_of(server.url) == ASKED
    assert len(server.paths) == ASKED + FAST - SLOW
    assert server.at_once <= MOST
