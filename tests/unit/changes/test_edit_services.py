"""The edits of all services of a project at once: as one by one, and the one to blame is found."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._compose.declared import DeclaredProject, load_declared
from capacity.changes import commit_plan, emit_override, emit_patch
from capacity.changes._plan.exports import by_project
from capacity.changes._plan.file_edits import edit_service, edit_services
from tests.fixtures.running.fleet import MIB, cpus, memory, plan_of

STYLES = {
    "limit": "{image: a, mem_limit: 64m}",
    "block": "{image: a, deploy: {resources: {limits: {memory: 64m}}}}",
    "anchor": "&shared\n    image: a\n    mem_limit: 64m",
    "merged": "{<<: *shared, mem_limit: 64m}",
    "alias": "*shared",
    "heir": "{extends: {service: anchor}}",
    "variable": "{image: a, mem_limit: '${LIMIT:-64m}'}",
    "reserved": "{image: a, mem_limit: 64m, mem_reservation: 48m}",
}
ORDER = ["anchor", "merged", "alias", "heir", "limit", "block", "variable", "reserved"]


def declared_of(folder: Path, services: Mapping[str, str]) -> DeclaredProject:
    """A project of services in those styles."""
    text = "services:\n" + "".join(f"  {name}: {body}\n" for name, body in services.items())
    (folder / "compose.yaml").write_text(text)
    found = load_declared("shop", [folder / "compose.yaml"], folder)
    assert found.project is not None, found.missing
    return found


@settings(max_examples=25, deadline=None)
@given(
    wanted=st.dictionaries(st.sampled_from(ORDER), st.sampled_from([32, 128]), min_size=2),
)
def test_the_whole_has_exactly_the_edits_that_were_made(
    tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, int]
) -> None:
    """Whatever is refused beside them: variables, reservations, values that others share."""
    folder = tmp_path_factory.mktemp("shop")
    declared = declared_of(folder, {name: STYLES[name] for name in ORDER})
    raised = (memory(f"shop/{name}", 64, to) for name, to in wanted.items())
    changes = by_project(plan_of(*raised).changes)["shop"]
    done, refused = edit_services(declared, changes)
    assert done.keys() | refused.keys() == changes.keys()
    assert not done.keys() & refused.keys()
    # Alone at the end of all others, a refused edit is refused as well.
    texts = {path: after for edits in done.values() for path, (_, after) in edits.items()}
    for key in refused:
        with pytest.raises(type(refused[key])):
            edit_service(declared, key, changes[key], texts)
    after = load_declared("shop", declared.files, folder, texts=texts).project
    assert after is not None
    assert declared.project is not None
    for name, service in after.services.items():
        made = f"shop/{name}" in done
        assert service.resources.memory == (wanted[name] if made else 64) * MIB, name


def test_every_commit_holds_its_own_service_alone(tmp_path: Path) -> None:
    """The texts on the way are exact too: heirs come before the base that they take over from."""
    declared = declared_of(tmp_path, {name: STYLES[name] for name in ORDER[:6]})
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path), *words],
            check=True,
        )
    for name in ("name", "email"):
        subprocess.run(["git", "-C", str(tmp_path), "config", f"user.{name}", "a@b"], check=True)
    plan = plan_of(*(memory(f"shop/{name}", 64, 128) for name in ORDER[:6]))
    branch = commit_plan(plan, {"shop": declared}, tmp_path)
    assert branch.commits.keys() == {f"shop/{name}" for name in ORDER[:6]}, branch.refused
    set_so_far = set()
    for service, commit in branch.commits.items():
        set_so_far.add(service.partition("/")[2])
        shown = subprocess.run(
            ["git", "-C", str(tmp_path), "show", f"{commit}:compose.yaml"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        now = load_declared("shop", declared.files, tmp_path, texts={declared.files[0]: shown})
        assert now.project is not None
        raised = {
            name
            for name, found in now.project.services.items()
            if found.resources.memory == 128 * MIB
        }
        assert raised == set_so_far


def test_a_hundred_services_need_as_many_loads_as_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One before and one after; a fifth that is refused costs no load a service."""
    loads: list[str] = []

    def counted(name: str, *given: Any, **more: Any) -> DeclaredProject:
        loads.append(name)
        return load_declared(name, *given, **more)

    monkeypatch.setattr("capacity._compose.edit.project.load_declared", counted)
    declared = declared_of(tmp_path, {f"s{i}": STYLES["limit"] for i in range(100)})
    plan = plan_of(
        *(
            change
            for i in range(100)
            for change in (memory(f"shop/s{i}", 64, 96), cpus(f"shop/s{i}", None, 1))
        )
    )
    assert emit_patch(plan, {"shop": declared}, tmp_path)[1] == {}
    assert len(loads) == 2
    assert emit_override(plan, declared)[1] == {}
    assert len(loads) == 4


@pytest.mark.parametrize("bad", [0, 7, 15])
def test_the_one_to_blame_is_found(tmp_path: Path, bad: int) -> None:
    """It alone is refused, wherever it stands among the others."""
    services = {f"s{i}": STYLES["variable" if i == bad else "limit"] for i in range(16)}
    declared = declared_of(tmp_path, services)
    plan = plan_of(*(memory(f"shop/s{i}", 64, 96) for i in range(16)))
    patch, refused = emit_patch(plan, {"shop": declared}, tmp_path)
    assert refused.keys() == {f"shop/s{bad}"}
    assert patch.count("\n+  s") == 15
