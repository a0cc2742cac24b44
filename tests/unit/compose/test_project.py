"""`capacity._compose.load_project`: typed services and the place of every value."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacity._compose import Port, find_files, load_project
from capacity._compose.load.interpolate import substitute
from capacity._compose.setting_paths import at
from capacity.compliance._facts.collect import from_files
from capacity.errors import ComposeError
from tests.fixtures.paths import COMPOSE


def test_typed_fields() -> None:
    """Sizes are bytes, CPU is cores, ports know their address."""
    service = load_project(COMPOSE / "single" / "service_keys.yaml", environment={}).services["a"]
    resources = service.resources
    assert (resources.memory, resources.memory_swap, resources.memory_reservation) == (
        512 * 2**20,
        2 * 2**30,
        100_000_000,
    )
    assert (resources.cpus, resources.pids, service.cpuset, service.replicas) == (
        0.5,
        200,
        "0,1",
        1,
    )
    ports = load_project(COMPOSE / "single" / "ports.yaml", environment={}).services["web"].ports
    assert Port(8001, "8001", "127.0.0.1") in ports
    assert Port(6060, "6060", protocol="udp") in ports


def test_where_names_file_line_and_column() -> None:
    """An override's value has the override's place, what it leaves alone the base's."""
    service = load_project(COMPOSE / "projects" / "override", environment={}).services["web"]
    places = {
        path: service.where(path)
        for path in ("image", "deploy.resources.limits.memory", "deploy.replicas", "ports.1")
    }
    assert {
        path: (Path(origin.file).name, origin.line) for path, origin in places.items() if origin
    } == {
        "image": ("compose.override.yaml", 3),
        "deploy.resources.limits.memory": ("compose.yaml", 23),
        "deploy.replicas": ("compose.override.yaml", 24),
        "ports.1": ("compose.yaml", 10),
    }
    assert service.where("deploy.resources.limits.pids") is None
    assert service.where() is not None


def test_a_merged_value_has_the_place_of_its_anchor() -> None:
    """What a merge key brings stands where the anchor's mapping says it."""
    origin = (
        load_project(COMPOSE / "single" / "merge_of_an_extension.yaml", environment={})
        .services["a"]
        .where("restart")
    )
    assert origin is not None
    assert origin.line == 3


def test_what_a_file_brings_has_the_place_that_names_the_file(tmp_path: Path) -> None:
    """Variables and labels of files stand at the last file that has them, own ones at their own."""
    (tmp_path / "one").write_text("A=1\nB=1\nC=1\n")
    (tmp_path / "two").write_text("B=2\n")
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a:\n    image: a\n"
        "    env_file:\n      - one\n      - path: two\n    environment:\n      C: 3\n"
        "    label_file:\n      - one\n      - two\n    labels:\n      C: 3\n"
    )
    service = load_project(tmp_path, environment={}).services["a"]
    keys = [(where, name) for where in ("environment", "labels") for name in "ABC"]
    lines = [origin.line if (origin := service.where(key)) else 0 for key in keys]
    assert lines == [5, 6, 8, 10, 11, 13]


def test_profiles_switch_services_on() -> None:
    """Without a profile only services without one; a star stands for all."""
    path = COMPOSE / "single" / "profiles.yaml"
    found = {
        profiles: set(load_project(path, environment={}, profiles=profiles).services)
        for profiles in ((), ("tools",), ("*",))
    }
    assert found == {
        (): {"always"},
        ("tools",): {"always", "tools"},
        ("*",): {"always", "debug", "tools"},
    }


def test_the_environment_of_the_caller_alone_counts() -> None:
    """Variables are those given, and `.env` below them."""
    folder = COMPOSE / "projects" / "dotenv"
    assert load_project(folder, environment={}).services["a"].image == "a:3.1"
    assert load_project(folder, environment={"TAG": "4"}).services["a"].image == "a:4"


