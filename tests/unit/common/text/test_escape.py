"""Each output format shows text from outside as it is: one corpus through every escaper, read back
by the format's own reader.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import subprocess
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import mistune
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from capacity._common.files import file_parts
from capacity._common.text.escape import (
    csv_cell,
    encodable,
    from_csv_cell,
    markdown,
    sarif_text,
    template,
)
from capacity._common.text.printable import one_line, visible
from capacity.changes import LimitForecast, alert_rules, update_command
from capacity.model import Action, Reason, Resource, ServiceKey
from capacity.reporting._exports import as_csv, as_exposition, as_markdown, read_limits
from capacity.reporting._html.html import Column, table, text
from capacity.settings import Settings
from capacity.sizing._context import raised_above
from tests.fixtures.generated.hostile import HIDDEN, SIGNS
from tests.fixtures.running.servers import require

CORPUS = sorted({*SIGNS, *HIDDEN, *(f"a{a}{b}z" for a, b in product(SIGNS, HIDDEN[:6]))} - {""})
ANY = (
    st.sampled_from(CORPUS) | st.lists(st.sampled_from(CORPUS), max_size=3).map("".join) | st.text()
)
RENDER = mistune.create_markdown(plugins=["table", "url", "strikethrough", "task_lists"])
IN_FRAMES = {name for name in CORPUS if encodable(name) == name}  # Arrow has only whole characters
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def tables(names: list[str]) -> dict[Resource, pd.DataFrame]:
    """A table of recommendations for services of those names."""
    row = {
        "current": 64.0 * 2**20,
        "limit": 128.0 * 2**20,
        "reservation": 64.0 * 2**20,
        "action": Action.RAISE,
        "reason": Reason.OOM_KILLED,
        "breach_now": 0.5,
        "breach_after": 0.01,
        "peak_high": 1e8,
    }
    return {Resource.MEMORY: pd.DataFrame([row] * len(names), index=pd.Index(names))}


@given(ANY)
def test_markdown_shows_the_text(name: str) -> None:
    """In a cell, an item and a paragraph a renderer gives the text back, without tag or link."""
    cells = f"| a | b |\n|---|---|\n| {markdown(name)} | x |\n"
    for source in (cells, f"- {markdown(name)}", f"z {markdown(name)}"):
        page = str(RENDER(source))
        assert not re.search(r"<(?!/?(table|thead|tbody|tr|t[hd]|ul|li|p)\b)", page), page
        shown = html.unescape(re.sub(r"<[^>]*>", "", page))
        wanted = one_line(name)
        assert wanted in shown, (wanted, page)
    assert str(RENDER(cells)).count("<td") == 2


@given(ANY)
def test_a_cell_of_a_csv_is_no_formula(name: str) -> None:
    """Also with a tab, a line feed or a wide sign in front; what was written is read back."""
    cell = csv_cell(name)
    assert cell[:1] not in {*"=+-@\t\r\n", "\uff1d"}
    assert from_csv_cell(cell) == visible(name)
    assert cell.isprintable()


@given(st.lists(ANY.map(encodable).filter(bool), min_size=1, max_size=5, unique=True))
def test_an_exposition_gives_the_labels_back(names: list[str]) -> None:
    """Prometheus' own reader, whatever the names hold."""
    read = {
        (sample.labels["project"], sample.labels["service"])
        for family in text_string_to_metric_families(as_exposition(tables(names)))
        for sample in family.samples
        if sample.name == "capacity_memory_recommended_limit_bytes"
    }
    keys = [ServiceKey.parse(encodable(name)) for name in names]
    assert read == {(key.project, key.service) for key in keys}


def test_one_table_of_the_whole_corpus(tmp_path: Path) -> None:
    """CSV and Markdown keep one line a service; the CSV is read back as earlier limits."""
    names = [f"{start}{name}" for name in CORPUS for start in ("p/", "") if name in IN_FRAMES]
    whole = tables(names)
    (tmp_path / "last.csv").write_text(as_csv(whole), encoding="utf-8")
    rows = list(csv.reader(io.StringIO(as_csv(whole))))
    assert len(rows) == len(names) + 1
    assert {*read_limits(tmp_path / "last.csv", Resource.MEMORY).index} == {*map(visible, names)}
    lines = as_markdown(whole).splitlines()
    assert sum(line.startswith("| ") for line in lines) == len(names) + 1
    assert str(RENDER(as_markdown(whole))).count("<td") == 8 * len(names)


