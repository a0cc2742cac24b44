"""One thread of linear algebra while anyone needs it."""

from __future__ import annotations

import threading

from threadpoolctl import threadpool_info, threadpool_limits

from capacity.forecasting._threads import single_threaded


def threads(kind: str = "blas") -> list[int]:
    """How many threads each loaded library of a kind may use, asked by this thread."""
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == kind]


def test_the_first_to_leave_takes_the_limit_from_nobody() -> None:
    """Two overlap, whoever came first leaves first: one thread until both have left."""
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with single_threaded():
            entered.set()
            leave.wait(10)

    with threadpool_limits(2):
        before = threads()
        other = threading.Thread(target=stay)
        other.start()
        assert entered.wait(10)
        with single_threaded():
            leave.set()
            other.join()
            assert set(threads()) == {1}
        assert threads() == before


def test_nested_limits_end_with_the_outer_one() -> None:
    """What is inside of another leaves the limit to it."""
    import sklearn.ensemble  # noqa: F401 - loads OpenMP

    with threadpool_limits(2):
        before = [threads(kind) for kind in ("blas", "openmp")]
        with single_threaded():
            with single_threaded():
                assert {*threads(), *threads("openmp")} == {1}
            assert {*threads(), *threads("openmp")} == {1}
        assert [threads(kind) for kind in ("blas", "openmp")] == before
