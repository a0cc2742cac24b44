"""The commands of fleet operations as people meet them, on a real Engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capacity._cli import app
from capacity._docker import snapshot
from capacity._docker.engine import connect_all
from capacity.changes import read_plan
from capacity.changes._journal.models import Entry
from capacity.changes._journal.runs import journal_runs
from capacity.errors import CapacityError
from capacity.operations import RestartLoop
from capacity.operations._pools.locks import place_of
from tests.fixtures.fleets.faults import loops_of
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, MIB, Fleet, fleet, project
from tests.fixtures.running.redis_server import redis_image
from tests.fixtures.running.servers import wait_for


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Engine with a loop, what may be stopped, and two agents."""
    with fleet(tmp_path_factory.mktemp("operations-cli")) as made:
        grow = 'x=aaaaaaaaaaaaaaaa; while :; do x="$x$x"; done'
        loop = {"restart_policy": {"Name": "always"}, "stop_signal": "SIGKILL"}
        made.run("hungry", ["sh", "-c", grow], mem_limit=8 * MIB, memswap_limit=8 * MIB, **loop)
        made.run("idle", labels={"priority": "low"}, stop_signal="SIGKILL")
        for number in range(2):
            made.run(
                f"agent-{number}", mem_limit=32 * MIB, memswap_limit=32 * MIB, stop_signal="SIGKILL"
            )
        yield made


@pytest.fixture(autouse=True)
def surroundings(shop: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with settings, and locks of this module's own."""
    config = shop.folder / "capacity.toml"
    config.write_text(
        f'[engine.hosts]\nhere = "{shop.engine.url}"\n[operations]\ncritical = '
        '["standalone/agent-0"]\n'
    )
    monkeypatch.chdir(shop.folder)
    monkeypatch.setattr("capacity.operations._pools.locks.ROOTS", (shop.folder,))
    for name, value in shop.environment().items():
        monkeypatch.setenv(name, value)


def run(*words: str, code: int = 0) -> str:
    """What a command says on both streams; its exit code is as expected."""
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, (CapacityError, SystemExit)):
        raise done.exception
    error = done.exception if isinstance(done.exception, CapacityError) else None
    assert (error.exit_code if error else done.exit_code) == code, done.output
    return done.stdout if "--json" in words else f"{done.output}{error or ''}"


def states(shop: Fleet) -> dict[str, str]:
    """Name -> state of every container."""
    return {
        container.name: container.state for container in snapshot(shop.settings().engine).containers
    }


def test_restarts_shows_the_cause_and_writes_a_plan_that_can_be_applied(shop: Fleet) -> None:
    """Exit code 1 while there is a loop; the plan raises the memory, and a dry run of it says
    how.
    """

    def found() -> RestartLoop | None:
        return loops_of(shop.settings(), more_than=2).get("hungry")

    wait_for(
        lambda: ((loop := found()) is not None and loop.diagnosis.fix == "memory") or None,
        "a loop for memory",
    )
    out = run(
        "restarts", "--window", "10m", "--more-than", "2", "--out", "plan.yaml", "--json", code=1
    )
    (loop,) = json.loads(out)
    assert (loop["service"], loop["diagnosis"]["cause"]) == ("standalone/hungry", "out-of-memory")
    (change,) = read_plan(shop.folder / "plan.yaml").changes
    assert (change.what, change.before, change.after) == ("memory", 8 * MIB, 16 * MIB)
    assert '"Memory": 16777216' in run("apply", "plan.yaml")
    assert "out-of-memory" in run("restarts", "--more-than", "2", code=1)
    assert "No restart loops" in run("restarts", "--more-than", "100000")


def test_affinity_proposes_cores_and_a_plan(shop: Fleet) -> None:
    """Both imbalances are said; the plan names the host."""
    (host,) = json.loads(run("affinity", "--seconds", "0.3", "--out", "cores.yaml", "--json"))
    assert host["cpusets"].keys() >= {"standalone/idle", "standalone/agent-0"}
    assert host["measured_imbalance"] is None
    plan = read_plan(shop.folder / "cores.yaml")
    assert len(plan.changes) == host["changes"]
    assert {change.host for change in plan.changes} <= {"here"}
    assert "proposed" in run("affinity", "--seconds", "0.1")


