"""The commands as their users meet them, on a real Engine: look, validate, dry run, apply, journal,
roll back, scripts.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from capacity.changes import write_plan
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.fleet import Fleet, fleet, in_folder, memory, plan_of, project


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Engine for the module."""
    with fleet(tmp_path_factory.mktemp("cli")) as made:
        yield made


@pytest.fixture
def shop(whole: Fleet, tmp_path: Path) -> Iterator[Fleet]:
    """A project of two services, and its plan."""
    made = in_folder(whole, tmp_path)
    made.up(project(web="mem_limit: 64m", db=""))
    write_plan(
        plan_of(memory("shop/web", 64, 96), memory("shop/db", None, 128)), tmp_path / "plan.yaml"
    )
    yield made
    made.clear()


def ask(shop: Fleet, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the test's folder."""
    return capacity_here(*words, folder=shop.folder, **shop.environment())


def test_from_the_inventory_to_a_rollback(shop: Fleet) -> None:
    """What a person does on a good day, command by command."""
    containers = json.loads(ask(shop, "inventory", "--json").stdout)["containers"]
    assert {container["key"]: container["memory"] for container in containers} == {
        "shop/web": 64 << 20,
        "shop/db": None,
    }
    shown = ask(shop, "plan", "show", "plan.yaml")
    assert "64 MiB" in shown.stdout
    assert ask(shop, "plan", "validate", "plan.yaml").returncode == 0
    dry = ask(shop, "apply", "plan.yaml")
    assert "POST /containers/shop-web-1/update" in dry.stdout
    assert "+    mem_limit: 96m" in dry.stdout
    assert "Nothing was changed" in dry.stdout
    assert shop.memory("shop-web-1") == 64
    done = ask(shop, "apply", "plan.yaml", "--yes", "--why", "the review", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["state"], shop.memory("shop-web-1"), shop.memory("shop-db-1")) == (
        "finished",
        96,
        128,
    )
    assert json.loads(ask(shop, "inventory", "--drift", "--json").stdout) == []
    rows = json.loads(ask(shop, "journal", "--json").stdout)
    assert [(row["service"], row["why"], row["outcome"]) for row in rows] == [
        ("shop/web", "the review", "verified"),
        ("shop/db", "the review", "verified"),
    ]
    assert "the review" in ask(shop, "journal", "--service", "shop/db").stdout
    dry = ask(shop, "rollback", result["run"], "--json")
    assert [
        (row["service"], row["host"], row["container"], row["what"], row["change"])
        for row in json.loads(dry.stdout)
    ] == [
        ("shop/db", "local", "shop-db-1", "memory", "128 MiB -> unlimited"),
        ("shop/web", "local", "shop-web-1", "memory", "96 MiB -> 64 MiB"),
    ]
    assert (dry.returncode, dry.stderr) == (0, "Nothing was changed; --yes does it.\n")
    assert shop.memory("shop-web-1") == 96
    other = ask(shop, "rollback", result["run"], "--service", "shop/x", "--yes")
    assert (other.returncode, "changed no service that fits 'shop/x'" in other.stderr) == (2, True)
    assert ask(shop, "rollback", result["run"], "--yes").returncode == 0
    assert shop.memory("shop-web-1") == 64
    assert json.loads(ask(shop, "rollback", result["run"], "--json").stdout) == []


def test_refusals_have_their_codes(shop: Fleet) -> None:
    """1 for a change that is refused, 2 for a question that cannot be; a line that says why."""
    write_plan(plan_of(memory("shop/web", 32, 96)), shop.folder / "other.yaml")
    checked = ask(shop, "plan", "validate", "other.yaml")
    assert (checked.returncode, "in force is 64 MiB" in " ".join(checked.stdout.split())) == (
        1,
        True,
    )
    assert ask(shop, "apply", "other.yaml").returncode == 1
    assert ask(shop, "apply", "other.yaml", "--json").returncode == 1
    assert ask(shop, "plan", "diff", "plan.yaml", "other.yaml").returncode == 1
    assert ask(shop, "plan", "diff", "plan.yaml", "plan.yaml").returncode == 0
    for words, code, said in (
        (("apply",), 2, "No plan is named"),
        (("apply", "--resume"), 2, "came to its end"),
        (("rollback", "none"), 2, "no run"),
        (("rollback", "none", "--yes"), 2, "no run"),
        (("apply", "--resume", "--service", "shop/*"), 2, "as its run was begun"),
        (("apply", "plan.yaml", "--unattended"), 1, "Unattended mode is off"),
        (("apply", "plan.yaml", "--unattended", "--yes"), 1, "Unattended mode is off"),
        (("apply", "missing.yaml"), 2, "Cannot read"),
    ):
        done = ask(shop, *words)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_emitted_scripts_work_and_go_back(shop: Fleet) -> None:
    """apply.sh sets the limits on the real Engine, revert.sh lifts what was not there and sets what
    was.
    """
    done = ask(shop, "plan", "emit", "plan.yaml", "--out", "out")
    assert done.returncode == 0, done.stderr
    out = shop.folder / "out"
    assert {path.name for path in out.iterdir()} == {
        "limits.patch",
        "compose.capacity.yaml",
        "apply.sh",
        "revert.sh",
        "alerts.yml",
    }
    for name, web, db in (("apply.sh", 96, 128), ("revert.sh", 64, (2**62 + 4096) >> 20)):
        subprocess.run([out / name], env=shop.environment(), check=True, capture_output=True)
        assert (shop.memory("shop-web-1"), shop.memory("shop-db-1")) == (web, db)
    patched = subprocess.run(
        ["git", "apply", "--check", "out/limits.patch"],
        cwd=shop.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert patched.returncode == 0, patched.stderr


def test_commit_and_units(shop: Fleet) -> None:
    """A branch from what the running containers name; sizes that Compose refuses are corrected in
    place.
    """
    for words in (
        ["init", "-q"],
        ["config", "user.name", "T"],
        ["config", "user.email", "t@example.org"],
    ):
        subprocess.run(["git", "-C", shop.folder, *words], check=True)
    subprocess.run(["git", "-C", shop.folder, "add", "shop"], check=True)
    subprocess.run(["git", "-C", shop.folder, "commit", "-qm", "start"], check=True)
    done = ask(shop, "plan", "commit", "plan.yaml", "--branch", "limits")
    assert (done.returncode, done.stdout.count("limits ")) == (0, 2), done.stderr
    file = shop.folder / "wrong.yaml"
    file.write_text("services:\n  a:\n    image: x\n    mem_limit: 2Gi\n")
    assert ask(shop, "plan", "units", "wrong.yaml").returncode == 1
    assert ask(shop, "plan", "units", "wrong.yaml", "--write").returncode == 0
    assert "mem_limit: 2g\n" in file.read_text()
