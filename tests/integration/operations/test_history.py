"""Operations that look at a history: restarts, cores and risks as a real Prometheus has them,
beside a real Engine.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from capacity.changes import read_plan
from capacity.changes._journal.chain import Chain
from capacity.model import Setting
from capacity.operations._timeline.file import read_timeline
from tests.fixtures.commands import capacity_here
from tests.fixtures.fleets.faults import LOOP, QUICK, block, loops_of
from tests.fixtures.running.fleet import MIB, Fleet, fleet
from tests.fixtures.running.servers import (
    Server,
    backfill,
    openmetrics_blocks,
    prometheus,
    wait_for,
)

HOUR, DAY = 3600, 86_400
END = int(time.time()) // HOUR * HOUR
START = END - 9 * DAY
SET = END - 2 * DAY  # when the cores were set
AS_OF = datetime.fromtimestamp(END, UTC).isoformat()


def metrics() -> dict[str, list[tuple[float, float]]]:
    """Nine days of three containers and two cores, as cAdvisor and node_exporter count them.

    `looping` restarts every ten minutes in the last three hours, `hungry` comes close to its 64 MiB
    day by day, `busy` has a third of a core; the first core has nearly all the work until two days
    ago, and half of it since.
    """
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    used: defaultdict[str, float] = defaultdict(float)
    for at in range(START, END + 1, 300):
        day = math.sin(at / DAY * 2 * math.pi)
        first = 0.8 if at <= SET else 0.45
        for core, share in (("0", first), ("1", 0.9 - first)):
            for mode, part in (("idle", 1 - share), ("user", share)):
                labels = f'instance="box:9100",job="node",cpu="{core}",mode="{mode}"'
                name = f"node_cpu_seconds_total{{{labels}}}"
                used[name] += part * 300
                found[name].append((at, used[name]))
        for number, (name, cpu, memory) in enumerate(
            (
                ("busy", 0.3 + 0.05 * day, 20.0),
                ("hungry", 0.02, 57 + 5 * day),
                ("looping", 0.05, 10.0),
            )
        ):
            labels = (
                f'instance="box:8080",job="cadvisor",id="/docker/{number:064x}",'
                f'name="{name}",image="stack"'
            )
            if name == "looping" and at > END - 3 * HOUR and at % 600 == 0:
                used[name] = 0.0
            used[name] += cpu * 300
            found[f'container_cpu_usage_seconds_total{{{labels},cpu="total"}}'].append(
                (at, used[name])
            )
            found[f"container_memory_working_set_bytes{{{labels}}}"].append((at, memory * MIB))
            found[f"container_spec_memory_limit_bytes{{{labels}}}"].append((at, 64.0 * MIB))
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Prometheus with these nine days."""
    folder = tmp_path_factory.mktemp("history")
    with prometheus(
        folder / "server", tsdb=backfill(folder / "tsdb", openmetrics_blocks(metrics()))
    ) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """An Engine with the same three containers; only `hungry` is in a loop here."""
    with fleet(tmp_path_factory.mktemp("operations-history")) as made:
        made.run("busy", cpuset_cpus="1", mem_limit=64 * MIB, memswap_limit=64 * MIB, **QUICK)
        made.run("hungry", block(20), mem_limit=16 * MIB, memswap_limit=16 * MIB, **LOOP)
        made.run("looping", mem_limit=64 * MIB, memswap_limit=64 * MIB, **QUICK)
        yield made


def run(shop: Fleet, folder: Path, *words: str, code: int = 0) -> str:
    """What a command of a process of its own prints."""
    (folder / "capacity.toml").write_text(f'[engine.hosts]\nhere = "{shop.engine.url}"\n')
    done = capacity_here(
        *words,
        folder=folder,
        **{**shop.environment(), "CAPACITY_APPLY__JOURNAL": str(folder / "journal")},
    )
    assert done.returncode == code, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_restarts_count_what_the_metrics_saw_and_the_limit_is_what_sizing_says(
    shop: Fleet, server: Server, tmp_path: Path
) -> None:
    """A loop that the Engine's events do not show any more is found; twice 16 MiB is too
    little by the history.
    """
    wait_for(lambda: loops_of(shop.settings()).get("hungry") or None, "a loop for memory")
    wait_for(
        lambda: loops_of(shop.settings())["hungry"].diagnosis.fix == "memory" or None,
        "the kernel's kill",
    )
    alone = {
        load["container"]: load
        for load in json.loads(run(shop, tmp_path, "restarts", "--json", code=1))
    }
    assert alone.keys() == {"hungry"}
    assert alone["hungry"]["changes"][0]["after"] == 32 * MIB
    words = (
        "restarts",
        "--source",
        server.url,
        "--as-of",
        AS_OF,
        "--window",
        "2h",
        "--out",
        "plan.yaml",
        "--json",
    )
    seen = {load["container"]: load for load in json.loads(run(shop, tmp_path, *words, code=1))}
    assert seen.keys() == {"hungry", "looping"}
    assert seen["looping"]["restarts"] == pytest.approx(12, abs=1)
    assert seen["looping"]["total"] == 0
    (change,) = read_plan(tmp_path / "plan.yaml").changes
    assert (change.service, change.what, change.before) == (
        "standalone/hungry",
        Setting.MEMORY,
        16 * MIB,
    )
    assert float(str(change.after)) > 60 * MIB