def test_promtool_loads_the_rules_of_the_whole_corpus(tmp_path: Path) -> None:
    """Expression, labels and summary; a template in a name is text once Prometheus has expanded
    it.
    """
    names = [f"{project}/{name}" for name in CORPUS for project in ("p", "standalone")]
    outlooks = [
        LimitForecast(name, resource, 1e9, 1e8, NOON, 0.5)
        for name in names
        for resource in Resource
    ]
    rules = alert_rules(outlooks, Settings(), valid_until=NOON)
    (tmp_path / "alerts.yml").write_text(rules, encoding="utf-8")
    done = _promtool("check", "rules", "--lint=none", str(tmp_path / "alerts.yml"))
    assert f"{len(outlooks) * 3} rules found" in done
    assert 'service="a' in rules


def test_prometheus_gives_the_names_back(tmp_path: Path) -> None:
    """An alert that fires carries the service's name as it is, no template of it having run."""
    names = sorted({visible(name) for name in CORPUS if name.strip()})
    outlooks = [LimitForecast(f"p/{name}", Resource.MEMORY, 1e9, None, None, 0.5) for name in names]
    (tmp_path / "alerts.yml").write_text(
        alert_rules(outlooks, Settings(), valid_until=datetime(2100, 1, 1, tzinfo=UTC)),
        encoding="utf-8",
    )
    expected = [
        {
            "exp_labels": {"service": f"p/{name}", "resource": "memory", "severity": "warning"},
            "exp_annotations": {
                "summary": f"p/{name} memory passes its limit with a chance of 50%; accepted "
                f"are {Settings().sizing.risk:.0%}, and it is raised above "
                f"{raised_above(Settings().sizing.risk):.0%}",
                "runbook_url": _runbook(),
            },
        }
        for name in names
    ]
    test = {
        "rule_files": ["alerts.yml"],
        "tests": [
            {
                "interval": "1m",
                "alert_rule_test": [
                    {"eval_time": "1m", "alertname": "CapacityBreachRisk", "exp_alerts": expected}
                ],
            }
        ],
    }
    with (tmp_path / "test.yml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(test, file)
    assert "SUCCESS" in _promtool("test", "rules", str(tmp_path / "test.yml"))


def _runbook() -> str:
    from capacity._common.runbooks import runbook_url

    return str(runbook_url(Reason.BREACH_EXPECTED))


def _promtool(*words: str) -> str:
    done = subprocess.run(
        [require("promtool"), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:3000]
    return done.stdout


@given(st.text("{}x -", max_size=12))
def test_no_template_is_left_of_any_braces(name: str) -> None:
    """Every action that is left is the one that prints two braces."""
    assert re.sub(r'\{\{"\{\{"\}\}', "<>", template(name)).count("{{") == 0
    assert template(name).replace('{{"{{"}}', "{{") == name


@given(ANY)
def test_a_page_shows_the_text(name: str) -> None:
    """No tag and no attribute comes of a name."""
    page = table("x", [Column("a"), Column("b")], [["x", name]]).source
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    assert [html.unescape(cell) for cell in cells] == [visible(name, keep="\n\t\xa0\u2009\u202f")]
    assert not re.search(r"[<>\"']", text(name).source)


@given(ANY)
def test_sarif_makes_no_link(name: str) -> None:
    """Brackets are text to a viewer, and JSON gives them back."""
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]]", sarif_text(name))
    assert json.loads(json.dumps(sarif_text(name))) == sarif_text(name)


@pytest.mark.parametrize("name", ["-rf", "--help", "-", "a b"])
def test_a_name_is_no_option(name: str) -> None:
    """Two dashes end the options before a name that looks like one."""
    line = update_command(f"standalone/{name}", {Resource.CPU: 1.0})
    assert name[0] != "-" or " -- " in line


@given(
    st.lists(st.sampled_from([*CORPUS, "A_B", "a_b+0123", "..", ".", "", "x" * 400]), unique=True)
)
def test_names_of_files_never_collide(names: list[str]) -> None:
    """On no file system; none leaves its folder, none is too long, and none is an option or
    hidden.
    """
    parts = file_parts(names, "none")
    assert len({part.lower() for part in parts.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]{1,200}", part) for part in parts.values())
    assert not {".", ".."} & {*parts.values()}
