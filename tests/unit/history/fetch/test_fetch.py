"""`capacity.history._fetch` where no real server can be brought to say such things: warnings, other
clocks, interruptions.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capacity.errors import BadAnswer
from capacity.history._archive.archive import Archive
from capacity.history._fetch.fetch import combine, fetch
from capacity.history._load import load_history
from capacity.history._prometheus.client import PrometheusSource
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal
from capacity.settings import Settings, override
from tests.fixtures.running.servers import Command
from tests.fixtures.running.web_server import Answer, web

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86_400
START = pd.Timestamp("2026-03-02", tz="UTC")
WANTED = (Signal.MEMORY,)
LATER = START.timestamp() + 30 * DAY


def metrics_server(
    change: Callable[[dict[str, Any], int], None] = lambda *_: None, *, ahead: float = 0.0
) -> Callable[[int, str], Answer]:
    """Answers of a small Prometheus with one container; `change` may alter what the n-th range
    query gives.
    """
    asked = iter(range(10_000))

    def answer(_: int, path: str) -> Answer:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        data: Any = {"revision": "x"}
        envelope: dict[str, Any] = {"status": "success"}
        if parts.path.endswith("/values"):
            data = ["container_memory_working_set_bytes"]
        elif parts.path.endswith("/query"):
            value = time.time() + ahead if "time()" in query["query"] else 10
            data = {"resultType": "vector", "result": [{"metric": {}, "value": [0, str(value)]}]}
        elif parts.path.endswith("/query_range"):
            times = range(int(query["start"]), int(query["end"]) + 1, int(query["step"]))
            row = {
                "metric": {"name": "shop-web-1", "instance": "dock1:1"},
                "values": [[at, str(at % 977)] for at in times],
            }
            data = {"resultType": "matrix", "result": [row]}
        envelope["data"] = data
        if parts.path.endswith("/query_range"):
            change(envelope, next(asked))
        return Answer(body=json.dumps(envelope, separators=(",", ":")).encode())

    return answer


def settings_for(url: str, folder: Path) -> Settings:
    """Settings that fetch from `url` into `folder`."""
    settings = override(override(Settings(), "prometheus__url", url), "archive__path", folder)
    return override(settings, "prometheus__attempts", 1)


def fetched(settings: Settings, days: int = 2, *, now: float = LATER) -> Any:
    """Bring the archive up to date as if it were `now`."""
    source = PrometheusSource(settings.prometheus)
    return fetch(
        source,
        Archive(settings.archive.path),
        settings,
        start=START,
        end=START + pd.Timedelta(days=days),
        signals=WANTED,
        now=lambda: now,
    )


@pytest.mark.parametrize("said", [{"warnings": ["slow store"]}, {"isPartial": True}])
def test_a_day_with_warnings_is_used_but_asked_again(tmp_path: Path, said: dict[str, Any]) -> None:
    """A partial answer is shown with its warning and never becomes final."""
    with web(
        metrics_server(lambda envelope, number: envelope.update(said) if number == 0 else None)
    ) as server:
        settings = settings_for(server.url, tmp_path)
        done = fetched(settings)
        assert (done.asked, len(done.warnings)) == (2, 1)
        history = load_history(
            Archive(tmp_path),
            [done.source],
            settings,
            start=START,
            end=START + pd.Timedelta("2D"),
            signals=WANTED,
        )
        assert history.notes == done.warnings
        again = fetched(settings)
        assert (again.asked, again.kept, again.warnings) == (1, 1, ())
        assert fetched(settings).asked == 0


def test_an_empty_day_is_asked_again(tmp_path: Path) -> None:
    """What is empty today may come tomorrow: nothing is stored for it, and nothing stored is lost
    to it.
    """
    empty = lambda envelope, number: (  # noqa: E731 - one line, used once
        envelope["data"].update(result=[]) if number in {0, 2} else None
    )
    with web(metrics_server(empty)) as server:
        settings = settings_for(server.url, tmp_path)
        assert (fetched(settings).asked, len(list(tmp_path.rglob("*.parquet")))) == (2, 1)
        assert fetched(settings).asked == 1  # empty again
        assert fetched(settings).asked == 1
        assert fetched(settings).asked == 0


@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_day_that_cannot_be_answered_is_named_and_asked_again(tmp_path: Path, at: int) -> None:
    """All other days are fetched; the next run asks only for what is missing."""
    with web(
        metrics_server(lambda envelope, number: envelope.clear() if number == at else None)
    ) as server:
        settings = override(settings_for(server.url, tmp_path), "prometheus__max_in_flight", 1)
        done = fetched(settings, 4)
        assert (done.asked, done.failed) == (4, 1)
        (note,) = done.warnings
        assert f"memory of 2026-03-0{2 + at}" in note
        assert len(list(tmp_path.rglob("*.parquet"))) == 3
        again = fetched(settings, 4)
        assert (again.kept, again.asked, again.failed) == (3, 1, 0)


def test_a_server_that_answers_nothing_is_an_error(tmp_path: Path) -> None:
    """The first failure is raised, and asking ends soon."""
    asked = 0

    def change(envelope: dict[str, Any], _: int) -> None:
        nonlocal asked
        asked += 1
        envelope.clear()

    with web(metrics_server(change)) as server:
        settings = override(settings_for(server.url, tmp_path), "prometheus__max_in_flight", 1)
        for days in (2, 25):
            with pytest.raises(BadAnswer):
                fetched(settings, days)
        assert asked < 2 + 12


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row.update(values=[[at, "NaN"] for at, _ in row["values"]]),
        lambda row: row.update(values=[[at - 7 * DAY, value] for at, value in row["values"]]),
        lambda row: row.update(values=0),
        lambda row: row.update(values="none"),
        lambda row: row["metric"].update(name=7),
    ],
    ids=["all NaN", "of another week", "a number", "a text", "a label that is a number"],
)
def test_a_day_without_a_usable_sample_is_not_final(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    """It is a gap or a failure, and the next fetch asks again."""

    def change(envelope: dict[str, Any], number: int) -> None:
        if number == 1:
            spoil(envelope["data"]["result"][0])

    with web(metrics_server(change)) as server:
        settings = override(settings_for(server.url, tmp_path), "prometheus__max_in_flight", 1)
        fetched(settings, 3)
        again = fetched(settings, 3)
        assert (again.kept, again.asked) == (2, 1)


@pytest.mark.parametrize("ahead", [-40 * 3600.0, 40 * 3600.0])
def test_the_servers_clock_decides_which_days_are_over(
    tmp_path: Path, ahead: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine whose clock is days off must not take a running day for a finished one."""
    with web(metrics_server(ahead=ahead)) as server:
        settings = settings_for(server.url, tmp_path)
        # by this machine's clock the second day has been over for 24 hours or begins in 16
        done = fetched(settings, 3, now=START.timestamp() + 2 * DAY + 86_000 - ahead)
        assert "clock" in done.warnings[0]
        assert "clock" in caplog.text
        assert done.asked == 3
        again = fetched(settings, 3, now=START.timestamp() + 2 * DAY + 86_000 - ahead)
        assert (again.asked, again.kept) == (1, 2)


