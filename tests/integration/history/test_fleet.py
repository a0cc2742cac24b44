"""History of real containers: dockerd, cAdvisor, node_exporter and Prometheus scraping them every
second.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from capacity.history._archive.archive import Archive
from capacity.history._doctor import examine
from capacity.history._fetch.fetch import fetch
from capacity.history._load import load_history
from capacity.history._metrics import signals as _signals
from capacity.history._prometheus.client import PrometheusSource
from capacity.model import Signal
from capacity.settings import Settings, override
from tests.fixtures.running.docker_engine import busybox_image, cadvisor, client, dockerd
from tests.fixtures.running.servers import node_exporter, prometheus, scrape

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20
STEP = 8
SPIN = ["sh", "-c", "while :; do :; done"]


def compose(service: str) -> dict[str, Any]:
    """Name and labels as Compose gives them to the first replica of a service."""
    names = {"project": "shop", "service": service, "container-number": "1", "oneoff": "False"}
    return {
        "name": f"shop-{service}-1",
        "labels": {f"com.docker.compose.{key}": value for key, value in names.items()},
    }


def test_every_signal_of_a_real_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage, limits, throttling, restarts and hosts come out as the Engine ran them; what cAdvisor
    lacks is listed.
    """
    monkeypatch.setattr(_signals, "HOUR", STEP)  # no test waits for a full hour
    (tmp_path / "node").mkdir()
    with (
        dockerd(tmp_path / "docker") as engine,
        closing(client(engine)) as api,
        cadvisor(tmp_path / "cadvisor", engine) as advisor,
        node_exporter(tmp_path / "node") as node,
        prometheus(
            tmp_path / "prometheus",
            scrape_config=scrape("cadvisor", advisor) + scrape("node", node),
        ) as server,
    ):
        image = busybox_image(engine, "stack")
        began = time.time()

        def run(command: list[str], **more: Any) -> Any:
            return api.containers.run(image, command, detach=True, network_mode="none", **more)

        limits = {
            "mem_limit": 64 * MIB,
            "memswap_limit": 64 * MIB,
            "cpu_period": 100_000,
            "cpu_quota": 20_000,
        }
        run(SPIN, **compose("web"), **limits)
        restarted = run(["sleep", "600"], **compose("db"))
        recreated = run(
            ["sleep", "600"], **compose("api"), mem_limit=32 * MIB, memswap_limit=32 * MIB
        )
        run(["sleep", "600"], name="loner")
        time.sleep(STEP + 2)
        restarted.restart(timeout=0)
        recreated.remove(force=True)
        run(["sleep", "600"], **compose("api"), mem_limit=48 * MIB, memswap_limit=48 * MIB)
        time.sleep(2 * STEP + 2)

        settings = override(
            override(Settings(), "prometheus__url", server.url), "report__step", STEP
        )
        settings = override(settings, "prometheus__rate_window", STEP)
        start = pd.Timestamp(began, unit="s", tz="UTC").floor(f"{STEP}s")
        end = pd.Timestamp.now(tz="UTC").ceil(f"{STEP}s")
        source, archive = PrometheusSource(settings.prometheus), Archive(tmp_path / "archive")
        done = fetch(source, archive, settings, start=start, end=end)
        history = load_history(archive, [done.source], settings, start=start, end=end)
        checks = {check.what: check for check in examine(settings)}

    assert done.missing == (Signal.OOM_KILLS,)  # cAdvisor counts them since 0.40
    assert done.source.scrape_interval == 0  # a minute of data is too short to tell
    assert history.services == ["shop/api", "shop/db", "shop/web", "standalone/loner"]
    assert history.cpu["shop/web"].max() == pytest.approx(0.2, rel=0.3)
    assert history.cpu["shop/db"].max() < 0.1
    memory = history.memory.max()
    assert ((memory > 0) & (memory < 64 * MIB)).all()
    assert history.limits("cpu").dropna().to_dict() == {"shop/web": 0.2}
    assert history["memory_limit"].max().to_dict() == {"shop/web": 64 * MIB, "shop/api": 48 * MIB}
    assert history.limits("memory").dropna().to_dict() == {
        "shop/web": 64 * MIB,
        "shop/api": 48 * MIB,
    }
    assert history["throttled"]["shop/web"].max() > 0.5
    assert history["restarts"]["shop/api"].sum() >= 1
    assert history["restarts"]["shop/web"].sum() == 0
    assert history.replicas == dict.fromkeys(history.services, 1)
    # rates are extrapolated to the ends of their window, so a saturated host passes its cores a bit
    assert 0 < history["host_cpu"].max().max() <= 1.1 * history["host_cores"].max().max()
    assert 0 < history["host_memory"].max().max() < history["host_memory_total"].max().max()
    assert history.host_size("memory").notna().all()
    assert 0.15 < history["core_busy"].max().max() <= 1
    # on a busy machine a scrape may come too late
    assert len(history["up"].columns) == 2
    assert (history["up"].iloc[-2] > 0.5).all()

    assert [what for what, check in checks.items() if check.status == "fail"] == []
    assert checks["containers"].status == "warn"  # one has no Compose labels
    assert checks["containers"].seen.startswith(
        ("1 of 4", "1 of 5")
    )  # the re-created one lingers for five minutes
    assert checks["signal oom_kills"].advice == "cAdvisor has it from 0.40 on, and needs /dev/kmsg"
    assert checks["history"].status == "warn"
