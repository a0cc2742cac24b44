"""`capacity.changes.edit_compose`: exactly the intended edit, or a refusal that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml.error import YAMLError

from capacity._compose import load_project
from capacity.changes import EditReason, EditRefused, edit_compose
from tests.fixtures.generated.compose_texts import changed, compose_files, limits_and_rest, load
from tests.fixtures.paths import COMPOSE

CORPUS = sorted(COMPOSE.glob("*/**/*.y*ml"))
WANTED = ({"memory": 512 * 2**20}, {"cpus": 1.5}, {"memory": 512 * 2**20 + 1, "cpus": 2})
BASE = "services:\n  web:\n    image: nginx\n"


def exact(text: str, service: str, wanted: dict[str, Any]) -> bool:
    """Edit, and judge the result without the editor's own reader; False when the edit was
    refused.
    """
    try:
        edited = edit_compose(text, {service: wanted})
    except EditRefused:
        return False
    found, rest = limits_and_rest(text, service)
    after, after_rest = limits_and_rest(edited, service)
    assert after == {**found, **{name: {float(value)} for name, value in wanted.items()}}
    assert after_rest == rest
    assert changed(text, edited) <= (4 if len(wanted) == 1 else 5)
    assert edit_compose(edited, {service: wanted}) == edited
    return True


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_service_of_the_corpus(path: Path) -> None:
    """Every edit of every service is exact or refused."""
    text = path.read_bytes().decode()
    try:
        model = load(text)
    except YAMLError:
        with pytest.raises(EditRefused):
            edit_compose(text, {"a": {"memory": 2**29}})
        return
    services = model.get("services") if isinstance(model, dict) else None
    for service in services if isinstance(services, dict) else []:
        for wanted in WANTED:
            exact(text, str(service), wanted)


def test_nearly_every_service_of_the_corpus_is_edited() -> None:
    """Of what Compose accepts, only variables, shared bases and one odd syntax are left alone."""
    refused = []
    for path in sorted((COMPOSE / "single").glob("*.yaml")):
        text = path.read_bytes().decode()
        refused += [
            (path.stem, name)
            for name in load(text)["services"]
            if not all(exact(text, name, wanted) for wanted in WANTED)
        ]
    assert {stem for stem, _ in refused} <= {"interpolation", "extends_same_file", "complex_key"}


@settings(max_examples=150)
@given(compose_files(), st.sampled_from(WANTED), st.data())
def test_any_style(text: str, wanted: dict[str, Any], data: st.DataObject) -> None:
    """Whatever the style: exactly the intended model and few lines, or a refusal."""
    service = data.draw(st.sampled_from(sorted(load(text)["services"])))
    assert exact(text, service, wanted) in {True, False}  # it asserts what an edit must be


@given(st.integers(6 * 2**20, 2**45), st.floats(0.001, 512, allow_nan=False))
def test_any_value_is_written_exactly(memory: int, cpus: float) -> None:
    """Bytes and cores come back as they were given."""
    found, _ = limits_and_rest(edit_compose(BASE, {"web": {"memory": memory, "cpus": cpus}}), "web")
    assert found == {"memory": {float(memory)}, "cpus": {cpus}}


def test_memory_in_the_largest_unit_that_divides() -> None:
    """512 MiB is `512m`, 2 GiB is `2g`, an odd number of bytes is bytes."""
    written = {
        size: edit_compose(BASE, {"web": {"memory": size}}).split("memory: ")[1].strip()
        for size in (2**29, 2**31, 2**29 + 1)
    }
    assert written == {2**29: "512m", 2**31: "2g", 2**29 + 1: "536870913b"}


def test_the_present_style_stays() -> None:
    """Quotes, comments and plain numbers are kept where a value is replaced."""
    block = (
        "    deploy:\n      resources:\n        limits:\n          cpus: '1'  # one\n          "
        'memory: "1g"\n'
    )
    text = "services:\n  a:\n    image: a\n" + block
    edited = edit_compose(text, {"a": {"memory": 2**29, "cpus": 0.5}})
    assert edited == text.replace("'1'", "'0.5'").replace('"1g"', '"512m"')
    assert (
        edit_compose("services: {a: {image: a, cpus: 1}}", {"a": {"cpus": 2}})
        == "services: {a: {image: a, cpus: 2}}"
    )


def test_several_services_at_once() -> None:
    """A base and what merges it may be changed together."""
    text = "services:\n  a: &a\n    image: a\n  b:\n    <<: *a\n"
    edited = edit_compose(text, {"a": {"memory": 2**29}, "b": {"memory": 2**30}})
    assert limits_and_rest(edited, "a")[0]["memory"] == {2.0**29}
    assert limits_and_rest(edited, "b")[0]["memory"] == {2.0**30}


def test_a_service_that_has_pids_limit_takes_its_own_keys() -> None:
    """Compose refuses a limits block that lacks what the service itself says."""
    text = "services:\n  a:\n    image: a\n    pids_limit: 10\n"
    assert edit_compose(text, {"a": {"memory": 2**29}}) == text + "    mem_limit: 512m\n"


@pytest.mark.parametrize(
    ("text", "service", "wanted", "reason"),
    [
        (BASE, "db", {"memory": 2**29}, EditReason.UNKNOWN_SERVICE),
        (BASE, "web", {"disk": 1}, EditReason.UNKNOWN_CHANGE),
        (BASE, "web", {"memory": 0}, EditReason.BAD_VALUE),
        (BASE, "web", {"memory": -1}, EditReason.BAD_VALUE),
        (BASE, "web", {"memory": 5 * 2**20}, EditReason.BAD_VALUE),
        (BASE, "web", {"memory": 2**29 + 0.5}, EditReason.BAD_VALUE),
        (BASE, "web", {"cpus": float("nan")}, EditReason.BAD_VALUE),
        (BASE, "web", {"cpus": 0}, EditReason.BAD_VALUE),
        (BASE, "web", {"cpus": True}, EditReason.BAD_VALUE),
        (BASE + "    image: twice\n", "web", {"cpus": 1}, EditReason.DUPLICATE),
        (BASE + "---\n" + BASE, "web", {"cpus": 1}, EditReason.DOCUMENTS),
        (
            "# This file is auto-generated, DO NOT EDIT\n" + BASE,
            "web",
            {"cpus": 1},
            EditReason.GENERATED,
        ),
        (BASE + "{% if x %}\n", "web", {"cpus": 1}, EditReason.TEMPLATE),
        ("services:\n  web:\n    image: {{ image }}\n", "web", {"cpus": 1}, EditReason.TEMPLATE),
        ("services:\n\tweb:\n", "web", {"cpus": 1}, EditReason.INVALID),
        ("web:\n  image: nginx\n", "web", {"cpus": 1}, EditReason.NO_SERVICES),
        ("", "web", {"cpus": 1}, EditReason.NO_SERVICES),
        ("services:\n  web: text\n", "web", {"cpus": 1}, EditReason.SHAPE),
        (BASE + "    mem_limit: ${MEM:-1g}\n", "web", {"memory": 2**29}, EditReason.INTERPOLATED),
        (
            "services:\n  a:\n    image: a\n  b:\n    extends: a\n",
            "a",
            {"cpus": 1},
            EditReason.SHARED,
        ),
        (
            "services:\n  a: {image: a}\n  b:\n    extends: {file: compose.yaml, service: a}\n",
            "a",
            {"cpus": 1},
            EditReason.SHARED,
        ),
        (BASE + "# {% if x %}\n", "web", {"cpus": 1}, EditReason.TEMPLATE),
        ("# Auto-generated by a program\n" + BASE, "web", {"cpus": 1}, EditReason.GENERATED),
        (
            (
                "services:\n  a:\n    image: a\n    deploy: &d {resources: {limits: {cpus: 1}}}\n  "
                "b:\n    deploy: *d\n"
            ),
            "a",
            {"cpus": 2},
            EditReason.SHARED,
        ),
    ],
)
def test_refusals(text: str, service: str, wanted: dict[str, Any], reason: EditReason) -> None:
    """Each cause has its code, a sentence and a next step."""
    with pytest.raises(EditRefused) as refused:
        edit_compose(text, {service: wanted})
    assert refused.value.reason is reason
    assert refused.value.service in {service, ""}
    assert refused.value.hint


@pytest.mark.parametrize(
    "base",
    ["mem_limit: 1g", "cpus: 2", "pids_limit: 9", "deploy: {resources: {limits: {memory: 1g}}}"],
)
@pytest.mark.parametrize(
    "wanted", [{"memory": 2**29}, {"cpus": 0.5}, {"memory": 2**29, "cpus": 0.5}]
)
def test_what_a_service_extends_says_where_its_limits_go(
    base: str, wanted: dict[str, Any], tmp_path: Path
) -> None:
    """Compose wants one value in both places that it knows, also where a base of the same file, at
    any distance, has one.
    """
    text = (
        f"services:\n  a:\n    image: a\n    {base}\n  b:\n    extends: {{service: a}}\n  c:\n    "
        f"extends: b\n"
    )
    file = tmp_path / "compose.yaml"
    file.write_text(edit_compose(text, {"c": wanted}))
    services = load_project(file, name="x").services
    assert (services["c"].resources.memory, services["c"].resources.cpus) == (
        wanted.get("memory", 2**30 if "memory" in base or "mem_" in base else None),
        wanted.get("cpus", 2.0 if "cpus" in base else None),
    )
    before = load_project(_written(tmp_path / "before", text), name="x").services
    assert (services["a"].resources, services["b"].resources) == (
        before["a"].resources,
        before["b"].resources,
    )


def _written(folder: Path, text: str) -> Path:
    folder.mkdir()
    file = folder / "compose.yaml"
    file.write_text(text)
    return file


def test_a_base_in_another_file_is_another_service() -> None:
    """Two services may have one name in two files; the file's own name tells which is meant."""
    text = "services:\n  a: {image: a}\n  b:\n    extends: {file: compose.yaml, service: a}\n"
    assert "512m" in edit_compose(text, {"a": {"memory": 2**29}}, file="compose.prod.yaml")
    with pytest.raises(EditRefused):
        edit_compose(text, {"a": {"memory": 2**29}}, file="compose.yaml")


