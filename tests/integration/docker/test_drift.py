"""Right after Compose has made the containers, nothing differs from the files: every home of every
setting, alone, beside others and where both say something else.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from capacity._compose import drift, load_project
from capacity._docker import snapshot
from capacity.errors import ComposeError
from capacity.model import Setting
from tests.fixtures.running.fleet import IMAGE, Fleet, fleet
from tests.fixtures.running.servers import require

MEMORY: list[dict[str, Any]] = [
    {},
    {"mem_limit": "64m", "memswap_limit": "128m", "mem_reservation": "32m"},
    {"deploy": {"resources": {"limits": {"memory": "64m"}, "reservations": {"memory": "32m"}}}},
    {"mem_limit": "64m", "deploy": {"resources": {"limits": {"memory": "64m"}}}},
    {"mem_limit": "64m", "memswap_limit": -1},
    {"mem_limit": 0},
    {"memswap_limit": -1},
]
CPU: list[dict[str, Any]] = [
    {},
    {"cpus": 0.5, "cpuset": "0"},
    {"deploy": {"resources": {"limits": {"cpus": "0.5"}}}},
    {"cpu_quota": 50_000},
    {"cpu_quota": 50_000, "cpu_period": 50_000},
    {"cpu_period": 50_000},
    {"pids_limit": 100},
    {"pids_limit": -1},
    {"deploy": {"resources": {"limits": {"pids": 100}}}},
]
POLICIES: list[dict[str, Any]] = [
    {},
    *({"restart": policy} for policy in ("no", "always", "on-failure:0", "on-failure:3")),
    *(
        {"restart": said, "deploy": {"restart_policy": policy}}
        for said in ("unless-stopped", "no")
        for policy in (
            {"condition": "on-failure", "max_attempts": 3},
            {"condition": "none"},
            {"condition": "any", "delay": "5s"},
            {"condition": "unless-stopped"},
            {"delay": "5s"},
        )
    ),
    {"deploy": {"restart_policy": {"condition": "any"}}},
    *({"scale": number} for number in (0, 1, 2)),
    *({"deploy": {"replicas": number}} for number in (0, 2)),
    {"scale": 2, "deploy": {"replicas": 2}},
    {"scale": 2, "deploy": {"resources": {"limits": {"pids": 100}}}},
    {"healthcheck": {"disable": True}, "ulimits": {"nproc": 99}},
    {"ulimits": {"nofile": {"soft": 64, "hard": 128}, "core": 0, "memlock": -1}},
    {"ulimits": {"nofile": 0, "nproc": {"soft": 0, "hard": 1}}},
    {"ulimits": {"nofile": {"soft": 64, "hard": 64}, "memlock": {"soft": -1, "hard": -1}}},
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """An Engine with one image."""
    with fleet(tmp_path_factory.mktemp("drift")) as found:
        yield found


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Mappings laid on each other, at every depth."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            inner = isinstance(value, dict) and isinstance(whole.get(name), dict)
            whole[name] = merged(whole[name], value) if inner else value
    return whole


def created(shop: Fleet, name: str, services: dict[str, dict[str, Any]]) -> None:
    """Containers of the services that Compose takes, made by it and not started."""
    basis = {"image": IMAGE, "network_mode": "none", "command": ["sleep", "600"]}
    file = shop.folder / name / "compose.yaml"
    file.parent.mkdir()
    taken: dict[str, Any] = {}
    for key, own in services.items():
        file.write_text(json.dumps({"services": {key: basis | own}}))
        with suppress(ComposeError):  # two homes that must agree, and do not
            taken |= {key: basis | own} if load_project(file) else {}
    assert len(taken) > len(services) * 0.8
    file.write_text(json.dumps({"services": taken}))
    words = [str(require("docker-compose")), "-p", name, "-f", str(file), "create"]
    done = subprocess.run(
        words, env=shop.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_home_of_every_setting(shop: Fleet) -> None:
    """Each alone, and in pairs with those of other settings."""
    pairs = [
        *itertools.product(MEMORY, CPU, [{}]),
        *(({}, {}, policy) for policy in POLICIES),
        *(({}, CPU[2], policy) for policy in POLICIES),
    ]
    created(shop, "homes", {f"s{n}": merged(*parts) for n, parts in enumerate(pairs)})
    assert drift(snapshot(shop.settings().engine)) == []
    shop.clear()


def test_ulimits_and_replicas_apart(shop: Fleet) -> None:
    """Other numbers than the files say are found, with the place that says it."""
    limited = {"scale": 2, "ulimits": {"nofile": {"soft": 64, "hard": 128}}}
    created(shop, "apart", {"web": limited, "db": {"scale": 1}})
    file = shop.folder / "apart" / "compose.yaml"
    model = json.loads(file.read_text())
    model["services"]["web"] |= {"scale": 3, "ulimits": {"nofile": 128, "nproc": 9}}
    del model["services"]["db"]["scale"]
    file.write_text(json.dumps(model, indent=1))
    found = drift(snapshot(shop.settings().engine))
    assert {row.service for row in found} == {"apart/web"}
    rows = {(row.what, str(row.live), str(row.declared)) for row in found}
    ulimits = (Setting.ULIMITS, "{'nofile': '64:128'}", "{'nofile': '128', 'nproc': '9'}")
    assert rows == {ulimits, (Setting.REPLICAS, "2", "3")}
    assert len(found) == 3
    assert all("compose.yaml" in row.where for row in found)
    shop.clear()
