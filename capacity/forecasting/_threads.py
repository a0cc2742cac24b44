"""One thread of linear algebra for as long as anyone needs it, whoever else does at the same time.

Our matrices are small: idle threads of BLAS would spin on the cores of our own, and sums that are
split among threads round in another order, so that two runs would differ in the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["single_threaded"]

_lock = threading.Lock()
_inside = 0
_limits: list[threadpool_limits] = []
"""Set since anyone is inside: one each, since a library may have been loaded in between."""


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit BLAS to one thread until the last of all who are inside has left, and OpenMP inside.

    The limit of BLAS is the process's: if each restored what it found, the first to leave would
    take it from the others. That of OpenMP is each thread's own.
    """
    global _inside  # noqa: PLW0603 - as the limit itself, it is the process's
    with _lock:
        _inside += 1
        _limits.append(threadpool_limits(limits=1, user_api="blas"))
    try:
        with threadpool_limits(limits=1, user_api="openmp"):
            yield
    finally:
        with _lock:
            _inside -= 1
            while not _inside and _limits:
                _limits.pop().restore_original_limits()
