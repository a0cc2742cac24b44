"""Recommendations for other programs: parsed by the real readers, and stable."""

from __future__ import annotations

import csv
import io
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from capacity import _api
from capacity._common.text.units import MIB
from capacity.errors import InputError
from capacity.model import Resource
from capacity.reporting._explain.explain import chart, explain_service
from capacity.reporting._exports import as_csv, as_exposition, as_markdown, differences, read_limits
from tests.fixtures.frames import float_at
from tests.fixtures.running.servers import require


@pytest.fixture(scope="module")
def tables() -> dict[Resource, pd.DataFrame]:
    """Both tables of the sample fleet."""
    history = _api.open_history("sample")
    return {resource: _api.recommend(history, resource).table for resource in Resource}


def test_csv_holds_every_service_twice(tables: dict[Resource, pd.DataFrame]) -> None:
    """One line a service and resource, by service, raw numbers."""
    rows = list(csv.DictReader(io.StringIO(as_csv(tables))))
    assert [(row["service"], row["resource"]) for row in rows] == sorted(
        (row["service"], row["resource"]) for row in rows
    )
    assert len(rows) == 2 * len(tables[Resource.CPU])
    assert (
        float(
            next(
                row for row in rows if row["service"] == "ai/ollama" and row["resource"] == "memory"
            )["limit"]
        )
        > 1e9
    )


def test_markdown_escapes_names_and_counts_the_rest(tables: dict[Resource, pd.DataFrame]) -> None:
    """A bar in a name is no column, and what has no proposal is counted by reason."""
    odd = {
        resource: table.rename(index={"ai/ollama": "ai/ol|ama"})
        for resource, table in tables.items()
    }
    text = as_markdown(odd)
    assert "ai/ol\\|ama" in text
    assert "Without a proposal:" in text
    assert "It was not running" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == 9 for line in rows)


def test_promtool_accepts_the_exposition(tables: dict[Resource, pd.DataFrame]) -> None:
    """Prometheus' own linter finds nothing, also with quotes in a name."""
    odd = {
        resource: table.rename(index={"ai/ollama": 'ai/o"l\\a\nma'})
        for resource, table in tables.items()
    }
    done = subprocess.run(
        [require("promtool"), "check", "metrics"],
        input=as_exposition(odd),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr.strip()


def test_why_holds_what_was_seen_and_what_others_say() -> None:
    """Peaks, events, policies and replay of one service; a misspelt one is named with the
    nearest.
    """
    history = _api.open_history("sample")
    found = explain_service(history, "shop/thumbnailer", Resource.MEMORY)
    assert found.events["oom_kills"] > 0
    assert set(found.policies) == {"capacity", "maximum", "krr", "vpa", "autopilot", "seed"}
    assert found.weeks == 2
    assert len(found.days) == 28
    with pytest.raises(InputError, match="shop/thumbnailer"):
        explain_service(history, "thumbnailer", Resource.CPU)


def test_charts_show_gaps_and_zeros() -> None:
    """One block a value, a space where nothing is known."""
    assert chart(pd.Series([0.0, 1.0, float("nan"), 2.0])) == "▁▅ █"
    assert chart(pd.Series([0.0, 0.0])) == "▁▁"
    assert chart(pd.Series([float("nan")])) == " "


def test_runs_differ_only_in_what_changed(
    tables: dict[Resource, pd.DataFrame], tmp_path: Path
) -> None:
    """The same run has no differences from its own CSV or JSON; a limit, a newcomer and a lost
    service are told.
    """
    table = tables[Resource.MEMORY]
    (tmp_path / "last.csv").write_text(as_csv(tables))
    (tmp_path / "last.json").write_text(
        table.assign(resource="memory").reset_index().to_json(orient="records", double_precision=15)
    )
    for name in ("last.csv", "last.json"):
        assert differences(read_limits(tmp_path / name, Resource.MEMORY), table) == []
    changed = table.drop("ai/ollama").rename(index={"shop/web": "shop/site"})
    changed.loc["shop/worker", "limit"] = 7 * MIB
    found = {
        row["service"]: row
        for row in differences(read_limits(tmp_path / "last.csv", Resource.MEMORY), changed)
    }
    assert found["ai/ollama"]["action"] == "gone"
    assert found["shop/worker"]["is"] == 7 * MIB
    assert {name for name, row in found.items() if str(row["action"]).endswith("(new)")} == (
        {"shop/site"} if "shop/web" in table.index else set()
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "Cannot read"),
        ("", "holds no recommendations"),
        ("a,b\n1,2\n", "holds no recommendations"),
        ("[{]", "holds no"),
        ('[{"resource": "memory"}, 5]', "holds no"),
        (
            "service,resource,limit,action,reason\nweb,cpu,1,set,unlimited\n",
            "no recommendations for memory",
        ),
    ],
)
def test_a_file_without_recommendations_is_refused(
    text: str | None, said: str, tmp_path: Path
) -> None:
    """Missing, empty, other, damaged, or of the other resource: each is named with the way to make
    one.
    """
    file = tmp_path / "last.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_limits(file, Resource.MEMORY)


def test_each_format_changes_only_where_a_proposal_does(
    tables: dict[Resource, pd.DataFrame],
) -> None:
    """Another limit for one service changes the lines of that service and no other line, in every
    format.
    """
    other = {resource: table.copy() for resource, table in tables.items()}
    memory = other[Resource.MEMORY]
    memory.loc[["ai/ollama"], "limit"] = 1.5 * float_at(memory, "ai/ollama", "limit")
    for write in (as_csv, as_markdown, as_exposition):
        before, after = (write(each).splitlines() for each in (tables, other))
        changed = [line for line, two in zip(before, after, strict=True) if line != two]
        assert len(changed) == 1
        assert "ollama" in changed[0]
