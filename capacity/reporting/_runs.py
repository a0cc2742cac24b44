"""The folders of finished runs: `reports/2026-W48/` and the page that lists them all."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, TypedDict

import pandas as pd

from capacity._common.files import storage_error, write_text
from capacity.errors import StorageError
from capacity.model import Resource

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FleetState",
    "ReportRun",
    "RuleState",
    "RunFacts",
    "ServiceState",
    "iso_week",
    "list_reports",
    "make_folder",
    "previous_run",
    "proposed",
    "read_forecast",
    "run_folder",
    "write_run",
]

_log = logging.getLogger("capacity")
_HALF_WEEK = pd.Timedelta("3.5D")


Proposed = tuple[float | None, float | None, str]
"""The limit in force and the proposed one, None without one, and the action."""


class ServiceState(TypedDict, total=False):
    """What a service was like; a list stands for `Proposed` once it was on disk."""

    running: bool
    cpu: Proposed
    memory: Proposed


class FleetState(TypedDict, total=False):
    """What a fleet was like."""

    services: dict[str, ServiceState]


class RunFacts(TypedDict, total=False):
    """The parts of a report's `run.json` that later runs read; one kind of report has not all."""

    name: str
    as_of: str
    source: str
    services: str
    verdict: str
    changes: int
    score: float | None
    settings: dict[str, object]
    state: FleetState
    headline: list[str]
    failing: list[list[str]]
    rules: dict[str, RuleState]
    plans: dict[str, str]  # file name -> SHA-256 of what was written


class RuleState(TypedDict, total=False):
    """What a rule asked for and how many subjects broke it."""

    slug: str
    severity: str
    asks: str
    failing: int


def proposed(service: ServiceState, resource: Resource) -> Proposed:
    """What a service was proposed; nothing where it was not known."""
    known = service.get("cpu") if resource is Resource.CPU else service.get("memory")
    return known or (None, None, "")


@dataclass(frozen=True)
class ReportRun:
    """A finished run of one report.

    Attributes:
        folder: where its files are.
        report: `weekly-resources`.
        as_of: end of its window, UTC.
        facts: what its `run.json` says.
    """

    folder: Path
    report: str
    as_of: pd.Timestamp
    facts: RunFacts

    @property
    def state(self) -> FleetState:
        """What the fleet was like: limits in force, proposals, services."""
        state = self.facts.get("state", {})
        return state if isinstance(state, dict) else {}


def iso_week(as_of: pd.Timestamp) -> str:
    """Name of the ISO week of a moment: `2026-W48`."""
    year, week, _ = as_of.isocalendar()
    return f"{year}-W{week:02d}"


def list_reports(folder: Path, report: str) -> list[ReportRun]:
    """Finished runs of a report in a reports folder, oldest first. Unreadable ones are left out and
    logged.
    """
    runs = []
    for file in sorted(folder.glob("*/run.json")):
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))["reports"][report]
            runs.append(ReportRun(file.parent, report, pd.Timestamp(facts["as_of"]), facts))
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.info("%s holds no run of %s (%r)", file, report, error)
    return sorted(runs, key=lambda run: run.as_of)


def run_folder(folder: Path, report: str, period: str, source: str, services: str) -> Path:
    """Where a run belongs: `2026-W48`, for a choice of services `2026-W48-shop`, for a second
    source of the week `2026-W48-lab`, with a number behind where that is taken too.

    A run replaces an earlier one of the same period, source and choice, and never another.
    """
    name = period + (f"-{_slug(services)}" if services else "")
    owners = {
        run.folder.name: (run.facts.get("source"), run.facts.get("services", ""))
        for run in list_reports(folder, report)
    }
    second = f"{name}-{_slug(source)}"
    names = chain((name, second), (f"{second}-{number}" for number in count(2)))
    own = (source, services)
    return folder / next(known for known in names if owners.get(known, own) == own)


def _slug(text: str) -> str:
    readable = re.sub(r"[^a-zA-Z0-9.]+", "-", text.partition("://")[2] or text).strip("-.")[:40]
    # two globs may read alike
    return (
        f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:4]}"
        if re.search(r"[^a-zA-Z0-9./*-]", text)
        else readable or "all"
    )


def previous_run(
    folder: Path, report: str, as_of: pd.Timestamp, source: str, services: str = ""
) -> ReportRun | None:
    """The latest run of the same source and choice of services that ended at least half a week
    before `as_of`.
    """
    earlier = [
        run
        for run in list_reports(folder, report)
        if run.as_of <= as_of - _HALF_WEEK
        and (run.facts.get("source"), run.facts.get("services", "")) == (source, services)
    ]
    return earlier[-1] if earlier else None


def read_forecast(run: ReportRun) -> pd.DataFrame | None:
    """The stored forecast of a run: columns time, service, resource, q0.1 ... ; None when it is not
    readable.
    """
    path = run.folder / "forecast.parquet"
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        _log.warning("The forecast of the last run cannot be read: %s: %s", path, error)
        return None


def write_run(folder: Path, report: str, facts: Mapping[str, object]) -> None:
    """Add a report's facts to the `run.json` of a run's folder, keeping those of other reports.

    Raises:
        StorageError: the file cannot be written.
    """
    path = folder / "run.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError):
        known = {}
    reports = known.get("reports") if isinstance(known, dict) else None
    content = {"reports": {**(reports if isinstance(reports, dict) else {}), report: facts}}
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_text(path, text)


def make_folder(path: Path) -> None:
    """Make a folder that can be written to.

    Raises:
        StorageError: it cannot be made, is no folder, or refuses a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".capacity-probe"
        probe.write_bytes(b"")
        probe.unlink()
    except FileExistsError as error:
        raise StorageError(
            f"{path} is a file, not a folder", "Name another folder with --out"
        ) from error
    except OSError as error:
        raise storage_error(path, error) from error
