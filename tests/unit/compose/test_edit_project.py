"""Edits of a service in a project of several files: exactly the change in the whole, or a
refusal.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from capacity._compose.declared import DeclaredProject, load_declared
from capacity.changes import EditReason, EditRefused, edit_compose, emit_override, emit_patch
from capacity.changes._plan.file_edits import edit_service
from capacity.errors import ChangeRefused
from capacity.model import Change, Setting
from tests.fixtures.generated.compose_projects import (
    Files,
    in_force,
    projects,
    wanted_changes,
    write,
)
from tests.fixtures.running.fleet import MIB, cpus, memory, other, plan_of


def loaded(folder: Path, files: list[Path]) -> DeclaredProject:
    """The project `shop` of the files."""
    return load_declared("shop", files, folder)


def models(declared: DeclaredProject) -> dict[str, Any]:
    """Service -> its model."""
    assert declared.project is not None, declared.missing
    return dict(declared.project.model["services"])


def check(before: dict[str, Any], after: dict[str, Any], changes: list[Change]) -> None:
    """The service differs in the changes alone, all others in nothing."""
    assert {**before, "web": 0} == {**after, "web": 0}
    was, rest = in_force(before["web"])
    now, rest_now = in_force(after["web"])
    assert rest == rest_now
    for change in changes:
        what = Setting.of(change.resource)
        value = now.pop(what)
        was.pop(what)
        wanted: Any = change.after
        if what is Setting.ENVIRONMENT:
            assert wanted.items() <= value.items()
        elif what is Setting.HEALTH_CHECK:
            assert value["test"] == wanted["test"]
            assert not value.get("disable")
        elif what is Setting.DEPENDS_ON:
            assert {name: wait["condition"] for name, wait in value.items()} == wanted
        else:
            assert value == (pytest.approx(wanted) if what is Setting.CPUS else wanted)
        if what is Setting.MEMORY:  # swap moves with it
            was.pop(Setting.MEMORY_SWAP), now.pop(Setting.MEMORY_SWAP)
    assert was == now


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much])
@given(files=projects(), changes=wanted_changes())
def test_an_edit_is_the_change_in_the_whole_project(files: Files, changes: list[Change]) -> None:
    """By whatever way it leaves: as files, as a patch's texts, as an override."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write(files, folder)
        declared = loaded(folder, paths)
        assume(declared.project is not None)
        before = models(declared)
        plan = plan_of(*changes)
        text, refused = emit_override(plan, declared)
        if not refused:
            (folder / "last.yaml").write_text(text)
            over = loaded(folder, [*paths, folder / "last.yaml"])
            check(before, models(over), changes)
        try:
            edited = edit_service(declared, "shop/web", plan.changes)
        except (EditRefused, ChangeRefused):
            assert models(loaded(folder, paths)) == before  # nothing was written
            return
        for path, (_, after) in edited.items():
            path.write_text(after)
        check(before, models(loaded(folder, paths)), changes)


def shop(folder: Path, **texts: str) -> DeclaredProject:
    """A project of `compose.yaml` and what else there is; the files of Compose's own names are
    named.
    """
    for name, text in texts.items():
        (folder / f"{name.replace('_', '.')}.yaml").write_text(text)
    own = [folder / "compose.yaml", folder / "compose.override.yaml"]
    declared = loaded(folder, [path for path in own if path.exists()])
    assert declared.project is not None, declared.missing
    return declared


def after(declared: DeclaredProject, change: Change) -> DeclaredProject:
    """The project with the edit on disk."""
    plan = plan_of(change)
    for path, (_, text) in edit_service(declared, change.service, plan.changes).items():
        path.write_text(text)
    return loaded(declared.files[0].parent, list(declared.files))


WEB = "services:\n  web:\n    image: a\n"


