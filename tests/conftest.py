"""What holds for every test: no settings of the person at the keyboard, properties without a
stopwatch, marks for the servers it needs, and what all tests share.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

# before any test imports nbformat or jsonschema, which take a second more without it
from capacity.reporting._render import notebook_libraries  # noqa: F401
from tests.fixtures.commands import capacity
from tests.fixtures.paths import ROOT
from tests.fixtures.session.coverage_lines import coverage_lines
from tests.fixtures.session.marks import servers_of
from tests.fixtures.session.once import made_once
from tests.fixtures.session.order import files_in_turn

if TYPE_CHECKING:
    from capacity.reporting.weekly import WeeklyReview

hypothesis.settings.register_profile(
    "here",
    deadline=None,  # machines are shared
    max_examples=60,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("here")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a run in the background of a script; the processes we start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """One thread of linear algebra for each process of a run, since the others use the other cores;
    they inherit it, for what reads it does so when it is loaded, which an import above may cause.
    """
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings and proxies that would reach the code under test through the environment."""
    for name in list(os.environ):
        if name.startswith("CAPACITY_") or name.lower() in {
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "requests_ca_bundle",
        }:
            monkeypatch.delenv(name)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Every process reads all tests: looking for garbage among them is a tenth of that, and what is
    read stays until the end.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that it starts, and as slow if it needs slow work of all;
    put them in order for the processes of a run.
    """
    for item in items:
        for name in sorted(servers_of(item)):
            item.add_marker(name)
        if {"weekly_reports", "every_report", "distributions"} & set(
            getattr(item, "fixturenames", ())
        ):
            item.add_marker("slow")
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = files_in_turn(items)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what the tests reach, where that was measured."""
    plugin = config.pluginmanager.getplugin("_cov")
    if plugin is not None and plugin.cov_controller is not None:
        terminalreporter.section("coverage")
        for line in coverage_lines(plugin.cov_controller.cov):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def weekly_reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sample's weekly reports of its last two weeks, for reading."""

    def make(folder: Path) -> None:
        for as_of in ("2026-11-16", "2026-11-23"):
            done = capacity("report", "weekly", "--sample", "--as-of", as_of, folder=folder)
            assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "weekly", make) / "reports"


@pytest.fixture(scope="session")
def every_report(tmp_path_factory: pytest.TempPathFactory, weekly_reports: Path) -> Path:
    """The folder of the sample's reports of each kind, with a look back at earlier ones, for
    reading.
    """

    def make(folder: Path) -> None:
        shutil.copytree(weekly_reports, folder / "reports")
        for kind in ("monthly", "compliance", "quarterly"):
            done = capacity("report", kind, "--sample", folder=folder)
            assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "every-report", make) / "reports"


@pytest.fixture(scope="session")
def shop_review() -> WeeklyReview:
    """The weekly review of the sample's shop, for reading."""
    from capacity import _api
    from capacity.reporting import weekly
    from capacity.settings import Settings

    return weekly.review(_api.open_history("sample", services="shop/*"), Settings())


@pytest.fixture(scope="session")
def sample_review() -> WeeklyReview:
    """The weekly review of the whole sample as of its end, for reading."""
    from capacity import _api
    from capacity.reporting import weekly
    from capacity.settings import Settings

    return weekly.review(_api.open_history("sample"), Settings())


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project's sdist, and the wheel built from it."""

    def make(folder: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
            check=True,
            capture_output=True,
        )

    return made_once(tmp_path_factory, "distributions", make)
