"""Restart loops and uneven cores on a real Engine: found, mended, taken back, and the fleet as it was before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capacity.changes import apply_plan, rollback
from capacity.inventory import Container, load_project, snapshot
from capacity.inventory.engine import connect_all
from capacity.model import What
from capacity.operations.affinity import balance, measure_load
from capacity.operations.restarts import Known, port_moves
from capacity.settings import Settings
from capacity.sizing import TYPES
from tests.changes.fleet import IMAGE, MIB, Fleet, plan_of
from tests.operations.faults import LOOP, QUICK, block, loops_of, own_place, says, seen
from tests.servers import free_port, wait_for
from tests.servers_docker import client


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


_TRIES = 5  # after these the pause is 1.6 s


def one(settings: Settings, name: str) -> Container:
    """A container as it is now."""
    return next(found for found in snapshot(settings.engine).containers if found.name == name)


def in_pause(settings: Settings, name: str) -> float:
    """Wait until the Engine pauses for seconds before the next try; how many at most, for it doubles them each time."""

    def pauses() -> Container | None:
        found = one(settings, name)
        return found if found.state == "restarting" and found.restart_count >= _TRIES else None

    return float(0.1 * 2 ** wait_for(pauses, f"a long pause before the next try of {name}").restart_count)


def test_loops_are_found_with_their_cause_and_a_change_that_mends_them(shop: Fleet) -> None:
    """Killed for memory, a dependency that refuses, a port in use, a variable that is missing: each gets its own proposal."""
    grow = 'x=aaaaaaaaaaaaaaaa; while :; do x="$x$x"; done'
    shop.run("hungry", ["sh", "-c", grow], mem_limit=8 * MIB, memswap_limit=8 * MIB, **LOOP)
    shop.run("waiting", says("dial tcp 10.0.0.5:5432: connect: connection refused password=hunter2"), **LOOP)
    shop.run("bound", says("listen tcp 0.0.0.0:8080: bind: address already in use"), **LOOP)
    shop.run("unset", says("required environment variable DATABASE_URL is not set"), **LOOP)
    shop.run("steady", **QUICK)
    causes = {
        "hungry": "out-of-memory",
        "waiting": "dependency-not-ready",
        "bound": "address-in-use",
        "unset": "missing-variable",
    }

    def said() -> dict[str, str]:
        return {name: found.diagnosis.cause for name, found in loops_of(shop.settings(), more_than=2).items()}

    wait_for(lambda: said() == causes or None, "four loops with their causes")
    found = loops_of(shop.settings(), more_than=2)
    (memory,) = found["hungry"].changes
    assert (memory.resource, memory.before, memory.after) == (What.MEMORY, 8 * MIB, 12 * MIB)
    (policy,) = found["waiting"].changes
    assert (policy.resource, policy.before, policy.after) == (What.RESTART_POLICY, "always", "on-failure:3")
    assert "service_healthy" in found["waiting"].advice
    assert not found["bound"].changes
    assert not found["unset"].changes
    assert "DATABASE_URL" in found["unset"].diagnosis.lines[-1]
    assert "hunter2" not in repr(found)


def test_after_the_change_the_loop_is_gone_and_rollback_restores_the_policy(shop: Fleet) -> None:
    """A dependency loop gets three retries, ends, and its former policy comes back with a rollback."""
    shop.run("waiting", says("connection refused"), **LOOP)
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1) or None, "a loop")
    before = seen(settings)
    changes = loops_of(settings, more_than=1)["waiting"].changes
    done = apply_plan(plan_of(*changes), shop.settings(observe=in_pause(settings, "waiting") + 3))
    assert [(each.state, each.reason) for each in done.outcomes] == [("done", "")]
    wait_for(lambda: one(settings, "waiting").state == "exited" or None, "its last retry")
    assert one(settings, "waiting").restart_policy == "on-failure:3"
    rollback(done.run, settings)
    with closing(client(shop.engine)) as api:
        api.containers.get("waiting").start()
    wait_for(lambda: seen(settings) == before or None, "the former state")


IMPATIENT = f"""\
services:
  web:
    image: {IMAGE}
    network_mode: none
    restart: always
    command: ["sh", "-c", "echo 'connect to db:5432: connection refused' >&2; exit 1"]
    depends_on: [db]  # what it needs
  db:
    image: {IMAGE}
    network_mode: none
    stop_grace_period: 0s
    command: ["sleep", "600"]
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
"""


def test_what_starts_too_early_waits_for_the_health_of_what_it_needs(shop: Fleet) -> None:
    """Few retries on the container, the condition in the file, both taken back together."""
    file, settings = shop.up(IMPATIENT), shop.settings()
    wait_for(lambda: one(settings, "shop-db-1").health == "healthy" or None, "a healthy database")
    loop = wait_for(lambda: loops_of(settings, more_than=2).get("shop-web-1"), "a loop")
    assert [change.resource for change in loop.changes] == [What.RESTART_POLICY, What.DEPENDS_ON]
    done = apply_plan(plan_of(*loop.changes), shop.settings(observe=in_pause(settings, "shop-web-1") + 3))
    assert [(each.state, each.reason) for each in done.outcomes] == [("done", "")]
    web = load_project(file).services["web"]
    assert (dict(web.depends_on), web.restart) == ({"db": "service_healthy"}, "on-failure:3")
    assert one(settings, "shop-web-1").restart_policy == "on-failure:3"
    rollback(done.run, settings)
    assert file.read_text() == IMPATIENT
    assert one(settings, "shop-web-1").restart_policy == "always"


def test_more_memory_ends_a_loop_and_the_rollback_begins_it_again(shop: Fleet) -> None:
    """What needs 20 MiB is killed at 16, lives with the 24 that are proposed, and is in its loop again with the former limit."""
    shop.run("hungry", block(20), mem_limit=16 * MIB, memswap_limit=16 * MIB, **LOOP)
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1).get("hungry") or None, "a loop")
    wait_for(lambda: loops_of(settings, more_than=1)["hungry"].diagnosis.fix == "memory" or None, "the kernel's kill")
    before = seen(settings)
    (change,) = loops_of(settings, more_than=1)["hungry"].changes
    assert (change.before, change.after) == (16 * MIB, 24 * MIB)
    done = apply_plan(plan_of(change), shop.settings(observe=in_pause(settings, "hungry") + 3))
    assert [(each.state, each.reason) for each in done.outcomes] == [("done", "")]
    assert (one(settings, "hungry").state, one(settings, "hungry").memory) == ("running", 24 * MIB)
    with closing(client(shop.engine)) as api:
        api.containers.get("hungry").stop()  # the Engine does not lower a limit below what is in use
        rollback(done.run, settings)
        api.containers.get("hungry").start()
    wait_for(lambda: seen(settings) == before or None, "the former state")


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
    """The kernel refuses the second; the compliance plan's free port is proposed, and without the first one there is no loop."""
    port = free_port()
    shop.up(BOUND.format(image=IMAGE, port=port))
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1).get("shop-second-1") or None, "a loop")
    before = seen(settings)
    found = loops_of(settings, more_than=1, known=Known(moves=port_moves(settings)))
    assert found.keys() == {"shop-second-1"}
    loop = found["shop-second-1"]
    assert (loop.diagnosis.cause, loop.diagnosis.lines[-1]) == ("address-in-use", "httpd: bind: Address already in use")
    (change,) = loop.changes
    assert (change.service, change.resource, change.before) == ("shop/second", What.HOST_PORT, port)
    assert 10000 <= float(str(change.after)) <= 10999
    with closing(client(shop.engine)) as api:
        api.containers.get("shop-first-1").stop()
        wait_for(lambda: one(settings, "shop-second-1").state == "running" or None, "the second on the free port")
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
    """Two services publish one port: the second never starts, runs on the proposed one, and is refused after a rollback."""
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
    (published,) = one(settings, "shop-second-1").ports
    assert (one(settings, "shop-second-1").state, published.host_port) == ("running", loop.changes[0].after)
    assert not loops_of(settings)
    (back,) = rollback(done.run, settings)
    assert "port is already allocated" in back.reason
    assert (file.read_text(), seen(settings)) == (text, before)


