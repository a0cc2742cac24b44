"""Numbers of things in the form that English has for one of them and for several."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: float, noun: str) -> str:
    """`1 service`, `2 services`, `0 entries`; the noun is given for one of them."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
    whole = round(number)
    return f"{whole} {noun if whole == 1 else several}"