def test_an_emergency_is_a_dry_run_until_yes(shop: Fleet) -> None:
    """Release, undo and restart, each first without any effect."""
    assert "would-stop" in run("emergency", "release", "--memory", "1g")
    assert states(shop)["idle"] == "running"
    said = run("emergency", "release", "--memory", "1g", "--yes", code=1)
    assert "stopped" in said
    assert "Freed less than 1 GiB: " in said
    assert states(shop)["idle"] == "exited"
    assert "would-start" in run("emergency", "undo")
    assert "would-start" in run("emergency", "restart", "standalone/idle")
    assert "nothing" in run("emergency", "restart")  # what is critical is up
    assert states(shop)["idle"] == "exited"
    assert "started" in run("emergency", "undo", "--yes")
    assert states(shop)["idle"] == "running"
    assert "Nothing is to be released" in run("emergency", "release", code=2)
    assert "No service fits 'nix/*'. Names are such as" in run(
        "emergency", "release", "--memory", "1g", "--service", "nix/*", code=2
    )
    assert "of 'standalone/agent-*' has the label" in run(
        "emergency", "release", "--memory", "1g", "--service", "standalone/agent-*", code=2
    )
    assert "Did you mean standalone/idle?" in run("emergency", "restart", "idle", code=2)
    assert "is a project, not a service. Name its services: standalone/" in run(
        "emergency", "restart", "standalone", code=2
    )
    assert "shop/db has no container. Start it with docker compose up -d" in run(
        "emergency", "restart", "shop/db", code=2
    )
    assert "would-flush" in run("emergency", "release", "--flush", "idle")
    refused = run("emergency", "release", "--flush", "idle", "--yes", code=1)
    assert ("Not flushed" in refused, "failed" in refused, "Released" in refused) == (
        True,
        True,
        False,
    )


def test_a_cache_is_emptied_by_name_and_with_yes_only(shop: Fleet) -> None:
    """A real Redis keeps its keys through a dry run and a wrong name, and loses them with
    `--yes`.
    """
    image = redis_image(shop.engine)
    with closing(client(shop.engine)) as api:
        options = {"network_mode": "none", "stop_signal": "SIGKILL", "detach": True}
        cache = api.containers.run(image, ["redis-server", "--save", ""], name="cache", **options)

        def asked(*words: str) -> str:
            return str(cache.exec_run(["redis-cli", *words]).output.decode().strip())

        wait_for(lambda: asked("SET", "a", "1") == "OK" or None, "Redis")
        assert "would-flush" in run("emergency", "release", "--flush", "cache")
        assert "0 running containers" in run(
            "emergency", "release", "--flush", "cach*", "--yes", code=2
        )
        assert asked("GET", "a") == "1"
        said = json.loads(run("emergency", "release", "--flush", "cache", "--yes", "--json"))
        assert [(row["container"], row["state"]) for row in said] == [("cache", "flushed")]
        assert asked("DBSIZE") == "0"
        cache.remove(force=True)


def test_the_last_run_is_rolled_back(shop: Fleet) -> None:
    """Without a name it is the last one that changed something; a dry run says which."""
    run("affinity", "--seconds", "0.1", "--out", "pin.yaml")
    text = (shop.folder / "pin.yaml").read_text()
    if "standalone/idle" not in text:
        pytest.skip("one core cannot be balanced")
    run("apply", "pin.yaml", "--yes", "--service", "standalone/idle", "--quiet")
    assert shop.limits("idle")["CpusetCpus"]
    assert "would-go-back" in run("emergency", "rollback")
    assert shop.limits("idle")["CpusetCpus"]
    assert "undone" in run("emergency", "rollback", "--yes")
    assert "There is no run to roll back" in run("emergency", "rollback", code=2)
    assert "together with --compose" in run("emergency", "rollback", "--revision", "HEAD", code=2)


