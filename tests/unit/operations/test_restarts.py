"""What fixes a loop: proposals within what the host has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from capacity._docker.containers import Host, Inventory
from capacity._docker.engine import Engine
from capacity.compliance import PortProposal
from capacity.model import Setting
from capacity.operations._restarts.causes import Diagnosis, load_causes
from capacity.operations._restarts.loops import find_restart_loops
from capacity.operations._restarts.proposals import Known, propose
from tests.fixtures.fleets.containers import shop_container

MIB = 1 << 20
HOST = Host("here", "unix://x", "here", 4, 1024 * MIB, "28", "2")


@pytest.mark.parametrize(
    ("before", "sized", "after"),
    [
        (100, None, 200),
        (100, 400.0, 400),
        (100, 120.0, 200),
        (900, None, 1024),
        (1024, None, None),
        (None, None, None),
    ],
)
def test_more_memory_is_twice_as_much_or_what_sizing_says_and_fits_the_host(
    before: int | None, sized: float | None, after: int | None
) -> None:
    """The larger of both, never more than the host; without a limit, or with all of the host, there
    is nothing to propose.
    """
    running = shop_container("web", memory=None if before is None else before * MIB)
    known = Known(sized={} if sized is None else {"shop/web": sized * MIB})
    changes, advice = propose(
        running, Diagnosis("out-of-memory", "memory"), Inventory((HOST,), (running,)), known
    )
    assert [change.after for change in changes] == ([] if after is None else [after * MIB])
    assert advice


def test_a_port_moves_where_the_compliance_plan_says() -> None:
    """Only the move of this very service is taken."""
    running = shop_container("web")
    moves = [
        PortProposal("shop/web", 8080, 10007, "tcp", "", 0, ""),
        PortProposal("shop/api", 8080, 10008, "tcp", "", 0, ""),
    ]
    changes, _ = propose(
        running,
        Diagnosis("address-in-use", "port"),
        Inventory((HOST,), (running,)),
        Known(moves=moves),
    )
    assert [(change.resource, change.before, change.after) for change in changes] == [
        (Setting.HOST_PORT, 8080, 10007)
    ]


def test_a_policy_that_is_right_already_is_no_change() -> None:
    """Three retries stay three retries."""
    running = shop_container("web", restart_policy="on-failure:3")
    changes, advice = propose(
        running, Diagnosis("dependency-not-ready", "wait"), Inventory((HOST,), (running,)), Known()
    )
    assert not changes
    assert "service_healthy" in advice


def test_what_it_needs_is_awaited_until_it_is_healthy() -> None:
    """Of its label and of its last words, where a health check says so and nobody would wait in a
    circle.
    """
    label = {
        "com.docker.compose.depends_on": "db:service_started:false,plain:service_started:false"
    }
    web = shop_container("web", restart_policy="always", labels=label)
    others = (
        shop_container("db", health="healthy"),
        shop_container("plain"),
        shop_container("queue", health="starting"),
        shop_container(
            "front",
            health="healthy",
            labels={"com.docker.compose.depends_on": "web:service_started:true"},
        ),
        shop_container("far", health="healthy", host="elsewhere"),
    )
    died = Diagnosis(
        "dependency-not-ready",
        "wait",
        ("queue:5672 refused, front:80 refused, far:1 refused, databases gone",),
    )
    changes, advice = propose(web, died, Inventory((HOST,), (web, *others)), Known())
    assert [(change.resource, change.before, change.after) for change in changes] == [
        (Setting.RESTART_POLICY, "always", "on-failure:3"),
        (
            Setting.DEPENDS_ON,
            {"db": "service_started"},
            {"db": "service_healthy", "queue": "service_healthy"},
        ),
    ]
    assert "db, queue" in advice


START = datetime(2025, 12, 31, 23, 55, tzinfo=UTC).timestamp()
"""When the first of them died; the others follow by twenty seconds, and five minutes later it is
asked.
"""


class Told:
    """An Engine's API that tells of one container which dies with these codes, and of so many kills
    for memory.
    """

    def __init__(
        self, codes: list[int], kills: int, state: dict[str, Any], restarts: int = 0
    ) -> None:
        self.more = {"RestartCount": restarts, "Created": "2025-12-31T23:57:00Z"}
        self.told = {
            "die": [
                {
                    "Actor": {"ID": "a", "Attributes": {"exitCode": str(code)}},
                    "timeNano": int((START + 20 * number) * 1e9),
                }
                for number, code in enumerate(codes)
            ],
            "oom": [{"Actor": {"ID": "a", "Attributes": {}}, "timeNano": 1}] * kills,
        }
        self.state = state

    def info(self) -> dict[str, str]:
        """Its clock."""
        return {"SystemTime": "2026-01-01T00:00:00Z"}

    def containers(self, **_: object) -> list[dict[str, str]]:
        """The one there is."""
        return [{"Id": "a"}]

    def inspect_container(self, _: str) -> dict[str, Any]:
        """Its state now."""
        return {
            "Id": "a",
            "Name": "/web",
            "State": self.state,
            "HostConfig": {"Memory": 64 * MIB},
        } | self.more

    def logs(self, *_: object, **__: object) -> bytes:
        """Nothing."""
        return b""

    def events(self, *, filters: dict[str, str], **_: object) -> Iterator[dict[str, Any]]:
        """Those of the kind asked for."""
        yield from self.told[filters["event"]]


@pytest.mark.parametrize(
    ("codes", "kills", "state", "cause"),
    [
        (
            [137] * 4,
            1,
            {"Status": "restarting", "ExitCode": 137, "OOMKilled": False},
            "out-of-memory",
        ),
        ([137] * 4, 1, {"Status": "running", "ExitCode": 0, "OOMKilled": False}, "out-of-memory"),
        ([137] * 4, 0, {"Status": "restarting", "ExitCode": 137, "OOMKilled": False}, "killed"),
        ([137, 1, 1, 1], 1, {"Status": "running", "ExitCode": 0, "OOMKilled": False}, "crash"),
    ],
)
def test_a_kill_that_the_engine_missed_is_known_by_one_that_it_saw(
    codes: list[int], kills: int, state: dict[str, Any], cause: str
) -> None:
    """The flag is lost now and then where the container is gone with the process; the last code
    still must be that of a kill.
    """
    (found,) = find_restart_loops({"here": Engine(HOST, Told(codes, kills, state))}, load_causes())
    assert (found.diagnosis.cause, found.restarts) == (cause, 4)


@pytest.mark.parametrize(
    ("state", "listed"),
    [
        ({"Status": "running", "StartedAt": "2025-12-31T23:56:40.123456789Z"}, False),
        ({"Status": "running", "StartedAt": "2025-12-31T23:59:25.5Z"}, True),
        (
            {
                "Status": "running",
                "StartedAt": "2025-12-31T23:56:40Z",
                "Health": {"Status": "unhealthy"},
            },
            True,
        ),
        ({"Status": "restarting", "StartedAt": "2025-12-31T23:56:40Z"}, True),
    ],
)
def test_a_container_that_runs_on_since_it_was_mended_is_no_loop(
    state: dict[str, Any], listed: bool
) -> None:
    """It died every twenty seconds: up for forty it counts as fixed, unless its health says
    otherwise.
    """
    engines = {"here": Engine(HOST, Told([1] * 5, 0, state))}
    assert bool(find_restart_loops(engines, load_causes())) is listed


@pytest.mark.parametrize(("started", "listed"), [("23:59:55", True), ("23:57:30", False)])
def test_a_loop_whose_events_are_gone_is_counted_by_the_engine(started: str, listed: bool) -> None:
    """Health checks of others fill the few events that are kept: nine restarts in three minutes are
    a loop until it runs on.
    """
    state = {"Status": "running", "StartedAt": f"2025-12-31T{started}Z"}
    found = find_restart_loops(
        {"here": Engine(HOST, Told([], 0, state, restarts=9))}, load_causes()
    )
    assert [loop.restarts for loop in found] == ([9] if listed else [])


def test_the_time_between_restarts_comes_from_the_metrics_where_events_are_gone() -> None:
    """Six in an hour are ten minutes each: five minutes up are no proof, half an hour is."""
    found = []
    for began in ("2025-12-31T23:55:00Z", "2025-12-31T23:30:00Z"):
        engines = {"here": Engine(HOST, Told([], 0, {"Status": "running", "StartedAt": began}))}
        found.append(
            len(
                find_restart_loops(
                    engines, load_causes(), known=Known(restarts={"standalone/web": 6.0})
                )
            )
        )
    assert found == [1, 0]
