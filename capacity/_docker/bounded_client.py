"""docker-py's client for an Engine that may misbehave: every answer ends, in time and in length."""

from __future__ import annotations

from typing import Any

import requests
from docker import APIClient
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

from capacity._common.bounded_http import (
    BoundedAdapter,
    Deadline,
    OutOfBounds,
    Watched,
    ending_within,
    read_body,
)

__all__ = ["BoundedClient"]

_MOST_BYTES = 2**28  # the logs of a container, in the lines that are asked for
_SOCKET = "http+docker://"


class BoundedClient(APIClient):  # type: ignore[misc]  # docker-py has no types
    """The low-level client; answers that are not streamed are bounded, redirects not followed."""

    def __init__(self, base_url: str, connections: int, reads: float, **more: Any) -> None:
        """Connect to nothing yet.

        Args:
            base_url: of the Engine.
            connections: kept open.
            reads: an answer may take so many times what one read may.
            more: of docker-py's client.
        """
        super().__init__(base_url, max_pool_size=connections, **more)
        self._reads = reads
        if self.base_url.startswith(_SOCKET):
            socket_url = base_url.replace("unix://", "http+unix://", 1)
            self._custom_adapter = _UnixAdapter(socket_url, self.timeout, max_pool_size=connections)
            self.mount(_SOCKET, self._custom_adapter)
        else:
            for scheme in ("http://", "https://"):
                self.mount(scheme, BoundedAdapter(pool_maxsize=connections))

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        """The answer to one request; of a stream only its headers are bounded.

        Raises:
            requests.RequestException, TimeoutError: no answer, one that does not end, or one
                beyond reason.
        """
        streamed, wait = more.pop("stream", False), _seconds(more.get("timeout"))
        more["allow_redirects"] = False  # to another server than the one that is trusted
        response: requests.Response
        if wait is None:
            response = super().send(request, stream=streamed, **more)
            return response
        with ending_within(self._reads * wait, idle=3 * wait) as deadline:
            response = super().send(request, stream=True, **more)
            if not streamed:
                with response:
                    body = _body(response, deadline, wait)
                vars(response).update(_content=body, _content_consumed=True)  # as `requests` does
        return response


def _body(response: requests.Response, deadline: Deadline, wait: float) -> bytes:
    """What an answer holds, decoded."""
    try:
        return read_body(response, deadline, wait, _MOST_BYTES)
    except OutOfBounds as error:
        raise requests.exceptions.ContentDecodingError(f"its answer {error}") from error


def _seconds(timeout: float | tuple[float, float] | None) -> float | None:
    """What a single read may take."""
    return timeout[1] if isinstance(timeout, tuple) else timeout


class _UnixConnection(Watched, UnixHTTPConnection):  # type: ignore[misc]  # the same
    def connect(self) -> None:
        super().connect()
        self.watch(self.sock)


class _UnixPool(UnixHTTPConnectionPool):  # type: ignore[misc]  # the same
    def _new_conn(self) -> _UnixConnection:
        return _UnixConnection(self.base_url, self.socket_path, self.timeout)


class _UnixAdapter(UnixHTTPAdapter):  # type: ignore[misc]  # the same
    def get_connection(self, url: str, proxies: Any = None) -> Any:  # noqa: ARG002 - requests gives it
        """The pool of the Engine's socket."""
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = _UnixPool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
                self.pools[url] = pool
        return pool