@pytest.mark.parametrize(
    ("texts", "change"),
    [
        (
            {"compose": WEB, "compose_override": f"{WEB}    mem_limit: 512m\n"},
            cpus("shop/web", None, 1.5),
        ),
        (
            {
                "compose": f"{WEB}    mem_limit: 512m\n",
                "compose_override": "services:\n  web:\n"
                "    deploy: {resources: {limits: {memory: 512m}}}\n",
            },
            memory("shop/web", 512, 777),
        ),
        (
            {
                "compose": f"{WEB}    extends: {{file: common.yaml, service: base}}\n",
                "common": "services:\n  base:\n    mem_limit: 512m\n",
            },
            cpus("shop/web", None, 1.5),
        ),
        (
            {
                "compose": f"{WEB}    extends: {{file: common.yaml, service: base}}\n",
                "common": "services:\n  base:\n    deploy: {resources: {limits: {memory: 1g}}}\n",
            },
            memory("shop/web", 1024, 777),
        ),
        (
            {
                "compose": f"{WEB}    extends: {{file: common.yaml, service: web}}\n",
                "common": "services:\n  web:\n    cpus: 2\n",
            },
            cpus("shop/web", 2, 1.5),
        ),
        (
            {"compose": "include: [part.yaml]\n", "part": f"{WEB}    cpu_quota: 50000\n"},
            cpus("shop/web", 0.5, 1.5),
        ),
        (
            {
                "compose": f"{WEB}    restart: always\n",
                "compose_override": f"{WEB}    deploy: {{restart_policy: {{condition: any}}}}\n",
            },
            other("shop/web", Setting.RESTART_POLICY, "always", "on-failure:5"),
        ),
        (
            {"compose": f"{WEB}    healthcheck: {{disable: true}}\n"},
            other("shop/web", Setting.HEALTH_CHECK, None, {"test": ["CMD", "ok"]}),
        ),
    ],
    ids=[
        "limit of the override",
        "homes in two files",
        "extended limit",
        "extended home",
        "extended namesake",
        "included quota",
        "policy of the override",
        "disabled health check",
    ],
)
def test_a_value_is_set_wherever_its_homes_are(
    tmp_path: Path, texts: dict[str, str], change: Change
) -> None:
    """Homes in other files, of a base, of an included file: the edit is made, and right."""
    declared = shop(tmp_path, **texts)
    before = models(declared)
    check(before, models(after(declared, change)), [change])
    if (tmp_path / "common.yaml").exists():  # a base that others may take over is left alone
        assert (tmp_path / "common.yaml").read_text() == texts["common"]


def test_a_last_word_in_a_variable_is_refused(tmp_path: Path) -> None:
    """The file of the override says the variable, and nothing is written."""
    over = f"{WEB}    mem_limit: ${{LIMIT:-1g}}\n"
    declared = shop(tmp_path, compose=f"{WEB}    mem_limit: 512m\n", compose_override=over)
    with pytest.raises(EditRefused, match=r"compose\.override\.yaml.*LIMIT") as refused:
        after(declared, memory("shop/web", 1024, 777))
    assert refused.value.reason is EditReason.INTERPOLATED
    assert (tmp_path / "compose.override.yaml").read_text() == over


BASES = {
    "extends": f"{WEB}  heir:\n    extends: web\n",
    "anchor": "services:\n  web: &web\n    image: a\n    mem_limit: 1g\n  heir:\n    <<: *web\n",
    "fragment": "x-web: &x\n  mem_limit: 1g\nservices:\n  web:\n    <<: *x\n    image: a\n"
    "  heir:\n    <<: *x\n    image: a\n",
}


@pytest.mark.parametrize("style", BASES)
@pytest.mark.parametrize("order", [("web", "heir"), ("heir", "web")])
def test_base_and_heir_are_set_in_one_call(
    tmp_path: Path, style: str, order: tuple[str, str]
) -> None:
    """Both to one value, in either order, by the text alone and by a plan."""
    text = edit_compose(BASES[style], {name: {"memory": 777 * MIB} for name in order})
    (tmp_path / "compose.yaml").write_text(text)
    alone = models(loaded(tmp_path, [tmp_path / "compose.yaml"]))
    assert [in_force(alone[name])[0][Setting.MEMORY] for name in order] == [777 * MIB] * 2
    declared = shop(tmp_path, compose=BASES[style])
    plan = plan_of(*(memory(f"shop/{name}", None, 777) for name in order))
    patch, refused = emit_patch(plan, {"shop": declared}, tmp_path)
    assert not refused
    assert patch.count("777m") == 2 if style == "extends" else patch


