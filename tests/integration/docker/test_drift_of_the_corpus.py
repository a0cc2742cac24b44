"""Right after Compose has made the containers of public-style projects, as their files are, nothing
differs from the files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capacity._compose import Drift, Project, declarations, drift, load_project
from capacity._compose.project import plain_name
from capacity._docker import snapshot
from tests.fixtures.paths import COMPOSE
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, Fleet, fleet
from tests.fixtures.running.servers import require
from tests.integration.compose.test_agreement import VARIABLES

POOLS = ("base=10.213.0.0/16,size=27", "base=fd00:213::/80,size=96")
"""Addresses for a network of every project; the Engine's own are enough for 31."""

NEWEST = "docker-compose-newest"


@dataclass(frozen=True)
class TakenAway:
    """What cannot be made of a project here, and an override without it."""

    why: str
    text: str


TAKEN_AWAY = {
    "durations_and_sizes": TakenAway(
        "the Engine takes a number of tries for on-failure alone",
        "services: {a: {deploy: {restart_policy: {max_attempts: !reset null}}}}",
    ),
    "empty_variables": TakenAway(
        "no subnet, no address of a host, no place of a mount",
        "services: {b: {extra_hosts: !reset null, networks: !override [n], tmpfs: !reset null}}\n"
        "networks: {n: {ipam: !reset null}}",
    ),
    "gitlab": TakenAway(
        "folders of the machine, which are made when Compose copies a secret",
        "services: {gitlab: {volumes: !reset null}}",
    ),
    "healthchecks": TakenAway(
        "start_interval is of Docker 25",
        "services: {shell: {healthcheck: {start_interval: !reset null}}}",
    ),
    "immich": TakenAway(
        "a digest, which no image made here can have",
        f"services: {{redis: {{image: {IMAGE}}}}}",
    ),
    "tagged_scalars": TakenAway(
        "a folder that is no path, and more cores than there are",
        "services: {web: {working_dir: !reset null, cpus: !reset null}}",
    ),
    "texts_as_other_kinds": TakenAway(
        "less memory than a container needs, and a size of a disk",
        "services: {a: {mem_limit: !reset null}, b: {storage_opt: !reset null}}",
    ),
    "unquoted_dates": TakenAway(
        "an option that no log has", "services: {web: {logging: !reset null}}"
    ),
    "windows_paths": TakenAway(
        "folders of Windows",
        "services:\n"
        "  short: {volumes: !reset null}\n"
        "  long: {volumes: !override ['named:/n'], secrets: !reset null}\n"
        "volumes: {named: !override {}}",
    ),
}
"""By project: what an Engine refuses, or what would leave something on the machine."""

OF_THE_MACHINE = (
    "blkio_config",
    "cap_add",
    "depends_on",
    "devices",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "links",
    "logging",
    "mac_address",
    "networks",
    "oom_score_adj",
    "pid",
    "ports",
    "privileged",
    "sysctls",
    "user",
    "volumes",
    "volumes_from",
    "working_dir",
)
"""Keys by which a start needs something of the machine, of the image or of another service."""

UNLIMITED = {
    "elk/es01",
    "langfuse/clickhouse",
    "mailcow/dovecot-mailcow",
    "override/web",
    "plausible/plausible_events_db",
    "security/a",
    "zulip/zulip",
}
"""Services whose `ulimits` are more than a machine may give, or less than a start needs."""

NEVER_STARTED = {"empty_mappings": "Compose lays no second file over its empty mappings"}

REFUSED_SINCE = {
    "empty_mappings": "a command to run after the start that is none",
    "unquoted_dates": "a date as an argument of a build",
    "volumes": "a folder of the machine that is not there; 2.26 has the Engine make it",
}
"""By project: what Compose 2.40 refuses and 2.26 takes."""


@dataclass(frozen=True)
class Place:
    """A project of the corpus; `words` name it to Compose where it does not do so itself."""

    project: Project
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The project's."""
        return self.project.name


