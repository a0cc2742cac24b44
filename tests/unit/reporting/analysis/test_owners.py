"""Who decides for a service: labels before globs, and what is read where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity import _api
from capacity._collect.exposition import render_page
from capacity._collect.readings import Look, Reading
from capacity._common.container_names import exported_label
from capacity._docker.containers import read_container
from capacity.reporting._analysis.owners import NO_OWNER, Owners, find_owners
from capacity.reporting.monthly import _agenda
from capacity.settings import Settings

TEAM = "com.example.team"
NAMES = st.sampled_from(["shop/web", "shop/db", "ai/model", "edge/proxy"])
TEAMS = st.sampled_from(["Shop", "Data", "Ops"])


@given(
    labelled=st.dictionaries(NAMES, TEAMS),
    globs=st.dictionaries(st.sampled_from(["*", "shop/*", "*/web"]), TEAMS),
    service=NAMES,
)
def test_a_label_goes_before_a_glob(
    labelled: dict[str, str], globs: dict[str, str], service: str
) -> None:
    """With a label it is the label's, else some glob's; who has neither has no owner."""
    found = Owners(labelled, globs).of(service)
    if service in labelled:
        assert found == labelled[service]
    elif "*" in globs:
        assert found in globs.values()
    else:
        assert found == NO_OWNER or found in globs.values()


def write_project(folder: Path) -> Path:
    """A project in which one service says whose it is, in either form of labels."""
    folder.mkdir()
    file = folder / "compose.yaml"
    file.write_text(
        "name: shop\nservices:\n"
        f"  web:\n    image: web\n    labels:\n      {TEAM}: ' Team\n\n        Shop '\n"
        f"  db:\n    image: db\n    labels: ['{TEAM}=Data']\n"
        f"  cache:\n    image: cache\n    labels: ['{TEAM}=']\n"
        "  proxy:\n    image: proxy\n"
    )
    return file


def test_labels_are_read_from_compose_files(tmp_path: Path) -> None:
    """Both forms of labels; an empty one and a missing one leave it to the globs."""
    file = write_project(tmp_path / "shop")
    settings = Settings.model_validate(
        {
            "owners": {"label": TEAM},
            "schedule": {"compose": [str(file)]},
            "services": {"shop/cache": {"owner": "Ops"}},
        }
    )
    owners = find_owners(settings)
    assert owners.of("shop/web") == "Team Shop"
    assert owners.of("shop/db") == "Data"
    assert owners.of("shop/cache") == "Ops"
    assert owners.of("shop/proxy") == NO_OWNER
    assert not owners.notes
    assert find_owners(settings.model_copy(update={"owners": Settings().owners})).labelled == {}


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The review stands; a note names the file, another that no label was found."""
    settings = Settings.model_validate(
        {"owners": {"label": TEAM}, "apply": {"projects": {"shop": str(tmp_path / "gone.yaml")}}}
    )
    said = find_owners(settings, _api.open_history("sample", window="7D")).notes
    assert any("gone.yaml" in note for note in said)
    assert any(TEAM in note for note in said)


@pytest.mark.parametrize("source", ["http://127.0.0.1:1", "collected"])
def test_a_place_that_does_not_answer_is_told(source: str, tmp_path: Path) -> None:
    """History of a server or a collector whose source is away now: globs stand, a note says why."""
    history = replace(_api.open_history("sample", window="7D"), source=source)
    settings = Settings.model_validate(
        {
            "owners": {"label": TEAM},
            "services": {"*": {"owner": "Ops"}},
            "prometheus": {"attempts": 1},
            "engine": {"hosts": {"dock1": f"unix://{tmp_path}/docker.sock"}},
        }
    )
    owners = find_owners(settings, history)
    assert owners.of("shop/redis") == "Ops"
    place = "dock1" if source == "collected" else "127.0.0.1:1"
    assert any(place in note for note in owners.notes)


def test_every_source_of_the_history_is_asked() -> None:
    """Of several metrics servers each that the history is of, and no other."""
    sources = {name: {"url": f"http://127.0.0.1:{port}"} for port, name in enumerate("abc", 1)}
    settings = Settings.model_validate(
        {
            "owners": {"label": TEAM},
            "sources": {name: {**keys, "attempts": 1} for name, keys in sources.items()},
        }
    )
    history = replace(_api.open_history("sample", window="7D"), source="a, c")
    told = " ".join(find_owners(settings, history).notes)
    assert [f"127.0.0.1:{port}" in told for port in (1, 2, 3)] == [True, False, True]


def test_a_label_is_named_as_the_exporter_names_it() -> None:
    """After the prefix that the exporter's label of the project has, with dots where it has."""
    prefix = "container_label_com_docker_compose_project"
    assert exported_label(TEAM, prefix) == "container_label_com_example_team"
    assert exported_label(TEAM, "com_docker_compose_project") == "com_example_team"
    assert exported_label(TEAM, "com.docker.compose.project") == TEAM
    assert exported_label("my-team", "project") == "my_team"


def test_the_collector_serves_the_label() -> None:
    """In the name that cAdvisor would give it, and only where a container has it."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    for more, expected in (({TEAM: 'A "team"'}, True), ({}, False)):
        container = read_container(
            "dock1", {"Id": "a" * 64, "Name": "/web", "Config": {"Labels": {**labels, **more}}}
        )
        page = render_page(Look(0.0, (Reading(container, None),)), TEAM)
        assert ('container_label_com_example_team="A \\"team\\""' in page) == expected
        assert "team" not in render_page(Look(0.0, (Reading(container, None),)))


def test_items_without_an_owner_come_last() -> None:
    """The word for them is the same on the page and in the exports."""
    items = [
        _agenda.Item("a:cpu", owner, "Decide", "a", "CPU", "1", "2", "why")
        for owner in ("Shop", NO_OWNER)
    ]
    assert f"## {NO_OWNER}" in _agenda.as_markdown(items)
    assert f"a:cpu,{NO_OWNER}," in _agenda.as_csv(items)
