"""What belongs to somebody else, or is gone: pools beside foreign containers, undo after containers
vanished, moves that lose.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capacity._cli import app
from capacity._docker import snapshot
from capacity.errors import InputError, PoolUnhealthy
from capacity.operations import InstancePool
from capacity.operations._emergency.journal import open_stops
from capacity.operations._emergency.release import release
from capacity.operations._emergency.undo_release import undo_release
from capacity.operations._pools import migrate as moves
from capacity.operations._pools.commands import pool_down, pool_scale, pool_up
from capacity.operations._pools.migrate import migrate
from capacity.settings import Settings
from tests.fixtures.fleets.faults import QUICK, low, own_place, ready, seen
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, MIB, Fleet
from tests.fixtures.running.servers import wait_for

LABELS = {
    "com.docker.compose.project": "shop",
    "com.docker.compose.service": "web",
    "priority": "low",
}


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and a spare journal of the test's own."""
    own_place(tmp_path, monkeypatch)


def work(settings: Settings, size: int = 2) -> InstancePool:
    """A pool of sleepers that stays."""
    return InstancePool(
        "work",
        IMAGE,
        size,
        command=["sleep", "600"],
        network="none",
        keep=True,
        settings=settings.engine,
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [("work-pool-0", ("sh", "-c", "exit 3")), ("work-pool-1", ("sleep", "600"))],
)
def test_a_container_that_only_has_the_name_of_an_instance_is_left_alone(
    shop: Fleet, name: str, command: tuple[str, ...]
) -> None:
    """Dead or running, it is named and refused by the dry run and the real one; it and its
    anonymous volume stay.
    """
    shop.run(name, command, volumes=["/anon"], **QUICK)
    settings = shop.settings()
    if name == "work-pool-0":
        wait_for(
            lambda: snapshot(settings.engine).containers[0].state == "exited" or None, "its end"
        )
    before = seen(settings)
    for dry_run in (True, False):
        with pytest.raises(
            InputError, match=f"The container {name} has the name of an instance.*and is not of it"
        ):
            pool_up(settings, work(settings), dry_run=dry_run)
    with pytest.raises(InputError, match=name), work(settings):
        raise AssertionError("a lease on it could be had")
    assert seen(settings) == before
    with closing(client(shop.engine)) as api:
        assert len(api.volumes.list()) == 1
        api.containers.get(name).rename("other")
        pool_up(settings, work(settings, 1), dry_run=False)
        api.containers.get("other").rename("work-pool-1")
    for dry_run in (True, False):
        with pytest.raises(InputError, match="The container work-pool-1 has the name"):
            pool_scale(settings, "work", 2, dry_run=dry_run)
    pool_down(settings, "work", dry_run=False)
    assert [container.name for container in snapshot(settings.engine).containers] == ["work-pool-1"]


def test_a_pool_never_leases_a_container_that_took_the_place_of_an_instance(shop: Fleet) -> None:
    """Somebody replaced an instance by a container of its name while the pool is in use."""
    settings = shop.settings()
    with work(settings, 1) as pool, closing(client(shop.engine)) as api:
        api.containers.get("work-pool-0").remove(force=True)
        shop.run("work-pool-0", **QUICK)
        time.sleep(0.1)
        with pytest.raises(PoolUnhealthy, match="is not of it"), pool.lease(timeout=1):
            raise AssertionError("it was leased")
        assert api.containers.get("work-pool-0").status == "running"


def test_undo_gives_a_container_up_that_is_gone_and_goes_on_with_the_run_before(
    shop: Fleet,
) -> None:
    """It fails once; the next undo starts what an earlier run stopped."""
    low(shop, "small", 2)
    ready(shop, "small")
    settings = shop.settings()
    release(settings, memory=1, dry_run=False)
    shop.run("gone", labels={"priority": "low"}, **QUICK)
    release(settings, memory=1, dry_run=False)
    with closing(client(shop.engine)) as api:
        api.containers.get("gone").remove(force=True)
    (done,) = undo_release(settings, dry_run=False)
    assert (done.container, done.state, "given up" in done.reason) == ("gone", "failed", True)
    assert [
        (result.container, result.state) for result in undo_release(settings, dry_run=False)
    ] == [("small", "started")]
    assert open_stops(settings) == []


