"""The dashboard for Grafana: its form, and every query on a real Prometheus with the monitor's own
metrics.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest

from capacity._common.bundled import bundled
from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets
from capacity._monitor.metrics import exposition
from capacity.model import Resource
from capacity.operations._schedule.state import JobState, write_state
from capacity.reporting._runs import write_run
from capacity.settings import ScheduleSettings, Settings
from tests.fixtures.running.servers import fetch, node_exporter, prometheus, scrape, wait_for

DASHBOARD: dict[str, Any] = json.loads(
    bundled("data/grafana/capacity.json").read_text(encoding="utf-8")
)
QUERIES = [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]
COLUMNS = 24  # of Grafana's grid
CONTAINER = (
    '{name="shop-web-1",container_label_com_docker_compose_project="shop",'
    'container_label_com_docker_compose_service="web"}'
)


def write_report(run: Path) -> None:
    """A weekly report that expects something of the service."""
    run.mkdir(parents=True)
    facts = {"as_of": "2026-11-23T00:00:00+00:00", "source": "http://prometheus:9090"}
    write_run(run, "weekly-resources", facts)
    lines = ["service,resource,limit,peak_p95", "shop/web,memory,2e8,1.5e8", "shop/web,cpu,0.5,0.4"]
    (run / "recommendations.csv").write_text("\n".join(lines) + "\n")


def metrics(folder: Path) -> str:
    """What the monitor exports of one service, one job and one report, and cAdvisor of its
    container.
    """
    state = folder / "state"
    write_state(state, "weekly", JobState(time.time() - 60, 5.0, 0, time.time() - 55))
    (folder / "compose.yaml").write_text("name: shop\nservices: {web: {image: 'a:1'}}\n")
    write_report(folder / "reports" / "2026-W48")
    settings = Settings(schedule=ScheduleSettings(state=state, reports=folder / "reports"))
    made = Monitor(MonitorTargets(settings, (folder / "compose.yaml",), engine=False))
    made.evaluate()
    assert made.evaluation is not None
    limits = {
        resource: pd.DataFrame({"limit": {"shop/web": value}})
        for resource, value in ((Resource.MEMORY, 2e8), (Resource.CPU, 0.5))
    }
    made.evaluation = replace(made.evaluation, tables=limits)
    return exposition(made) + (
        f"container_memory_working_set_bytes{CONTAINER} 1e8\n"
        f"container_cpu_usage_seconds_total{CONTAINER} {time.time():.3f}\n"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has scraped them."""
    folder = tmp_path_factory.mktemp("grafana")
    (folder / "text").mkdir()
    (folder / "text" / "capacity.prom").write_text(metrics(folder))
    with (
        node_exporter(folder / "text") as node,
        prometheus(folder / "server", scrape_config=scrape("capacity", node)) as found,
    ):
        query = "rate(container_cpu_usage_seconds_total[5m])"
        wait_for(lambda: answer(found.url, query) or None, "two scrapes")
        yield found.url


def answer(url: str, query: str) -> list[Any]:
    """The rows of an instant query."""
    said = json.loads(fetch(f"{url}/api/v1/query?query={quote(query)}"))
    assert said["status"] == "success", said
    rows: list[Any] = said["data"]["result"]
    return rows


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_query_has_an_answer(server: str, title: str, query: str) -> None:
    """With all projects chosen, as when it is opened."""
    assert answer(server, query.replace("$project", ".*")), title


def test_its_form_is_what_grafana_imports() -> None:
    """Panels have an id, a title, a text, a unit and a place of their own; what is asked for is the
    data source that its user chooses.
    """
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        letters = [target["refId"] for target in panel["targets"]]
        assert len({*letters}) == len(letters)
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(DASHBOARD))) - {"1"}
    assert used == {variable["name"] for variable in DASHBOARD["templating"]["list"]}


def test_a_share_is_that_of_the_same_service(server: str) -> None:
    """Three quarters of the recommended memory, four fifths of the recommended CPU."""
    shares = [
        float(answer(server, query.replace("$project", ".*"))[0]["value"][1])
        for title, query in QUERIES
        if "forecast peak" in title
    ]
    assert shares == pytest.approx([0.75, 0.8])
