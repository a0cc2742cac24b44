"""What is said of a collector's archive: while it has just begun, goes on, or has ended."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest

from capacity._api.window import prepare_window
from capacity._collect.step_transfer import ClosedStep
from capacity._collect.steps import StepValue
from capacity._collect.store import store_step
from capacity.history._doctor import DoctorCheck, examine
from capacity.model import Signal
from capacity.settings import Settings, override
from tests.fixtures.commands import capacity_here

STEP, DAY = 300, 86_400


def collected(folder: Path, *ends: float) -> Settings:
    """An archive with a step of one service at each of these moments."""
    for end in ends:
        rows = {"shop/web": StepValue(2.0**26, frozenset({"here"}), 1)}
        step = ClosedStep(int(end // STEP * STEP), STEP, 15, {Signal.MEMORY: rows})
        store_step(folder / "archive", step)
    return override(Settings(), "archive__path", folder / "archive")


def checks_of(settings: Settings) -> dict[str, DoctorCheck]:
    """What the doctor says, by what it looked at."""
    return {check.what: check for check in examine(settings)}


@pytest.mark.parametrize(
    ("first", "last", "status", "said"),
    [
        (3 * STEP, STEP, "warn", "forecasts and limits from"),
        (3 * DAY, STEP, "warn", "all 28 days from"),
        (30 * DAY, STEP, "ok", ""),
        (30 * DAY, 3 * DAY, "warn", "capacity collect"),
    ],
)
def test_the_doctor_knows_the_collector(
    tmp_path: Path, first: int, last: int, status: str, said: str
) -> None:
    """From when to when it sampled, what that is enough for, and whether it seems to have ended;
    without a server that is the history there is.
    """
    now = time.time()
    checks = checks_of(collected(tmp_path, now - first, now - last))
    assert checks["collector"].status == status
    assert said in checks["collector"].advice
    assert ("none since" in checks["collector"].seen) == (last > DAY)
    assert checks["server"].status == "ok"


def test_without_a_collector_the_doctor_is_silent_on_it(tmp_path: Path) -> None:
    """There is nothing to say of what was never begun; how to begin stands with the server."""
    checks = checks_of(collected(tmp_path))
    assert "collector" not in checks
    assert "capacity collect" in checks["server"].advice


@pytest.mark.parametrize(("age", "begun"), [(3 * STEP, True), (2 * DAY, False)])
def test_a_window_says_what_its_first_day_is_enough_for(
    tmp_path: Path, age: int, begun: bool
) -> None:
    """As with a server: a note for the page while the archive is younger than a day."""
    now = time.time()
    window = prepare_window(collected(tmp_path, now - age, now - STEP))
    assert ("limits from" in window.milestones) == begun
    assert window.notes == ((window.milestones,) if begun else ())
    assert window.end <= pd.Timestamp.now(tz="UTC")


def test_a_fetch_without_a_server_says_that_it_has_nothing_to_do(tmp_path: Path) -> None:
    """Beside a collector that is no failure, as the nightly job runs it; without one it is."""
    refused = capacity_here("fetch", folder=tmp_path)
    assert refused.returncode == 2
    assert "No metrics server is named" in refused.stderr
    collected(tmp_path, time.time() - STEP)
    done = capacity_here("fetch", folder=tmp_path)
    assert done.returncode == 0
    assert "the collector fills the archive" in done.stderr


def test_a_damaged_first_day_hides_no_other(tmp_path: Path) -> None:
    """The doctor goes on to the next day that has samples."""
    now = time.time()
    settings = collected(tmp_path, now - 3 * DAY, now - 2 * DAY, now - STEP)
    first = min((tmp_path / "archive" / "collected").rglob("*.parquet"))
    first.write_bytes(b"damaged")
    said = checks_of(settings)["collector"].seen
    assert said.startswith("samples from ")
    assert said == checks_of(settings)["collector"].seen
