"""What an Engine tells of the past: who died, and whom the kernel killed. It keeps its last 256
events only, so ask often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from capacity._docker.containers import as_an_engine
from capacity._docker.engine import Engine, engine_errors, engine_time, reading_a_stream

__all__ = ["Ends", "deaths", "last_lives", "memory_kills", "recent_ends"]

_RING = 256  # events that an Engine keeps
_MOST = 100 * _RING  # Podman keeps more


def deaths(engine: Engine, since: float, until: float) -> dict[str, list[tuple[int, float]]]:
    """Container id -> exit code and time of its deaths between two of the Engine's times, the
    oldest first.

    Args:
        engine: whom to ask.
        since: the Engine's time, Unix seconds.
        until: the same; not in its future, or the answer waits for it.

    Raises:
        EngineError: no answer.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    died = _events(engine, "die", since, until)
    with as_an_engine(engine.host.name, "tells its events"):
        for actor, when in died:
            code = int(actor["Attributes"].get("exitCode") or 0)
            found.setdefault(actor["ID"], []).append((code, when))
    return found


def last_lives(engine: Engine, since: float, until: float) -> dict[str, float]:
    """Container id -> seconds between its last death and the start before it, where the Engine
    still knows both.

    Args:
        engine: whom to ask.
        since: the Engine's time, Unix seconds.
        until: the same; not in its future, or the answer waits for it.

    Raises:
        EngineError: no answer.
    """
    ends = deaths(engine, since, until)
    starts: dict[str, list[float]] = {}
    for actor, when in _events(engine, "start", since, until):
        starts.setdefault(actor["ID"], []).append(when)
    found = {}
    for container, died in ends.items():
        last = died[-1][1]
        before = [when for when in starts.get(container, []) if when <= last]
        if before:
            found[container] = last - before[-1]
    return found


def memory_kills(engine: Engine, since: float, until: float) -> list[tuple[str, float]]:
    """Containers in which the kernel killed something for memory, with the Engine's time of it.

    The Engine's description of a container does not tell when it was a child process that died; its
    events do. It misses some where the container is gone with the process.

    Args:
        engine: whom to ask.
        since: the Engine's time, Unix seconds.
        until: the same; not in its future, or the answer waits for it.

    Raises:
        EngineError: no answer.
    """
    return [(actor["ID"], when) for actor, when in _events(engine, "oom", since, until)]


def _events(
    engine: Engine, kind: str, since: float, until: float
) -> list[tuple[dict[str, Any], float]]:
    events = _told(engine, f"{since:.6f}", f"{until:.6f}", {"event": kind, "type": "container"})
    with as_an_engine(engine.host.name, "tells its events"):
        return [
            ({**event["Actor"], "ID": str(event["Actor"]["ID"])}, event["timeNano"] / 1e9)
            for event in events
        ]


def _told(
    engine: Engine, since: str | int, until: str | int, filters: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Events between two of the Engine's times; `until` must have passed, or the Engine goes on to
    tell what happens.
    """
    with engine_errors(engine.host.name, "tell its events"), reading_a_stream(engine):
        stream = engine.api.events(since=since, until=until, filters=filters, decode=True)
        try:
            return [dict(event) for event in islice(stream, _MOST)]
        finally:
            stream.close()


@dataclass(frozen=True, slots=True)
class Ends:
    """Container id -> how often it ended in the last `minutes`; `complete` unless the ring was too
    short for them. `at` is the Engine's time of asking, Unix seconds.
    """

    minutes: int
    counts: Mapping[str, int]
    complete: bool
    at: float | None = None


def recent_ends(engine: Engine, minutes: int) -> Ends:
    """What the Engine remembers of the last minutes, by its own clock.

    Raises:
        EngineError: it does not answer.
    """
    now = engine_time(engine)
    events = _told(engine, int(now - 60 * minutes), int(now))
    ended = Counter(
        str(event.get("id"))
        for event in events
        if event.get("Type") == "container" and event.get("Action") == "die"
    )
    return Ends(minutes, dict(ended), len(events) < _RING, now)