def test_a_pool_stays_until_it_is_taken_down(shop: Fleet) -> None:
    """Up, scale, status, migrate and down, each a process of its own."""
    run(
        "pool",
        "up",
        "work",
        "--image",
        IMAGE,
        "--size",
        "1",
        "--network",
        "none",
        "--command",
        "sleep 600",
        "--yes",
    )
    rows = json.loads(run("pool", "status", "work", "--json"))
    assert [(row["container"], row["state"], row["leased"]) for row in rows] == [
        ("work-pool-0", "running", False)
    ]
    assert "work-pool-1" in run("pool", "scale", "work", "2", "--yes")
    assert steps(run("pool", "down", "work", "--yes", "--json")) == [
        ("work-pool-0", "removed"),
        ("work-pool-1", "removed"),
    ]
    assert not list(shop.folder.glob("capacity-pools-*/work*"))
    assert "There is no pool" in run("pool", "status", "work", code=2)
    words = ("pool", "migrate", "agents", "agent-0", "agent-1", "--size", "1")
    assert "64Mi -> 32Mi" in run(*words).replace(" ", "").replace("->", " -> ").replace("MiB", "Mi")
    run(*words, "--yes")
    assert {name: state for name, state in states(shop).items() if name.startswith("agent")} == {
        "agent-0": "exited",
        "agent-1": "exited",
        "agents-pool-0": "running",
    }
    run("emergency", "undo", "--yes")
    run("pool", "down", "agents", "--yes")


UP = (
    "pool",
    "up",
    "work",
    "--image",
    IMAGE,
    "--network",
    "none",
    "--command",
    "sleep 600",
    "--memory",
    "16m",
)


def steps(said: str) -> list[tuple[str, str]]:
    """Container and state of each row."""
    return [(row["container"], row["state"]) for row in json.loads(said)]


def named(entry: Entry) -> str:
    """The container of a line, or the state in which its run ended."""
    return str(getattr(entry.detail, "container", "") or getattr(entry.detail, "state", ""))


def kinds(shop: Fleet) -> list[list[str]]:
    """What the runs of pools said in the journal, container by container, the oldest first; it is
    empty then.
    """
    runs = sorted(journal_runs(shop.folder / "journal"), key=lambda run: run[1][0].time)
    shutil.rmtree(shop.folder / "journal", ignore_errors=True)
    return [
        [f"{entry.kind} {named(entry)}".strip() for entry in entries]
        for name, entries in runs
        if "-pool-" in name
    ]


def test_pools_change_nothing_without_yes_and_journal_what_they_do(shop: Fleet) -> None:
    """Each of up, scale and down says first what it would do to every instance, and has it in the
    journal before it does it.
    """
    kinds(shop)
    up, two = (*UP, "--size", "1"), ("pool", "scale", "work", "2")
    assert "Nothing was changed; --yes does it." in (said := run(*up))
    assert ("would-create" in said, "16 MiB" in said) == (True, True)
    assert steps(run(*up, "--json")) == [("work-pool-0", "would-create")]
    assert not [name for name in states(shop) if name.startswith("work")]
    assert steps(run(*up, "--yes", "--json")) == [("work-pool-0", "created")]
    assert steps(run(*up, "--yes", "--json")) == [("work-pool-0", "stays")]
    assert steps(run(*two, "--json")) == [("work-pool-0", "stays"), ("work-pool-1", "would-create")]
    run(*two, "--yes")
    assert steps(run("pool", "scale", "work", "1", "--json")) == [
        ("work-pool-0", "stays"),
        ("work-pool-1", "would-remove"),
    ]
    run("pool", "scale", "work", "1", "--yes")
    assert steps(run("pool", "down", "work", "--json")) == [("work-pool-0", "would-remove")]
    assert states(shop)["work-pool-0"] == "running"
    run("pool", "down", "work", "--yes")
    listed = json.loads(run("journal", "--service", "standalone/work-pool-1", "--json"))
    assert [(row["what"], row["outcome"], row["why"]) for row in listed] == [
        ("create", "created", "pool-scale"),
        ("remove", "removed", "pool-scale"),
    ]
    assert "pool-down" in run("journal")
    made, gone = (
        ["creating work-pool-{0}", "created work-pool-{0}"],
        ["removing work-pool-{0}", "removed work-pool-{0}"],
    )
    wanted = [
        [line.format(number) for line in lines]
        for lines, number in ((made, 0), ([], 0), (made, 1), (gone, 1), (gone, 0))
    ]
    assert kinds(shop) == [["started", *lines, "finished finished"] for lines in wanted]