def test_items_that_are_commented_out_stay_with_their_list() -> None:
    """A new block stands behind them, so that taking the sign away later brings an item back and
    not a limit.
    """
    text = (
        "services:\n  web:\n    image: a\n    volumes:\n      - a:/a\n      # - b:/b\n"
        "  db:\n    image: a\n    ports:\n    - '1:1'\n    # - '2:2'\n    # about the next key\n"
    )
    web = edit_compose(text, {"web": {"memory": 2**29}})
    assert web.replace(BLOCK, "") == text
    assert web.index("# - b:/b") < web.index("deploy:")
    db = edit_compose(text, {"db": {"memory": 2**29}})
    assert db.replace(BLOCK, "") == text
    assert db.index("# - '2:2'") < db.index("deploy:") < db.index("# about")
    unfinished = "services:\n  web:\n    image: a\n      # the end"
    assert changed(unfinished, edit_compose(unfinished, {"web": {"memory": 2**29}})) == 4


BLOCK = "    deploy:\n      resources:\n        limits:\n          memory: 512m\n"


@pytest.mark.parametrize(
    "text",
    [
        "# Its secrets are auto-generated by a script\n" + BASE,
        BASE + "configs:\n  c:\n    content: |\n      {{- range .X }}\n      {% if y %}\n",
    ],
)
def test_what_only_looks_like_a_template_is_edited(text: str) -> None:
    """The text of a configuration file within a value, and a comment about something else."""
    assert "512m" in edit_compose(text, {"web": {"memory": 2**29}})


def test_a_go_template_in_a_value_is_no_template() -> None:
    """Swarm's own `{{.Node.Hostname}}` stands in many files."""
    text = BASE + '    hostname: "{{.Node.Hostname}}"\n'
    assert exact(text, "web", {"memory": 2**29})
