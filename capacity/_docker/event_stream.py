"""Following an Engine's events, without a stream that never ends: it is asked for the events of one
window after the other, so that a connection that is dead shows, and so does an Engine that drips.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

from capacity._docker.containers import as_an_engine
from capacity._docker.engine import Engine, engine_errors, engine_time
from capacity.errors import EngineError

__all__ = ["WINDOW", "follow_events"]

WINDOW = 30.0
"""Seconds of events that are asked for at once."""

_EARLY = 2.0  # seconds before the end of a window
_LONGEST = 2**20  # bytes of a line; labels are part of an event
_MOST_BYTES = 2**24  # of a window
_MOST_EVENTS = 10_000  # of a window


def follow_events(
    engine: Engine,
    actions: Collection[str],
    tell: Callable[[str], object],
    opened: Callable[[Any], object] = lambda _: None,
) -> Iterator[None]:
    """Follow the events of containers, for ever; yields after each window.

    Args:
        engine: whom to ask.
        actions: that are asked for, such as `die`: health checks are many times as many.
        tell: is called with each action, such as `die` or `exec_start: sh`.
        opened: is called with each stream, so that another thread can `close` it.

    Raises:
        EngineError: no answer, one that does not end with its window, or one beyond reason.
    """
    since = engine_time(engine)
    while True:
        until = max(engine_time(engine), since) + WINDOW
        _window(engine, _asked((since, until), actions, engine), tell, opened)
        if until - engine_time(engine) > _EARLY:
            raise EngineError(
                f"Engine {engine.host.name} ended its events before their time",
                "It may be starting anew; a proxy before it must not end them",
            )
        yield
        since = until  # what happened between two windows is told by the next


def _asked(
    between: tuple[float, float], actions: Collection[str], engine: Engine
) -> dict[str, str]:
    filters = {"type": ["container"]}
    if not engine.host.podman:  # it filters by names of its own, such as `died`
        filters["event"] = sorted(actions)
    since, until = between
    return {"since": f"{since:.6f}", "until": f"{until:.6f}", "filters": json.dumps(filters)}


def _window(
    engine: Engine,
    wanted: dict[str, str],
    tell: Callable[[str], object],
    opened: Callable[[Any], object],
) -> None:
    from docker.types import CancellableStream

    from capacity._common.bounded_http import ending_within

    name, api = engine.host.name, engine.api
    patience = WINDOW + engine.timeout
    with engine_errors(name, "tell its events"), ending_within(patience):
        response = api.get(api._url("/events"), params=wanted, stream=True, timeout=patience)  # noqa: SLF001 - docker-py's own way to an address; its `events` has no bounds
        with response:
            response.raise_for_status()
            pieces = response.raw.stream(4096)
            stream = CancellableStream(pieces, response)
            opened(stream)
            for line in _lines(stream, name):
                with as_an_engine(f"Engine {name}", "tells its events"):
                    tell(str(json.loads(line)["Action"]))


def _lines(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The lines of a stream that are not empty.

    Raises:
        EngineError: longer, or more of them, than an Engine's are.
    """
    left, size, count = bytearray(), 0, 0
    for piece in pieces:
        left += piece
        size += len(piece)
        if b"\n" in piece:
            *lines, left = left.split(b"\n")
            count += len(lines)
            yield from (bytes(line) for line in lines if line.strip())
        if len(left) > _LONGEST or size > _MOST_BYTES or count > _MOST_EVENTS:
            raise EngineError(
                f"Engine {name} tells more events, or longer ones, than an Engine does",
                "Look at what answers at its address",
            )
    if left.strip():
        yield bytes(left)
