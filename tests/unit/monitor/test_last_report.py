"""The numbers of the last report that the monitor exports."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets
from capacity._monitor.last_report import last_report
from capacity._monitor.metrics import exposition
from capacity._monitor.state import Evaluation, now
from capacity.compliance import Facts
from capacity.model import Resource
from capacity.reporting._exports import as_csv
from capacity.reporting._render.files import EVERY_LIMIT, PEAK_P95
from capacity.reporting._runs import write_run
from capacity.settings import Settings

SERVER = "http://prometheus:9090"


def settings_of(reports: Path, url: str | None = None) -> Settings:
    """Settings that name the folder of reports, and perhaps a server."""
    server = {"prometheus": {"url": url}} if url else {}
    return Settings.model_validate({"schedule": {"reports": reports}, **server})


def report(
    folder: Path, limits: dict[str, float], *, as_of: str = "2026-11-23", **facts: str
) -> Path:
    """A finished weekly report; each peak is half the limit."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"limit": limits}, dtype=float)
    tables = {resource: table.assign(**{PEAK_P95: table["limit"] / 2}) for resource in Resource}
    (folder / EVERY_LIMIT).write_text(as_csv(tables), encoding="utf-8")
    known = {"as_of": f"{as_of}T00:00:00+00:00", "source": SERVER, **facts}
    write_run(folder, "weekly-resources", known)
    return folder


NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)  # what is visible


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(NAMES, st.floats(0.01, 1e12), min_size=1, max_size=5))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, limits: dict[str, float]
) -> None:
    """Whatever services are called: limits and peaks of both resources."""
    reports = tmp_path_factory.mktemp("reports")
    report(reports / "2026-W48", limits)
    found = last_report(settings_of(reports))
    assert found is not None
    for resource in Resource:
        assert found.limits[resource] == pytest.approx(limits)
        assert found.peaks[resource] == pytest.approx(
            {name: value / 2 for name, value in limits.items()}
        )


def test_the_newest_report_of_the_whole_fleet_counts(tmp_path: Path) -> None:
    """Not an older one, not one of some services, of another server or of the sample."""
    report(tmp_path / "2026-W47", {"shop/web": 1.0}, as_of="2026-11-16")
    report(tmp_path / "2026-W48", {"shop/web": 2.0})
    report(tmp_path / "2026-W49-shop", {"shop/web": 3.0}, as_of="2026-11-30", services="shop/*")
    report(tmp_path / "2026-W49", {"shop/web": 4.0}, as_of="2026-11-30", source="sample")
    report(tmp_path / "2026-W50", {"shop/web": 5.0}, as_of="2026-12-07", source="http://other")
    for url, limit in ((None, 5.0), (SERVER, 2.0), ("http://u:p@prometheus:9090/", 2.0)):
        found = last_report(settings_of(tmp_path, url))
        assert found is not None
        assert found.limits[Resource.CPU] == {"shop/web": limit}
    assert last_report(settings_of(tmp_path, "http://third")) is None


def test_a_report_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    """And one that has not changed is not read twice."""
    run, known = report(tmp_path / "2026-W48", {"a/b": 1.0}), settings_of(tmp_path)
    first = last_report(known)
    assert last_report(known) is first
    report(run, {"a/b": 7.0})
    later = (run / "run.json").stat().st_mtime_ns + 1
    os.utime(run / "run.json", ns=(later, later))
    found = last_report(known)
    assert found is not None
    assert found.limits[Resource.MEMORY] == {"a/b": 7.0}


@pytest.mark.parametrize("damage", ["", "x", "service,resource\na,b\n", "\x00", None])
def test_a_damaged_table_gives_no_numbers(tmp_path: Path, damage: str | None) -> None:
    """The scrape goes on without them; so it does without any report."""
    assert last_report(settings_of(tmp_path / "none")) is None
    file = report(tmp_path / "2026-W48", {"a/b": 1.0}) / EVERY_LIMIT
    file.unlink()
    if damage is not None:
        file.write_text(damage)
    found = last_report(settings_of(tmp_path))
    assert found is not None
    assert not any(found.limits.values())


def test_the_monitor_exports_them(tmp_path: Path) -> None:
    """Forecasts of the report; limits of its own evaluation, where it has made any."""
    report(tmp_path / "2026-W48", {"shop/web": 2.0})
    watch = Monitor(MonitorTargets(settings_of(tmp_path), (), engine=False))
    service = '{project="shop",service="web"}'
    text = exposition(watch)
    assert f"capacity_cpu_forecast_peak_p95_cores{service} 1.0" in text
    assert f"capacity_memory_recommended_limit_bytes{service} 2.0" in text
    assert "capacity_report_timestamp_seconds 1.795392e+09" in text
    own = {Resource.MEMORY: pd.DataFrame({"limit": {"shop/web": 9.0}})}
    watch.evaluation = replace(Evaluation(now(), 1.0, None, Facts()), tables=own)
    text = exposition(watch)
    assert f"capacity_memory_recommended_limit_bytes{service} 9.0" in text
    assert f"capacity_memory_forecast_peak_p95_bytes{service} 1.0" in text
