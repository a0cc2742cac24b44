"""What one look at a container's kernel counters says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters of a container since its start, and its memory now.

    Attributes:
        at: Unix seconds.
        cpu: seconds of CPU used.
        usage: bytes charged to it, page cache included.
        rss: bytes that cannot be reclaimed without swapping.
        cache: bytes of page cache; `active_file` and `inactive_file` are its parts.
        swap: bytes swapped out.
        periods: scheduler periods with a CPU limit; in `throttled` of them it was held back.
        oom_kills: processes that the kernel killed in it for memory.
        pressure: seconds that tasks waited, by `cpu_waiting`, `memory_waiting`, `memory_stalled`,
            `io_waiting`, `io_stalled`; empty where the kernel does not say.
    """

    at: float
    cpu: float
    usage: int
    rss: int = 0
    cache: int = 0
    active_file: int = 0
    inactive_file: int = 0
    swap: int = 0
    periods: int = 0
    throttled: int = 0
    oom_kills: int = 0
    pressure: Mapping[str, float] = field(default_factory=dict)

    @property
    def memory(self) -> int:
        """The working set in bytes: what is charged, without the page cache that can be dropped."""
        return max(self.usage - self.inactive_file, 0)
