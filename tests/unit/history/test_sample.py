"""The sample fleet holds what its description promises."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from capacity._common.bundled import bundled
from capacity._common.text.units import parse_memory
from capacity.errors import NoHistory
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._sample.fleet import FLEET
from capacity.history._sample.generate import SAMPLE_END, SAMPLE_START, load_sample, make_sample
from capacity.model import Signal
from tests.fixtures.frames import times_of
from tests.fixtures.running.servers import require


def test_five_weeks_of_every_signal() -> None:
    """45 services, every signal of the catalogue, on regular UTC grids."""
    history = load_sample()
    assert len(history.services) == 45
    assert history.end - history.start == pd.Timedelta("35D")
    for signal, entry in CATALOGUE.items():
        if entry.optional:
            continue
        assert not history[signal].empty, signal
        assert times_of(history[signal]).freq is not None
        assert str(times_of(history[signal]).tz) == "UTC"


def test_the_overloaded_host_of_the_plan() -> None:
    """Ollama at 185 % CPU without limits, three agents with 2.4 GB, 34 services without a memory
    limit, a leak, a loop.
    """
    history = load_sample()
    busy = history.cpu["ai/ollama"].quantile(0.9)
    assert busy == pytest.approx(1.85, abs=0.15)
    assert history.limits("memory").isna().sum() == 34
    assert pd.isna(history.limits("cpu")["ai/ollama"])
    agents = [service.key for service in FLEET if service.image == "claude:latest"]
    assert len(agents) == 3
    assert history.memory[agents].max().sum() == pytest.approx(2.4e9, rel=0.05)
    assert history[Signal.RESTARTS]["platform/webhook-relay"].tail(24).sum() > 36
    assert history[Signal.OOM_KILLS]["shop/thumbnailer"].sum() > 10
    leak = history.memory["shop/catalog"].resample("7D").max()
    assert leak.is_monotonic_increasing
    step = history.memory["shop/checkout"]
    assert step["2026-11-11":].median() > 1.6 * step[:"2026-11-09"].median()
    assert history.cpu["data/legacy-reports"].max() < 0.01
    nights = history.cpu["data/etl-nightly"].groupby(times_of(history.cpu).hour).mean()
    assert nights.idxmax() in {1, 2, 3}
    assert history[Signal.HOST_CPU].max().max() <= 12


def test_the_compose_files_agree_with_the_table() -> None:
    """Services, images, limits and ports are those of the fleet; five want host port 8080; the real
    Compose accepts them.
    """
    compose = require("docker-compose")
    found, ports = set(), Counter[str]()
    for file in sorted(bundled("data/sample/compose").glob("*/compose.yaml")):
        content = YAML(typ="safe").load(file)
        for name, service in content["services"].items():
            found.add(f"{content['name']}/{name}")
            ports.update(port.partition(":")[0] for port in service.get("ports", ()))
            memory = service.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory")
            expected = next(each for each in FLEET if each.key == f"{content['name']}/{name}")
            assert (parse_memory(memory) // 1024**2 if memory else None) == expected.memory_limit
        subprocess.run(
            [str(compose), "-f", str(file), "config", "--quiet"], check=True, capture_output=True
        )
    assert found == {service.key for service in FLEET}
    assert ports["8080"] == 5


def test_made_again_byte_for_byte(tmp_path: Path) -> None:
    """The generator is deterministic, and the bundled files are what it makes."""
    first = {
        path.relative_to(tmp_path / "a"): path.read_bytes() for path in make_sample(tmp_path / "a")
    }
    second = {
        path.relative_to(tmp_path / "b"): path.read_bytes() for path in make_sample(tmp_path / "b")
    }
    kept = {name: (bundled("data/sample") / name).read_bytes() for name in first}
    assert first == second == kept


def test_windows_outside_the_sample_are_refused() -> None:
    """There is nothing before its start and after its end."""
    with pytest.raises(NoHistory, match="covers 2026-10-19 to 2026-11-23"):
        load_sample(SAMPLE_END, SAMPLE_END + pd.Timedelta("7D"))
    assert (
        load_sample(SAMPLE_START - pd.Timedelta("7D"), SAMPLE_START + pd.Timedelta("1D")).start
        == SAMPLE_START
    )


def test_who_comes_later_is_not_there_yet() -> None:
    """A window that ends before a service's first sample does not hold it; hosts and events of it
    are no usage.
    """
    early, whole = load_sample(end=pd.Timestamp("2026-11-01", tz="UTC")), load_sample()
    assert set(whole.services) - set(early.services) == {"shop/ab-testing", "shop/feature-flags"}
    assert early.coverage()["coverage"].min() > 0
