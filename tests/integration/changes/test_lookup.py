"""The printed lines find on a real Engine the containers that the inventory counts for a service,
with Compose's labels or without.
"""

from __future__ import annotations

import random
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing

import pytest

from capacity._docker.containers import read_container
from capacity.changes import emit_scripts, update_command
from capacity.changes._plan.commands import logs_command, running_containers
from capacity.model import Resource
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, MIB, Fleet, fleet, memory, plan_of
from tests.fixtures.running.servers import require

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_NAMES = (
    "shop-web-{0}",
    "shop_web_{0}",
    "0123456789ab_shop_web_{0}",
    "shop-web-api-{0}",
    "shop_web.{0}.abcdefghijklmnopqrstuvwxy",
    "web.{0}.abcdefghijklmnopqrstuvwxy",
    "shop-web{0}",
    "web-{0}",
    "a.b{0}",
)
_LABELS: tuple[dict[str, str], ...] = (
    {},
    {_PROJECT: "shop", _SERVICE: "web"},
    {_PROJECT: "shop", _SERVICE: "web-api"},
    {_PROJECT: "other", _SERVICE: "web"},
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Engine with containers of all kinds of names, with and without labels."""
    chance = random.Random(6)
    with fleet(tmp_path_factory.mktemp("lookup")) as made:
        for number, name in enumerate(_NAMES * 2, start=1):
            labels = {} if number <= len(_NAMES) else chance.choice(_LABELS[1:])
            made.run(name.format(number), labels=labels)
        yield made
        made.clear()


def _inventory(whole: Fleet) -> dict[str, set[str]]:
    """Service -> names of its containers."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    with closing(client(whole.engine)) as api:
        for listed in api.containers.list():
            container = read_container("here", listed.attrs)
            found[container.key].add(container.name)
    return dict(found)


def _shell(whole: Fleet, line: str) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", line], env=whole.environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_each_lookup_finds_what_the_inventory_counts(whole: Fleet) -> None:
    """No container of the service is missed, and none of another is found."""
    known = _inventory(whole)
    assert len(known) > 6
    for service, names in known.items():
        ids = _shell(whole, running_containers(service))
        with closing(client(whole.engine)) as api:
            assert {api.containers.get(each).name for each in ids} == names, service
            assert len(ids) == len(names)


def test_the_printed_line_and_the_script_reach_both_kinds(whole: Fleet) -> None:
    """Labelled and not, of one service; those of others keep what they have."""
    mine = _inventory(whole)["shop/web"]
    every = set.union(*_inventory(whole).values())
    _shell(whole, update_command("shop/web", {Resource.MEMORY: 96.0 * MIB}))
    assert {name for name in every if whole.memory(name) == 96} == mine
    script = whole.folder / "apply.sh"
    script.write_text(emit_scripts(plan_of(memory("shop/web", 96, 80)))["apply.sh"])
    _shell(whole, f"bash {script}")
    assert {name for name in every if whole.memory(name) == 80} == mine


def test_a_script_says_which_service_has_no_container(whole: Fleet) -> None:
    """And ends there."""
    script = whole.folder / "none.sh"
    script.write_text(emit_scripts(plan_of(memory("shop/none", None, 64)))["apply.sh"])
    done = subprocess.run(
        ["bash", script], env=whole.environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "no container: shop/none\n")


def test_the_logs_of_a_loop_are_shown_from_anywhere(whole: Fleet) -> None:
    """Of all replicas, also of one between two starts, by a reader who has no compose file."""
    whole.up(
        f"""
services:
  loop:
    image: {IMAGE}
    network_mode: none
    restart: always
    scale: 2
    command: ["sh", "-c", "echo it was me; sleep 1; exit 1"]
""",
        name="again",
    )
    empty = whole.folder / "elsewhere"
    empty.mkdir()
    compose = f'docker() {{ shift; {shlex.quote(str(require("docker-compose")))} "$@"; }}'
    done = subprocess.run(
        ["bash", "-c", f"{compose}; {logs_command('again/loop')}"],
        env=whole.environment(),
        cwd=empty,
        capture_output=True,
        text=True,
        check=True,
    )
    for replica in ("loop-1", "loop-2"):
        assert any(replica in line and "it was me" in line for line in done.stdout.splitlines())
