"""What `benchmarks.guard` measures: work of the package in sizes that take a fraction of a second,
each with the mix of reference loops that is most like it.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import pandas as pd

from benchmarks.report import END, START, make_archive
from capacity import sizing
from capacity._api import open_history
from capacity._compose import DeclaredProject, Project, load_project
from capacity._compose.declared import load_declared
from capacity.changes import MadeFrom, Plan, emit_patch, make_plan, read_plan, write_plan
from capacity.errors import CapacityError
from capacity.forecasting import Forecaster
from capacity.history._archive.archive import Archive
from capacity.model import Change, Reason, Resource
from capacity.reporting._html.html import Column, sparkline, table
from capacity.reporting._render.page import render_page
from capacity.settings import Settings, override

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Work", "all_work", "array_loop", "object_loop"]

COMPOSE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "compose"
SERVICES = 40
_RANDOM = np.random.default_rng(5)
_VALUES = _RANDOM.lognormal(0, 1, (60, 2016))
_LINES = [f"  service{number}: {{image: house/s{number}, cpus: {number}}}" for number in range(900)]
_LINE = re.compile(r"\s*(\w+): \{image: (\S+), cpus: (\d+)\}")


@dataclass(frozen=True)
class Work:
    """Some work of the package, and how often each reference loop runs beside it.

    Attributes:
        name: as the table has it.
        run: does the work once.
        arrays: runs of `array_loop` in one run of the reference.
        objects: runs of `object_loop` in one run of the reference.
    """

    name: str
    run: Callable[[], object]
    arrays: int
    objects: int

    def reference(self) -> None:
        """Do what the work is compared with once."""
        for _ in range(self.arrays):
            array_loop()
        for _ in range(self.objects):
            object_loop()


def array_loop() -> float:
    """What numpy does in forecasts and limits: sort, quantiles, and a small loop over columns."""
    ordered = np.sort(_VALUES, axis=1)
    levels = np.quantile(_VALUES, (0.5, 0.9, 0.98), axis=1)
    smooth = np.convolve(ordered.ravel(), np.ones(12) / 12, mode="same")
    total = float(smooth.sum())
    for row in levels.T.tolist():
        total += statistics.fmean(row) - min(row)
    return total


def object_loop() -> int:
    """What Python does in files and pages: match lines, fill dictionaries, sort, write text."""
    found: dict[str, dict[str, object]] = {}
    for line in _LINES:
        match = _LINE.match(line)
        if match:
            name, image, cores = match.groups()
            found[name] = {"image": image, "cpus": int(cores), "of": [*image.split("/")]}
    written = [
        f"{name}={fields['image']!s}:{fields['cpus']!s}" for name, fields in sorted(found.items())
    ]
    return len("\n".join(written))


@contextmanager
def all_work(folder: Path) -> Iterator[list[Work]]:
    """Everything that is guarded, with its inputs made in `folder`."""
    usage = _usage(3 * SERVICES)
    fitted = Forecaster(quantiles=sizing.PEAK_QUANTILES).fit(usage)
    projects = _projects()
    before, after = _plans(folder)
    declared = load_declared("shop", [folder / "compose.yaml"], folder)
    executed = _notebook(usage)
    yield [
        Work("forecast", lambda: _forecast(usage), arrays=25, objects=80),
        Work("recommend", lambda: _recommend(usage, fitted), arrays=15, objects=50),
        Work("archive", lambda: _archive(folder / "archive"), arrays=20, objects=160),
        Work("compose", lambda: _load(projects), arrays=0, objects=150),
        Work("plan", lambda: _diff(before, after, declared), arrays=0, objects=200),
        Work("page", lambda: render_page(executed, "Guard"), arrays=0, objects=150),
    ]


def _usage(services: int) -> pd.DataFrame:
    """Four weeks of hourly memory with a daily rhythm: UTC hours x services, bytes."""
    index = pd.date_range(START, END, freq="h", inclusive="left")
    rhythm = 1 + 0.3 * np.sin(2 * np.pi * np.arange(len(index)) / 24)
    base = _RANDOM.lognormal(19, 1, services)
    noise = _RANDOM.lognormal(0, 0.1, (len(index), services))
    return pd.DataFrame(
        rhythm[:, None] * base * noise,
        index=index,
        columns=[f"shop/s{number}" for number in range(services)],
    )


def _forecast(usage: pd.DataFrame) -> pd.DataFrame:
    return Forecaster(quantiles=sizing.PEAK_QUANTILES).fit(usage).predict("7D")


def _recommend(usage: pd.DataFrame, fitted: Forecaster) -> pd.DataFrame:
    """Size with a copy of a forecaster, since one remembers the peaks that it was asked for."""
    return sizing.recommend(usage, context=sizing.Context(forecaster=deepcopy(fitted)))


def _archive(folder: Path) -> float:
    """Write four weeks of services, and read them again."""
    make_archive(Archive(folder), SERVICES)
    settings = override(Settings(), "archive__path", folder)
    history = open_history("bench", as_of=END, offline=True, settings=settings)
    return float(history["memory"].max().max())


def _projects() -> list[Path]:
    """The files of the corpus that load by themselves."""
    found = []
    for file in sorted((COMPOSE / "single").glob("*.yaml")):
        try:
            load_project(file, environment={})
        except CapacityError:
            continue
        found.append(file)
    return found


def _load(files: list[Path]) -> list[Project]:
    return [load_project(file, environment={}) for file in files]


def _diff(before: Path, after: Path, declared: DeclaredProject) -> int:
    """Read two plans, and write what the later one changes in compose files as a patch."""
    old, new = read_plan(before), read_plan(after)
    patch, refused = emit_patch(new, {declared.name: declared}, declared.files[0].parent)
    if refused or old == new:
        raise RuntimeError(f"The plan could not be written as a patch: {refused}")
    return len(patch)


def _plans(folder: Path) -> tuple[Path, Path]:
    """Two plans for the services of one compose file, which is made too."""
    names = [f"s{number}" for number in range(3 * SERVICES)]
    body = "".join(f"  {name}:\n    image: house/{name}\n    cpus: 1\n" for name in names)
    (folder / "compose.yaml").write_text(f"name: shop\nservices:\n{body}")
    paths = folder / "before.yaml", folder / "after.yaml"
    for path, size in zip(paths, (512, 640), strict=True):
        write_plan(_plan(names, float(size * 2**20)), path)
    return paths


def _plan(names: list[str], limit: float) -> Plan:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return make_plan(
        [
            Change(f"shop/{name}", Resource.MEMORY, None, limit, Reason.REQUESTED, {"peak": 1.0})
            for name in names
        ],
        hosts={},
        as_of=now,
        valid_until=now + timedelta(days=7),
        made_from=MadeFrom(history="h", settings="s", code="1", files={}),
    )


def _notebook(usage: pd.DataFrame) -> NotebookNode:
    """An executed notebook with headings, tables and sparklines, as reports have them."""
    columns = [Column("Service"), Column("Peak", number=True, unit="B"), Column("Last days")]
    rows = [
        (str(name), f"{usage[name].max():.0f}", sparkline(usage[name], label=str(name)))
        for name in usage.columns[:SERVICES]
    ]
    make: Any = nbformat.v4  # has no types
    cells: list[NotebookNode] = []
    for number in range(30):
        cells.append(make.new_markdown_cell(f"## Part {number}\n\nWhat *this* shows."))
        shown = make.new_output(
            "execute_result",
            data={"text/html": table(f"Services {number}", columns, rows).source},
            execution_count=number + 1,
        )
        cells.append(make.new_code_cell("show()", outputs=[shown], execution_count=number + 1))
    made: NotebookNode = make.new_notebook(cells=cells)
    return made