def test_what_the_engine_cannot_start_is_shown_with_its_words(shop: Fleet) -> None:
    """A program that does not exist, where the restart policy wants it up; without a policy it is nobody's loop."""
    for name, policy in (("wanted", "unless-stopped"), ("tried", "no")):
        with pytest.raises(Exception, match="no such file"):
            shop.run(name, ["/nowhere"], restart_policy={"Name": policy})
    found = loops_of(shop.settings())
    assert {name: each.diagnosis.cause for name, each in found.items()} == {"wanted": "missing-file"}


def test_cores_change_through_the_plan_and_come_back(shop: Fleet) -> None:
    """Measured load, proposed cpusets, applied and in force; a rollback restores the former ones."""
    shop.run("busy", ["sh", "-c", "while :; do :; done"], cpuset_cpus="0", nano_cpus=300_000_000, **QUICK)
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
    (host,) = balance(found, load, TYPES, ranges={"standard": last, "infrastructure": "0", "critical": "0"})
    assert {change.service: change.after for change in host.changes} == {"standalone/busy": last}
    assert host.placement.imbalance <= host.placement.round_robin
    done = apply_plan(plan_of(*host.changes), settings)
    assert shop.limits("busy")["CpusetCpus"] == last
    rollback(done.run, settings)
    assert seen(settings) == before