@dataclass(frozen=True)
class Made:
    """What Compose was to make of a project, with what laid over its files, and why it did not."""

    place: Place
    overrides: tuple[str, ...]
    error: str


@dataclass(frozen=True)
class Corpus:
    """All projects, and an Engine that has an image of every name that they use."""

    shop: Fleet
    places: tuple[Place, ...]


def variables(home: Path) -> dict[str, str]:
    """What the files want of the environment."""
    return VARIABLES | {"HOME": str(home)}


def places_in(root: Path) -> Iterator[Place]:
    """Every project below a folder, under its own name; a single file's is the file's."""
    known = variables(root)
    for file in sorted((root / "single").glob("*.yaml")):
        name = plain_name(file.stem)
        project = load_project(file, environment=known, profiles=["*"], name=name)
        yield Place(project, ("-p", name, "-f", str(file)))
    for kind in ("projects", "stacks"):
        for folder in sorted((root / kind).iterdir()):
            yield Place(load_project(folder, environment=known, profiles=["*"]))


def tag(shop: Fleet, places: Iterable[Place]) -> None:
    """Give the one image the names of all, of those to be built too; a digest cannot be given."""
    names = {
        service.image or f"{place.name}-{service.name}"
        for place in places
        for service in place.project.services.values()
    }
    with closing(client(shop.engine)) as api:
        for name in names:
            if "@" not in name:
                folder, slash, last = name.rpartition("/")
                plain, _, version = last.partition(":")
                api.api.tag(IMAGE, folder + slash + plain, version or "latest", force=True)


def lay_out(root: Path, places: Iterable[Place]) -> None:
    """Make the files and folders that are mounted from beside the compose files."""
    for place in places:
        model: Any = place.project.model
        kinds = [model.get(kind) or {} for kind in ("secrets", "configs")]
        for file in (Path(one.get("file", "/")) for kind in kinds for one in kind.values()):
            if file.is_relative_to(root):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
        mounts = [mount for one in place.project.services.values() for mount in one.volumes]
        for folder in (Path(mount.source) for mount in mounts if mount.type == "bind"):
            if folder.is_relative_to(root) and not folder.exists():
                folder.mkdir(parents=True)


def empty_network(shop: Fleet) -> None:
    """Make the one network that no Engine makes as its file says it: with an empty subnet."""
    said = {"project": "empty_mappings", "network": "other"}
    labels = {f"com.docker.compose.{name}": value for name, value in said.items()}
    with closing(client(shop.engine)) as api:
        api.networks.create("empty_mappings_other", labels=labels)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """All files in a folder of their own, on an Engine with a network of its own."""
    root = tmp_path_factory.mktemp("corpus")
    for kind in ("single", "projects", "stacks"):
        shutil.copytree(COMPOSE / kind, root / kind)
    places = tuple(places_in(root))
    options = [f"--default-address-pool={pool}" for pool in POOLS]
    with fleet(root, own_network=True, extra_args=options) as shop:
        tag(shop, places)
        lay_out(root, places)
        empty_network(shop)
        yield Corpus(shop, places)


