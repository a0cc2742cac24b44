"""A weekly report from end to end, as schedulers and people start it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capacity._common.bundled import bundled
from capacity.changes import read_plan
from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal
from tests.fixtures.commands import capacity_here, environment
from tests.fixtures.documents.notebooks import read_notebook
from tests.fixtures.documents.pages import has_only_its_own_script
from tests.fixtures.running.servers import require, wait_for

ODD_NAMES = (
    "shop/<script>alert(1)</script>",
    "shop/a\"quote's",
    "shop/with/slashes",
    "shop/" + "x" * 300,
    "shop/ünï&amp;",
)


def test_leaves_everything_a_run_promises(weekly_reports: Path) -> None:
    """Page, executed notebook, plan, forecast, facts and the index of all runs."""
    week = weekly_reports / "2026-W48"
    names = {
        "weekly-resources.html",
        "weekly-resources.ipynb",
        "plan.yaml",
        "alerts.yml",
        "forecast.parquet",
        "recommendations.csv",
        "data-quality.csv",
        "scorecard.csv",
        "days-remaining.csv",
        "run.json",
    }
    assert {path.name for path in week.iterdir()} == names
    checked = subprocess.run(
        [require("promtool"), "check", "rules", week / "alerts.yml"],
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "CapacityTimeToLimit" in (week / "alerts.yml").read_text()
    index = (weekly_reports / "index.html").read_text()
    assert "2026-W47/weekly-resources.html" in index
    assert "2026-W48/weekly-resources.html" in index
    facts = json.loads((week / "run.json").read_text())["reports"]["weekly-resources"]
    plan = read_plan(week / "plan.yaml")
    assert facts["plan_id"] == plan.plan_id
    assert facts["made_from"]["history"] == plan.made_from.history
    assert {"settings", "versions", "seconds", "state"} <= set(facts)
    assert {path.name for path in weekly_reports.iterdir()} == {
        "2026-W47",
        "2026-W48",
        "index.html",
    }


def test_the_sample_shows_what_it_was_made_for(weekly_reports: Path) -> None:
    """The restart loop, the killed service, the leak, the throttled one and ollama are the five
    decisions.
    """
    page = (weekly_reports / "2026-W48" / "weekly-resources.html").read_text()
    cards = re.findall(r'class="rank">\d</span> ([^ ]+)', page)
    assert set(cards) == {
        "platform/webhook-relay",
        "shop/thumbnailer",
        "shop/catalog",
        "shop/search",
        "ai/ollama",
    }
    without = [
        change.service
        for change in read_plan(weekly_reports / "2026-W48" / "plan.yaml").changes
        if change.resource == "memory" and change.before is None
    ]
    assert len(without) == 34 - 2  # one has stopped, one restarts all the time


def test_asks_nothing_of_any_network(weekly_reports: Path) -> None:
    """No address in any attribute that loads, a content security policy, alt text on every
    picture.
    """
    for name in ("2026-W48/weekly-resources.html", "index.html"):
        text = (weekly_reports / name).read_text()
        assert not re.search(r"""(?:src|href|action|poster)\s*=\s*["']?(?:https?:)?//""", text)
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import", text)
        assert has_only_its_own_script(text) or (name == "index.html" and "<script" not in text)
        assert "default-src 'none'" in text
        assert 'lang="en"' in text
    pictures = re.findall(
        r"<img [^>]*>", (weekly_reports / "2026-W48" / "weekly-resources.html").read_text()
    )
    assert len(pictures) > 5
    assert all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)


def test_compares_itself_with_the_run_before(weekly_reports: Path) -> None:
    """The second week says what changed and how the stored forecast held; the first says that it is
    the first.
    """
    first, second = (
        (weekly_reports / week / "weekly-resources.html").read_text()
        for week in ("2026-W47", "2026-W48")
    )
    assert "the first run of this source" in first
    assert "There is no earlier run" in first
    assert "Since 2026-W47" in second
    assert "Compared with the forecast stored on 16 Nov 2026" in second
    assert "data/exporter-old" in second.split("Since 2026-W47")[1].split("</dl>")[0]


def test_a_choice_of_services_overwrites_nothing(weekly_reports: Path, tmp_path: Path) -> None:
    """A filtered run has its own folder and says its filter."""
    shutil.copytree(weekly_reports / "2026-W48", tmp_path / "reports" / "2026-W48")
    words = ("report", "weekly", "--sample", "--services", "shop/*")
    assert capacity_here(*words, folder=tmp_path).returncode == 0
    whole, chosen = (
        (tmp_path / "reports" / run / "weekly-resources.html").read_bytes()
        for run in ("2026-W48", "2026-W48-shop")
    )
    assert whole == (weekly_reports / "2026-W48" / "weekly-resources.html").read_bytes()
    assert b"<dd>shop/*</dd>" in chosen


def test_the_same_inputs_give_the_same_bytes_and_an_edited_plan_moves_aside(
    weekly_reports: Path, tmp_path: Path
) -> None:
    """Page, plan and forecast of a second run equal the first run's to the byte; what a person has
    made of the first plan is kept beside.
    """
    shutil.copytree(weekly_reports, tmp_path / "reports")
    plan = tmp_path / "reports" / "2026-W48" / "plan.yaml"
    edited = re.sub(r"after: [\d.]+", "after: 12345678.0", plan.read_text(), count=1)
    plan.write_text(edited)
    page = plan.with_name("weekly-resources.html")
    page.unlink()
    assert capacity_here("report", "weekly", "--sample", folder=tmp_path).returncode == 0
    assert plan.with_name("plan.edited.yaml").read_text() == edited
    for name in (page.name, plan.name, "forecast.parquet"):
        first = weekly_reports / "2026-W48" / name
        assert plan.with_name(name).read_bytes() == first.read_bytes()


