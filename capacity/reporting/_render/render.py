"""One report from end to end: fetch, run the notebook, render the page, put the files in place."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from capacity import _api
from capacity._common.bundled import bundled
from capacity._common.files import digest, making_folder, storage_error, write_text
from capacity._common.plain_data import PlainMapping
from capacity.changes import is_edited, read_plan
from capacity.errors import InputError, NoHistory, ReportError
from capacity.model import Resource
from capacity.reporting import compliance, monthly, quarterly, weekly
from capacity.reporting._render.notebook import run_notebook
from capacity.reporting._render.notebook_libraries import nbformat
from capacity.reporting._render.page import index_page, render_page
from capacity.reporting._runs import iso_week, list_reports, make_folder, run_folder, write_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from capacity._common.progress import Progress
    from capacity.settings import Settings

__all__ = [
    "COMPLIANCE",
    "KINDS",
    "MONTHLY",
    "QUARTERLY",
    "WEEKLY",
    "Finished",
    "ReportKind",
    "render",
]


@dataclass(frozen=True)
class ReportKind:
    """A report: its name in files, its notebook, its title, how a run is named after its end, and
    the window it looks at where that is not the settings'.
    """

    report: str
    notebook: str
    title: str
    name: Callable[[pd.Timestamp], str]
    window: str | None = None


WEEKLY = ReportKind(weekly.REPORT, "weekly_resources", "Weekly resources", iso_week)
MONTHLY = ReportKind(
    monthly.REPORT, "monthly_optimization", "Monthly optimization", monthly.month_name
)
COMPLIANCE = ReportKind(compliance.REPORT, "weekly_compliance", "Weekly compliance", iso_week)
QUARTERLY = ReportKind(
    quarterly.REPORT,
    "quarterly_architecture",
    "Quarterly architecture",
    quarterly.quarter_name,
    quarterly.WINDOW,
)
KINDS = (WEEKLY, COMPLIANCE, MONTHLY, QUARTERLY)


@dataclass(frozen=True)
class Finished:
    """A finished report.

    Attributes:
        page: the report.
        folder: of its run.
        seconds: how long it took.
        unread: projects that could not be read and are therefore not judged, with the reason.
    """

    page: Path
    folder: Path
    seconds: float
    unread: tuple[str, ...] = ()


def render(
    kind: ReportKind,
    settings: Settings,
    *,
    source: str | None,
    as_of: str | pd.Timestamp | None = None,
    out: Path = Path("reports"),
    services: str = "",
    offline: bool = False,
    refresh: bool = False,
    config: Path | None = None,
    progress: Progress | None = None,
    more: PlainMapping | None = None,
) -> Finished:
    """Render a report into `out/<ISO week, month or quarter>/`.

    The history is fetched first, so that the notebook works from the archive and a server's failure
    is told as such. Everything is made in a temporary folder beside its place and moved there when
    it is whole.

    Args:
        kind: which report.
        settings: rules of the settings, and where history comes from.
        source: `sample`, an address, or a source of the archive; None = of the settings.
        as_of: end of the window; default now.
        out: folder of all reports.
        services: glob; empty = all.
        offline: use the archive alone.
        refresh: ask the server again for days that are final.
        config: the settings file, for the notebook.
        progress: told about each fetched day.
        more: further parameters of the notebook.

    Raises:
        CapacityError: see the error tree; a failed run leaves `<report>.failed.ipynb` in the run's
            folder.
    """
    began = time.monotonic()
    make_folder(out)
    window = _api.prepare_window(
        settings,
        source=source,
        as_of=as_of,
        window=kind.window,
        offline=offline,
        refresh=refresh,
        progress=progress,
    )
    origin = _source_of(window, settings, services)
    place = run_folder(out, kind.report, kind.name(window.end), origin, services)
    failed = place / f"{kind.report}.failed.ipynb"
    try:
        with making_folder(out) as folder:
            parameters: PlainMapping = {
                "source": window.source,
                "as_of": window.end.isoformat(),
                "services": services,
                "offline": window.source != "sample",
                "config": str(config.resolve()) if config else "",
                "output": str(folder.resolve()),
                "reports": str(out.resolve()),
                **(more or {}),
            }
            title = f"{kind.title} {kind.name(window.end)}"
            _make(kind, folder, title, parameters, failed, settings.report.timeout)
            unread = _put_in_place(kind, folder, place)
    except OSError as error:
        if error.errno is None:  # no failure of the system, but a library's own error in that class
            raise
        raise storage_error(place, error) from error
    failed.unlink(missing_ok=True)
    index = index_page([run for each in KINDS for run in list_reports(out, each.report)])
    write_text(out / "index.html", index)
    finished = place / f"{kind.report}.html"
    return Finished(finished, place, time.monotonic() - began, unread)


def _make(
    kind: ReportKind,
    folder: Path,
    title: str,
    parameters: PlainMapping,
    failed: Path,
    timeout: float,
) -> None:
    """Run the notebook, and leave it and its page in a folder; one that fails is kept as
    `failed`.
    """
    notebook = bundled(f"notebooks/{kind.notebook}.ipynb")
    executed = run_notebook(notebook, parameters, failed=failed, timeout=timeout)
    nbformat.write(executed, folder / f"{kind.report}.ipynb")  # type: ignore[no-untyped-call]  # nbformat has no types
    page = render_page(executed, title)
    (folder / f"{kind.report}.html").write_text(page, encoding="utf-8")


def _source_of(window: _api.ArchivedWindow, settings: Settings, services: str) -> str:
    """The source as its history names it. An empty window is told as such, before a kernel starts.

    The last day is enough where it has samples; all other frames are the notebook's to hold.
    """
    usage = [resource.usage for resource in Resource]
    last_day = replace(window, start=max(window.start, window.end - pd.Timedelta("1D")))
    try:
        return last_day.load(settings, signals=usage, services=services).source
    except (NoHistory, InputError):  # nothing in it, or nothing that matches
        days = pd.Timedelta(days=settings.report.window_days)
        newest = replace(window, start=max(window.start, window.end - days))
        return newest.load(settings, signals=usage, services=services).source


def _keep_edited(plan: Path, written: str | None) -> None:
    """A plan that a person has edited is not overwritten: it moves aside as `plan.edited.yaml`.

    Args:
        plan: the file, or none.
        written: digest of what the last run wrote; None = unknown.
    """
    if not plan.is_file() or digest(plan.read_bytes()) == written:
        return  # thousands of changes take seconds to read
    try:
        edited = is_edited(read_plan(plan))
    except InputError:
        edited = True
    if edited:
        plan.replace(plan.with_name(f"{plan.stem}.edited.yaml"))


def _put_in_place(kind: ReportKind, made: Path, place: Path) -> tuple[str, ...]:
    """Move the finished files, the page last: where the page is, everything is. The projects that
    it could not read.
    """
    facts_file = made / "run.json"
    if not facts_file.is_file():
        raise ReportError("The notebook wrote no run.json", "Was its last cell changed?")
    facts = json.loads(facts_file.read_text(encoding="utf-8"))["reports"][kind.report]
    place.mkdir(parents=True, exist_ok=True)
    runs = [run for run in list_reports(place.parent, kind.report) if run.folder == place]
    written = runs[0].facts.get("plans", {}) if runs else {}
    plans = {plan.name: digest(plan.read_bytes()) for plan in made.glob("*plan.yaml")}
    for name in plans:
        _keep_edited(place / name, written.get(name))
    write_run(place, kind.report, {**facts, "plans": plans})
    facts_file.unlink()
    for file in sorted(made.iterdir(), key=lambda path: (path.suffix == ".html", path.name)):
        if file.is_file():
            file.replace(place / file.name)
        else:
            shutil.rmtree(file)
    return tuple(facts.get("unread", ()))
