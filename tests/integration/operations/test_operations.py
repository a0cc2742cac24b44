"""Ports that two want, and uneven cores, on a real Engine: found, fixed, rolled back, and the fleet
as it was before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capacity._docker import snapshot
from capacity._docker.engine import connect_all
from capacity.changes import apply_plan, rollback
from capacity.operations._affinity import balance, measure_load
from capacity.operations._restarts.proposals import Known, port_moves
from capacity.sizing import TYPES
from tests.fixtures.fleets.faults import (
    QUICK,
    container_named,
    loops_of,
    own_place,
    seen,
)
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, Fleet, plan_of
from tests.fixtures.running.servers import free_port, wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and a spare journal of the test's own."""
    own_place(tmp_path, monkeypatch)


@pytest.fixture
def bridged(shop: Fleet) -> Iterator[Fleet]:
    """Networks that Compose makes are gone afterwards, their devices on this machine too."""
    yield shop
    shop.clear()
    with closing(client(shop.engine)) as api:
        api.networks.prune()


BOUND = """\
services:
  first:
    image: {image}
    network_mode: host
    command: ["httpd", "-f", "-p", "127.0.0.1:{port}"]
    ports: ["{port}:{port}"]
    restart: always
    stop_signal: SIGKILL
  second:
    image: {image}
    network_mode: host
    command: ["httpd", "-f", "-p", "127.0.0.1:{port}"]
    ports: ["{port}:{port}"]
    restart: always
    stop_signal: SIGKILL
    depends_on: [first]
"""


def test_two_processes_that_bind_one_port(shop: Fleet) -> None:
    """The kernel refuses the second, and no other port is proposed: on the network of the host the
    process chooses it. Without the first one there is no loop.
    """
    port = free_port()
    shop.up(BOUND.format(image=IMAGE, port=port))
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1).get("shop-second-1") or None, "a loop")
    before = seen(settings)
    found = loops_of(settings, more_than=1, known=Known(moves=port_moves(settings)))
    assert found.keys() == {"shop-second-1"}
    loop = found["shop-second-1"]
    assert (loop.diagnosis.cause, loop.diagnosis.lines[-1]) == (
        "address-in-use",
        "httpd: bind: Address already in use",
    )
    assert loop.changes == ()
    with closing(client(shop.engine)) as api:
        api.containers.get("shop-first-1").stop()
        wait_for(
            lambda: container_named(settings, "shop-second-1").state == "running" or None,
            "the second on the free port",
        )
        api.containers.get("shop-second-1").stop()
        api.containers.get("shop-first-1").start()
        api.containers.get("shop-second-1").start()
    wait_for(lambda: loops_of(settings, more_than=1).get("shop-second-1") or None, "the loop again")
    wait_for(lambda: seen(settings) == before or None, "the former state")


PUBLISHED = """\
services:
  first:
    image: {image}
    command: ["httpd", "-f", "-p", "80"]
    ports: ["127.0.0.1:{port}:80"]
    stop_signal: SIGKILL
  second:
    image: {image}
    command: ["httpd", "-f", "-p", "80"]
    ports: ["127.0.0.1:{port}:80"]
    restart: always
    stop_signal: SIGKILL
    depends_on: [first]
"""


def test_a_port_that_the_engine_refuses_is_moved_and_moved_back(bridged: Fleet) -> None:
    """Two services publish one port: the second never starts, runs on the proposed one, and is
    refused after a rollback.
    """
    port = free_port()
    with pytest.raises(subprocess.CalledProcessError):
        bridged.up(PUBLISHED.format(image=IMAGE, port=port))
    file = bridged.folder / "shop" / "compose.yaml"
    settings, text = bridged.settings(), file.read_text()
    before = seen(settings)
    loop = loops_of(settings, known=Known(moves=port_moves(settings)))["shop-second-1"]
    assert (loop.diagnosis.cause, loop.restarts) == ("address-in-use", 0)
    assert "port is already allocated" in loop.diagnosis.lines[-1]
    done = apply_plan(plan_of(*loop.changes), bridged.settings(observe=2))
    assert [(each.state, each.reason) for each in done.outcomes] == [("done", "")]
    (published,) = container_named(settings, "shop-second-1").ports
    assert (container_named(settings, "shop-second-1").state, published.host_port) == (
        "running",
        loop.changes[0].after,
    )
    assert not loops_of(settings)
    (back,) = rollback(done.run, settings)
    assert (back.state, back.reason) == ("undone", "")
    assert (file.read_text(), seen(settings)) == (text, before)


def test_what_the_engine_cannot_start_is_shown_with_its_words(shop: Fleet) -> None:
    """A program that does not exist, with a restart policy and without one, or in a shell; what was
    stopped is not shown.
    """
    shop.run("stopped", **QUICK).stop()
    shop.run("shell", ["sh", "-c", "nosuch"])
    wait_for(lambda: container_named(shop.settings(), "shell").state == "exited" or None, "its end")
    for name, policy in (("wanted", "unless-stopped"), ("tried", "no")):
        with pytest.raises(Exception, match="no such file"):
            shop.run(name, ["/nowhere"], restart_policy={"Name": policy})
    found = loops_of(shop.settings())
    causes = {"wanted": "missing-file", "tried": "missing-file", "shell": "cannot-start"}
    assert {name: each.diagnosis.cause for name, each in found.items()} == causes
    assert {each.cannot_start for each in found.values()} == {True}


def test_cores_change_through_the_plan_and_come_back(shop: Fleet) -> None:
    """Measured load, proposed cpusets, applied and in force; a rollback restores the former
    ones.
    """
    shop.run(
        "busy", ["sh", "-c", "while :; do :; done"], cpuset_cpus="0", nano_cpus=300_000_000, **QUICK
    )
    shop.run("postgres", cpuset_cpus="0", **QUICK)
    settings = shop.settings()
    before = seen(settings)
    with connect_all(settings.engine) as (engines, _):
        load = measure_load(engines, snapshot(settings.engine), 1.0)
    assert 0.02 < load["standalone/busy"] < 0.6  # 0.3 on a quiet machine
    assert load["standalone/postgres"] < load["standalone/busy"] / 2
    found = snapshot(settings.engine)
    cores = found.hosts[0].cores
    if cores < 2:
        pytest.skip("one core cannot be balanced")
    last = str(cores - 1)
    (host,) = balance(
        found, load, TYPES, ranges={"standard": last, "infrastructure": "0", "critical": "0"}
    )
    assert {change.service: change.after for change in host.changes} == {"standalone/busy": last}
    assert host.placement.imbalance <= host.placement.round_robin
    done = apply_plan(plan_of(*host.changes), settings)
    assert shop.limits("busy")["CpusetCpus"] == last
    rollback(done.run, settings)
    assert seen(settings) == before
