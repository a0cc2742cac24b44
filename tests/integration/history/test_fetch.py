"""History from real servers with backfilled days: Prometheus and VictoriaMetrics."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from capacity._api import open_history
from capacity.errors import NoHistory, QueryRefused, Unreachable
from capacity.history._archive.archive import Archive
from capacity.history._fetch.fetch import fetch
from capacity.history._load import load_history
from capacity.history._metrics.query_rendering import render_query
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._prometheus.client import PrometheusSource, Range
from capacity.history._prometheus.parse import parse_matrix
from capacity.history._service_series import merge_replicas
from capacity.model import Resource, Signal
from capacity.settings import IdentitySettings, Settings, override
from tests.fixtures.frames import float_at
from tests.fixtures.running.servers import (
    Server,
    backfill,
    import_samples,
    openmetrics_blocks,
    prometheus,
    require,
    victoria_metrics,
)
from tests.fixtures.running.servers import fetch as get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from capacity.history import History
    from capacity.history._fetch.fetch import Fetched

DAY, HOUR, SCRAPE, STEP = 86_400, 3600, 60, 300
DAYS = 3
END = int(time.time()) // DAY * DAY - DAY
START = END - DAYS * DAY
MIB = 2**20
LABEL = "container_label_com_docker_compose_"
Series = dict[str, list[tuple[int, float]]]


def labels(service: str, number: int = 1, identifier: str = "a", host: str = "dock1:8080") -> str:
    """Labels of a container as cAdvisor gives them."""
    return (
        f'instance="{host}",job="cadvisor",id="/docker/{service}{number}{identifier}",name="shop-{service}-{number}",'
        f'{LABEL}project="shop",{LABEL}service="{service}",{LABEL}container_number="{number}",{LABEL}oneoff="False"'
    )


def scrapes(first: int = START, last: int = END) -> range:
    """Times of scrapes; no scrape falls on a step, so it is clear which step each belongs to."""
    return range(first + 7, last, SCRAPE)


MEMORY_PARTS = {
    "container_memory_rss": 0.6,
    "container_memory_cache": 0.7,
    "container_memory_total_active_file_bytes": 0.4,
    "container_memory_total_inactive_file_bytes": 0.3,
    "container_memory_swap": 0.05,
}
"""Of a container's memory."""
PRESSURE = {"cpu_waiting": 0.1, "memory_waiting": 0.05, "memory_stalled": 0.02}
"""Shares of time that every container waits."""


def add_memory_parts(
    series: defaultdict[str, list[tuple[int, float]]], text: str, memory: float, times: range
) -> None:
    """What the memory of a container is made of, and how long it waits."""
    for name, share in MEMORY_PARTS.items():
        series[f"{name}{{{text}}}"] += [(at, float(round(memory * share))) for at in times]
    for kind, share in PRESSURE.items():
        name = f"container_pressure_{kind}_seconds_total"
        series[f"{name}{{{text}}}"] += [(at, (at - times[0]) * share) for at in times]


