"""The main job on real input: a Prometheus with four weeks of container history goes in, a finished
weekly report comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from capacity.changes import read_plan
from capacity.history._sample.generate import SAMPLE_END, load_sample
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.sample_server import exported
from tests.fixtures.running.servers import Server, backfill, fetch, prometheus

AS_OF = SAMPLE_END.isoformat()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Prometheus with the sample fleet's last four weeks, as raw counters and gauges."""
    folder = tmp_path_factory.mktemp("weekly")
    history = load_sample(SAMPLE_END - pd.Timedelta("28D"), SAMPLE_END)
    with prometheus(
        folder / "server", tsdb=backfill(folder / "tsdb", exported(history))
    ) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive and the reports of this module's runs."""
    return tmp_path_factory.mktemp("place")


def range_queries(server: Server) -> int:
    """How many range queries the server itself has counted."""
    text = fetch(f"{server.url}/metrics").decode()
    found = re.findall(
        r'prometheus_http_requests_total\{.*handler="/api/v1/query_range"\} (\d+)', text
    )
    return sum(int(number) for number in found)


def test_four_weeks_become_a_report(server: Server, place: Path) -> None:
    """The page, the plan and the five decisions are those of the fleet that was measured."""
    done = capacity_here("report", "weekly", "--source", server.url, "--as-of", AS_OF, folder=place)
    assert done.returncode == 0, done.stderr
    page = (place / "reports" / "2026-W48" / "weekly-resources.html").read_text()
    cards = re.findall(r'class="rank">\d</span> ([^ ]+)', page)
    assert {"shop/catalog", "shop/search", "ai/ollama"} <= set(cards)
    assert "The source has no metrics for oom_kills." in page
    plan = read_plan(place / "reports" / "2026-W48" / "plan.yaml")
    sample = load_sample(SAMPLE_END - pd.Timedelta("28D"), SAMPLE_END)
    before = {
        change.service: change.before for change in plan.changes if change.resource == "memory"
    }
    assert before["data/warehouse"] == sample.limits("memory")["data/warehouse"]
    assert before["ai/ollama"] is None


def test_a_second_run_asks_for_nothing_again(server: Server, place: Path) -> None:
    """The window has not changed: the server sees no range query, and the plan is the same to the
    byte.
    """
    plan = place / "reports" / "2026-W48" / "plan.yaml"
    bytes_before, asked_before = plan.read_bytes(), range_queries(server)
    assert asked_before > 0
    assert (
        capacity_here(
            "report", "weekly", "--source", server.url, "--as-of", AS_OF, folder=place
        ).returncode
        == 0
    )
    assert range_queries(server) == asked_before
    assert plan.read_bytes() == bytes_before


def test_what_was_fetched_is_what_was_measured(server: Server, place: Path) -> None:
    """Memory comes back exactly, CPU within the rate's own look-back."""
    from capacity import open_history
    from capacity.settings import load_settings

    settings = load_settings(archive__path=place / "archive")
    fetched = open_history(server.url, as_of=AS_OF, window="27D", offline=False, settings=settings)
    sample = load_sample(SAMPLE_END - pd.Timedelta("27D"), SAMPLE_END)
    assert fetched.services == sample.services
    memory = fetched.memory["data/kafka"].rolling(4).max()
    truth = sample.memory["data/kafka"].rolling(4).max()
    assert (memory / truth).dropna().sub(1).abs().quantile(0.9) < 0.02
    cpu, true_cpu = fetched.cpu["data/kafka"].mean(), sample.cpu["data/kafka"].mean()
    assert cpu == pytest.approx(true_cpu, rel=0.02)
    assert fetched.host_size("cpu")["ai/ollama"] == 12


@pytest.mark.metrics  # it reads what the tests before it have fetched
def test_the_archive_stands_in_when_the_server_is_gone(place: Path) -> None:
    """`--offline` renders the same plan without any server."""
    done = capacity_here("recommend", "--offline", "--as-of", AS_OF, "--json", folder=place)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 45


def test_doctor_knows_a_server_by_its_metrics(server: Server, place: Path) -> None:
    """The backfilled server has nothing of the last hour: doctor says which metrics are missing and
    fails.
    """
    done = capacity_here("doctor", "--source", server.url, "--json", folder=place)
    checks = {check["check"]: check for check in json.loads(done.stdout)}
    assert checks["server"]["status"] == "ok"
    assert "prometheus" in checks["server"]["seen"]
    assert checks["clock"]["status"] == "ok"
    assert checks["signal cpu"]["status"] == "fail"
    assert done.returncode == 1


def test_a_server_without_containers_is_no_success(tmp_path: Path) -> None:
    """`fetch` from a server that scrapes no container fails with the reason: a nightly job must not
    store nothing for months.
    """
    with prometheus(tmp_path / "bare") as bare:
        done = capacity_here("fetch", "--source", bare.url, "--window", "2D", folder=tmp_path)
    assert done.returncode == 1
    assert "no metrics of containers" in done.stderr
