"""A Prometheus with minutes of data: doctor, fetch and report say the same of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fixtures.commands import capacity_here
from tests.fixtures.running.servers import Server, backfill, openmetrics_blocks, prometheus
from tests.integration.history.test_fetch import labels

SCRAPE = 15
SERVICES = ("web", "api")
STEP = 300


@contextmanager
def young(folder: Path, minutes: int) -> Iterator[Server]:
    """A server that has scraped two containers for so many minutes."""
    now = int(time.time())
    times = range(now - minutes * 60, now, SCRAPE)
    series = {}
    for service in SERVICES:
        text = labels(service)
        series[f"container_memory_working_set_bytes{{{text}}}"] = [(at, 1e8) for at in times]
        series[f"container_cpu_usage_seconds_total{{{text}}}"] = [
            (at, 0.1 * (at - times[0])) for at in times
        ]
    with prometheus(folder, tsdb=backfill(folder, openmetrics_blocks(series))) as server:
        yield server


def begun(text: str) -> set[str]:
    """Every moment at which samples are said to begin."""
    return set(re.findall(r"Samples begin at ([0-9-]+ [0-9:]+ UTC)", " ".join(text.split())))


@pytest.mark.parametrize("minutes", [4, 15])
def test_all_say_the_same(tmp_path: Path, minutes: int) -> None:
    """Since when there are samples, how many, and from when on they are enough."""
    with young(tmp_path / "server", minutes) as server:
        source = ("--source", server.url)
        checks = json.loads(capacity_here("doctor", *source, "--json", folder=tmp_path).stdout)
        fetched = json.loads(capacity_here("fetch", *source, "--json", folder=tmp_path).stdout)
        asked = capacity_here("recommend", *source, folder=tmp_path)
    (history,) = (check for check in checks if check["check"] == "history")
    assert (history["status"], "minutes of 28 days" in history["seen"]) == ("warn", True)
    (note,) = (note for note in fetched["notes"] if "Samples begin" in note)
    assert begun(history["advice"]) == begun(note)
    assert "limits from" in note
    assert ("reports from" in note) == (fetched["samples"] == 0)
    most = 2 * len(SERVICES) * (minutes * 60 // STEP + 1)
    assert fetched["samples"] <= most
    if fetched["samples"]:
        assert (fetched["services"], asked.returncode) == (len(SERVICES), 0)
    else:
        assert minutes * 60 < 2 * STEP
        assert asked.returncode == 1
        assert begun(asked.stderr) == begun(note)