def test_an_error_names_place_cause_and_next_step() -> None:
    """File, line and column stand in front, and the origin is there for programs."""
    with pytest.raises(ComposeError) as refused:
        load_project(COMPOSE / "refused" / "unknown_key.yaml", environment={})
    assert refused.value.message.endswith(
        "unknown_key.yaml:4:13: services.a.imagee is no key that Compose knows"
    )
    assert refused.value.hint
    assert refused.value.origin is not None


def test_a_kubernetes_unit_is_explained() -> None:
    """`2Gi` is corrected to what Docker reads."""
    from capacity._common.text.units import parse_memory

    with pytest.raises(Exception, match="Docker reads 2g"):
        parse_memory("2Gi")


def test_a_folder_without_files(tmp_path: Path) -> None:
    """The error says what to create."""
    with pytest.raises(ComposeError, match=r"compose\.yaml"):
        load_project(tmp_path, environment={})


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("$A", "a"),
        ("${A}b", "ab"),
        ("$$A", "$A"),
        ("${N:-d}", "d"),
        ("${E:-d}${E-d}", "d"),
        ("${N:-${M:-${A}}}", "a"),
        ("${A:+x}${N:+x}${E+x}", "xx"),
        ("${A:?no}", "a"),
        ("a $ b", "a $ b"),
        ("${N:-$$x}", "$x"),
        ("${N:-$${A}/", "${A/"),
        ('${N-{"a": {"b": 1}}', '{"a": {"b": 1}'),
    ],
)
def test_substitution(template: str, value: str) -> None:
    """Defaults, alternatives and demands, nested."""
    assert substitute(template, {"A": "a", "E": ""}) == value


def test_aliases_without_end_are_refused(tmp_path: Path) -> None:
    """Nine lines that stand for a billion nodes are refused at once; Compose itself takes minutes
    over them.
    """
    lines = ["x-0: &a0 [a, b, c, d, e, f, g, h, i]"]
    lines += [
        f"x-{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)
    ]
    file = tmp_path / "compose.yaml"
    file.write_text("\n".join([*lines, "services:", "  a: {image: a}", ""]))
    with pytest.raises(ComposeError, match="aliases"):
        load_project(file, environment={})


@pytest.mark.parametrize(
    ("environment", "source"),
    [({"HOME": "/home/a"}, "/home/a/x"), ({}, "{folder}/~/x"), ({"HOME": ""}, "{folder}/~/x")],
    ids=["given", "none", "empty"],
)
def test_a_tilde_is_the_home_of_the_given_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], source: str
) -> None:
    """The home of this process does not count; without one Compose takes the tilde for a name."""
    monkeypatch.setenv("HOME", "/home/of/the/process")
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a:\n    image: a\n    volumes: ['~/x:/y']\n"
    )
    volume = load_project(tmp_path, environment=environment).services["a"].volumes[0]
    assert volume.source == source.format(folder=tmp_path)


def test_a_tilde_is_the_home_of_a_dotenv_when_the_environment_has_none(tmp_path: Path) -> None:
    """Compose takes the variables of `.env` for its own where it has none."""
    (tmp_path / ".env").write_text("HOME=/home/b\n")
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a:\n    image: a\n    volumes: ['~/x:/y']\n"
    )
    assert load_project(tmp_path, environment={}).services["a"].volumes[0].source == "/home/b/x"


def test_an_optional_dependency_may_be_switched_off_and_not_left_out(tmp_path: Path) -> None:
    """A service that only a profile hides is enough for `required: false`."""
    file = tmp_path / "compose.yaml"
    depending = (
        "services:\n  a:\n    image: a\n    depends_on: {b: {condition: service_started, required: "
        "false}}\n"
    )
    file.write_text(f"{depending}  b: {{image: b, profiles: [p]}}\n")
    assert set(load_project(file, environment={}).services) == {"a"}
    file.write_text(depending)
    with pytest.raises(ComposeError, match="undefined service 'b'"):
        load_project(file, environment={})


