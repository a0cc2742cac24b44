"""Finished reports, as files of the folder that the schedule writes to."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from capacity._monitor.web.dashboard import no_reports_page
from capacity.reporting._render.page import page_policy

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["report_routes"]

_TYPES = MappingProxyType(
    {
        ".html": "text/html",
        ".csv": "text/csv",
        ".json": "application/json",
        ".md": "text/markdown",
        ".yaml": "text/plain",
        ".yml": "text/plain",
        ".pdf": "application/pdf",
        ".parquet": "application/vnd.apache.parquet",
    }
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_INDEX = "index.html"
_RUN = "run.json"  # what tells a finished run from any other folder


def report_routes(folder: Path) -> list[Route]:
    """Routes of the index, and of the files of finished runs: `reports/2026-W48/plan.yaml`.

    Args:
        folder: where the reports are; it need not exist yet.
    """
    policy = f"{page_policy()}; base-uri 'none'; frame-ancestors 'none'"

    async def index(request: Request) -> Response:
        if request.path_params.get("name", _INDEX) != _INDEX:
            return _nothing()
        path = await run_in_threadpool(_inside, folder, _INDEX)
        return HTMLResponse(no_reports_page()) if path is None else _file(path, policy)

    async def part(request: Request) -> Response:
        run, name = request.path_params["run"], request.path_params["name"]
        path = await run_in_threadpool(_of_run, folder, run, name)
        return _nothing() if path is None else _file(path, policy)

    return [
        Route("/reports/", index),
        Route("/reports/{name}", index),
        Route("/reports/{run}/{name}", part),
    ]


def _of_run(folder: Path, run: str, name: str) -> Path | None:
    """A file of a finished run; None where there is none."""
    finished = _inside(folder, run, _RUN) is not None
    return _inside(folder, run, name) if finished else None


def _inside(folder: Path, *parts: str) -> Path | None:
    """A file that is really there, under plain names and no link that leads elsewhere."""
    if not all(_NAME.fullmatch(part) for part in parts) or Path(parts[-1]).suffix not in _TYPES:
        return None
    home = folder.resolve()
    path = home.joinpath(*parts)
    return path if path.is_file() and path.resolve() == path else None


def _file(path: Path, policy: str) -> Response:
    return FileResponse(
        path,
        media_type=_TYPES[path.suffix],
        headers={"Content-Security-Policy": policy} if path.suffix == ".html" else {},
    )


def _nothing() -> Response:
    return PlainTextResponse("There is no such report\n", 404)
