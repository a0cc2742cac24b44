"""What a resumed run has left to do: every change of every host, and none twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.containers import Inventory
from capacity.changes._apply.resume import remaining_changes
from capacity.changes._journal.models import ContainerBefore, IntentEntry, Kind, StepIntent
from capacity.changes._plan.plan import PlannedChange
from capacity.model import Setting
from tests.fixtures.fleets.containers import HOST, container
from tests.fixtures.running.fleet import memory, other, plan_of

NOW = datetime(2026, 11, 29, tzinfo=UTC)
WEB = "standalone/web"
HOSTS = ("a", "b", "c")
LIMIT = plan_of(memory(WEB, 64, 96)).changes[0]
RECREATING = [
    plan_of(change).changes[0]
    for change in (
        other(WEB, Setting.HOST_PORT, 8080, 18080),
        other(WEB, Setting.ENVIRONMENT, {"A": "1"}, {"A": "2"}),
    )
]


def fleet(replicas: int = 1) -> Inventory:
    """A service with so many containers on each host."""
    running = tuple(
        container(host=host, id=f"{host}{replica}", replica=replica)
        for host in HOSTS
        for replica in range(1, replicas + 1)
    )
    return Inventory(tuple(replace(HOST, name=host, hostname=host) for host in HOSTS), running)


def step(change: PlannedChange, host: str, ids: Iterable[str]) -> IntentEntry:
    """A step that a run had begun."""
    before = tuple(ContainerBefore(id=identity) for identity in ids)
    intent = StepIntent(changes=(change,), containers=before)
    return IntentEntry(
        time=NOW, run="r", step=1, service=WEB, host=host, kind=Kind.INTENT, detail=intent
    )


def _left(
    changes: list[PlannedChange], entries: list[IntentEntry], inventory: Inventory
) -> list[tuple[Setting, str]]:
    """What is left, by setting and container."""
    return sorted(
        (change.what, found.id)
        for some, known in remaining_changes(changes, [*entries], inventory)
        for change in some
        for found in known.of(change.service, change.host)
    )


@given(st.sampled_from([LIMIT, *RECREATING]), st.sets(st.sampled_from(HOSTS)), st.booleans())
def test_every_host_that_was_not_begun_is_left(
    change: PlannedChange, begun: set[str], named: bool
) -> None:
    """Whether the plan names the hosts or the service alone, by a limit or by new containers."""
    by_host = [change.model_copy(update={"host": host}) for host in HOSTS]
    of_host = dict(zip(HOSTS, by_host if named else [change] * 3, strict=True))
    entries = [step(of_host[host], host, [f"{host}1"]) for host in sorted(begun)]
    left = _left(by_host if named else [change], entries, fleet())
    assert left == [(change.what, f"{host}1") for host in HOSTS if host not in begun]


@given(st.sampled_from(RECREATING))
def test_new_containers_are_not_replaced_again(change: PlannedChange) -> None:
    """After the step on a host the containers there have other ids."""
    assert _left([change], [step(change, "a", ["gone"])], fleet()) == [
        (change.what, "b1"),
        (change.what, "c1"),
    ]


@given(st.sets(st.integers(1, 3)))
def test_a_limit_is_left_for_the_replicas_that_a_canary_did_not_change(done: set[int]) -> None:
    """Replica by replica, and another setting of the same containers wholly."""
    port = RECREATING[0].model_copy(update={"host": "a"})
    limit = LIMIT.model_copy(update={"host": "a"})
    entries = [step(limit, "a", [f"a{replica}" for replica in sorted(done)])] if done else []
    left = _left([limit, port], entries, fleet(3))
    assert left == sorted(
        [(Setting.MEMORY, f"a{replica}") for replica in {1, 2, 3} - done]
        + [(Setting.HOST_PORT, f"a{replica}") for replica in (1, 2, 3)]
    )


def test_a_change_that_no_step_began_is_left_without_a_container() -> None:
    """It is refused by name afterwards, not dropped."""
    none = replace(fleet(), containers=())
    ((changes, _),) = remaining_changes([LIMIT], [], none)
    assert changes == [LIMIT]