def test_ssh_keys_are_printed_with_their_paths(tmp_path: Path) -> None:
    """Compose prints them so as YAML; as JSON it fails over a key with a path."""
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  a:\n    build: {ssh: [default, key=./id]}\n")
    assert at(load_project(file, environment={}).model, "services", "a", "build", "ssh") == [
        "default",
        f"key: {tmp_path}/id",
    ]


def test_an_empty_list_below_another_file_is_refused_as_by_compose(tmp_path: Path) -> None:
    """Compose makes nothing of it between two files; the place is that of the list."""
    (tmp_path / "compose.yaml").write_text("services:\n  a:\n    image: a\n    security_opt: []\n")
    (tmp_path / "compose.override.yaml").write_text("services:\n  a:\n    init: true\n")
    with pytest.raises(
        ComposeError, match=r"compose\.yaml:4:19: services\.a\.security_opt must be a list"
    ):
        load_project(tmp_path, environment={})


def test_a_value_of_the_wrong_kind_is_named_with_its_whole_path(tmp_path: Path) -> None:
    """Also deep below the service, and in what is no text of the schema but of a type."""
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services:\n  a:\n    image: a\n    deploy: {resources: {limits: {memory: 2Gi}}}\n"
    )
    with pytest.raises(
        ComposeError,
        match=r"compose\.yaml:4:43: services\.a\.deploy\.resources\.limits\.memory: '2Gi'",
    ):
        load_project(file, environment={})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("services: {a: {image: a, teleport: yes}}\n", "services.a.teleport"),
        ("services: {a: {image: a}}\nplanets: {x: 1}\n", "planets"),
        (
            "services: {a: {build: {context: ., magic: {deep: [1]}}}}\n",
            "services.a.build.magic",
        ),
        (
            "services: {a: {image: a, networks: {n: {warp: 9}}}}\nnetworks: {n: }\n",
            "services.a.networks.n.warp",
        ),
        ("services: {a: {image: a}}\nvolumes: {v: {holo: true}}\n", "volumes.v.holo"),
    ],
)
def test_keys_of_a_newer_compose_are_passed_through_with_a_note(
    tmp_path: Path, text: str, key: str
) -> None:
    """With their place, and the rest is read as ever."""
    (tmp_path / "compose.yaml").write_text(text)
    project = load_project(tmp_path, environment={})
    (note,) = project.notes
    assert "compose.yaml:" in note
    assert f"{key} is a key of a newer Compose" in note
    if key == "services.a.teleport":
        assert at(project.model, "services", "a", "teleport") == "yes"


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {image: a, mem_limits: 5m}}\n",
        "services: {a: {image: a, deploy: {resources: {limits: {warp: 1}}}}}\n",
        "services: {a: {image: a, healthcheck: {warp: 1}}}\n",
        "services: {a: {image: a, deploy: {restart_policy: {warp: 1}}}}\n",
        "serices: {a: {image: a}}\nservices: {}\n",
    ],
)
def test_a_slip_and_what_could_change_a_limit_are_refused(tmp_path: Path, text: str) -> None:
    """An unknown key beside what is read or edited may mean anything."""
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(ComposeError, match="no key that Compose knows"):
        load_project(tmp_path, environment={})


def test_a_dotenv_names_the_files_of_its_folder(tmp_path: Path) -> None:
    """With a separator of its own; a folder below another is found by it too."""
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "base.yml").write_text("services: {web: {image: a}}\n")
    (shop / "prod.yml").write_text("services: {web: {mem_limit: 1g}}\n")
    (shop / ".env").write_text("COMPOSE_PATH_SEPARATOR=;\nCOMPOSE_FILE=base.yml;prod.yml\n")
    assert find_files(shop) == [shop / "base.yml", shop / "prod.yml"]
    facts = from_files([tmp_path])
    assert [project.services["web"].resources.memory for project in facts.projects] == [2**30]
    (shop / ".env").write_text("COMPOSE_FILE=\n")
    with pytest.raises(ComposeError, match="no compose file"):
        find_files(shop)