def earlier(journal: Path, began: datetime) -> None:
    """Make a run that has just ended one that began at an earlier time."""
    (file,) = journal.glob("*/journal.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    by = datetime.fromisoformat(lines[0]["time"]) - began
    chain, sealed = Chain.start(file.parent.name), b""
    for line in lines:
        line["time"] = (datetime.fromisoformat(line["time"]) - by).isoformat()
        line.pop("sum")
        whole, chain = chain.sealed(json.dumps(line).encode())
        sealed += whole
    file.write_bytes(sealed)


def test_affinity_shows_what_an_applied_balance_has_brought(
    shop: Fleet, server: Server, tmp_path: Path
) -> None:
    """Load and cores are those of the metrics; a run of two days ago shows each core before and
    after, until it is undone.
    """
    words = ("affinity", "--source", server.url, "--as-of", AS_OF)
    (host,) = json.loads(run(shop, tmp_path, *words, "--out", "cores.yaml", "--json"))
    assert host["applied"] is None
    assert host["measured"].keys() == {"box/0", "box/1"}
    assert host["measured"]["box/0"] == pytest.approx((0.8 * 7 + 0.45 * 2) / 9, abs=0.02)
    assert host["measured_imbalance"] > 0.3
    assert re.search(r"standalone/busy .* 0\.3\d ", run(shop, tmp_path, *words))
    assert "standalone/busy" in (tmp_path / "cores.yaml").read_text()
    run(shop, tmp_path, "apply", "cores.yaml", "--yes", "--service", "standalone/busy", "--quiet")
    began = datetime.fromtimestamp(SET, UTC) - timedelta(minutes=5)
    earlier(tmp_path / "journal", began)
    (host,) = json.loads(run(shop, tmp_path, *words, "--json"))
    brought: dict[str, Any] = host["applied"]
    assert (brought["hours"], brought["at"][:13]) == (47, began.isoformat()[:13])
    assert brought["before"] == pytest.approx({"box/0": 0.8, "box/1": 0.1}, abs=0.02)
    assert brought["after"] == pytest.approx({"box/0": 0.45, "box/1": 0.45}, abs=0.02)
    assert (brought["imbalance_before"], brought["imbalance_after"]) == pytest.approx(
        (0.78, 0.0), abs=0.03
    )
    shown = run(shop, tmp_path, *words)
    assert "47 hours before and after it: imbalance 0.78 -> 0.0" in " ".join(shown.split())
    assert re.search(r"box/0\D+80%\D+45%", shown)
    run(shop, tmp_path, "emergency", "rollback", "--yes")
    assert json.loads(run(shop, tmp_path, *words, "--json"))[0]["applied"] is None
    assert shop.limits("busy")["CpusetCpus"] == "1"


def test_the_timeline_has_the_risks_that_the_history_shows(
    shop: Fleet, server: Server, tmp_path: Path
) -> None:
    """A limit that will be reached is there until these metrics say otherwise: a run without them
    leaves it as it is.
    """
    words = ("timeline", "--source", server.url, "--as-of", AS_OF, "--file", "timeline.yaml")
    assert "**standalone/hungry** Memory limit" in run(shop, tmp_path, *words)
    risks = [
        item for item in read_timeline(tmp_path / "timeline.yaml") if item.kind == "memory-risk"
    ]
    assert [(risk.subject, str(risk.state)) for risk in risks] == [("standalone/hungry", "open")]
    run(shop, tmp_path, "timeline", "--engine", "--file", "timeline.yaml")
    kept = {
        item.subject: str(item.state)
        for item in read_timeline(tmp_path / "timeline.yaml")
        if item.kind == "memory-risk"
    }
    assert kept == {"standalone/hungry": "open"}
    run(shop, tmp_path, "timeline", "--sample", "--file", "timeline.yaml")
    risks = [
        item for item in read_timeline(tmp_path / "timeline.yaml") if item.kind == "memory-risk"
    ]
    assert {str(risk.state) for risk in risks if risk.subject == "standalone/hungry"} == {
        "open"
    }  # the sample is another fleet
    assert "shop/catalog" in {risk.subject for risk in risks if risk.state == "open"}


def test_the_archive_serves_as_well_as_the_server(
    shop: Fleet, server: Server, tmp_path: Path
) -> None:
    """Once fetched, `--offline` finds the same restarts and the same imbalance without any
    server.
    """
    window = ("--as-of", AS_OF)
    run(shop, tmp_path, "fetch", "--source", server.url, *window)
    first = json.loads(run(shop, tmp_path, "affinity", "--source", server.url, *window, "--json"))
    assert json.loads(run(shop, tmp_path, "affinity", "--offline", *window, "--json")) == first
    loops = json.loads(
        run(shop, tmp_path, "restarts", "--offline", *window, "--window", "2h", "--json", code=1)
    )
    assert "looping" in {loop["container"] for loop in loops}


def test_restart_loops_are_found_without_the_metrics(shop: Fleet, tmp_path: Path) -> None:
    """A server that does not answer is said, and the Engine's loops are shown all the same, each
    with its runbook.
    """
    wait_for(lambda: loops_of(shop.settings()).get("hungry") or None, "a loop")
    (tmp_path / "capacity.toml").write_text(f'[engine.hosts]\nhere = "{shop.engine.url}"\n')
    done = capacity_here(
        "restarts",
        "--source",
        "http://127.0.0.1:9",
        "--json",
        folder=tmp_path,
        **shop.environment(),
    )
    assert done.returncode == 1
    assert "only what the Engines tell is looked at" in done.stderr
    found = {load["container"]: load for load in json.loads(done.stdout)}
    cause = found["hungry"]["diagnosis"]["cause"]
    assert found["hungry"]["runbook"].endswith(f"/causes.md#{cause}")
