"""How often containers have ended in the last minutes, from the Engine's events: a ring of 256, so it may not reach back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from capacity.inventory.engine import Engine, engine_errors

__all__ = ["Ends", "recent_ends"]

_RING = 256


@dataclass(frozen=True, slots=True)
class Ends:
    """Container id -> how often it ended in the last `minutes`; `complete` unless the ring was too short for them."""

    minutes: int
    counts: Mapping[str, int]
    complete: bool


def recent_ends(engine: Engine, now: datetime, minutes: int) -> Ends:
    """What the Engine remembers of the last minutes.

    Raises:
        EngineError: it does not answer.
    """
    since = int((now - timedelta(minutes=minutes)).timestamp())
    with engine_errors(engine.host.name, "list its events"):
        # `until` must have passed, or the Engine goes on to tell what happens
        stream = engine.api.events(since=since, until=int(now.timestamp()), decode=True)
        try:
            events = list(stream)
        finally:
            stream.close()
    ended = Counter(str(event.get("id")) for event in events if event.get("Type") == "container" and event.get("Action") == "die")
    return Ends(minutes, dict(ended), len(events) < _RING)
