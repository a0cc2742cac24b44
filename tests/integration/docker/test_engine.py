"""Snapshots of real Engines: a socket, TLS, ssh, docker contexts, several at once, and what is said
when there is none.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from capacity._compose import drift
from capacity._docker import snapshot
from capacity._docker.engine import connect_all, inspect
from capacity._docker.events import memory_kills
from capacity.changes import apply_plan
from capacity.errors import ContainerGone, EngineUnreachable, InputError, SettingsError
from capacity.model import Setting
from capacity.settings import EngineSettings, Settings
from tests.fixtures.running.docker_engine import Engine, busybox_image, client, dockerd
from tests.fixtures.running.fleet import MIB, Fleet, in_folder, memory, other, plan_of, project
from tests.fixtures.running.servers import Command, free_port, require, wait_for
from tests.fixtures.running.ssh_server import sshd


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate authority, a server's and a client's key pair."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    files = {"ca": folder / "ca.pem"}
    authority.cert_pem.write_to_path(str(files["ca"]))
    for name, pair in (
        ("server", authority.issue_cert("127.0.0.1", "localhost")),
        ("client", authority.issue_cert("client.test")),
    ):
        files[name], files[f"{name}-key"] = folder / f"{name}.pem", folder / f"{name}-key.pem"
        pair.cert_chain_pems[0].write_to_path(str(files[name]))
        pair.private_key_pem.write_to_path(str(files[f"{name}-key"]))
    return files


@pytest.fixture(scope="module")
def port() -> int:
    """Where the Engine listens behind TLS."""
    return free_port()


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, certificates: dict[str, Path], port: int
) -> Iterator[Fleet]:
    """An Engine on a socket and behind TLS."""
    folder = tmp_path_factory.mktemp("engine")
    tls = [f"--host=tcp://127.0.0.1:{port}", "--tlsverify", f"--tlscacert={certificates['ca']}"]
    tls += [f"--tlscert={certificates['server']}", f"--tlskey={certificates['server-key']}"]
    with dockerd(folder / "docker", extra_args=tls) as engine:
        busybox_image(engine, "stack")
        yield Fleet(engine, folder)


@pytest.fixture
def shop(whole: Fleet, tmp_path: Path) -> Iterator[Fleet]:
    """An empty Engine and a folder of the test's own."""
    made = in_folder(whole, tmp_path)
    yield made
    made.clear()


def here(engine: Engine) -> EngineSettings:
    """Settings of one Engine."""
    return EngineSettings(hosts={"here": engine.url})


def test_a_container_is_described_in_full(shop: Fleet) -> None:
    """Limits, state, labels and ports; of the environment the names alone."""
    shop.run(
        "one",
        mem_limit=64 * MIB,
        mem_reservation=32 * MIB,
        nano_cpus=500_000_000,
        cpuset_cpus="0",
        pids_limit=40,
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 3},
        environment={"PASSWORD": "geheim"},
        labels={"team": "red"},
        ports={"80/tcp": ("127.0.0.1", 8080)},
    )
    inventory = snapshot(here(shop.engine))
    (container,) = inventory.of("standalone/one")
    assert (container.memory, container.memory_swap, container.reservation) == (
        64 * MIB,
        128 * MIB,
        32 * MIB,
    )
    assert (container.cpus, container.quota, container.cpuset, container.pids) == (
        0.5,
        False,
        "0",
        40,
    )
    assert (
        container.state,
        container.restart_policy,
        container.restart_count,
        container.oom_killed,
    ) == (
        "running",
        "on-failure:3",
        0,
        False,
    )
    assert container.labels["team"] == "red"
    assert (
        container.ports[0].target,
        container.ports[0].host_ip,
        container.ports[0].host_port,
    ) == (80, "127.0.0.1", 8080)
    assert "PASSWORD" in container.environment
    assert "geheim" not in repr(inventory)
    assert (inventory.hosts[0].cores, inventory.hosts[0].cgroup in {"1", "2"}) == (
        os.cpu_count(),
        True,
    )


