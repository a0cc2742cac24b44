"""The rules that keep a change from doing harm, each at its very bound, without an Engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._common.files import digest
from capacity._compose.declared import DeclaredProject, load_declared
from capacity._docker.containers import Container, Host, Inventory, Published
from capacity.changes import Plan, plan_id
from capacity.changes._apply.lowering_check import check_lowering
from capacity.changes._apply.preflight import (
    Step,
    canary_groups,
    edited_files,
    make_steps,
)
from capacity.changes._plan.plan import is_lowering, is_raise
from capacity.errors import ChangeRefused
from capacity.model import Change, Setting, Value
from capacity.settings import ApplySettings
from tests.fixtures.fleets.containers import HOST, container
from tests.fixtures.running.fleet import MIB, cpus, memory, other, plan_of

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def steps_of(
    *changes: Change,
    running: tuple[Container, ...] = (container(),),
    projects: dict[str, DeclaredProject] | None = None,
    hosts: tuple[Host, ...] = (HOST,),
    **rules: Any,
) -> tuple[list[Step], list[str]]:
    """The steps for changes, and why others are refused."""
    plan = plan_of(*changes)
    steps, refused = make_steps(
        plan.changes, Inventory(hosts, running), projects or {}, plan, ApplySettings(**rules)
    )
    return steps, [refusal.reason for refusal in refused]


def port(before: int, after: int) -> Change:
    """A move of a port of the container."""
    return other("standalone/web", Setting.HOST_PORT, before, after)


@pytest.mark.parametrize(
    ("used", "peak", "refused"),
    [
        (40 * MIB, None, False),  # with a quarter free, 50 MiB are just enough
        (40 * MIB + 1, None, True),
        (0, 40.0 * MIB, False),
        (0, 40.0 * MIB + 1, True),
        (40 * MIB + 1, 1.0, True),
        (0, None, False),
    ],
)
def test_a_lowering_leaves_what_is_used_and_a_margin(
    used: int, peak: float | None, refused: bool
) -> None:
    """The larger of now and the recent peak counts, to the byte; a raise is not asked."""
    (step,), _ = steps_of(memory("standalone/web", 64, 50))
    peaks = (lambda _: peak) if peak is not None else None
    if refused:
        with pytest.raises(ChangeRefused, match="is too low"):
            check_lowering(step, {"web": used, "other": 2**40}, 0.25, peaks)
    else:
        check_lowering(step, {"web": used, "other": 2**40}, 0.25, peaks)
    (raised,), _ = steps_of(memory("standalone/web", 64, 80))
    check_lowering(raised, {"web": 2**40}, 0.25, peaks)


def test_the_largest_replica_counts() -> None:
    """One that uses more than the new limit is enough to refuse it; an unknown one uses nothing."""
    first, second, third = (
        container(id=name, name=name, service="web") for name in ("a", "b", "c")
    )
    (step,), _ = steps_of(memory("standalone/web", 64, 50), running=(first, second, third))
    check_lowering(step, {"a": MIB, "b": 50 * MIB}, 0)
    with pytest.raises(ChangeRefused, match="is too low"):
        check_lowering(step, {"a": MIB, "b": 50 * MIB + 1}, 0)


@pytest.mark.parametrize(
    ("what", "before", "after", "lowering", "raising"),
    [
        (Setting.MEMORY, None, 64, True, False),  # a first limit takes something away
        (Setting.MEMORY, 64, 64, False, False),
        (Setting.MEMORY, 64, 63, True, False),
        (Setting.MEMORY, 64, 65, False, True),
        (Setting.MEMORY, 64, None, False, False),
        (Setting.HOST_PORT, 80, 79, False, False),
        (Setting.HOST_PORT, 80, 81, False, False),
        (Setting.RESERVATION, 64, 32, False, False),
        (Setting.CPU_RESERVATION, 2.0, 1.0, False, False),
        (Setting.CPUSET, "0-1", "0", False, False),
        (Setting.CPUSET, "0", 1, False, False),
    ],
)
def test_what_is_more_and_what_is_less(
    what: Setting, before: Value, after: Value, lowering: bool, raising: bool
) -> None:
    """The same is neither, and what is no limit is neither."""
    assert is_lowering(what, before, after) is lowering
    assert is_raise(what, before, after) is raising


@pytest.mark.parametrize(
    ("change", "order", "risk"),
    [
        (other("a/b", Setting.MEMORY_SWAP, 64.0 * MIB, 32.0 * MIB), 2, "high"),
        (other("a/b", Setting.PIDS, 100, 50), 2, "high"),
        (other("a/b", Setting.PIDS, None, 50), 2, "high"),
        (other("a/b", Setting.PIDS, 50, 100), 1, "low"),
        (other("a/b", Setting.RESERVATION, 64.0 * MIB, 32.0 * MIB), 2, "low"),
        (other("a/b", Setting.HOST_PORT, 8080, 9090), 3, "high"),
        (other("a/b", Setting.RESTART_POLICY, "no", "always"), 2, "medium"),
        (memory("a/b", None, 64), 2, "high"),
        (cpus("a/b", 2, 1), 2, "medium"),
    ],
)
def test_what_can_stop_a_service_is_of_high_risk(change: Change, order: int, risk: str) -> None:
    """Less memory, swap or processes, and every replacement; raises come first."""
    (planned,) = plan_of(change).changes
    assert (planned.order, planned.risk) == (order, risk)


def test_ports_of_one_service_are_changes_of_their_own() -> None:
    """They come in the order of the ports; a limit stands once."""
    web = [other("a/b", Setting.HOST_PORT, before, before + 1000) for before in (9000, 8080, 10000)]
    plan = plan_of(*web, memory("a/b", 64, 96))
    ports = [change.before for change in plan.changes if change.what is Setting.HOST_PORT]
    assert ports == [8080, 9000, 10000]
    with pytest.raises(ValueError, match="stands twice"):
        plan_of(memory("a/b", 64, 96), memory("a/b", 64, 128))


def test_half_a_mebibyte_makes_another_plan() -> None:
    """64 and 64.0 are one plan, 64.5 another."""

    def made(size: float) -> Plan:
        return plan_of(memory("a/b", 64, size)).model_copy(
            update={"as_of": MONDAY, "valid_until": MONDAY}
        )

    assert plan_id(made(96)) == plan_id(made(96.0)) != plan_id(made(96.5))


def test_more_than_the_host_has_is_refused() -> None:
    """All of its cores are allowed, one more is not, and no core that it lacks."""
    for change, said in (
        (cpus("standalone/web", None, 4), ""),
        (cpus("standalone/web", None, 4.01), "here has 4 cores"),
        (other("standalone/web", Setting.CPUSET, None, "0-3"), ""),
        (other("standalone/web", Setting.CPUSET, None, "0,4"), "here has the cores 0 to 3"),
    ):
        steps, refused = steps_of(change)
        assert (len(steps), refused) == ((0, [said]) if said else (1, []))


def test_what_is_in_force_must_be_what_the_plan_was_made_for() -> None:
    """To the mebibyte, on every replica; what is there already is said."""
    (step,), refused = steps_of(memory("standalone/web", 64, 96))
    assert (step.number, step.mode, step.host, refused) == (1, "live", HOST, [])
    assert (step.with_file, step.declared) == (False, None)
    one, two = container(), container(id="2", name="2", service="web", memory=80 * MIB)
    for running, said in (
        ((one, two), "in force is 64 MiB, 80 MiB"),
        ((two,), "the plan was made for 64 MiB, in force is 80 MiB"),
        ((container(memory=96 * MIB),), "it is in force already"),
        ((), "no container of it on any host"),
    ):
        steps, (reason,) = steps_of(memory("standalone/web", 64, 96), running=running)
        assert (steps, said in reason) == ([], True)


def test_a_port_that_another_running_container_has_is_taken() -> None:
    """Of another service, on the same host, while it runs."""
    web = container(ports=(Published(80, host_port=8080),), project="shop")
    rival = container("rival", ports=(Published(80, host_port=9090),))
    move = other("shop/web", Setting.HOST_PORT, 8080, 9090)
    elsewhere = replace(HOST, name="there", hostname="other")
    for running, taken in (
        ((web, rival), True),
        ((web, replace(rival, state="exited")), False),
        ((web, replace(rival, host="there")), False),
        ((web, replace(rival, project="shop", service="web", id="3")), False),
        ((web, replace(rival, ports=(Published(80, host_port=9091),))), False),
    ):
        _, (reason,) = steps_of(move, running=running, hosts=(HOST, elsewhere))
        assert (reason.startswith("rival has the port 9090")) is taken
    _, (reason,) = steps_of(other("shop/web", Setting.HOST_PORT, 80, 80), running=(web,))
    assert reason == "it is in force already"


def test_what_needs_a_new_container_is_refused_outside_of_compose() -> None:
    """There is nothing to make it from; limits are changed all the same."""
    for change in (port(80, 81), other("standalone/web", Setting.CPU_RESERVATION, None, 1.0)):
        _, refused = steps_of(change)
        assert refused == ["it is no Compose service, and a new container takes one"]


def test_files_decide_beside_what_runs(tmp_path: Path) -> None:
    """Unreadable ones stop a change unless the container alone is meant; a replacement may wait in
    the file.
    """
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web:\n    image: i\n    mem_limit: 64m\n")
    web = (container(project="shop"),)
    declared = load_declared("shop", [file], tmp_path)
    missing = DeclaredProject("shop", (), None, missing="it is gone")
    raised = memory("shop/web", 64, 96)
    (step,), _ = steps_of(raised, running=web, projects={"shop": declared})
    assert (step.mode, step.with_file, step.declared) == ("live", True, declared)
    for known in ({"shop": missing}, {}):
        assert (
            "cannot be changed in the same step"
            in steps_of(raised, running=web, projects=known)[1][0]
        )
        (step,), refused = steps_of(raised, running=web, projects=known, live_only=True)
        assert (step.with_file, step.declared, refused) == (False, None, [])
    reserved = other("shop/web", Setting.CPU_RESERVATION, None, 1.0)
    assert (
        "cannot be changed"
        in steps_of(reserved, running=web, projects={"shop": missing}, live_only=True)[1][0]
    )
    extra = other("shop/web", Setting.ENVIRONMENT, None, {"A": "1"})
    for recreate, mode in ((True, "recreate"), (False, "file")):
        (step,), _ = steps_of(extra, running=web, projects={"shop": declared}, recreate=recreate)
        assert step.mode == mode
    assert (
        "do not declare it any more"
        in steps_of(
            memory("shop/api", 64, 96),
            running=(container("api", "shop"),),
            projects={"shop": declared},
        )[1][0]
    )


def test_a_file_that_has_changed_since_is_left_alone(tmp_path: Path) -> None:
    """By its bytes; a plan that does not name the file does not ask."""
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web:\n    image: i\n    environment: {A: '1', B: '2'}\n")
    known = {"shop": load_declared("shop", [file], tmp_path)}
    inventory = Inventory((HOST,), (container(project="shop"),))

    def refused(change: Change, files: dict[str, str]) -> list[str]:
        plan = plan_of(change, files=files)
        found = make_steps(plan.changes, inventory, known, plan, ApplySettings())[1]
        return [refusal.reason for refusal in found]

    raised = memory("shop/web", 64, 96)
    assert refused(raised, {}) == []
    assert refused(raised, {str(file): digest(file.read_bytes())}) == []
    assert refused(raised, {str(file): digest(b"")}) == [
        f"{file} has changed since the plan was made"
    ]
    for before, after, said in (
        ({"A": "1"}, {"A": "3"}, []),
        (None, {"A": "1"}, []),  # it is what is wanted already
        (None, {"C": "3"}, []),
        (None, {"A": "3"}, ["the file says something else for A"]),
        ({"A": "1", "B": "1"}, {"A": "3", "B": "3"}, ["the file says something else for B"]),
    ):
        assert refused(other("shop/web", Setting.ENVIRONMENT, before, after), {}) == said
    reserved = other("shop/web", Setting.CPU_RESERVATION, 1.0, 2.0)
    (differs,) = refused(reserved, {})
    assert differs.startswith("the plan was made for 1 core, the file says")


def test_canaries_go_first() -> None:
    """So many services, or so many replicas of the only one; none where none are asked for."""
    names = ("a", "b", "c")
    running = tuple(container(name) for name in names)
    steps, _ = steps_of(*(memory(f"standalone/{name}", 64, 96) for name in names), running=running)
    assert [step.number for step in steps] == [1, 2, 3]
    assert canary_groups(steps, 0) == [steps]
    assert canary_groups([], 0) == canary_groups([], 2) == []
    assert canary_groups(steps, 1) == [steps[:1], steps[1:]]
    assert canary_groups(steps, 3) == [steps]
    replicas = tuple(container(id=name, name=name, service="web") for name in names)
    (whole,), _ = steps_of(memory("standalone/web", 64, 96), running=replicas)
    whole = replace(whole, with_file=True)
    (early,), (late,) = canary_groups([whole], 1)
    assert (early.number, late.number) == (1, 2)
    assert (early.containers, late.containers) == (replicas[:1], replicas[1:])
    assert (early.with_file, late.with_file) == (False, True)
    ((only,),) = canary_groups([whole], 3)
    assert (only.number, only.containers) == (2, replicas)
    ((only,),) = canary_groups([replace(whole, mode="recreate")], 1)
    assert only.containers == replicas


def test_a_host_that_is_not_the_plans_is_refused() -> None:
    """Where a service runs on several hosts, the one that the plan names must be among them."""
    elsewhere = replace(HOST, name="there", hostname="other")
    running = (container(), container(id="2", host="there"))
    plan = plan_of(memory("standalone/web", 64, 96))
    for host, steps, refused in (("", 2, 0), ("here", 1, 0), ("nowhere", 0, 1)):
        named = [change.model_copy(update={"host": host}) for change in plan.changes]
        inventory = Inventory((HOST, elsewhere), running)
        made, left = make_steps(named, inventory, {}, plan, ApplySettings())
        assert (len(made), len(left)) == (steps, refused)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.tuples(*[st.sampled_from([32, 96, 128])] * 4),
    names=st.permutations(["a", "b", "c", "d"]),
    canary=st.integers(0, 3),
)
def test_a_base_waits_for_its_heirs(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: tuple[int, ...],
    names: list[str],
    canary: int,
) -> None:
    """Raises come before lowered limits; yet no step is refused because an heir of the service,
    which the plan changes too, has no value of its own before its turn.
    """
    base, heir, grandson, merged = names
    file = tmp_path_factory.mktemp("shop") / "compose.yaml"
    file.write_text(
        f"services:\n  {base}: &base\n    image: i\n    mem_limit: 64m\n"
        f"  {heir}: {{extends: {{service: {base}}}}}\n"
        f"  {grandson}: {{extends: {heir}}}\n"
        f"  {merged}:\n    <<: *base\n    command: x\n"
    )
    known = {"shop": load_declared("shop", [file], file.parent)}
    running = tuple(container(name, project="shop") for name in names)
    changes = (memory(f"shop/{n}", 64, to) for n, to in zip(names, sizes, strict=True))
    steps, refused = steps_of(*changes, running=running, projects=known)
    assert refused == []
    for group in canary_groups(steps, canary):
        for step in group:
            for path, (_, after) in edited_files(step).items():
                path.write_text(after)
    found = load_declared("shop", [file], file.parent).project
    assert found is not None
    limits = {name: service.resources.memory for name, service in found.services.items()}
    assert limits == {name: to * 2**20 for name, to in zip(names, sizes, strict=True)}


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (
            memory("shop/web", 512, 256),
            "docker service update --limit-memory 256M shop_web",
        ),
        (cpus("shop/web", 2.0, 1.5), "docker service update --limit-cpu 1.5 shop_web"),
        (
            other("shop/web", Setting.PIDS, 100, 50),
            "docker service update --limit-pids 50 shop_web",
        ),
        (other("shop/web", Setting.CPUSET, "0", "1"), "deploy the stack again"),
    ],
)
def test_a_task_of_swarm_is_not_changed_live(change: Change, command: str) -> None:
    """Swarm would replace it by one as before; the refusal says what to run."""
    task = container(project="shop", labels={"com.docker.swarm.service.name": "shop_web"})
    steps, reasons = steps_of(change, running=(task,), live_only=True)
    assert steps == []
    assert command in reasons[0]
    assert "stack file" in reasons[0]


@given(
    what=st.sampled_from([Setting.MEMORY, Setting.CPUS, Setting.CPUSET, Setting.PIDS]),
    unlimited=st.sets(st.sampled_from([Setting.MEMORY, Setting.CPUS, Setting.PIDS])),
    kind=st.sampled_from(["", "rootless"]),
)
def test_a_limit_that_the_host_cannot_hold_is_refused(
    what: Setting, unlimited: set[Setting], kind: str
) -> None:
    """Its Engine would say yes and do nothing; the reason says what to switch on."""
    after = "0-1" if what is Setting.CPUSET else 48 * MIB if what is Setting.MEMORY else 2
    before = 64 * MIB if what is Setting.MEMORY else None
    host = replace(HOST, unlimited=tuple(sorted(unlimited)), kind=kind)
    steps, refused = steps_of(other("standalone/web", what, before, after), hosts=(host,))
    assert bool(steps) is (what not in unlimited)
    if what in unlimited:
        (reason,) = refused
        assert f"cannot limit {what}" in reason
        assert ("delegate" in reason) is (kind == "rootless")