def fleet() -> Series:
    """Three days of a small fleet whose every value is known.

    `web` has three replicas on two hosts, `api` is re-created in the middle and misses six hours,
    `db` restarts in place and loses its limits on the last day, `free` has no limits at all, a
    container outside Compose has no labels.
    """
    series: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    random = np.random.default_rng(1)

    def container(
        text: str, cores: float, memory: float, times: range, resets: tuple[int, ...] = ()
    ) -> None:
        counter = 0.0
        noise = random.random(len(times)).tolist()
        for at, some in zip(times, noise, strict=True):
            counter = (
                0.0
                if any(at - SCRAPE < reset <= at for reset in resets)
                else counter + cores * SCRAPE
            )
            series[f'container_cpu_usage_seconds_total{{{text},cpu="cpu00"}}'].append((at, counter))
            series[f'container_cpu_usage_seconds_total{{{text},cpu="cpu01"}}'].append(
                (at, counter / 2)
            )
            series[f"container_memory_working_set_bytes{{{text}}}"].append(
                (at, float(round(memory * (1 + some))))
            )
            series[f"container_oom_events_total{{{text}}}"].append((at, 0.0))
        add_memory_parts(series, text, memory, times)

    def limit(text: str, cores: float, memory: float, times: range) -> None:
        for at in times:
            periods = (at - START) * 10.0
            series[f"container_spec_cpu_quota{{{text}}}"].append((at, cores * 100_000))
            series[f"container_spec_cpu_period{{{text}}}"].append((at, 100_000.0))
            series[f"container_spec_memory_limit_bytes{{{text}}}"].append((at, memory))
            series[f"container_cpu_cfs_periods_total{{{text}}}"].append((at, periods))
            series[f"container_cpu_cfs_throttled_periods_total{{{text}}}"].append((at, periods / 4))

    for number, host in ((1, "dock1:8080"), (2, "dock1:8080"), (3, "dock2:8080")):
        container(labels("web", number, host=host), 0.1 * number, 50e6 * number, scrapes())
        limit(labels("web", number, host=host), 0.5, 512.0 * MIB, scrapes())
    middle = START + DAY + DAY // 2  # a full hour, as schedules have it
    container(labels("api", identifier="old"), 1.0, 900e6, scrapes(last=middle))
    container(
        labels("api", identifier="new"), 1.0, 900e6, scrapes(middle, START + 2 * DAY + 6 * HOUR)
    )
    container(labels("api", identifier="new"), 1.0, 900e6, scrapes(START + 2 * DAY + 12 * HOUR))
    container(labels("db"), 0.25, 200e6, scrapes(), resets=(START + 10 * HOUR, START + 30 * HOUR))
    limit(labels("db"), 2.0, 1024.0 * MIB, scrapes(last=START + 2 * DAY))
    for at in scrapes(
        START + 2 * DAY
    ):  # after `docker update` without limits cAdvisor shows 0, and no quota
        series[f"container_spec_memory_limit_bytes{{{labels('db')}}}"].append((at, 0.0))
    container(labels("free"), 0.01, 10e6, scrapes())
    container(
        'instance="dock2:8080",job="cadvisor",id="/docker/lone",name="lone"', 0.02, 20e6, scrapes()
    )
    for host in ("dock1", "dock2"):
        for at in scrapes():
            for cpu in range(2):
                series[
                    f'node_cpu_seconds_total{{instance="{host}:9100",job="node",cpu="{cpu}",mode="idle"}}'
                ].append((at, (at - START) * 0.75))
                series[
                    f'node_cpu_seconds_total{{instance="{host}:9100",job="node",cpu="{cpu}",mode="user"}}'
                ].append((at, (at - START) * 0.25))
            series[f'node_memory_MemTotal_bytes{{instance="{host}:9100",job="node"}}'].append(
                (at, 8.0 * 1024 * MIB)
            )
            series[f'node_memory_MemAvailable_bytes{{instance="{host}:9100",job="node"}}'].append(
                (at, 6.0 * 1024 * MIB)
            )
            series[f'up{{instance="{host}:9100",job="node"}}'].append(
                (at, float(at % 600 != START % 600 + 7))
            )
            root = f'{{instance="{host}:8080",job="cadvisor",id="/"}}'
            series[f"container_cpu_usage_seconds_total{root}"].append((at, (at - START) * 0.5))
            series[f"container_memory_working_set_bytes{root}"].append((at, 2.0 * 1024 * MIB))
            series[f'machine_cpu_cores{{instance="{host}:8080",job="cadvisor"}}'].append((at, 2.0))
            series[f'machine_memory_bytes{{instance="{host}:8080",job="cadvisor"}}'].append(
                (at, 8.0 * 1024 * MIB)
            )
    return dict(series)


@pytest.fixture(scope="module")
def data() -> Series:
    """The samples of both servers."""
    return fleet()


