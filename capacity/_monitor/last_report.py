"""What the last weekly report recommends and expects, as its table beside the page says."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from capacity._common.text.escape import from_csv_cell
from capacity.history._archive.records import plain_address
from capacity.model import Resource
from capacity.reporting._render.files import EVERY_LIMIT, PEAK_P95
from capacity.reporting._runs import ReportRun, list_reports

if TYPE_CHECKING:
    from capacity.settings import Settings

__all__ = ["LastReport", "last_report"]

_REPORT = "weekly-resources"
_SAMPLE = "sample"
_log = logging.getLogger("capacity")
_Files = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class LastReport:
    """Numbers of a finished report; cores or bytes, by service.

    Attributes:
        as_of: end of its window, Unix seconds.
        limits: resource -> service -> recommended limit.
        peaks: resource -> service -> 95 % quantile of the forecast peak.
    """

    as_of: float
    limits: Mapping[Resource, Mapping[str, float]] = field(default_factory=dict)
    peaks: Mapping[Resource, Mapping[str, float]] = field(default_factory=dict)


def last_report(settings: Settings) -> LastReport | None:
    """The newest weekly report of the whole fleet in `schedule.reports`, of the metrics server of
    the settings where one is named; None without one. It is read again when a run is written.
    """
    address = settings.prometheus.url
    folder = settings.schedule.reports
    source = plain_address(str(address)) if address is not None else ""
    return _read(folder.absolute(), source, _written(folder))


def _written(folder: Path) -> _Files:
    """The finished runs and when they were written."""
    found = []
    for file in sorted(folder.glob("*/run.json")):
        try:
            found.append((file.parent.name, file.stat().st_mtime_ns))
        except OSError as error:  # replaced at this moment; the next look finds it
            _log.info("%s cannot be looked at (%r)", file, error)
    return tuple(found)


@lru_cache(maxsize=4)
def _read(folder: Path, source: str, written: _Files) -> LastReport | None:
    """The same of runs that are known."""
    del written
    runs = [run for run in list_reports(folder, _REPORT) if _is_of_fleet(run, source)]
    return _numbers(runs[-1]) if runs else None


def _is_of_fleet(run: ReportRun, source: str) -> bool:
    seen = str(run.facts.get("source", ""))
    return not run.facts.get("services") and (seen == source if source else seen != _SAMPLE)


def _numbers(run: ReportRun) -> LastReport:
    limits: dict[Resource, dict[str, float]] = {resource: {} for resource in Resource}
    peaks: dict[Resource, dict[str, float]] = {resource: {} for resource in Resource}
    path = run.folder / EVERY_LIMIT
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                resource, service = Resource(row["resource"]), from_csv_cell(row["service"])
                for found, name in ((limits, "limit"), (peaks, PEAK_P95)):
                    value = float(row.get(name) or "nan")
                    if math.isfinite(value):
                        found[resource][service] = value
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        _log.warning("The limits of the last report cannot be read: %s: %r", path, error)
    return LastReport(run.as_of.timestamp(), limits, peaks)