def test_quotas_restarts_and_ends_are_seen(shop: Fleet) -> None:
    """A quota counts as cores; a container that ends says how often and with what."""
    shop.run("quota", cpu_period=50_000, cpu_quota=25_000)
    shop.run(
        "loop",
        ["sh", "-c", "exit 7"],
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 1},
    )
    wait_for(
        lambda: snapshot(here(shop.engine)).of("standalone/loop")[0].state == "exited",
        "it gives up",
    )
    inventory = snapshot(here(shop.engine))
    (quota,), (loop,) = inventory.of("standalone/quota"), inventory.of("standalone/loop")
    assert (quota.cpus, quota.quota) == (0.5, True)
    assert (loop.restart_count, loop.exit_code, loop.running) == (1, 7, False)


def test_drift_says_what_the_next_up_would_undo(shop: Fleet) -> None:
    """A live change that the file does not know, with the line of the file."""
    file = shop.up(project(web="mem_limit: 64m; cpus: 0.5", db=""))
    assert drift(snapshot(here(shop.engine))) == []
    with closing(client(shop.engine)) as api:
        api.containers.get("shop-web-1").update(mem_limit="96m", memswap_limit="192m")
        api.containers.get("shop-db-1").update(cpuset_cpus="0")
    rows = drift(snapshot(here(shop.engine)))
    line = next(
        number
        for number, text in enumerate(file.read_text().splitlines(), start=1)
        if "mem_limit" in text
    )
    found = {(row.service, row.what): row for row in rows}
    web = found["shop/web", Setting.MEMORY]
    assert (web.live, web.declared) == (96 * MIB, 64 * MIB)
    assert web.where.startswith(f"{file}:{line}:")
    assert (found["shop/db", Setting.CPUSET].live, found["shop/db", Setting.CPUSET].declared) == (
        "0",
        None,
    )


def test_several_engines_at_once_and_one_that_is_away(
    shop: Fleet, certificates: dict[str, Path], port: int
) -> None:
    """The same Engine by socket and behind TLS; the third does not answer and is named with the
    reason.
    """
    shop.run("one")
    settings = EngineSettings(
        hosts={
            "socket": shop.engine.url,
            "tls": f"tcp://127.0.0.1:{port}",
            "away": f"unix://{shop.folder}/none.sock",
        },
        ca_file=certificates["ca"],
        client_cert=certificates["client"],
        client_key=certificates["client-key"],
    )
    inventory = snapshot(settings)
    assert list(inventory.unreachable) == ["away"], inventory.unreachable
    assert sorted(container.host for container in inventory.containers) == ["socket", "tls"]
    assert "away" in inventory.unreachable["away"]
    assert len(inventory.of("standalone/one", "tls")) == 1


def test_an_engine_behind_tls_wants_a_certificate(
    shop: Fleet, certificates: dict[str, Path], port: int
) -> None:
    """Without one the connection fails with what to do; half a pair is a settings error."""
    address = {"tls": f"tcp://127.0.0.1:{port}"}
    with pytest.raises(EngineUnreachable, match="does not answer"):
        snapshot(EngineSettings(hosts=address, ca_file=certificates["ca"]))
    with pytest.raises(SettingsError, match="belong together"):
        snapshot(EngineSettings(hosts=address, client_cert=certificates["client"]))
    with pytest.raises(SettingsError, match="no file"):
        snapshot(EngineSettings(hosts=address, ca_file=shop.folder / "none.pem"))


