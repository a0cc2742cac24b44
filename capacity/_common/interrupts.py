"""An interrupt that somebody else has made another error of."""

from __future__ import annotations

__all__ = ["is_interrupt"]


def is_interrupt(error: BaseException | None) -> bool:
    """Whether an error is an interrupt, or was caused by one: Python 3.11 makes a `RuntimeError` of
    one that comes while a class is made, and libraries an `ImportError` while they are loaded.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__
    return False