def test_a_pool_that_fails_half_way_leaves_nothing_new_and_says_so_in_the_journal(
    shop: Fleet,
) -> None:
    """An `up` whose instances die is gone again, and a growth takes its new instances back; both
    tell the last words.
    """
    kinds(shop)
    dies = (*UP[:7], "--command", "sh -c 'echo no licence; exit 3'", "--size", "2", "--yes")
    assert "exit code 3" in (said := run(*dies, code=1))
    assert "no licence" in said
    assert not [name for name in states(shop) if name.startswith("work")]
    seen = ["creating", "created", "failed", "removing", "removed"]
    assert kinds(shop) == [
        ["started", *(f"{kind} work-pool-0" for kind in seen), "finished failed"]
    ]
    with closing(client(shop.engine)) as api:  # an instance that only one of this host name can be
        with connect_all(shop.settings().engine) as (engines, _):
            labels = {
                "capacity.pool": "work",
                "capacity.pool.slot": "0",
                "capacity.pool.keep": "true",
            }
            labels |= place_of("work", engines["here"]).labels
        named = {"labels": labels, "hostname": "first", "name": "work-pool-0"}
        only = ["sh", "-c", "[ $(hostname) = first ] && exec sleep 600"]
        api.containers.run(IMAGE, only, network_mode="none", detach=True, **named)
    assert "does not become healthy" in run("pool", "scale", "work", "3", "--yes", code=1)
    assert states(shop)["work-pool-0"] == "running"
    assert "work-pool-1" not in states(shop)
    assert kinds(shop) == [
        ["started", *(f"{kind} work-pool-1" for kind in seen), "finished failed"]
    ]
    run("pool", "down", "work", "--yes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "2"), "`capacity pool scale work 2`"),
        (("--image", "other:1"), "image stack"),
        (("--memory", "32m"), "memory 16 MiB"),
        (("--cpus", "0.5"), "cpus without a limit"),
        (("--command", "sleep 5"), "command sleep 600"),
        (("--env", "LEVEL=debug"), "other variables (LEVEL)"),
        (("--network", "host"), "network none"),
    ],
)
def test_another_pool_of_the_same_name_is_refused(
    shop: Fleet, words: tuple[str, ...], said: str
) -> None:
    """What stands is not silently taken for what was asked for; the way on is named."""
    run(*UP, "--size", "1", "--yes")
    with closing(client(shop.engine)) as api:
        api.images.get(IMAGE).tag("other", "1")
    try:
        assert said in (
            refused := run(*UP, *(() if "--size" in words else ("--size", "1")), *words, code=2)
        )
        assert "capacity pool" in refused
    finally:
        run("pool", "down", "work", "--yes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--image", "nix"), "docker pull nix"),
        (("--image", ""), "has an empty name for its image. Name one"),
        (
            ("--network", "nosuch"),
            "There is no network 'nosuch' on here. `docker network ls` lists them",
        ),
        (("--memory", "4"), "4 B is below the 6 MiB"),
        (("--env", "LEVEL"), "Write NAME=VALUE"),
        (("--command", "sh -c 'x"), "cannot be read"),
        (("--cpus", "4000"), "cores, not 4000"),
        (("--cpus", "0"), "below what the Engine takes"),
        (("--memory", "100t"), "of memory, not 100 TiB for one instance"),
        (("--size", "3", "--memory", "1t"), "of memory, not 1 TiB for one instance"),
    ],
)
def test_what_a_pool_cannot_be_is_refused_before_anything_is_done(
    words: tuple[str, ...], said: str
) -> None:
    """Already by the dry run, with a next step, and with the exit code of wrong input."""
    assert said in run(*UP, *words, code=2)


def test_the_timeline_is_kept_between_runs(tmp_path: Path) -> None:
    """Findings of files and of the Engine; an owner that somebody wrote stays."""
    compose = tmp_path / "compose.yaml"
    compose.write_text(project(web=""))
    file = tmp_path / "timeline.yaml"
    first = run("timeline", str(compose), "--engine", "--file", str(file))
    assert "## Day 1" in first
    file.write_text(file.read_text().replace("owner: ''", "owner: Ada", 1))
    assert "owner: Ada" in run("timeline", str(compose), "--engine", "--file", str(file))
    assert "Nothing to look at" in run("timeline", code=2)


def test_the_sample_is_not_written_into_the_timeline_of_the_own_fleet(
    shop: Fleet, tmp_path: Path
) -> None:
    """It is printed; a file that is named gets it."""
    own, named = shop.folder / "timeline.yaml", tmp_path / "named.yaml"
    own.unlink(missing_ok=True)
    assert "## Day 1" in run("timeline", "--sample")
    assert not own.exists()
    run("timeline", "--sample", "--quiet", "--file", str(named))
    assert named.exists()
