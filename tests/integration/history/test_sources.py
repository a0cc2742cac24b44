"""One fleet from two real Prometheus servers, one a host, as if one had scraped both."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capacity._api import open_history
from capacity.errors import Unreachable
from capacity.history import History
from capacity.history._archive.archive import Archive
from capacity.history._doctor import examine
from capacity.model import Signal
from capacity.settings import Settings, override
from tests.fixtures.running.servers import (
    backfill,
    free_port,
    openmetrics_blocks,
    prometheus,
)
from tests.integration.history.test_fetch import labels

DAY, SCRAPE = 86_400, 60
END = int(time.time()) // DAY * DAY - DAY
START = END - 2 * DAY
MIB = 2**20
Series = dict[str, list[tuple[float, float]]]


def host(name: str, replicas: dict[str, float], seed: int) -> Series:
    """Two days of a host: containers by `project/service/number` with their cores, and its size."""
    random, times = np.random.default_rng(seed), [float(at) for at in range(START + 7, END, SCRAPE)]
    series: Series = {}
    for key, cores in replicas.items():
        project, service, number = key.split("/")
        text = labels(service, int(number), host=f"{name}:8080").replace("shop", project)
        noise = random.lognormal(0, 0.2, len(times))
        counter = np.cumsum(cores * SCRAPE * noise)
        series[f'container_cpu_usage_seconds_total{{{text},cpu="total"}}'] = list(
            zip(times, counter.tolist(), strict=True)
        )
        memory = np.round(cores * 512 * MIB * noise)
        series[f"container_memory_working_set_bytes{{{text}}}"] = list(
            zip(times, memory.tolist(), strict=True)
        )
    own = f'instance="{name}:9100",job="node"'
    series[f"node_memory_MemTotal_bytes{{{own}}}"] = [(at, 64.0 * 2**30) for at in times]
    return series


FIRST = host("dock1", {"shop/web/1": 0.5, "shop/api/1": 0.2}, seed=1)
SECOND = host("dock2", {"shop/web/2": 0.8, "blog/web/1": 0.1}, seed=2)


def settings(archive: Path, **urls: str) -> Settings:
    """Settings with named sources, or with `prometheus.url` where one is called `only`."""
    found = override(Settings(), "archive__path", archive)
    if "only" in urls:
        return override(found, "prometheus__url", urls["only"])
    sources = {name: {"url": url} for name, url in urls.items()}
    known = Settings(archive=found.archive, sources=sources)
    return override(known, "prometheus__attempts", 1)


def history(known: Settings, end: int, *, offline: bool = False) -> History:
    """Both days, as far as they are over at `end`."""
    as_of = pd.Timestamp(end, unit="s", tz="UTC")
    return open_history(as_of=as_of, window="2D", settings=known, offline=offline)


def test_two_servers_are_one_fleet(tmp_path: Path) -> None:
    """The union is what one server with all series gives; a server that is down is named and keeps
    its days, and under a new address nothing is asked or counted twice.
    """
    with ExitStack() as running:
        one = running.enter_context(
            prometheus(tmp_path / "a", tsdb=backfill(tmp_path / "a", openmetrics_blocks(FIRST)))
        )
        tsdb = backfill(tmp_path / "b", openmetrics_blocks(SECOND))
        with prometheus(tmp_path / "b", tsdb=tsdb) as two:
            known = settings(tmp_path / "archive", **{"rack-a": one.url, "rack-b": two.url})
            whole = history(known, END - DAY)
        assert not [
            note for note in whole.notes if "no samples after" in note or "not read" in note
        ]
        days = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive").rglob("*.parquet")}

        dead = f"http://127.0.0.1:{free_port()}"
        known = settings(tmp_path / "archive", **{"rack-a": one.url, "rack-b": dead})
        half = history(known, END)
        assert half.coverage()["coverage"]["shop/api"] > 0.99
        assert half.memory["blog/web"].iloc[-200:].isna().all()
        assert any("rack-b was not read" in note for note in half.notes)
        assert half.running().all()  # nobody has seen that these stopped
        later = history(known, END, offline=True)
        assert any("rack-b has no samples after" in note for note in later.notes)

        known = settings(tmp_path / "archive", **{"rack-a": one.url, "rack-c": dead})
        never = history(known, END, offline=True)
        assert "rack-c was never fetched: what it measures is missing." in never.notes

        moved = running.enter_context(prometheus(tmp_path / "b2", tsdb=tsdb))
        known = settings(tmp_path / "archive", **{"rack-a": one.url, "rack-b": moved.url})
        joined = history(known, END)
        both = openmetrics_blocks({**FIRST, **SECOND})
        judge = running.enter_context(
            prometheus(tmp_path / "c", tsdb=backfill(tmp_path / "c", both))
        )
        single = history(settings(tmp_path / "judge", only=judge.url), END)
        checks = [check for check in examine(known) if check.what == "rack-b: server"]

        known = settings(tmp_path / "chosen", **{"rack-a": one.url, "rack-b": moved.url})
        chosen = open_history(
            "rack-b", window="1D", as_of=pd.Timestamp(END, unit="s", tz="UTC"), settings=known
        )
        with pytest.raises(Unreachable):
            open_history("rack-c", settings=settings(tmp_path / "chosen", **{"rack-c": dead}))

    assert chosen.source == "rack-b"
    assert [record.name for record in Archive(tmp_path / "chosen").sources()] == ["rack-b"]

    # runs of one fleet are compared by this, also when an address has changed
    assert {whole.source, half.source, later.source, joined.source} == {"rack-a, rack-b"}
    names = ["blog/web", "shop/api", "shop/web"]
    assert joined.services == single.services == names
    for signal in (Signal.CPU, Signal.MEMORY, Signal.HOST_MEMORY_TOTAL, Signal.RESTARTS):
        pd.testing.assert_frame_equal(joined[signal], single[signal])
    assert dict(joined.hosts) == dict(single.hosts)
    assert joined.hosts["shop/web"] == "dock1,dock2"
    assert dict(joined.replicas) == dict(single.replicas)
    assert joined.replicas["shop/web"] == 2
    assert joined.uneven == pytest.approx(single.uneven, abs=0.2)
    assert [record.name for record in Archive(tmp_path / "archive").sources()] == [
        "rack-a",
        "rack-b",
    ]
    assert all(path.stat().st_mtime_ns == written for path, written in days.items())
    assert [check.status for check in checks] == ["ok"]


def test_no_server_at_all_is_an_error(tmp_path: Path) -> None:
    """With every server down there is nothing to go on with."""
    dead = {f"rack-{name}": f"http://127.0.0.1:{free_port()}" for name in "ab"}
    with pytest.raises(Unreachable):
        history(settings(tmp_path / "archive", **dead), END)
