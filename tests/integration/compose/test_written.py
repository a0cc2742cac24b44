"""Whole projects as people write them, at random: read as Compose reads them, edited as intended,
and undone to the byte.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from capacity._compose import find_files, load_project
from capacity._compose.declared import load_declared
from capacity._compose.edit.files import undo_text
from capacity._compose.edit.splice import newline
from capacity.changes._plan.file_edits import edit_service
from capacity.errors import ComposeError, EditRefused
from tests.fixtures.generated.compose_written import written_project
from tests.fixtures.running.compose import config
from tests.fixtures.running.fleet import plan_of
from tests.integration.compose.test_stacks import changes_of, compare

READ, EDITED, RESET = 80, 15, 60  # projects
SHAPES: dict[str, Any] = {
    "shm_size": 0,
    "environment": {"A": 0, "B": 0},
    "deploy": {
        "labels": {"l": 0},
        "resources": {"limits": {"cpus": 0}, "reservations": {"cpus": 0}},
    },
}
"""Keys of a service with their own, 0 for a value."""
LATER = "\n# written later\n"
PART = "services:\n  {0}: {{image: a, {1}: [s]}}\n{1}:\n  s: {{environment: {2}}}\n"


def put(texts: dict[str, str], folder: Path) -> None:
    """Write the files, with their own line breaks."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())


def printed(folder: Path, names: list[str], environment: dict[str, str], project: str = "") -> Any:
    """A project as Compose prints it, under its own name where none is given; None where it
    refuses it.
    """
    named = [word for name in names for word in ("-f", name)]
    called = ["-p", project] if project else []
    words = ["--profile", "*", *called, *named]
    done = config("docker-compose", words, folder, environment)
    return json.loads(done.stdout.replace("$$", "$")) if done.returncode == 0 else None


def ours(folder: Path, names: list[str], environment: dict[str, str]) -> Any:
    """The same as we read it; None where it is refused, or has a note on a key."""
    files = [folder / name for name in names] or folder
    try:
        project = load_project(files, environment=environment, profiles=["*"])
    except ComposeError:
        return None
    return None if project.notes else json.loads(json.dumps(project.model))


@pytest.mark.parametrize("seed", range(READ))
def test_a_project_is_read_or_refused_as_by_compose(seed: int, tmp_path: Path) -> None:
    """Files in their order, what they include and extend, and variables from everywhere."""
    project = written_project(seed)
    put(project.texts, tmp_path)
    said = printed(tmp_path, project.named, project.environment)
    assert ours(tmp_path, project.named, project.environment) == said


def reset_somewhere(chance: random.Random, shape: Any, known: list[tuple[Any, str]]) -> str:
    """A value of a shape with `!reset` and `!override` in it, in merges and behind aliases too.

    Args:
        chance: where it comes from.
        shape: from `SHAPES`.
        known: shapes and the aliases that stand for one.
    """
    if not shape:
        return chance.choice(["!reset null", "'2'", "'3'"])
    if chance.random() < 0.12:
        return chance.choice(["!reset {}", "!override {}"])
    aliases = [alias for other, alias in known if other == shape]
    if aliases and chance.random() < 0.4:
        return chance.choice(aliases)
    keys = chance.sample(sorted(shape), chance.randint(1, len(shape)))
    parts = [f"{key}: {reset_somewhere(chance, shape[key], known)}" for key in keys]
    if chance.random() < 0.4:
        key = chance.choice(sorted(shape))
        if chance.random() < 0.3:  # of an alias in a list Compose may say that it contains itself
            merged = f"[{reset_somewhere(chance, {key: shape[key]}, [])}]"
        else:
            merged = chance.choice([reset_somewhere(chance, {key: shape[key]}, known), *aliases])
        parts.insert(chance.randint(0, len(parts)), f"<<: {merged}")
    return f"{{{', '.join(parts)}}}"