def test_a_base_alone_that_others_take_over_is_refused(tmp_path: Path) -> None:
    """An extending service would take the value over; by an anchor it can be kept as it is."""
    with pytest.raises(EditRefused) as refused:
        after(shop(tmp_path, compose=BASES["extends"]), memory("shop/web", None, 777))
    assert refused.value.reason is EditReason.SHARED
    kept = after(shop(tmp_path, compose=BASES["fragment"]), memory("shop/web", None, 777))
    assert kept.project is not None
    assert kept.project.services["heir"].resources.memory == 1024 * MIB


def test_a_value_that_is_in_force_needs_no_edit(tmp_path: Path) -> None:
    """Although an earlier file, whose word does not count, says another."""
    over = "services:\n  web:\n    ulimits: !override {nofile: 5}\n"
    declared = shop(
        tmp_path, compose=f"{WEB}    mem_limit: ${{LIMIT:-512m}}\n    ulimits: {{nofile: 9}}\n"
    )
    (tmp_path / "compose.override.yaml").write_text(over)
    declared = loaded(tmp_path, [*declared.files, tmp_path / "compose.override.yaml"])
    change = other("shop/web", Setting.ULIMITS, None, {"nofile": "4096"})
    edited = after(declared, change)
    assert (tmp_path / "compose.override.yaml").read_text() != over
    for again in (change, memory("shop/web", None, 512)):
        assert not edit_service(edited, "shop/web", plan_of(again).changes)


def test_a_reservation_beside_scale(tmp_path: Path) -> None:
    """Compose repeats the number of containers in the new block; that is no other change."""
    declared = shop(tmp_path, compose=f"{WEB}    scale: 2\n")
    now = after(declared, other("shop/web", Setting.CPU_RESERVATION, None, 0.5))
    assert now.project is not None
    web = now.project.services["web"]
    assert (web.replicas, web.resources.cpus_reservation) == (2, 0.5)


@given(
    st.sampled_from(["64m", "1.5gb", "'67108864'", "12345", "${LEAST:-32m}"]),
    st.sampled_from(["", "    mem_limit: 4g\n", "    deploy: {replicas: 1}\n"]),
    st.sampled_from(["", "    restart: always\n", "    mem_reservation: 48m\n"]),
    st.sampled_from([None, 80 * MIB]),
)
def test_a_reservation_of_cpu_beside_one_of_memory(
    size: str, more: str, over: str, moved: int | None
) -> None:
    """Compose wants the service's own key repeated in the block; a variable stays one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = {"compose": f"{WEB}    mem_reservation: {size}\n{more}"}
        texts |= {"compose_override": f"services:\n  web:\n{over}"} if over else {}
        declared = shop(folder, **texts)
        before = models(declared)
        changes = [other("shop/web", Setting.CPU_RESERVATION, None, 0.5)]
        changes += [other("shop/web", Setting.RESERVATION, None, moved)] if moved else []
        if moved and "$" in size and "48m" not in over:
            with pytest.raises(EditRefused):
                edit_service(declared, "shop/web", plan_of(*changes).changes)
            return
        edited = edit_service(declared, "shop/web", plan_of(*changes).changes)
        for path, (_, text) in edited.items():
            path.write_text(text)
            assert text.count("${LEAST") in {0, 2}
        now = models(loaded(folder, list(declared.files)))["web"]
        reserved = now["deploy"]["resources"]["reservations"]
        assert (reserved["cpus"], reserved["memory"]) == (0.5, now["mem_reservation"])
        assert now["mem_reservation"] == (str(moved) if moved else before["web"]["mem_reservation"])


def test_sizes_that_contradict_each_other_hold_up_no_other_edit(tmp_path: Path) -> None:
    """Only who sets one of them is told."""
    text = f"{WEB}    mem_limit: 64m\n    mem_reservation: 128m\n"
    declared = shop(tmp_path, compose=text)
    with pytest.raises(EditRefused) as refused:
        after(declared, memory("shop/web", None, 96))
    assert refused.value.reason is EditReason.BELOW_RESERVATION
    change = other("shop/web", Setting.PIDS, None, 55)
    check(models(declared), models(after(declared, change)), [change])
