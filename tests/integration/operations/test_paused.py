"""Containers that somebody has paused: operations that look at the fleet go on, and leave them as
they are.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from capacity.errors import InputError
from capacity.model import StepState
from capacity.operations._emergency.release import release
from tests.fixtures.commands import capacity_here
from tests.fixtures.fleets.faults import LOOP, QUICK, loops_of, own_place, says
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import MIB, Fleet
from tests.fixtures.running.servers import wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and journals of the test's own."""
    own_place(tmp_path, monkeypatch)


def test_restarts_and_affinity_go_on_beside_paused_containers(shop: Fleet) -> None:
    """What is paused is no loop and gets no cores; loops and what runs beside it are found and
    measured as ever.
    """
    shop.run("idle", mem_limit=32 * MIB, **QUICK)
    shop.run("busy", ["sh", "-c", "while :; do :; done"], **QUICK)
    shop.run("looping", says("connection refused"), **LOOP)
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=3).get("looping") or None, "a loop")
    (shop.folder / "capacity.toml").write_text(f'[engine.hosts]\nhere = "{shop.engine.url}"\n')
    with closing(client(shop.engine)) as api:
        api.containers.get("idle").pause()
        done = capacity_here("restarts", "--json", folder=shop.folder, **shop.environment())
        assert (done.returncode, [load["container"] for load in json.loads(done.stdout)]) == (
            1,
            ["looping"],
        ), done.stderr
        done = capacity_here(
            "affinity", "--seconds", "0.5", "--json", folder=shop.folder, **shop.environment()
        )
        assert done.returncode == 0, done.stderr
        (host,) = json.loads(done.stdout)
        assert "standalone/busy" in host["cpusets"]
        assert "standalone/idle" not in host["cpusets"]
        assert api.containers.get("idle").status == "paused"


def test_a_fleet_that_is_paused_altogether_has_neither_loops_nor_cores(shop: Fleet) -> None:
    """Nothing runs, nothing failed: both commands say so and end well."""
    for name in ("one", "two"):
        shop.run(name, **QUICK)
    (shop.folder / "capacity.toml").write_text(f'[engine.hosts]\nhere = "{shop.engine.url}"\n')
    with closing(client(shop.engine)) as api:
        for name in ("one", "two"):
            api.containers.get(name).pause()
        done = capacity_here("restarts", folder=shop.folder, **shop.environment())
        assert (done.returncode, "No restart loops" in done.stdout) == (0, True), done.stderr
        done = capacity_here(
            "affinity", "--seconds", "0.1", "--json", folder=shop.folder, **shop.environment()
        )
        assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr


def test_release_names_what_is_paused(shop: Fleet) -> None:
    """Its memory is held, and it is neither stopped nor passed over in silence."""
    for name in ("first", "second"):
        shop.run(name, labels={"priority": "low"}, **QUICK)
    with closing(client(shop.engine)) as api:
        api.containers.get("second").pause()
        results = release(shop.settings(), memory=MIB)
        assert {(result.container, result.state) for result in results} == {
            ("first", StepState.WOULD_STOP),
            ("second", StepState.SKIPPED),
        }
        api.containers.get("first").pause()
        with pytest.raises(InputError, match="paused is first, second"):
            release(shop.settings(), memory=MIB)