@pytest.fixture(scope="module")
def server(data: Series, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Prometheus that holds the fleet."""
    folder = tmp_path_factory.mktemp("prometheus")
    tsdb = backfill(folder, openmetrics_blocks(data))
    with prometheus(folder / "server", tsdb=tsdb, extra_args=["--web.enable-admin-api"]) as running:
        yield running


@pytest.fixture(scope="module")
def victoria(data: Series, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real VictoriaMetrics that holds the same."""
    with victoria_metrics(tmp_path_factory.mktemp("victoria")) as running:
        import_samples(running, "".join(openmetrics_blocks(data)).replace("# EOF\n", ""))
        yield running


def settings_for(url: str, folder: Path) -> Settings:
    """Settings that fetch from `url` into an archive in `folder`."""
    return override(
        override(Settings(), "prometheus__url", url), "archive__path", folder / "archive"
    )


def day(number: float) -> pd.Timestamp:
    """The moment so many days after the first."""
    return pd.Timestamp(START + int(number * DAY), unit="s", tz="UTC")


def fetched(
    settings: Settings,
    first: float = 0,
    last: float = DAYS,
    *,
    now: float = END + 2 * HOUR,
    **more: Any,
) -> Fetched:
    """Bring the archive up to date, as if it were `now`."""
    source = PrometheusSource(settings.prometheus)
    return fetch(
        source,
        Archive(settings.archive.path),
        settings,
        start=day(first),
        end=day(last),
        now=lambda: now,
        **more,
    )


def loaded(settings: Settings, done: Fetched, first: float = 0, last: float = DAYS) -> History:
    """The history of a window from the archive."""
    archive = Archive(settings.archive.path)
    return load_history(archive, [done.source], settings, start=day(first), end=day(last))


def range_queries(server: Server) -> int:
    """How many range queries Prometheus has answered."""
    pattern = rb'prometheus_http_requests_total\{code="\d+",handler="/api/v1/query_range"\} (\d+)'
    return sum(int(count) for count in re.findall(pattern, get(f"{server.url}/metrics")))


@pytest.fixture(scope="module")
def history(server: Server, tmp_path_factory: pytest.TempPathFactory) -> History:
    """All signals from Prometheus."""
    settings = settings_for(server.url, tmp_path_factory.mktemp("history"))
    done = fetched(settings)
    assert done.missing == ()
    assert done.warnings == ()
    return loaded(settings, done)


@pytest.fixture(scope="module")
def other(victoria: Server, tmp_path_factory: pytest.TempPathFactory) -> History:
    """All signals from VictoriaMetrics."""
    settings = settings_for(victoria.url, tmp_path_factory.mktemp("other"))
    done = fetched(settings)
    assert done.missing == ()
    assert done.source.kind == "victoriametrics"
    return loaded(settings, done)


@pytest.mark.parametrize("which", ["history", "other"])
def test_pressure_is_the_worst_five_minutes_of_the_hour(
    which: str, request: pytest.FixtureRequest
) -> None:
    """Every container waits evenly, so each hour says that share; both servers agree."""
    found: History = request.getfixturevalue(which)
    for signal, share in PRESSURE.items():
        waited = found[Signal(signal)]["shop/web"]
        assert waited.dropna().to_numpy()[1:] == pytest.approx(share, rel=0.02)
        assert waited.notna().mean() > 0.95


def test_every_expression_is_accepted_by_promtool(tmp_path: Path) -> None:
    """`promtool check rules` parses each rendered query."""
    rules = [
        {
            "record": f"own:{signal}:{index}",
            "expr": render_query(query, IdentitySettings(), {}, 300),
        }
        for signal, entry in CATALOGUE.items()
        for index, query in enumerate(entry.queries)
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "own", "rules": rules}]}))
    done = subprocess.run(
        [require("promtool"), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout, done.stderr


@pytest.mark.parametrize("which", ["server", "victoria"])
def test_every_expression_gives_samples(which: str, request: pytest.FixtureRequest) -> None:
    """Each query of each signal, the second choices included, runs on the real server and finds the
    fleet.
    """
    source = PrometheusSource(
        settings_for(
            request.getfixturevalue(which).url, request.getfixturevalue("tmp_path")
        ).prometheus
    )
    for signal, entry in CATALOGUE.items():
        for query in entry.queries:
            text = render_query(query, IdentitySettings(), {}, HOUR)
            ((asked, body),) = source.ranges([Range(text, START, HOUR, 24)])
            answer = parse_matrix(body, start=asked.start, step=asked.step, points=asked.points)
            assert np.isfinite(answer.values).any(), (signal, text)


@pytest.mark.metrics  # its fixture is asked for by name
@pytest.mark.parametrize("name", ["history", "other"])
def test_memory_is_the_worst_replicas_maximum_within_each_step(
    name: str, data: Series, request: pytest.FixtureRequest
) -> None:
    """Equal to what the samples say, to the byte: replicas, the re-created container, gaps; the
    same from both servers.
    """
    got = request.getfixturevalue(name).memory
    want: defaultdict[str, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for text, samples in data.items():
        if text.startswith("container_memory_working_set") and 'name="' in text:
            found = re.search(r'service="(\w+)"', text)
            service = f"shop/{found[1]}" if found else "standalone/lone"
            for at, value in samples:
                end = -(-at // STEP) * STEP  # a sample at t speaks of the step that ends at t
                want[service][end] = max(want[service][end], value)
    expected = pd.DataFrame(want)
    expected.index = pd.to_datetime(expected.index, unit="s", utc=True)
    expected = expected.sort_index(axis=1).reindex(got.index)
    assert list(got.columns) == list(expected.columns)
    pd.testing.assert_frame_equal(
        got,
        expected,
        check_freq=False,
        check_index_type=False,
        check_exact=True,
        check_column_type=False,
    )


@pytest.mark.metrics  # its fixture is asked for by name
@pytest.mark.parametrize("name", ["history", "other"])
def test_cpu_is_the_worst_replicas_rate_over_all_cores(
    name: str, request: pytest.FixtureRequest
) -> None:
    """The slopes of the counters come back; a reset is no burst, a re-creation no doubling."""
    cpu = request.getfixturevalue(name).cpu.iloc[2:]
    expected = {
        "shop/api": 1.5,
        "shop/db": 0.375,
        "shop/free": 0.015,
        "shop/web": 0.45,
        "standalone/lone": 0.03,
    }
    assert cpu.median().to_dict() == pytest.approx(expected, rel=0.01)
    assert (
        cpu.max() <= pd.Series(expected) * 1.35
    ).all()  # extrapolation at a series' edges is the server's own


def test_both_servers_agree_on_rates(history: History, other: History) -> None:
    """VictoriaMetrics does not extrapolate: a few per cent at most for nearly all points."""
    ours, theirs = history.cpu.align(other.cpu, join="inner")
    difference = (ours - theirs).abs() / ours
    assert float(np.nanquantile(difference, 0.99)) < 0.04
    assert difference.notna().to_numpy().mean() > 0.95


def test_days_put_together_equal_one_big_query(server: Server, history: History) -> None:
    """Cutting at midnight changes no bit of CPU or memory."""
    source = PrometheusSource(settings_for(server.url, server.directory).prometheus)
    for signal in (Signal.CPU, Signal.MEMORY, Signal.THROTTLED, Signal.HOST_CPU):
        asked = Range(history.queries[signal], START, STEP, DAYS * DAY // STEP)
        ((_, body),) = source.ranges([asked])
        answer = parse_matrix(body, start=START, step=STEP, points=asked.points)
        block = merge_replicas(answer, CATALOGUE[signal], IdentitySettings())
        assert list(history[signal].columns) == block.names
        assert history[signal].to_numpy().T.tobytes() == block.values.tobytes()


def test_limits_are_those_in_force_at_the_end(history: History) -> None:
    """Absent is unlimited, and a limit that was lifted does not linger although its history
    stays.
    """
    memory, cpu = history.limits(Resource.MEMORY), history.limits("cpu")
    assert memory.dropna().to_dict() == {"shop/web": 512 * MIB}
    assert cpu.dropna().to_dict() == {"shop/web": 0.5}
    assert history["memory_limit"]["shop/db"].max() == 1024 * MIB
    before = history.between(history.start, history.start + pd.Timedelta("2D"))
    assert before.limits("memory")["shop/db"] == 1024 * MIB
    assert history.host_size("cpu")["shop/web"] == 2
    assert history.host_size("memory")["shop/web"] == 8 * 1024 * MIB


def test_signals_of_hosts_and_events(history: History) -> None:
    """Throttling, restarts, hosts, cores and targets come out as the samples say."""
    throttled = history["throttled"].iloc[3:].to_numpy()
    assert [np.nanmin(throttled), np.nanmax(throttled)] == pytest.approx([0.25, 0.25])
    assert history["oom_kills"].max().max() == 0
    assert list(history["host_cpu"].columns) == ["dock1", "dock2"]
    assert history["host_cpu"].iloc[3:].median().to_list() == pytest.approx([0.5, 0.5])
    assert history["host_memory"].median().to_list() == [2 * 1024 * MIB] * 2
    assert history["core_busy"].iloc[3:].median().to_list() == pytest.approx([0.25] * 4)
    assert history["up"].median().to_dict() == pytest.approx(
        {"node/dock1:9100": 0.9, "node/dock2:9100": 0.9}, abs=0.02
    )


@pytest.mark.metrics  # its fixture is asked for by name
@pytest.mark.parametrize("name", ["history", "other"])
def test_restarts_at_a_full_hour_are_counted_once(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Schedules restart at full hours, where two windows meet: each restart and re-creation is in
    exactly one of them.
    """
    restarts = request.getfixturevalue(name)["restarts"].sum().to_dict()
    assert restarts == pytest.approx(
        {"shop/api": 1, "shop/db": 2, "shop/free": 0, "shop/web": 0, "standalone/lone": 0}
    )


def test_coverage_and_places_are_told(history: History) -> None:
    """The gap shows in the data's quality; hosts and replicas are those of usage, also where only
    some have limits.
    """
    quality = history.coverage()
    assert float_at(quality, "shop/free", "coverage") > 0.99
    assert float_at(quality, "shop/api", "coverage") == pytest.approx(1 - 6 / 72, abs=0.01)
    assert quality.loc["shop/api", "longest_gap"] == pytest.approx(
        pd.Timedelta("6h"), abs=pd.Timedelta("10min")
    )
    places = quality[["host", "replicas"]]
    assert list(places.T["shop/web"]) == ["dock1,dock2", 3]
    assert list(places.T["shop/api"]) == ["dock1", 1]


def test_only_missing_days_are_asked_for(server: Server, tmp_path: Path) -> None:
    """A day is asked until it is over and settled; then never again, and an unchanged window sends
    no range query.
    """
    settings = settings_for(server.url, tmp_path)
    two = (Signal.CPU, Signal.MEMORY)

    def asked(first: float, last: float, now: float, **more: Any) -> tuple[int, int]:
        before = range_queries(server)
        done = fetched(settings, first, last, now=now, **{"signals": two, **more})
        assert range_queries(server) - before == done.asked
        return done.asked, done.kept

    assert asked(0, 2.5, START + 2.5 * DAY) == (6, 0)
    assert asked(0, 2.5, START + 2.6 * DAY) == (2, 4)  # the third day is not over
    assert asked(0, 3, END + HOUR - 1) == (2, 4)  # over, but not settled
    assert asked(0, 3, END + HOUR) == (2, 4)
    assert asked(0, 3, END + HOUR) == (0, 6)
    assert asked(1, 3, END + 9 * DAY) == (0, 4)
    assert asked(1, 3, END + 9 * DAY, signals=(Signal.CPU,)) == (0, 2)
    assert asked(1, 3, END + 9 * DAY, signals=(*two, Signal.UP)) == (2, 4)
    assert asked(1, 3, END + 9 * DAY, signals=two) == (0, 4)  # what else is known is not asked for
    assert asked(0, 3, END + 9 * DAY, refresh=True) == (6, 0)
    other_identity = override(settings, "identity__service", "name")
    done = fetched(other_identity, signals=two)
    assert (done.asked, done.kept) == (6, 0)  # days merged under other labels are other days
    assert "standalone/lone" in loaded(other_identity, done).services


def test_a_file_damaged_on_disk_is_fetched_again(server: Server, tmp_path: Path) -> None:
    """The next fetch asks for that day alone and the history is whole."""
    settings = settings_for(server.url, tmp_path)
    before = loaded(settings, fetched(settings, signals=[Signal.MEMORY])).fingerprint()
    file = sorted(tmp_path.rglob("*.parquet"))[1]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = fetched(settings, signals=[Signal.MEMORY])
    assert (done.asked, done.kept) == (1, DAYS - 1)
    assert loaded(settings, done).fingerprint() == before


def test_a_damaged_record_does_not_lose_days(server: Server, tmp_path: Path) -> None:
    """Without source.json the source is asked who it is again, and the days are still known."""
    settings = settings_for(server.url, tmp_path)
    fetched(settings, signals=[Signal.MEMORY])
    (record,) = tmp_path.rglob("source.json")
    record.write_text("{")
    done = fetched(settings, signals=[Signal.MEMORY])
    assert (done.asked, done.kept) == (0, DAYS)


def test_history_outlives_the_server(data: Series, tmp_path: Path) -> None:
    """Offline the archive alone answers: after the server forgot (also when asked again) and after
    it is gone.
    """
    some = {text: samples for text, samples in data.items() if text.startswith("container_memory")}
    tsdb = backfill(tmp_path / "fill", openmetrics_blocks(some))
    with prometheus(
        tmp_path / "server", tsdb=tsdb, extra_args=["--web.enable-admin-api"]
    ) as mortal:
        settings = settings_for(mortal.url, tmp_path)
        done = fetched(settings, last=2.5, now=START + 2.5 * DAY)
        assert Signal.CPU in done.missing
        whole = loaded(settings, done, last=2.5)
        selector = quote('{__name__=~".+"}')
        forgotten = START + int(2.25 * DAY)  # retention cuts in the middle of a day
        get(f"{mortal.url}/api/v1/admin/tsdb/delete_series?match[]={selector}&end={forgotten}", b"")
        for refresh in (False, True):
            again = fetched(settings, now=END + 2 * HOUR, refresh=refresh)
            # a server that still knows rather less does not take away what was stored
            kept = loaded(settings, again, last=2.5)
            assert kept.memory.notna().sum().sum() >= whole.memory.notna().sum().sum()
    with pytest.raises(Unreachable):
        fetched(override(settings, "prometheus__attempts", 1))
    settings = override(settings, "report__window_days", 7)
    offline = open_history(offline=True, settings=settings, as_of=day(DAYS), window="3D")
    assert offline.services == whole.services
    assert offline.memory.loc[: whole.memory.index[-1]].equals(
        whole.memory.loc[: whole.memory.index[-1]]
    )
    with pytest.raises(NoHistory, match="as-of"):
        open_history(
            offline=True,
            settings=settings,
            as_of=day(0) - pd.Timedelta("9D"),
            window="3D",
        )


def test_an_empty_window_is_no_history_and_stores_nothing(server: Server, tmp_path: Path) -> None:
    """Days without samples are asked again next time: a cached empty day once stopped retrieval for
    good.
    """
    settings = settings_for(server.url, tmp_path)
    done = fetched(settings, -30, -28)
    assert not list(tmp_path.rglob("*.parquet"))
    assert Signal.CPU in done.missing
    assert done.source.scrape_interval == 0  # nothing to guess it from, so it is looked for again
    with pytest.raises(NoHistory, match="no CPU or memory samples"):
        loaded(settings, done, -30, -28)
    assert fetched(settings, signals=[Signal.CPU]).source.scrape_interval == SCRAPE


def test_a_query_that_is_too_heavy_is_refused_in_the_servers_words(
    server: Server, tmp_path: Path
) -> None:
    """More points than the server allows: the message carries its reason."""
    source = PrometheusSource(settings_for(server.url, tmp_path).prometheus)
    with pytest.raises(QueryRefused, match="exceeded maximum resolution of 11,000 points"):
        list(source.ranges([Range("up", START, 1, 12_000)]))


def test_credentials_never_reach_the_archive(server: Server, tmp_path: Path) -> None:
    """Neither a password in the address nor a header is written anywhere."""
    address = server.url.replace("http://", "http://me:hunter2-secret@")
    settings = override(
        settings_for(address, tmp_path), "prometheus__headers", {"X-Key": "hunter2-secret"}
    )
    history = loaded(settings, fetched(settings, signals=[Signal.MEMORY]))
    assert not [
        file
        for file in tmp_path.rglob("*")
        if b"hunter2" in str(file).encode() + (file.read_bytes() if file.is_file() else b"")
    ]
    assert "hunter2" not in repr(history) + history.source


def test_renamed_metrics_are_asked_by_their_names_here(server: Server, tmp_path: Path) -> None:
    """A fleet whose memory metric has another name gives the signal all the same."""
    settings = settings_for(server.url, tmp_path)
    renamed = settings.model_copy(
        update={"metrics": {"container_memory_working_set_bytes": "machine_memory_bytes"}}
    )
    done = fetched(renamed, signals=[Signal.MEMORY])
    assert "machine_memory_bytes{" in done.source.queries["memory"]
    absent = settings.model_copy(
        update={"metrics": {"container_memory_working_set_bytes": "not_here"}}
    )
    assert fetched(absent, signals=[Signal.MEMORY]).missing == (Signal.MEMORY,)


def test_select_and_between_keep_what_a_part_needs(history: History) -> None:
    """A part of the fleet keeps its hosts; a part of the window keeps its grid."""
    part = history.select("shop/w*")
    assert part.services == ["shop/web"]
    assert list(part["host_cpu"].columns) == ["dock1", "dock2"]
    assert replace(part, notes=()).fingerprint() != history.fingerprint()
    second = history.between(day(1), day(2))
    assert len(second.cpu) == DAY // STEP