@pytest.fixture(autouse=True)
def environment(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the files rely on: variables, and a container that one mounts the volumes of."""
    for name, value in variables(corpus.shop.folder).items():
        monkeypatch.setenv(name, value)
    corpus.shop.run("other")
    yield
    corpus.shop.clear()


def compose(
    shop: Fleet, program: str, place: Place, words: Sequence[str], overrides: Sequence[str]
) -> Made:
    """Have Compose do something with a project, as it is where nothing is laid over it."""
    home, named = place.project.files[0].parent, place.words
    if overrides:
        files = [*place.project.files]
        for number, text in enumerate(overrides):
            files.append(home / f"{place.name}.override{number}.yaml")
            files[-1].write_text(text)
        named = ("-p", place.name, *(word for file in files for word in ("-f", str(file))))
    done = subprocess.run(
        [str(require(program)), "--profile", "*", *named, *words],
        cwd=home,
        env=shop.environment() | variables(shop.folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    error = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    return Made(place, tuple(overrides), error)


def without(place: Place) -> list[str]:
    """The override of a project that cannot be made as it is."""
    return [TAKEN_AWAY[place.name].text] if place.name in TAKEN_AWAY else []


def asleep(place: Place) -> str:
    """An override by which all services sleep, on the Engine's own network, and need nothing."""
    lines = ["services:"]
    for service in place.project.services.values():
        lines += [f"  {json.dumps(service.name)}:", '    entrypoint: ["sleep", "600"]']
        lines += ["    command: []", "    network_mode: host"]
        lines += [f"    {key}: !reset null" for key in OF_THE_MACHINE if key in service.model]
        if f"{place.name}/{service.name}" in UNLIMITED:
            lines.append("    ulimits: !reset null")
        deploy: Any = service.model.get("deploy", {})
        if deploy.get("resources", {}).get("reservations", {}).get("devices"):
            lines.append("    deploy: {resources: {reservations: {devices: !reset null}}}")
    return "\n".join(lines)


def taken(corpus: Corpus, program: str) -> list[Place]:
    """The projects that this version of Compose does not refuse."""
    words = [str(require(program)), "version", "--short"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    older = said.lstrip("v").startswith("2.26.")
    return [place for place in corpus.places if older or place.name not in REFUSED_SINCE]


def two_at_a_time(places: Sequence[Place], work: Callable[[Place], Made]) -> list[Made]:
    """The work done for every project."""
    assert len(places) > 110
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, places))


def figures(made: Sequence[Made], containers: int, rows: Sequence[Drift]) -> str:
    """What was made, why not or not as it is, and what differs."""
    services = [one for item in made for one in item.place.project.services]
    laid = [item.place.name for item in made if item.overrides]
    wrong = [item for item in made if item.error]
    lines = [
        f"{len(made)} projects with {len(services)} services, {containers} containers",
        f"{len(made) - len(laid)} projects as they are",
        f"{len(laid)} with an override; what was taken away:",
        *(f"- {name}: {TAKEN_AWAY[name].why}" for name in laid if name in TAKEN_AWAY),
        f"{len(wrong)} not made",
        *(f"- {item.place.name}: {item.error}" for item in wrong),
        f"{len(rows)} differences",
        *(f"- {row}" for row in rows),
    ]
    return "\n".join(lines)


def assert_nothing_differs(corpus: Corpus, made: Sequence[Made], state: str) -> None:
    """Every container of every project is there, and is what the files say."""
    found = snapshot(corpus.shop.settings().engine)
    composed = [container for container in found.containers if container.composed]
    rows = drift(found)
    told = figures(made, len(composed), rows)
    assert not any(item.error for item in made), told
    services = [one for item in made for one in item.place.project.services.values()]
    assert len(composed) == sum(one.replicas for one in services), told
    assert {container.state for container in composed} == {state}, told
    assert not any(one.missing for one in declarations(composed).values()), told
    assert not rows, told


@pytest.mark.parametrize("program", ["docker-compose", NEWEST])
def test_as_they_are(corpus: Corpus, program: str) -> None:
    """Created, not started; an override takes away only what cannot be made."""
    words = ["create", "--pull", "never", "--no-build"]
    made = two_at_a_time(
        taken(corpus, program),
        lambda place: compose(corpus.shop, program, place, words, without(place)),
    )
    assert_nothing_differs(corpus, made, "created")


@pytest.mark.timeout(900)  # an emulated machine takes eight minutes
def test_started(corpus: Corpus) -> None:
    """The same once all run; an override takes away what a start needs of the machine."""
    program, words = "docker-compose", ["up", "--detach", "--pull", "never", "--no-build"]
    made = two_at_a_time(
        [place for place in taken(corpus, program) if place.name not in NEVER_STARTED],
        lambda place: compose(corpus.shop, program, place, words, [*without(place), asleep(place)]),
    )
    assert_nothing_differs(corpus, made, "running")
