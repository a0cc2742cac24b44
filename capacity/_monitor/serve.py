"""Run the monitor until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from capacity._common.files import cause_of
from capacity.errors import InputError, SettingsError, WorkError

if TYPE_CHECKING:
    from capacity._monitor.evaluate import MonitorTargets

__all__ = ["serve"]

_BACKLOG = 128


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
        log_level="warning",
        access_log=False,
        server_header=False,
        http=BoundedProtocol,
        ws="none",
    )
    with _told_to_end(), closing(_listening(chosen.host, chosen.port)) as listening:
        ready(f"http://{chosen.host}:{listening.getsockname()[1]}")
        watch.start()
        try:
            uvicorn.Server(config).run([listening])
        finally:
            watch.stop()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens at the first address of a host, of `localhost` at 127.0.0.1; uvicorn
    would log in words of its own that a port is taken.

    Raises:
        WorkError: the port cannot be listened at.
    """
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, place = min(places, key=lambda found: found[0] != socket.AF_INET)
        return socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise WorkError(
            f"Cannot listen at {host}:{port}: {cause_of(error)}",
            "Is another monitor running? Choose another --port or --host",
        ) from error


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
