"""Fetching from a real Prometheus through a proxy that does what networks and busy servers do:
every fetch ends complete or says what is missing, and the next one fills just that.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._common.files import digest
from capacity.errors import SourceError, Unreachable
from capacity.history._archive.archive import Archive
from capacity.history._fetch.fetch import Fetched, fetch
from capacity.history._load import day_key, utc_days
from capacity.history._prometheus.client import PrometheusSource
from capacity.model import Signal
from capacity.settings import Settings, override
from tests.fixtures.running.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.fixtures.running.servers import (
    Server,
    backfill,
    openmetrics_blocks,
    prometheus,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY, SCRAPE, STEP, DAYS = 86_400, 60, 300, 4
END = int(time.time()) // DAY * DAY - DAY
START = END - DAYS * DAY
SIGNALS = (Signal.CPU, Signal.MEMORY)
TASKS = DAYS * len(SIGNALS)
LABEL = "container_label_com_docker_compose_"
Key = tuple[Signal, str]


def blocks() -> Iterator[str]:
    """Two services, scraped each minute."""
    series: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, service in enumerate(("web", "db")):
        text = f'instance="dock1:8080",id="/docker/{service}",name="shop-{service}-1",'
        text += f'{LABEL}project="shop",{LABEL}service="{service}",{LABEL}oneoff="False"'
        for at in range(START + 7, END, SCRAPE):
            used = (at - START) * (0.2 + number)
            series[f'container_cpu_usage_seconds_total{{{text},cpu="total"}}'].append((at, used))
            held = 1e8 * (1 + number) + at % 3600
            series[f"container_memory_working_set_bytes{{{text}}}"].append((at, held))
    yield from openmetrics_blocks(series)


@pytest.fixture(scope="module")
def tsdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days on disk."""
    return backfill(tmp_path_factory.mktemp("data"), blocks())


