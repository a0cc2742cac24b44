"""Projects in the styles of the big self-hosted stacks: read as Compose reads them, edited as
intended, and judged without a project left out.
"""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from capacity._compose import find_files, load_project
from capacity._compose.declared import load_named
from capacity.changes._plan.file_edits import edit_service
from capacity.compliance import load_rules
from capacity.compliance._assess import assess
from capacity.compliance._facts.collect import from_files
from capacity.errors import EditRefused
from capacity.model import Change, Setting
from capacity.settings import Settings
from tests.fixtures.generated.compose_projects import in_force
from tests.fixtures.paths import COMPOSE
from tests.fixtures.running.compose import config
from tests.fixtures.running.fleet import MIB, cpus, memory, other, plan_of

STACKS = sorted(path for path in (COMPOSE / "stacks").iterdir() if path.is_dir())
FILES = sorted(path for path in (COMPOSE / "stacks").rglob("*") if path.suffix in {".yaml", ".yml"})
PROGRAMS = ("docker-compose", "docker-compose-newest")
VARIABLES = {"HOME": "/home/somebody"}


def printed(program: str, files: list[Path]) -> Any:
    """A project as Compose prints it; None where it refuses it."""
    named = [word for file in files for word in ("-f", str(file))]
    words = ["-p", "stack", "--profile", "*", *named]
    done = config(program, words, files[0].parent, VARIABLES)
    return json.loads(done.stdout.replace("$$", "$")) if done.returncode == 0 else None


def ours(files: list[Path]) -> Any:
    """The same as we read it."""
    project = load_project(files, environment=VARIABLES, profiles=["*"], name="stack")
    return json.loads(json.dumps(project.model))


def octal(model: Any) -> Any:
    """Modes of configs and secrets as the newest Compose prints them."""
    for service in model["services"].values():
        for mount in [*service.get("configs", []), *service.get("secrets", [])]:
            if isinstance(mount.get("mode"), int):
                mount["mode"] = f"{mount['mode']:04o}"
    return model


def test_there_are_at_least_sixty_files() -> None:
    """Overlays, fragments, merge keys, profiles, resets, configs, secrets, ranges, defaults."""
    assert len(FILES) >= 60


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("folder", STACKS, ids=lambda path: path.name)
def test_the_loader_agrees_with_compose(folder: Path, program: str) -> None:
    """As a project, and its first file alone."""
    for files in (find_files(folder), find_files(folder)[:1]):
        said = printed(program, files)
        assert said is not None
        assert octal(ours(files)) == octal(said)


def changes_of(service: str) -> list[Change]:
    """One change of each kind that people make most."""
    return [
        memory(service, None, 1777),
        cpus(service, None, 1.25),
        other(service, Setting.RESERVATION, None, 48 * MIB),
        other(service, Setting.PIDS, None, 555),
        other(service, Setting.RESTART_POLICY, None, "on-failure:4"),
        other(service, Setting.ENVIRONMENT, None, {"CAPACITY": "a$b"}),
    ]


@pytest.mark.parametrize("folder", STACKS, ids=lambda path: path.name)
def test_each_edit_is_the_change_alone(folder: Path, tmp_path: Path) -> None:
    """By Compose's own reading of the whole project; what cannot be is refused, and few are."""
    place = tmp_path / folder.name
    shutil.copytree(folder, place)
    declared = load_named(place)
    assert declared.project is not None, declared.missing
    before = printed("docker-compose", list(declared.files))
    made = refused = 0
    for name in declared.project.services:
        for change in changes_of(f"{declared.name}/{name}"):
            try:
                edited = edit_service(declared, change.service, plan_of(change).changes)
            except EditRefused:
                refused += 1
                continue
            for path, (_, text) in edited.items():
                path.write_text(text)
            after = printed("docker-compose", list(declared.files))
            for path, (text, _) in edited.items():
                path.write_bytes(text.encode())
            compare(before, after, name, change)
            made += 1
    assert made > refused


def compare(before: Any, after: Any, name: str, change: Change) -> None:
    """The service differs in the change alone, the rest of the project in nothing."""
    assert after is not None
    others = [{**model, "services": {**model["services"], name: 0}} for model in (before, after)]
    assert others[0] == others[1]
    (was, rest), (now, rest_now) = (in_force(model["services"][name]) for model in (before, after))
    what = Setting.of(change.resource)
    value, wanted = now.pop(what), change.after
    was.pop(what)
    if what is Setting.ENVIRONMENT:
        assert value["CAPACITY"] == "a$b"
    elif what is Setting.CPUS:
        assert value == pytest.approx(wanted)
    else:
        assert value == wanted
    if what is Setting.MEMORY:
        was.pop(Setting.MEMORY_SWAP), now.pop(Setting.MEMORY_SWAP)
    assert (was, rest) == (now, rest_now)


def test_all_of_them_are_judged() -> None:
    """No project is left out, and every rule that looks at files says something of it."""
    facts = from_files([COMPOSE / "stacks"])
    assert not facts.unread
    assert len(facts.projects) == len(STACKS)  # what one includes is none of its own
    rules = [rule for rule in load_rules() if rule.check == "memory-limit-declared"]
    report = assess(facts, Settings(), rules, today=date(2026, 11, 28)).report
    assert {finding.subject for finding in report.findings} == set(facts.declared)
