"""Recommendations for other programs: parsed by the real readers, and stable."""

from __future__ import annotations

import csv
import io
import subprocess

import pandas as pd
import pytest

from capacity import api
from capacity.errors import InputError
from capacity.model import Resource
from capacity.reporting.exports import as_csv, as_exposition, as_markdown
from capacity.reporting.why import chart, why
from tests.servers import require


@pytest.fixture(scope="module")
def tables() -> dict[Resource, pd.DataFrame]:
    """Both tables of the sample fleet."""
    history = api.open_history("sample")
    return {resource: api.recommend(history, resource).table for resource in Resource}


def test_csv_holds_every_service_twice(tables: dict[Resource, pd.DataFrame]) -> None:
    """One line a service and resource, by service, raw numbers."""
    rows = list(csv.DictReader(io.StringIO(as_csv(tables))))
    assert [(row["service"], row["resource"]) for row in rows] == sorted((row["service"], row["resource"]) for row in rows)
    assert len(rows) == 2 * len(tables[Resource.CPU])
    assert float(next(row for row in rows if row["service"] == "ai/ollama" and row["resource"] == "memory")["limit"]) > 1e9


def test_markdown_escapes_names_and_counts_the_rest(tables: dict[Resource, pd.DataFrame]) -> None:
    """A bar in a name is no column, and what has no proposal is counted by reason."""
    odd = {resource: table.rename(index={"ai/ollama": "ai/ol|ama"}) for resource, table in tables.items()}
    text = as_markdown(odd)
    assert "ai/ol\\|ama" in text
    assert "Without a proposal:" in text
    assert "It was not running" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == 9 for line in rows)


def test_promtool_accepts_the_exposition(tables: dict[Resource, pd.DataFrame]) -> None:
    """Prometheus' own linter finds nothing, also with quotes in a name."""
    odd = {resource: table.rename(index={"ai/ollama": 'ai/o"l\\a\nma'}) for resource, table in tables.items()}
    done = subprocess.run(
        [require("promtool"), "check", "metrics"], input=as_exposition(odd), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr.strip()


def test_why_holds_what_was_seen_and_what_others_say() -> None:
    """Peaks, events, policies and replay of one service; a misspelt one is named with the nearest."""
    history = api.open_history("sample")
    found = why(history, "shop/thumbnailer", Resource.MEMORY)
    assert found.events["oom_kills"] > 0
    assert set(found.policies) == {"capacity", "krr", "vpa", "autopilot", "seed"}
    assert found.weeks == 2
    assert len(found.days) == 28
    with pytest.raises(InputError, match="shop/thumbnailer"):
        why(history, "thumbnailer", Resource.CPU)


def test_charts_show_gaps_and_zeros() -> None:
    """One block a value, a space where nothing is known."""
    assert chart(pd.Series([0.0, 1.0, float("nan"), 2.0])) == "▁▅ █"
    assert chart(pd.Series([0.0, 0.0])) == "▁▁"
    assert chart(pd.Series([float("nan")])) == " "
