"""The checks on history and on what the monitoring answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.events import Ends
from capacity.compliance import Facts, Status
from capacity.compliance._facts import collect
from capacity.compliance._facts.monitoring import Alerting, Delivery, Monitoring, Restarts, Target
from capacity.history import History
from capacity.model import Signal
from capacity.settings import Settings
from tests.fixtures.fleets.compliance_fleets import container, declared, found, live, run

END = pd.Timestamp("2026-11-23", tz="UTC")


def frame(step: str, **columns: Any) -> pd.DataFrame:
    """Two days of constant or given values; names have a double underscore for their slash."""
    index = pd.date_range(END - pd.Timedelta("2D"), END, freq=step, inclusive="left")
    return pd.DataFrame(
        {
            name.replace("__", "/"): np.broadcast_to(value, len(index))
            for name, value in columns.items()
        },
        index=index,
    )


def history(**frames: pd.DataFrame) -> History:
    """A history of these signals; usage is there always."""
    usage = frame("5min", shop__web=0.5, shop__db=0.5)
    known = {
        Signal.CPU: usage,
        Signal.MEMORY: usage * 1e6,
        **{Signal(name): value for name, value in frames.items()},
    }
    return History(
        frames={signal: value.astype(float) for signal, value in known.items()},
        start=END - pd.Timedelta("2D"),
        end=END,
        step=pd.Timedelta("5min"),
        source="test",
        hosts={"shop/web": "box", "shop/db": "box"},
        queries=dict.fromkeys(known, "some_query"),
    )


def test_share_of_the_limit_in_force() -> None:
    """Half a core is 83 % of 0.6 and 50 % of a host's one core; the finding tells time above and
    query.
    """
    known = history(cpu_limit=frame("1h", shop__web=0.6), host_cores=frame("1h", box=1.0))
    report = run("cpu-share", Facts(history=known))
    assert {finding.subject: finding.status for finding in report.findings} == {
        "shop/web": Status.FAIL,
        "shop/db": Status.PASS,
    }
    (failing,) = report.failing()
    assert failing.verdict.evidence.value == "p95 83% of 0.60 cores, 2880 min above 80%"
    assert failing.verdict.evidence.query == "some_query"


def test_a_short_burst_is_no_finding() -> None:
    """Four per cent of the time at the limit is below the 95th percentile."""
    busy = np.where(np.arange(576) % 25 == 0, 1.0, 0.1)
    known = history(cpu=frame("5min", shop__web=busy), cpu_limit=frame("1h", shop__web=1.0))
    assert found("cpu-share", Facts(history=known)) == {"shop/web": Status.PASS}


def test_the_engines_limit_and_the_declared_one_count_too(tmp_path: Path) -> None:
    """What the Engine enforces beats history; what is declared helps where nothing is in force."""
    facts = live(
        container("web", NanoCpus=550_000_000),
        facts=declared(tmp_path, shop="  db: {image: 'a:1', cpus: 0.6}\n"),
    )
    facts = replace(facts, history=history(cpu_limit=frame("1h", shop__web=4.0)))
    assert found("cpu-share", facts) == {"shop/web": Status.FAIL, "shop/db": Status.FAIL}


def test_unknown_shares_do_not_pass() -> None:
    """Neither limit nor host known, or too few samples."""
    assert set(found("cpu-share", Facts(history=history())).values()) == {Status.NOT_EVALUATED}
    few = history(
        cpu=frame("5min", shop__web=[np.nan] * 570 + [0.1] * 6),
        cpu_limit=frame("1h", shop__web=1.0),
    )
    assert found("cpu-share", Facts(history=few)) == {"shop/web": Status.NOT_EVALUATED}


def test_memory_limits_by_history() -> None:
    """Without an Engine, history tells; where it measures no limits at all, nothing passes or
    fails.
    """
    limits = history(memory_limit=frame("1h", shop__web=1e9))
    assert found("memory-limit-live", Facts(history=limits)) == {
        "shop/web": Status.PASS,
        "shop/db": Status.FAIL,
    }
    assert set(found("memory-limit-live", Facts(history=history())).values()) == {
        Status.NOT_EVALUATED
    }


@pytest.mark.parametrize(
    ("worst", "status"),
    [
        (0, Status.PASS),
        (3, Status.PASS),
        (4, Status.NOT_EVALUATED),
        (11, Status.NOT_EVALUATED),
        (12, Status.FAIL),
        (60, Status.FAIL),
    ],
)
def test_restarts_an_hour(worst: int, status: Status) -> None:
    """Hourly counts clear and convict; between four and eleven they cannot tell."""
    known = history(restarts=frame("1h", shop__web=[0] * 40 + [worst] + [0] * 7))
    assert found("restart-loop", Facts(history=known))["shop/web"] is status


@pytest.mark.parametrize(
    ("count", "state", "started", "status"),
    [
        (3, "running", "2026-11-23T05:09:00Z", Status.PASS),
        (4, "running", "2026-11-23T05:09:00Z", Status.FAIL),
        (4, "running", "2026-11-23T09:00:00Z", Status.NOT_EVALUATED),
        (4, "restarting", "2026-11-23T09:00:00Z", Status.FAIL),
        (4, "exited", "0001-01-01T00:00:00Z", Status.NOT_EVALUATED),
    ],
)
def test_restarts_by_the_engine(count: int, state: str, started: str, status: Status) -> None:
    """Four within ten minutes of its making are a loop; four in four hours may be none."""
    facts = live(container("web", RestartCount=count, Status=state, StartedAt=started))
    assert found("restart-loop", facts) == {"shop/web": status}


@pytest.mark.parametrize(
    ("started", "ends", "status"),
    [
        ("2026-11-23T08:00:00Z", None, Status.PASS),  # it has run for an hour
        ("2026-11-23T08:55:00Z", None, Status.NOT_EVALUATED),
        ("2026-11-23T08:55:00Z", Ends(10, {"shop-web-1": 4}, complete=False), Status.FAIL),
        ("2026-11-23T08:55:00Z", Ends(10, {"shop-web-1": 3}, complete=False), Status.NOT_EVALUATED),
        ("2026-11-23T08:55:00Z", Ends(10, {"shop-web-1": 3}, complete=True), Status.PASS),
        ("2026-11-23T08:55:00Z", Ends(5, {}, complete=True), Status.NOT_EVALUATED),
    ],
)
def test_the_engines_events(started: str, ends: Ends | None, status: Status) -> None:
    """They convict, and clear only where they reach back far enough."""
    facts = live(container("web", RestartCount=9, StartedAt=started))
    facts = replace(
        facts, at=datetime(2026, 11, 23, 9, tzinfo=UTC), ends={"snapshot": ends} if ends else {}
    )
    assert found("restart-loop", facts) == {"shop/web": status}


@given(st.integers(-14 * 60, 14 * 60), st.booleans())
def test_how_long_a_container_has_run_is_by_the_engines_clock(ahead: int, long_ago: bool) -> None:
    """Its start is of that clock, however wrong it goes."""
    here = datetime(2026, 11, 23, 9, tzinfo=UTC)
    there = here + timedelta(minutes=ahead)
    started = (there - timedelta(minutes=11 if long_ago else 9)).isoformat()
    created = (there - timedelta(hours=9)).isoformat()
    made = {**container("web", RestartCount=9, StartedAt=started), "Created": created}
    facts = live(made)
    ends = Ends(10, {}, complete=False, at=there.timestamp())
    facts = replace(facts, at=here, ends={"snapshot": ends})
    expected = Status.PASS if long_ago else Status.NOT_EVALUATED
    assert found("restart-loop", facts) == {"shop/web": expected}


@given(st.integers(-14 * 60, 14 * 60), st.integers(0, 9), st.booleans())
def test_a_start_is_the_same_in_every_zone(offset: int, digits: int, long_ago: bool) -> None:
    """Engines may write local time with its offset, and parts of a second in any length."""
    at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    zone = timezone(timedelta(minutes=offset))
    started = (at - timedelta(minutes=11 if long_ago else 9)).astimezone(zone)
    part = f".{'0' * digits}" if digits else ""
    written = started.strftime(f"%Y-%m-%dT%H:%M:%S{part}") + started.isoformat()[-6:]
    facts = replace(live(container("web", RestartCount=9, StartedAt=written)), at=at)
    expected = Status.PASS if long_ago else Status.NOT_EVALUATED
    assert found("restart-loop", facts) == {"shop/web": expected}


@pytest.mark.parametrize(
    "zero", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00-09:00", ""]
)
def test_the_zero_time_is_no_start(zero: str) -> None:
    """A container that never ran has not run for two thousand years."""
    facts = live(container("web", RestartCount=9, StartedAt=zero))
    facts = replace(facts, at=datetime(2026, 11, 23, 9, tzinfo=UTC))
    assert found("restart-loop", facts) == {"shop/web": Status.NOT_EVALUATED}


def test_history_convicts_what_the_engine_clears() -> None:
    """A container made anew counts no restarts; history remembers those of the one before it."""
    known = history(restarts=frame("1h", shop__web=[0] * 40 + [30] + [0] * 7))
    assert (
        found("restart-loop", replace(live(container("web")), history=known))["shop/web"]
        is Status.FAIL
    )


def test_prometheus_settles_what_the_engine_cannot() -> None:
    """Asked for the very window, it clears or convicts."""
    facts = live(container("web", RestartCount=4, StartedAt="2026-11-23T09:00:00Z"))
    for most, status in ((3, Status.PASS), (4, Status.FAIL)):
        probed = replace(
            facts, monitoring=Monitoring(restarts=Restarts(10, 24, {"shop/web": most}, "q"))
        )
        assert found("restart-loop", probed) == {"shop/web": status}


def test_a_replica_in_a_loop_is_not_hidden_by_another() -> None:
    """One good container does not clear the service."""
    facts = live(container("web"), container("web", number=2, RestartCount=9, Status="restarting"))
    assert found("restart-loop", facts) == {"shop/web": Status.FAIL}


@pytest.mark.parametrize(
    ("busy", "status"),
    [
        ((0.9, 0.1, 0.1, 0.1), Status.FAIL),
        ((0.5, 0.55, 0.45, 0.5), Status.PASS),
        ((0.03, 0.0, 0.0, 0.0), Status.PASS),
        ((0.9,), Status.NOT_EVALUATED),
        ((np.nan, np.nan), Status.NOT_EVALUATED),
    ],
)
def test_cores(busy: tuple[float, ...], status: Status) -> None:
    """Uneven, even, idle, one core alone, no samples."""
    cores = frame("1h", **{f"box__{number}": value for number, value in enumerate(busy)})
    assert found("cores-balanced", Facts(history=history(core_busy=cores))) == {"box": status}


def test_pinning(tmp_path: Path) -> None:
    """By category on the host's cores; a host with few cores asks for nothing."""
    text = (
        "  redis: {image: 'a:1', cpuset: '0-1'}\n  kong: {image: 'a:1', cpuset: '0'}\n  web: "
        "{image: 'a:1'}\n"
        "  worker: {image: 'a:1', cpuset: '4-7'}\n"
    )
    for cores, expected in ((8.0, ["pass", "fail", "fail", "pass"]), (2.0, ["pass"] * 4)):
        facts = declared(tmp_path / str(cores), shop=text)
        sizes = replace(
            history(host_cores=frame("1h", box=cores)), hosts=dict.fromkeys(facts.declared, "box")
        )
        usage = frame("5min", **{key.replace("/", "__"): 0.1 for key in facts.declared})
        sizes = replace(sizes, frames={**sizes.frames, Signal.CPU: usage, Signal.MEMORY: usage})
        statuses = found("cpu-pinning", replace(facts, history=sizes))
        assert [
            str(statuses[f"shop/{name}"]) for name in ("redis", "kong", "web", "worker")
        ] == expected
    alone = found("cpu-pinning", declared(tmp_path / "alone", shop=text))
    assert set(alone.values()) == {Status.NOT_EVALUATED}
    house = Settings(
        types={"queue": {"patterns": ["worker"], "category": "critical"}},
        placement={"infrastructure": "0-1", "critical": "4-7", "standard": "2"},
    )
    said = found(
        "cpu-pinning", collect.with_settings(declared(tmp_path / "house", shop=text), house)
    )
    assert [str(said[f"shop/{name}"]) for name in ("redis", "kong", "web", "worker")] == [
        "pass",
        "fail",
        "fail",
        "pass",
    ]
    own = found(
        "cpu-pinning",
        declared(tmp_path / "own", shop=text),
        infrastructure="0-1",
        critical="0",
        standard="4-7",
    )
    assert [str(status) for status in own.values()] == ["pass", "pass", "fail", "pass"]