def test_a_container_whose_network_is_gone_is_not_given_up(shop: Fleet) -> None:
    """The Engine says 404 for that too, and it can be fixed: it stays what the next undo
    starts.
    """
    settings = shop.settings()
    with closing(client(shop.engine)) as api:
        network = api.networks.create("own")
        shop.run("idle", labels={"priority": "low"}, **{**QUICK, "network_mode": "own"})
        release(settings, memory=1, dry_run=False)
        network.remove()
        assert [result.state for result in undo_release(settings, dry_run=False)] == ["failed"]
        assert len(open_stops(settings)) == 1


def test_a_service_that_runs_again_by_another_container_is_back(shop: Fleet) -> None:
    """It was made anew after it was stopped; a container of the service with another number is not
    it.
    """
    settings = shop.settings()
    for name, number in (("shop-web-1", "1"), ("shop-web-2", "2")):
        shop.run(name, labels=LABELS | {"com.docker.compose.container-number": number}, **QUICK)
    release(settings, memory=1 << 40, dry_run=False)
    with closing(client(shop.engine)) as api:
        for name in ("shop-web-1", "shop-web-2"):
            api.containers.get(name).remove(force=True)
    shop.run("new-web", labels=LABELS | {"com.docker.compose.container-number": "1"}, **QUICK)
    done = {
        result.container: (result.state, result.reason)
        for result in undo_release(settings, dry_run=False)
    }
    assert done["shop-web-1"] == ("back", "it runs again as new-web")
    assert done["shop-web-2"][0] == "failed"
    with pytest.raises(InputError, match="Nothing was stopped"):
        undo_release(settings)


def test_release_skips_what_could_not_come_back_and_what_is_critical(shop: Fleet) -> None:
    """A container that the Engine removes when it stops, and a critical service with the label:
    both run on, with a note.
    """
    shop.run("passing", labels={"priority": "low"}, remove=True, **QUICK)
    shop.run("vital", labels={"priority": "low"}, **QUICK)
    shop.run("idle", labels={"priority": "low"}, **QUICK)
    settings = shop.settings().model_copy(
        update={"operations": Settings(operations={"critical": ["standalone/vital"]}).operations}
    )
    for dry_run in (True, False):
        done = {
            result.container: (result.state, result.reason)
            for result in release(settings, memory=1 << 40, dry_run=dry_run)
        }
        assert (done["passing"][0], "--rm" in done["passing"][1]) == ("skipped", True)
        assert (done["vital"][0], "operations.critical" in done["vital"][1]) == ("skipped", True)
        assert done["idle"][0] == ("would-stop" if dry_run else "stopped")
    states = {container.name: container.state for container in snapshot(settings.engine).containers}
    assert states == {"passing": "running", "vital": "running", "idle": "exited"}


def command(shop: Fleet, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """A command's exit code and all that it says."""
    config = shop.folder / "capacity.toml"
    config.write_text(f'[engine.hosts]\nhere = "{shop.engine.url}"\n')
    monkeypatch.chdir(shop.folder)
    for name, value in shop.environment().items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, words)
    return int(
        getattr(done.exception, "exit_code", done.exit_code)
    ), f"{done.output}{done.exception or ''}"


