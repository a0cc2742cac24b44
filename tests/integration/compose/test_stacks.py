"""Projects in the styles of the big self-hosted stacks: read as Compose reads them, edited as
intended, and judged without a project left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice, takewhile
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


@dataclass(frozen=True)
class Edit:
    """A change as the editor makes it: the lines of a file that it replaces, and what by."""

    service: str
    change: Change
    hunks: Mapping[Path, tuple[int, int, list[str]]]

    def apart(self, other: Edit) -> bool:
        """Whether the two can be made in one text, in one way."""
        for path in self.hunks.keys() & other.hunks.keys():
            first, second = sorted((self.hunks[path][:2], other.hunks[path][:2]))
            if first[1] > second[0] or (first == second and first[0] == first[1]):
                return False
        return True


def edit_of(service: str, change: Change, texts: Mapping[Path, tuple[str, str]]) -> Edit:
    """From the texts before and after."""
    hunks = {}
    for path, (text, edited) in texts.items():
        old, new = text.splitlines(keepends=True), edited.splitlines(keepends=True)
        shorter = min(len(old), len(new))
        same = (a == b for a, b in zip(old, new, strict=False))
        start = sum(1 for _ in takewhile(bool, same))
        same = (a == b for a, b in zip(reversed(old), reversed(new), strict=False))
        end = sum(1 for _ in takewhile(bool, islice(same, shorter - start)))
        hunks[path] = (start, len(old) - end, new[start : len(new) - end])
    return Edit(service, change, hunks)


def rounds(services: Sequence[str], edits: Sequence[Edit]) -> Iterator[list[Edit]]:
    """Edits that Compose reads together, at most one of a service. Every edit is read in a round in
    which any other given service is changed in another way or not at all, so that a change which
    reaches that service as well is seen.
    """
    kinds = [change.resource for change in changes_of("any/any")]
    known = {(edit.service, edit.change.resource): edit for edit in edits}
    digit = 1
    while digit == 1 or digit < len(services):
        for first in range(len(kinds)):
            asked = (
                known.get((service, kinds[(first + number // digit) % len(kinds)]))
                for number, service in enumerate(services)
            )
            yield [edit for edit in asked if edit is not None]
        digit *= len(kinds)


def disjoint(edits: Iterable[Edit]) -> tuple[list[Edit], list[Edit]]:
    """Those that can be made in one text, and those that others are in the way of."""
    together: list[Edit] = []
    alone: list[Edit] = []
    for edit in edits:
        fits = all(edit.apart(other) for other in together)
        (together if fits else alone).append(edit)
    return together, alone


def read_with(files: list[Path], edits: Iterable[Edit]) -> Any:
    """The project with these edits as Compose prints it; the files are as before then."""
    hunks: dict[Path, list[tuple[int, int, list[str]]]] = {}
    for edit in edits:
        for path, hunk in edit.hunks.items():
            hunks.setdefault(path, []).append(hunk)
    before = {path: path.read_bytes() for path in hunks}
    for path, mine in hunks.items():
        lines = before[path].decode().splitlines(keepends=True)
        for start, end, instead in sorted(mine, key=lambda hunk: hunk[:2], reverse=True):
            lines[start:end] = instead
        path.write_bytes("".join(lines).encode())
    found = printed("docker-compose", files)
    for path, text in before.items():
        path.write_bytes(text)
    return found


@pytest.mark.parametrize("folder", STACKS, ids=lambda path: path.name)
def test_each_edit_is_the_change_alone(folder: Path, tmp_path: Path) -> None:
    """By Compose's own reading of the whole project; what cannot be is refused, and few are."""
    place = tmp_path / folder.name
    shutil.copytree(folder, place)
    declared = load_named(place)
    assert declared.project is not None, declared.missing
    files, services = list(declared.files), list(declared.project.services)
    edits: list[Edit] = []
    refused = 0
    for name in services:
        for change in changes_of(f"{declared.name}/{name}"):
            try:
                edited = edit_service(declared, change.service, plan_of(change).changes)
            except EditRefused:
                refused += 1
                continue
            edits.append(edit_of(name, change, edited))
    assert len(edits) > refused
    before = printed("docker-compose", files)
    alone: dict[int, Edit] = {}
    for asked in rounds(services, edits):
        together, others = disjoint(asked)
        alone |= {id(edit): edit for edit in others}
        changes = {edit.service: edit.change for edit in together}
        compare(before, read_with(files, together), changes)
    for edit in alone.values():
        compare(before, read_with(files, [edit]), {edit.service: edit.change})


def test_a_change_that_reaches_another_service_is_seen(tmp_path: Path) -> None:
    """Also where that service is changed in the same way in the company that comes first."""
    names = [f"s{number}" for number in range(8)]
    bodies = {"s0": "&s0 {image: a}", "s6": "{<<: *s0}"}
    lines = [f"  {name}: {bodies.get(name, '{image: a}')}\n" for name in names]
    text = f"services:\n{''.join(lines)}"
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    change = changes_of("stack/s0")[3]
    leak, own = (
        edit_of(name, change, {file: (text, text.replace(place, f"{place}, pids_limit: 555", 1))})
        for name, place in (("s0", "image: a"), ("s6", "<<: *s0"))
    )
    before = printed("docker-compose", [file])
    seen = []
    for asked in rounds(names, [leak, own]):
        together, others = disjoint(asked)
        assert not others
        try:
            compare(
                before, read_with([file], together), {edit.service: change for edit in together}
            )
        except AssertionError:
            seen.append(together)
    assert seen == [[leak]]
    assert file.read_text() == text


def compare(before: Any, after: Any, changes: Mapping[str, Change]) -> None:
    """The services differ in the change of each alone, the rest of the project in nothing."""
    assert after is not None
    gone = dict.fromkeys(changes, 0)
    others = [{**model, "services": {**model["services"], **gone}} for model in (before, after)]
    assert others[0] == others[1]
    for name, change in changes.items():
        compare_service(before["services"][name], after["services"][name], change)


def compare_service(before: Any, after: Any, change: Change) -> None:
    """They differ in the change alone."""
    (was, rest), (now, rest_now) = in_force(before), in_force(after)
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
