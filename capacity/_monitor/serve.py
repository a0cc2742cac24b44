"""Run the monitor until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from capacity.errors import InputError, SettingsError, WorkError

if TYPE_CHECKING:
    from capacity._monitor.evaluate import MonitorTargets

__all__ = ["serve"]


def serve(watched: MonitorTargets, ready: Callable[[str], object]) -> None:
    """Listen, evaluate, tell; returns after SIGTERM or an interrupt.

    Args:
        watched: what to look at.
        ready: told the address, when nothing is left that could be wrong with what was asked.

    Raises:
        InputError: a path that does not exist.
        SettingsError: the extra `monitor` is not installed, or it would be open to others without
            credentials.
        WorkError: the port cannot be listened at.
    """
    try:
        import prometheus_client  # noqa: F401 - asked for early, so that a missing extra is told before anything starts
        import uvicorn
    except ImportError as error:
        raise SettingsError(
            f"The monitor needs {error.name}", "pip install 'capacity-notebooks[monitor]'"
        ) from error
    from capacity._monitor.background_tasks import Monitor
    from capacity._monitor.web.access import check_exposure
    from capacity._monitor.web.app import make_app
    from capacity._monitor.web.connections import BoundedProtocol

    chosen = watched.settings.monitor
    check_exposure(chosen)
    _check_paths(watched)
    watch = Monitor(watched)
    config = uvicorn.Config(
        make_app(watch),
        host=chosen.host,
        port=chosen.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=BoundedProtocol,
        ws="none",
    )
    ready(f"http://{chosen.host}:{chosen.port}")
    with _told_to_end():
        watch.start()
        try:
            uvicorn.Server(config).run()
        except SystemExit as error:  # uvicorn's way to say that it could not bind
            raise WorkError(
                f"Cannot listen at {chosen.host}:{chosen.port}",
                "Is another monitor running? Choose another --port",
            ) from error
        finally:
            watch.stop()


def _check_paths(watched: MonitorTargets) -> None:
    if missing := [str(path) for path in watched.paths if not path.exists()]:
        raise InputError(
            f"There is no {missing[0]} to watch", "Name compose files or folders with them"
        )


@contextmanager
def _told_to_end() -> Iterator[None]:
    """SIGTERM ends the process when everything has stopped: uvicorn raises it again behind its own
    end, before anything of ours could be.
    """
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    if told:
        signal.raise_signal(signal.SIGTERM)