def test_a_typo_in_what_is_to_be_flushed_stops_nothing(
    shop: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said first; where the flush fails after the stops, these are still listed."""
    shop.run("idle", labels={"priority": "low"}, **QUICK)
    words = ("emergency", "release", "--memory", "1k", "--yes", "--flush")
    code, said = command(shop, monkeypatch, *words, "TYPO")
    assert (code, "0 running containers are called 'TYPO'" in said) == (2, True)
    assert [container.state for container in snapshot(shop.settings().engine).containers] == [
        "running"
    ]
    code, said = command(shop, monkeypatch, *words, "idle")
    assert (code, "standalone/idle" in said, "stopped" in said, "0 running" in said) == (
        2,
        True,
        True,
        True,
    )


def test_a_release_of_what_is_skipped_says_that_nothing_was_freed(
    shop: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for the memory learns that it does not come."""
    shop.run("passing", labels={"priority": "low"}, remove=True, **QUICK)
    code, said = command(shop, monkeypatch, "emergency", "release", "--memory", "1g", "--yes")
    assert (code, "skipped" in said, "Freed less than 1 GiB: here nothing" in said) == (
        1,
        True,
        True,
    )


def agents(shop: Fleet, first: dict[str, Any], two: dict[str, Any]) -> None:
    """Two containers to be replaced."""
    for number, more in enumerate((first, two)):
        shop.run(f"agent-{number}", more.pop("command", ("sleep", "600")), **{**QUICK, **more})


@pytest.mark.parametrize(
    ("first", "two", "said"),
    [
        ({}, {"command": ("sleep", "601")}, "agent-1 is not like agent-0: it has another command"),
        ({}, {"entrypoint": ["busybox"]}, "another entrypoint"),
        ({}, {"user": "7"}, "another user"),
        (
            {"environment": {"KEY": "hidden"}},
            {"environment": {"KEY": "other"}},
            r"another environment \(KEY\)",
        ),
        ({}, {"tmpfs": {"/x": ""}}, "another Tmpfs"),
        ({}, {"cap_drop": ["ALL"]}, "another CapDrop"),
        (
            {"volumes": ["data:/data"]},
            {"volumes": ["data:/data"]},
            "agent-0 cannot be one of several: it has data writable at /data",
        ),
        ({"volumes": ["/srv:/data"]}, {}, "/srv writable at /data"),
        ({"ports": {"80/tcp": 40123}, "network_mode": "bridge"}, {}, r"published ports \(80/tcp\)"),
        ({"remove": True}, {}, "--rm"),
    ],
)
def test_a_move_that_would_lose_something_is_refused(
    shop: Fleet, first: dict[str, Any], two: dict[str, Any], said: str
) -> None:
    """Already by the dry run; no value of a variable is said."""
    agents(shop, dict(first), dict(two))
    settings = shop.settings()
    before = seen(settings)
    for dry_run in (True, False):
        with pytest.raises(InputError, match=said) as refused:
            migrate(settings, "agents", ["agent-0", "agent-1"], 1, dry_run=dry_run)
        assert "hidden" not in str(refused.value)
    assert seen(settings) == before


def test_a_move_takes_over_what_several_can_share(shop: Fleet, tmp_path: Path) -> None:
    """User, read-only root, capabilities, security options, entrypoint, restart policy, read-only
    mounts; the rest is said.
    """
    (tmp_path / "shared").mkdir()
    options = {
        "command": ("600",),
        "entrypoint": ["sleep"],
        "user": "7:7",
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN"],
        "security_opt": ["no-new-privileges"],
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 2},
        "volumes": [f"{tmp_path / 'shared'}:/shared:ro", "/anon"],
        "mem_limit": 32 * MIB,
    }
    agents(
        shop,
        options | {"environment": {"HOSTNAME": "a"}},
        options | {"environment": {"HOSTNAME": "b"}, "hostname": "second"},
    )
    settings, names = shop.settings(), ["agent-0", "agent-1"]
    notes = migrate(settings, "agents", names, 1).notes
    assert "agent-1: host name second left out" in notes
    assert "agent-0: swap left out" in notes
    migrate(settings, "agents", names, 1, dry_run=False)
    pool_scale(settings, "agents", 2, dry_run=False)
    with closing(client(shop.engine)) as api:
        for number in range(2):
            made = api.containers.get(f"agents-pool-{number}").attrs
            config, host = made["Config"], made["HostConfig"]
            assert (config["Entrypoint"], config["Cmd"], config["User"]) == (
                ["sleep"],
                ["600"],
                "7:7",
            )
            assert (host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"]) == (
                True,
                ["ALL"],
                ["no-new-privileges"],
            )
            assert [capability.removeprefix("CAP_") for capability in host["CapAdd"]] == ["CHOWN"]
            assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
            assert sorted((mount["Destination"], mount["RW"]) for mount in made["Mounts"]) == [
                ("/anon", True),
                ("/shared", False),
            ]
            assert not any(variable.startswith("HOSTNAME") for variable in config["Env"])
    other = InstancePool(
        "agents",
        IMAGE,
        2,
        command=["600"],
        memory=32 * MIB,
        network="none",
        keep=True,
        settings=settings.engine,
    )
    with pytest.raises(InputError, match="another entrypoint, another user"):
        pool_up(settings, other)


@pytest.mark.parametrize("error", [KeyboardInterrupt, PoolUnhealthy])
def test_a_move_that_is_interrupted_goes_back(
    shop: Fleet, monkeypatch: pytest.MonkeyPatch, error: Callable[[str], BaseException]
) -> None:
    """Ctrl-C after the first stop, or a failure: the containers run as before, and nothing of the
    pool is left.
    """
    agents(shop, {}, {})
    settings, stop = shop.settings(), moves._stop_next

    def interrupted(*words: Any) -> None:
        stop(*words)
        raise error("now")

    before = seen(settings)
    monkeypatch.setattr(moves, "_stop_next", interrupted)
    with pytest.raises((KeyboardInterrupt, PoolUnhealthy)):
        migrate(settings, "agents", ["agent-0", "agent-1"], 1, dry_run=False)
    assert seen(settings) == before
    assert open_stops(settings) == []