def test_a_real_ssh_server_carries_snapshot_and_change(
    shop: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through OpenSSH, with a key: many containers at once, a changed limit, and a clear word when
    the key is not known.
    """
    for number in range(5):
        shop.run(f"far-{number}", mem_limit=64 * MIB)
    with sshd(shop.folder / "ssh") as host:
        monkeypatch.setenv("PATH", f"{host.programs}{os.pathsep}{os.environ['PATH']}")
        address = f"{host.address}{shop.engine.url.removeprefix('unix://')}"
        settings = shop.settings().model_copy(
            update={"engine": EngineSettings(hosts={"far": address})}
        )
        found = snapshot(settings.engine)
        assert [container.name for container in found.containers] == [
            f"far-{number}" for number in range(5)
        ]
        done = apply_plan(plan_of(memory("standalone/far-3", 64, 96)), settings)
        assert [(outcome.host, outcome.state) for outcome in done.outcomes] == [("far", "done")]
        assert shop.memory("far-3") == 96
        (shop.folder / "ssh" / "own.pub").write_text("")
        with pytest.raises(EngineUnreachable, match="does not answer"):
            snapshot(settings.engine)


def test_ssh_and_contexts(shop: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's ssh carries the connection; a docker context is known by its name."""
    shop.run("one")
    programs, docker = shop.folder / "bin", require("docker")
    programs.mkdir()
    fake = programs / "ssh"
    fake.write_text(f"#!/bin/sh\nexec {docker} --host {shop.engine.url} system dial-stdio\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert len(snapshot(EngineSettings(hosts={"far": "ssh://deploy@host.example"})).containers) == 1
    monkeypatch.setenv("DOCKER_CONFIG", str(shop.folder / "config"))
    words: Command = [docker, "context", "create", "mine", "--docker", f"host={shop.engine.url}"]
    subprocess.run(words, check=True, capture_output=True)
    assert len(snapshot(EngineSettings(hosts={"near": "mine"})).containers) == 1
    with pytest.raises(InputError, match="no docker context 'other'"):
        snapshot(EngineSettings(hosts={"near": "other"}))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (shop.folder / "config" / "config.json").write_text(json.dumps({"currentContext": "mine"}))
    assert len(snapshot(EngineSettings()).containers) == 1
    monkeypatch.setenv("DOCKER_HOST", shop.engine.url)
    assert [host.name for host in snapshot(EngineSettings()).hosts] == ["local"]


def test_nobody_there_is_said(tmp_path: Path) -> None:
    """No socket, and a port where nobody listens: the name, the address, the next step."""
    with pytest.raises(
        EngineUnreachable, match=r"Engine local does not answer.*none\.sock.*docker info"
    ):
        snapshot(EngineSettings(hosts={"local": f"unix://{tmp_path}/none.sock"}))
    with pytest.raises(EngineUnreachable, match="does not answer"):
        snapshot(EngineSettings(hosts={"local": f"tcp://127.0.0.1:{free_port()}"}, timeout=5))


def test_a_socket_that_speaks_something_else(tmp_path: Path) -> None:
    """An answer that is no Engine's is no traceback."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(0.01)
        with pytest.raises(EngineUnreachable):
            snapshot(EngineSettings(hosts={"odd": f"unix://{path}"}, timeout=0.5))


def test_a_container_that_is_gone_is_said(shop: Fleet) -> None:
    """Its own error, so that others can go on without it."""
    with connect_all(here(shop.engine)) as (engines, _):
        with pytest.raises(ContainerGone, match="No such container"):
            inspect(engines["here"], "none")
        assert memory_kills(engines["here"], 0, 1) == []


def test_a_new_container_behind_tls(
    shop: Fleet, certificates: dict[str, Path], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose is pointed at the same Engine with the same certificates."""
    monkeypatch.setenv("PATH", shop.environment()["PATH"])
    shop.up(project(web=""))
    engine = {"hosts": {"tls": f"tcp://127.0.0.1:{port}"}, "ca_file": certificates["ca"]}
    engine |= {"client_cert": certificates["client"], "client_key": certificates["client-key"]}
    settings = Settings(engine=engine, apply={"journal": shop.folder / "journal", "observe": 0})
    result = apply_plan(plan_of(other("shop/web", Setting.ENVIRONMENT, None, {"A": "1"})), settings)
    assert [outcome.reason for outcome in result.outcomes] == [""]
    assert "A" in snapshot(settings.engine).of("shop/web")[0].environment