@pytest.mark.parametrize("seed", range(RESET))
def test_what_is_reset_goes_as_with_compose(seed: int, tmp_path: Path) -> None:
    """At any depth, of an anchor or a merge, and what stands behind an alias."""
    chance = random.Random(seed)
    lines: list[str] = []
    known: list[tuple[Any, str]] = []
    deploy = SHAPES["deploy"]
    for number, shape in enumerate([deploy["resources"], deploy, SHAPES, SHAPES["environment"]]):
        lines.append(f"x-{number}: &a{number} {reset_somewhere(chance, shape, known)}")
        known.append((shape, f"*a{number}"))
    lines.append(f"services: {{web: {reset_somewhere(chance, SHAPES, known)}}}")
    whole = json.dumps({"services": {"web": {"image": "a"} | SHAPES}}).replace(" 0", ' "1"')
    put({"a.yaml": whole, "b.yaml": "\n".join(lines)}, tmp_path)
    said = printed(tmp_path, ["a.yaml", "b.yaml"], {})
    assert ours(tmp_path, ["a.yaml", "b.yaml"], {}) == said


@pytest.mark.parametrize("environment", [{}, {"M": "1"}], ids=["unset", "set"])
@pytest.mark.parametrize("section", ["secrets", "configs"])
@pytest.mark.parametrize("other", ["", "same", "included"])
def test_what_a_variable_fills_and_is_included(
    other: str, section: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """Compose fills it in when it includes it, and then compares it with others of its name."""
    include = "include: [a.yaml, b.yaml]\n" if other == "included" else "include: [a.yaml]\n"
    main = include + (PART.format("c", section, "M") if other == "same" else "")
    texts = {name: PART.format(name[0], section, "M") for name in ("a.yaml", "b.yaml")}
    put({"compose.yaml": main, **texts}, tmp_path)
    said = printed(tmp_path, [], environment)
    assert (said is None) == (bool(environment) and (section == "configs" or other == "same"))
    assert ours(tmp_path, [], environment) == said


@pytest.mark.parametrize("place", ["file", "dotenv", "process", "folder"])
@pytest.mark.parametrize("name", ["Named", "a.b", "-x", "_x", "1x", "\u00fc", "A_B-c", "...", ""])
def test_the_name_of_a_project(name: str, place: str, tmp_path: Path) -> None:
    """Made of what a file or the folder says; a variable must say it as it stands."""
    folder = tmp_path / (name if place == "folder" and name else "any")
    folder.mkdir()
    own = f"name: '{name}'\n" if place == "file" else ""
    dotenv = f"COMPOSE_PROJECT_NAME={name}\n" if place == "dotenv" else ""
    put({"compose.yaml": f"{own}services: {{web: {{image: a}}}}\n", ".env": dotenv}, folder)
    environment = {"COMPOSE_PROJECT_NAME": name} if place == "process" else {}
    assert ours(folder, [], environment) == printed(folder, [], environment)


@pytest.mark.parametrize("seed", range(1000, 1000 + EDITED))
def test_an_edit_is_the_change_alone_and_undone_to_the_byte(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of each service, by Compose's own reading of the whole project."""
    chance, project = random.Random(seed), written_project(seed)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], "HOME": "/home/somebody"})
    put(project.texts, tmp_path)
    files = [tmp_path / name for name in project.named] or find_files(tmp_path)
    declared = load_declared("stack", files, tmp_path)
    if declared.project is None:
        return
    asked = project.named, dict(os.environ), "stack"
    before = printed(tmp_path, *asked)
    for name in declared.project.services:
        change = chance.choice(changes_of(f"stack/{name}"))
        try:
            edited = edit_service(declared, change.service, plan_of(change).changes)
        except EditRefused:
            continue
        put({str(path): after for path, (_, after) in edited.items()}, tmp_path)
        compare(before, printed(tmp_path, *asked), {name: change})
        for path, (text, after) in edited.items():
            assert path.read_bytes().decode() == after
            for later in ("" if after.endswith("\n") else newline(after, 0), LATER):
                assert undo_text(text, after, after + later) == text + later
            path.write_bytes(text.encode())