@pytest.fixture(scope="module")
def server(tsdb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus that holds them."""
    with prometheus(tmp_path_factory.mktemp("server"), tsdb=tsdb) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[FaultProxy]:
    """What stands before it."""
    with fault_proxy(server.url) as running:
        yield running


@pytest.fixture(scope="module")
def whole(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> dict[Key, str]:
    """What a fetch without faults stores."""
    proxy.use(lambda _: Fault.NONE)
    folder = tmp_path_factory.mktemp("whole")
    fetched(proxy, folder)
    days = stored(folder, proxy)
    assert len(days) == TASKS
    return days


def settings_of(proxy: FaultProxy, *, budget: int = 2, attempts: int = 2) -> Settings:
    """Settings of a client that does not wait long."""
    chosen = override(Settings(), "prometheus__url", proxy.url)
    for name, value in (("max_in_flight", budget), ("attempts", attempts), ("read_timeout", 1.0)):
        chosen = override(chosen, f"prometheus__{name}", value)
    return chosen


def fetched(proxy: FaultProxy, folder: Path, **budget: int) -> Fetched:
    """Bring an archive up to date."""
    chosen = settings_of(proxy, **budget)
    source = PrometheusSource(chosen.prometheus)
    begin, end = (pd.Timestamp(at, unit="s", tz="UTC") for at in (START, END))
    try:
        return fetch(
            source,
            Archive(folder),
            chosen,
            start=begin,
            end=end,
            signals=SIGNALS,
            now=lambda: END + 7200.0,
        )
    finally:
        source.close()
        # what was on its way when a fetch gave up counts as its own
        wait_for(lambda: not asking(), "no thread asks the server")


def asking() -> list[threading.Thread]:
    """Threads that have a request in work."""
    return [thread for thread in threading.enumerate() if thread.name == "capacity-fetch"]


def stored(folder: Path, proxy: FaultProxy) -> dict[Key, str]:
    """Samples of each final day."""
    archive, chosen = Archive(folder), settings_of(proxy)
    found = {}
    for record in archive.sources():
        for kind in SIGNALS:
            key = day_key(record, record.queries[kind], kind, chosen)
            for day in utc_days(*(pd.Timestamp(at, unit="s", tz="UTC") for at in (START, END))):
                known = archive.read(record.name, kind, key, STEP, day)
                if known is not None and known.final:
                    found[kind, str(day)] = digest(known.block.values.tobytes())
    return found


def tell(proxy: FaultProxy, folder: Path, **budget: int) -> str:
    """What a fetch says of what is missing."""
    try:
        done = fetched(proxy, folder, **budget)
    except SourceError as error:
        return str(error)
    assert done.failed == TASKS - len(stored(folder, proxy))
    return " ".join(done.warnings)


def assert_the_next_fills_it(proxy: FaultProxy, folder: Path, whole: dict[Key, str]) -> None:
    """Without faults the next fetch asks for what is missing alone, and then all is there."""
    missing = whole.keys() - stored(folder, proxy).keys()
    proxy.use(lambda _: Fault.NONE)
    done = fetched(proxy, folder)
    assert (done.asked, done.failed, len(proxy.ranges)) == (len(missing), 0, len(missing))
    assert stored(folder, proxy) == whole
    assert fetched(proxy, folder).asked == 0


@given(
    faults=st.lists(st.sampled_from(Fault), max_size=2 * TASKS),
    budget=st.integers(1, 4),
    attempts=st.integers(1, 3),
)
@settings(max_examples=20)
def test_every_fetch_is_complete_or_says_what_is_missing(
    faults: list[Fault],
    budget: int,
    attempts: int,
    proxy: FaultProxy,
    whole: dict[Key, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever happens to which request: no wrong sample is kept, each missing day is told, and
    never more is in flight than the budget allows.
    """
    folder = tmp_path_factory.mktemp("archive")
    proxy.use(lambda number: faults[number] if number < len(faults) else Fault.NONE)
    told = tell(proxy, folder, budget=budget, attempts=attempts)
    assert proxy.most <= budget
    kept = stored(folder, proxy)
    assert kept.items() <= whole.items()
    missing = whole.keys() - kept.keys()
    if f"{len(missing)} of {TASKS} answers are missing" in told:
        assert all(
            f"{kind} from {min(day for at, day in missing if at == kind)}" in told
            for kind in {at for at, _ in missing}
        )
    else:
        assert all(f"{kind} of" in told and day in told for kind, day in missing)
    assert_the_next_fills_it(proxy, folder, whole)


@pytest.mark.parametrize("fault", sorted({*Fault} - {Fault.NONE, Fault.LATENCY}))
def test_a_server_that_only_fails_is_left_alone_soon(
    fault: Fault, proxy: FaultProxy, whole: dict[Key, str], tmp_path: Path
) -> None:
    """The fetch ends with an error of one line, before every day was asked for again and again."""
    proxy.use(lambda _: fault)
    with pytest.raises(SourceError) as caught:
        fetched(proxy, tmp_path)
    assert f"{TASKS} of {TASKS} answers are missing" in str(caught.value)
    assert len(proxy.ranges) <= 2 * TASKS
    assert_the_next_fills_it(proxy, tmp_path, whole)


@pytest.mark.parametrize("budget", [1, 3])
def test_a_slow_server_has_the_whole_budget_in_work_and_no_more(
    budget: int, proxy: FaultProxy, whole: dict[Key, str], tmp_path: Path
) -> None:
    """Counted at the proxy."""
    proxy.use(lambda _: Fault.LATENCY)
    assert fetched(proxy, tmp_path, budget=budget).failed == 0
    assert proxy.most == budget
    assert stored(tmp_path, proxy) == whole


def test_after_429_nobody_asks_until_the_server_wants_it(
    proxy: FaultProxy, whole: dict[Key, str], tmp_path: Path
) -> None:
    """All threads keep the second that one of them was told, and then the fetch completes."""
    proxy.use(lambda number: Fault.TOO_MANY if number == 2 else Fault.NONE)
    assert fetched(proxy, tmp_path, budget=2).failed == 0
    refused = proxy.ranges[2]
    after = [at - refused for at in proxy.ranges[3:]]
    # what was in flight or on its way when the answer came may take a while on a busy machine
    assert not [at for at in after if 0.5 < at < 0.9]
    assert max(after) >= 0.9
    assert stored(tmp_path, proxy) == whole


def test_a_server_that_restarts_in_the_middle(
    proxy: FaultProxy, whole: dict[Key, str], tsdb: Path, server: Server, tmp_path: Path
) -> None:
    """Killed in the middle of a fetch and soon back: complete. Gone: what is missing is told."""
    died, done = threading.Event(), threading.Event()
    with prometheus(tmp_path / "first", tsdb=copied(tsdb, tmp_path / "data")) as first:
        proxy.upstream = first.url

        def kill(number: int) -> Fault:
            if number == 3:
                os.kill(first.pid, signal.SIGKILL)
                died.set()
            return Fault.NONE

        def revive() -> None:
            died.wait(60)
            with prometheus(tmp_path / "second", tsdb=tmp_path / "data") as second:
                proxy.upstream = second.url
                done.wait(60)

        proxy.use(kill)
        reviver = threading.Thread(target=revive)
        reviver.start()
        try:
            assert fetched(proxy, tmp_path / "archive", attempts=10).failed == 0
            assert len(proxy.ranges) > TASKS
            assert stored(tmp_path / "archive", proxy) == whole
        finally:
            died.set()
            done.set()
            reviver.join()
        proxy.use(lambda _: Fault.NONE)
        with pytest.raises(Unreachable):
            fetched(proxy, tmp_path / "other")
    proxy.upstream = server.url
    assert_the_next_fills_it(proxy, tmp_path / "other", whole)


def copied(tsdb: Path, place: Path) -> Path:
    """A database that another server may lock."""
    shutil.copytree(tsdb, place, ignore=shutil.ignore_patterns("lock", "wal", "queries.active"))
    return place