def test_an_interrupted_fetch_loses_nothing_and_ends_at_once(tmp_path: Path) -> None:
    """SIGINT while the server is slow: no waiting for its answer, days before are kept, the next
    run goes on.
    """
    code = """
        import sys
        from pathlib import Path
        from tests.unit.history.fetch.test_fetch import fetched, settings_for
        print("ready", flush=True)
        fetched(settings_for(sys.argv[1], Path(sys.argv[2])), 20)
        """
    answer = metrics_server()

    def slow(number: int, path: str) -> Answer:
        made = answer(number, path)
        made.seconds = 0.05 if number < 14 else 25.0
        return made

    with web(slow) as server:
        command: Command = [sys.executable, "-c", textwrap.dedent(code), server.url, tmp_path]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if len(server.seen) >= 16 and len(list(tmp_path.rglob("*.parquet"))) >= 8:
                    break
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            process.wait(40)
            assert time.monotonic() - began < 15
        days = len(list(tmp_path.rglob("*.parquet")))
        assert 8 <= days <= 11
        assert not list(tmp_path.rglob("*.tmp"))


blocks = st.lists(st.sampled_from("abc"), unique=True).flatmap(
    lambda names: arrays(
        np.float64, (len(names), 4), elements=st.sampled_from([np.nan, 1.0, 2.0])
    ).map(lambda values: SeriesBlock(sorted(names), ["h"] * len(names), [1] * len(names), values))
)


@given(blocks, blocks)
def test_a_new_day_adds_to_the_old_and_wins(new: SeriesBlock, old: SeriesBlock) -> None:
    """Every sample of the new answer stays, every other of the old one too."""
    both = combine(new, old)
    for name in {*new.names, *old.names}:
        ours = new.values[new.names.index(name)] if name in new.names else np.full(4, np.nan)
        theirs = old.values[old.names.index(name)] if name in old.names else np.full(4, np.nan)
        np.testing.assert_array_equal(
            both.values[both.names.index(name)], np.where(np.isnan(ours), theirs, ours)
        )
