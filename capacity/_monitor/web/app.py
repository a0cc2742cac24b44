"""The monitor's web face: dashboard, finished reports, health, metrics, a JSON interface, and the
webhook that proves alert delivery.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from capacity._common.plain_data import Plain
from capacity._monitor.metrics import exposition
from capacity._monitor.state import now
from capacity._monitor.web import json_api
from capacity._monitor.web.access import Guard
from capacity._monitor.web.dashboard import page, runbook_page
from capacity._monitor.web.report_files import report_routes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from capacity._monitor.background_tasks import Monitor

__all__ = ["make_app"]

_LARGEST_BODY = 1 << 20
_BODY_SECONDS = 10.0
_MOST_KEPT = 20
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Kept:
    """What was rendered of an evaluation, rendered once however many ask."""

    def __init__(self, watch: Monitor) -> None:
        self.watch = watch
        self._version, self._texts = -1, dict[str, str]()
        self._one_at_a_time = threading.Lock()

    def text(self, name: str, render: Callable[[], str]) -> str:
        with self._one_at_a_time:
            if self._version != self.watch.version or len(self._texts) > _MOST_KEPT:
                self._version, self._texts = self.watch.version, {}
            if name not in self._texts:
                self._texts[name] = render()
            return self._texts[name]


def make_app(watch: Monitor) -> Starlette:
    """The application over a watch, which the caller starts and stops."""
    kept = _Kept(watch)
    return Starlette(
        routes=[
            *_pages(watch, kept),
            *_state(watch, kept),
            *report_routes(watch.watched.settings.schedule.reports),
            *_json_interface(watch, kept),
        ],
        middleware=[Middleware(Guard, settings=watch.watched.settings.monitor)],
    )


def _pages(watch: Monitor, kept: _Kept) -> list[Route]:
    """What people read: the dashboard, and the runbooks that it links to."""

    async def root(_: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(kept.text, "page", lambda: page(watch)))

    async def explained(request: Request) -> Response:
        found = await run_in_threadpool(runbook_page, request.path_params["code"])
        return (
            PlainTextResponse("There is no such runbook\n", 404)
            if found is None
            else HTMLResponse(found)
        )

    return [Route("/", root), Route("/runbooks/{code}", explained)]


def _state(watch: Monitor, kept: _Kept) -> list[Route]:
    """What other servers ask of this one: health, readiness and metrics."""

    async def health(_: Request) -> Response:
        problems = watch.problems(now())
        told = {
            "status": "fail" if problems else "ok",
            "problems": problems,
            "not_heard": sorted(watch.events.trouble),  # an Engine that is down, not this monitor
        }
        return JSONResponse(told, 503 if problems else 200)

    async def ready(_: Request) -> Response:
        done = watch.evaluation is not None
        return JSONResponse({"status": "ready" if done else "not yet"}, 200 if done else 503)

    async def metrics(_: Request) -> Response:
        second = f"metrics {time.monotonic():.0f}"  # ages move on, but not within a second
        return PlainTextResponse(
            await run_in_threadpool(kept.text, second, lambda: exposition(watch)),
            media_type=_CONTENT_TYPE,
        )

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]


def _json_interface(watch: Monitor, kept: _Kept) -> list[Route]:
    """Views of the last evaluation, their description, and the webhook for Alertmanager."""

    async def document(_: Request) -> Response:
        return JSONResponse(json_api.openapi())

    async def alerts(request: Request) -> Response:
        return _received(watch, await _body(request))

    made = {"findings": json_api.findings, "services": json_api.services, "plan": json_api.plan}
    views = [(f"/api/v1/{name}", _view(watch, kept, name, make)) for name, make in made.items()]
    return [
        *(Route(path, view) for path, view in views),
        Route("/api/v1/openapi.json", document),
        Route("/api/v1/alerts", alerts, methods=["POST"]),
    ]


def _view(
    watch: Monitor, kept: _Kept, name: str, make: Callable[[Monitor], dict[str, Plain]]
) -> Callable[[Request], Awaitable[Response]]:
    """A JSON view of the last evaluation."""

    async def answer(_: Request) -> Response:
        if watch.evaluation is None:
            return JSONResponse(
                {"error": "nothing has been evaluated yet"}, 503, {"Retry-After": "5"}
            )
        text = await run_in_threadpool(
            kept.text, name, lambda: json.dumps(make(watch), allow_nan=False)
        )
        return Response(text, media_type="application/json")

    return answer


def _received(watch: Monitor, body: bytes | None) -> Response:
    """What to say to Alertmanager."""
    if body is None:
        return JSONResponse({"error": "the body is too large"}, 413)
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return JSONResponse({"error": "no JSON"}, 400)
    if not isinstance(said, dict) or not isinstance(said.get("alerts"), list):
        return JSONResponse({"error": "no webhook body of Alertmanager"}, 400)
    return JSONResponse({"received": len(said["alerts"]), "probes": watch.prober.received(body)})


async def _body(request: Request) -> bytes | None:
    """The body, unless it is larger than any honest one."""
    body = b""
    async with asyncio.timeout(_BODY_SECONDS):
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                return None
    return body