def test_scrape_gaps() -> None:
    """Down now, answering too rarely, gone, and well."""
    up = frame(
        "1h",
        job__down=[1] * 47 + [0],
        job__rare=[1] * 40 + [0.5] * 7 + [1],
        job__gone=[1] * 20 + [np.nan] * 28,
        job__well=1,
    )
    expected = {
        "job/down": Status.FAIL,
        "job/rare": Status.FAIL,
        "job/gone": Status.NOT_EVALUATED,
        "job/well": Status.PASS,
    }
    assert found("targets-up", Facts(history=history(up=up))) == expected
    probed = Monitoring(
        targets=(
            Target("job/down", up=True),
            Target("job/rare", up=True),
            Target("job/new", up=False, error="refused"),
        )
    )
    asked = found("targets-up", Facts(history=history(up=up), monitoring=probed))
    assert asked == {"job/down": Status.FAIL, "job/rare": Status.FAIL, "job/new": Status.FAIL}


@pytest.mark.parametrize(
    ("alerting", "expected"),
    [
        (Alerting(2, {}, ("http://a",)), ("pass", "pass")),
        (Alerting(0, {}, ("http://a",)), ("fail", "pass")),
        (Alerting(2, {"Broken": "vector"}, ()), ("fail", "fail")),
    ],
)
def test_alert_rules(alerting: Alerting, expected: tuple[str, str]) -> None:
    """Loaded, without errors, and with somebody to send to."""
    statuses = found("alert-rules", Facts(monitoring=Monitoring(alerting=alerting)))
    assert (str(statuses["alert rules"]), str(statuses["alert sending"])) == expected


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (Delivery("http://a", "", "127.0.0.1:1", 5, 0.3), ("pass", "pass")),
        (Delivery("http://a", "", "127.0.0.1:1", 5, None), ("pass", "fail")),
        (Delivery("http://a", "", "", 5, None), ("pass", "not-evaluated")),
        (Delivery("http://a", "HTTP 500"), ("fail", "fail")),
    ],
)
def test_delivery(delivery: Delivery, expected: tuple[str, str]) -> None:
    """Answering is one thing, delivering another, and what was not tried is not known."""
    facts = Facts(monitoring=Monitoring(delivery=delivery))
    statuses = (*found("alertmanager", facts).values(), *found("alert-delivery", facts).values())
    assert tuple(map(str, statuses)) == expected


def test_agents(tmp_path: Path) -> None:
    """Three of one image stand alone; replicas of one service and members of a pool do not."""
    text = (
        "  claude-1: {image: 'claude:latest'}\n  claude-2: {image: 'claude:2'}\n"
        "  review-agent: {image: 'agents/review:1', deploy: {replicas: 3}}\n"
        "  pooled-agent-1: {image: 'agents/x:1', labels: {capacity.pool: x}}\n"
        "  pooled-agent-2: {image: 'agents/x:1', labels: {capacity.pool: x}}\n"
        "  web: {image: 'claude-not:1'}\n  web-2: {image: 'web:1'}\n  web-3: {image: 'web:1'}\n"
    )
    statuses = {
        key.removeprefix("shop/"): str(status)
        for key, status in found("agents-pooled", declared(tmp_path, shop=text)).items()
    }
    assert statuses == {
        "claude-1": "fail",
        "claude-2": "fail",
        "review-agent": "pass",
        "pooled-agent-1": "pass",
        "pooled-agent-2": "pass",
        "web": "pass",
    }
