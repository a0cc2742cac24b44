"""A metrics server that speaks Prometheus' API: Prometheus, VictoriaMetrics, Thanos, Mimir."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from prometheus_api_client.prometheus_connect import PrometheusConnect
from urllib3.util.retry import Retry

from capacity._common.bounded_http import BoundedAdapter
from capacity.errors import BadAnswer, QueryRefused, SettingsError
from capacity.history._prometheus.parse import labels_of
from capacity.history._prometheus.transport import Parameter, Transport

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from capacity.settings import PrometheusSettings

__all__ = ["PrometheusSource", "Range"]


@dataclass(frozen=True)
class Range:
    """One range query: `points` samples from `start` (Unix seconds) every `step` seconds; both ends
    are inclusive.
    """

    query: str
    start: int
    step: int
    points: int

    @property
    def end(self) -> int:
        """Unix seconds of the last point."""
        return self.start + (self.points - 1) * self.step


def no_server() -> SettingsError:
    """What to say where nothing tells which metrics server to ask."""
    return SettingsError(
        "No metrics server is named",
        "Give --source URL, or set prometheus.url or [sources] in capacity.toml; "
        "`capacity collect` measures without one",
    )


class PrometheusSource:
    """Asks one server, at most `max_in_flight` range queries at a time.

    Attributes:
        client: a `PrometheusConnect` on the same authenticated session, for questions of one's own
            in a notebook.
        address: where the server is, without credentials.
    """

    def __init__(self, settings: PrometheusSettings) -> None:
        if settings.url is None:
            raise no_server()
        self._transport = Transport(settings)
        self._in_flight = settings.max_in_flight
        self.address = self._transport.address
        self.client = PrometheusConnect(
            url=self.address,
            session=self._transport.session,
            retry=Retry(total=0, redirect=5),  # the transport knows better what may be asked again
            timeout=(settings.connect_timeout, settings.read_timeout),  # type: ignore[arg-type]  # requests takes a pair
        )
        # the client has mounted one of its own on the session
        self._transport.session.mount(self.address, BoundedAdapter())

    def close(self) -> None:
        """Close the connections."""
        self._transport.session.close()

    def kind(self) -> str:
        """What answers: `prometheus`, `victoriametrics`, `mimir`, or `compatible` when it does not
        say.
        """
        try:
            info = self._data("/api/v1/status/buildinfo", {})
        except (
            BadAnswer,
            QueryRefused,
        ):  # Thanos and some proxies lack it; whether the server works shows elsewhere
            return "compatible"
        if not isinstance(info, dict):
            return "compatible"
        if "mimir" in str(info.get("application", "")).lower():
            return "mimir"
        # VictoriaMetrics answers {} or a bare version; Prometheus always names its revision
        return "prometheus" if "revision" in info else "victoriametrics"

    def metric_names(self, start: int, end: int) -> frozenset[str]:
        """Names of the metrics with samples between two times (Unix seconds)."""
        names = self._data("/api/v1/label/__name__/values", {"start": start, "end": end})
        if not isinstance(names, list):
            raise BadAnswer(f"{self.address} gave no list of metrics", "Is it a Prometheus server?")
        return frozenset(name for name in names if isinstance(name, str))

    def instant(self, query: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query at `at` (Unix seconds; default the
        server's now).
        """
        data = self._data("/api/v1/query", {"query": query} | ({} if at is None else {"time": at}))
        try:
            if data["resultType"] == "scalar":
                return [({}, float(data["result"][1]))]
            return [(labels_of(row["metric"]), float(row["value"][1])) for row in data["result"]]
        except (
            KeyError,
            TypeError,
            IndexError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:
            raise BadAnswer(
                f"{self.address} gave an unreadable instant answer ({error!r})", "Is it a proxy?"
            ) from error

    def ranges(self, asked: Iterable[Range]) -> Iterator[tuple[Range, bytes]]:
        """Bodies of range queries, as of `answers`.

        Raises:
            SourceError: the first failure; what was yielded before stays good.
        """
        for query, answer in self.answers(asked):
            yield query, answer.result()

    def answers(self, asked: Iterable[Range]) -> Generator[tuple[Range, Future[bytes]], None, None]:
        """Range queries with their bodies or failures, in the order asked, fetched by threads;
        parsing is the caller's. What is yielded may have to be waited for.

        The threads are daemons: after Ctrl-C nobody waits for an answer that the server still owes.
        Once the iterator is closed they ask nothing more, nor anything again.
        """
        waiting: list[tuple[Range, Future[bytes]]] = []
        work: SimpleQueue[tuple[Range, Future[bytes]] | None] = SimpleQueue()
        stopped = threading.Event()
        for _ in range(self._in_flight):
            threading.Thread(
                target=self._work, args=(work, stopped), name="capacity-fetch", daemon=True
            ).start()
        try:
            for query in asked:
                waiting.append((query, Future()))
                work.put(waiting[-1])
                if len(waiting) > self._in_flight:
                    yield waiting.pop(0)
            yield from waiting
        finally:
            stopped.set()
            for _ in range(self._in_flight):
                work.put(None)

    def _work(
        self, work: SimpleQueue[tuple[Range, Future[bytes]] | None], stopped: threading.Event
    ) -> None:
        while (task := work.get()) is not None:
            query, future = task
            if stopped.is_set():
                continue
            try:
                future.set_result(self._range(query, stopped))
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller gets it
                future.set_exception(error)

    def _range(self, asked: Range, stopped: threading.Event) -> bytes:
        params: dict[str, Parameter] = {
            "query": asked.query,
            "start": asked.start,
            "end": asked.end,
            "step": asked.step,
        }
        return self._transport.get("/api/v1/query_range", params, stopped)

    def _data(self, path: str, params: Mapping[str, Parameter]) -> Any:
        body = self._transport.get(path, params)
        try:
            envelope = json.loads(body)
            if envelope["status"] != "success":
                raise BadAnswer(
                    f"{self.address} answered {str(envelope)[:120]}", "Is it a Prometheus server?"
                )
            return envelope.get("data", {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            hint = "prometheus.url must be the metrics server's own address, not a proxy's page"
            raise BadAnswer(f"{self.address}{path} gave no Prometheus answer", hint) from error