@pytest.mark.slow
def test_runs_under_plain_papermill(tmp_path: Path) -> None:
    """Any papermill operator can run the notebook with its documented parameters, knowing nothing
    of this library.
    """
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(bundled("notebooks/weekly_resources.ipynb")),
        str(tmp_path / "done.ipynb"),
    ]
    command += [
        "-p",
        "source",
        "sample",
        "-p",
        "output",
        str(output),
        "-k",
        "python3",
        "--no-progress-bar",
    ]
    done = subprocess.run(
        command, env=environment(tmp_path / "archive"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in output.iterdir()} == {
        "plan.yaml",
        "alerts.yml",
        "forecast.parquet",
        "recommendations.csv",
        "data-quality.csv",
        "scorecard.csv",
        "days-remaining.csv",
        "run.json",
    }
    cells = read_notebook(tmp_path / "done.ipynb").cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")


def odd_archive(folder: Path) -> None:
    """Two weeks of services with hostile names, gaps of days, and one that is all but empty."""
    archive = Archive(folder / "archive")
    archive.record(SourceRecord("odd", "", "import", 60, {"memory": "import", "cpu": "import"}))
    rng = np.random.default_rng(3)
    for day in pd.date_range("2026-11-02", "2026-11-15", tz="UTC"):
        if day.day in {7, 8}:
            continue
        for sig, size in ((Signal.CPU, 0.5), (Signal.MEMORY, 3e8)):
            values = size * rng.lognormal(0, 0.1, (len(ODD_NAMES), 288))
            values[-1, 1:] = np.nan
            block = SeriesBlock(
                list(ODD_NAMES), ["<b>host</b>"] * len(ODD_NAMES), [1] * len(ODD_NAMES), values
            )
            archive.write("odd", sig, "import", 300, day.date(), StoredDay(block, True, ()))


@pytest.mark.slow
def test_hostile_names_and_gaps_stay_text(tmp_path: Path) -> None:
    """Names with markup, quotes, slashes and 300 characters are shown as text, and commands quote
    them.
    """
    odd_archive(tmp_path)
    done = capacity_here("report", "weekly", "--offline", "--as-of", "2026-11-16", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reports" / "2026-W47" / "weekly-resources.html").read_text()
    assert "<script>alert" not in page
    assert "<b>host" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    commands = [
        change.command
        for change in read_plan(tmp_path / "reports" / "2026-W47" / "plan.yaml").changes
    ]
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    assert any(
        "'label=com.docker.compose.service=<script>alert(1)</script>'" in command
        for command in commands
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_nothing_half_written(small_disk: Path, tmp_path: Path) -> None:
    """The cause is named, no page appears, and no temporary folder stays."""
    done = capacity_here(
        "report", "weekly", "--sample", "--out", str(small_disk / "reports"), folder=tmp_path
    )
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert "No space left" in lines[0]
    assert not list(small_disk.rglob("*.html"))
    assert not list(small_disk.rglob(".making-*"))


def test_an_unusable_output_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    """A file where the folder should be ends the command at once."""
    (tmp_path / "reports").write_text("")
    done = capacity_here("report", "weekly", "--sample", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is a file, not a folder" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("into", [None, 0.0, 1.2], ids=["before it", "as it begins", "within it"])
def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, into: float | None) -> None:
    """Ctrl-C is one line and exit code 130, `into` the notebook's run or before it; the last
    finished report stays as it was.
    """
    week = tmp_path / "reports" / "2026-W48"
    week.mkdir(parents=True)
    (week / "weekly-resources.html").write_text("the last one")
    command = [sys.executable, "-m", "capacity", "report", "weekly", "--sample"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(tmp_path / "archive"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if into is None:
        time.sleep(1.0)
    else:
        begun = "the run's folder"
        wait_for(lambda: list((tmp_path / "reports").glob(".making-*")), begun)
        time.sleep(into)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("capacity: interrupted")
    assert "Traceback" not in errors
    assert (week / "weekly-resources.html").read_text() == "the last one"
    assert not list((tmp_path / "reports").glob(".making-*"))


@pytest.mark.slow
def test_a_run_over_its_time_leaves_the_notebook_and_a_line(tmp_path: Path) -> None:
    """The whole run's time limit ends in one line, exit code 1 and the notebook as far as it
    came.
    """
    done = capacity_here(
        "report", "weekly", "--sample", folder=tmp_path, CAPACITY_REPORT__TIMEOUT="1.2"
    )
    assert done.returncode == 1
    assert "not done after 1.2 s" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in (tmp_path / "reports").rglob("*")} <= {
        "2026-W48",
        "weekly-resources.failed.ipynb",
    }


def test_a_window_without_samples_is_refused_before_the_notebook(tmp_path: Path) -> None:
    """Nothing to report on is one line that names the cause, and nothing is left behind."""
    done = capacity_here("report", "weekly", "--sample", "--services", "nothing/*", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("capacity: No service matches 'nothing/*'")
    assert list((tmp_path / "reports").iterdir()) == []


def test_chromium_shows_the_page_without_a_network(weekly_reports: Path, tmp_path: Path) -> None:
    """A real browser renders the decisions, wide and on a phone, with every address refused."""
    browser = require("chromium")
    page = weekly_reports / "2026-W48" / "weekly-resources.html"
    common = [
        str(browser),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    common += [
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]
    for width in (1280, 390):
        picture = tmp_path / f"{width}.png"
        size = [
            f"--window-size={width},1600",
            f"--user-data-dir={tmp_path / str(width)}",
            f"--screenshot={picture}",
        ]
        subprocess.run(
            [*common, *size, page.as_uri()], check=True, capture_output=True, timeout=120
        )
        assert picture.stat().st_size > 50_000
