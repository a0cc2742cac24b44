"""Lines that prove themselves: each ends with a checksum over itself and everything before it.

Whoever may write the journal can compute the sums anew; they tell damage and edits by hand, also a
line that was moved, dropped or copied from another run. Lines of the first schema have none.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["Chain", "Verified", "verified"]

_SUM = re.compile(rb',"sum":"([0-9a-f]{64})"\}')
_SUMMED = re.compile(rb'(\{.*),"sum":"([0-9a-f]{64})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chain:
    """How far a run's journal goes: its size in bytes, the sum so far, and whether lines have
    sums.
    """

    size: int
    sum: str
    begun: bool = False

    @classmethod
    def start(cls, run: str) -> Chain:
        """Before the first line; the run's name is part of every sum."""
        return cls(0, _hash("", run.encode()))

    def sealed(self, line: bytes) -> tuple[bytes, Chain]:
        """A JSON object as a line with its sum, and the chain after it."""
        total = _hash(self.sum, line)
        whole = line[:-1] + b',"sum":"' + total.encode() + b'"}\n'
        return whole, Chain(self.size + len(whole), total, begun=True)

    def after(self, line: bytes) -> tuple[bytes, Chain] | None:
        """The JSON object of a line without its sum, and the chain after it; None where the line is
        not the one that was written here.
        """
        found = _SUMMED.fullmatch(line)
        size = self.size + len(line) + 1
        if found is None:
            # a line of the first schema; once lines have sums, all of them have
            return None if self.begun else (line, Chain(size, _hash(self.sum, line)))
        content = found[1] + b"}"
        total = _hash(self.sum, content)
        return (content, Chain(size, total, begun=True)) if total.encode() == found[2] else None


def _hash(before: str, line: bytes) -> str:
    return hashlib.sha256(before.encode() + b"\n" + line).hexdigest()


@dataclass(frozen=True, slots=True)
class Verified:
    """What of a journal can be believed.

    Attributes:
        lines: JSON objects without their sums.
        chain: after the last of them.
        broken: number of the first line that cannot be believed, 0 where there is none.
    """

    lines: tuple[bytes, ...]
    chain: Chain
    broken: int = 0


def verified(text: bytes, run: str) -> Verified:
    """The lines of a journal as far as they hold; half a line at the end, which a crash leaves, is
    none.
    """
    *whole, rest = text.split(b"\n")
    chain = Chain.start(run)
    lines: list[bytes] = []
    for number, line in enumerate(whole, start=1):
        step = chain.after(line)
        if step is None:
            return Verified(tuple(lines), chain, number)
        content, chain = step
        lines.append(content)
    ended = _SUM.search(rest)
    torn = ended is None or ended.end() == len(rest)  # behind a whole line nothing was ever written
    return Verified(tuple(lines), chain, 0 if torn else len(whole) + 1)
