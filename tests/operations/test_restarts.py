"""What mends a loop: proposals within what the host has."""

from __future__ import annotations

import pytest

from capacity.compliance import PortMove
from capacity.inventory.containers import Host, Inventory
from capacity.model import What
from capacity.operations.causes import Diagnosis
from capacity.operations.restarts import Known, propose
from tests.operations.test_order import container

MIB = 1 << 20
HOST = Host("here", "unix://x", "here", 4, 1024 * MIB, "28", "2")


@pytest.mark.parametrize(
    ("before", "sized", "after"),
    [(100, None, 150), (100, 400.0, 400), (100, 120.0, 150), (900, None, 1024), (1024, None, None), (None, None, None)],
)
def test_more_memory_is_half_more_or_what_sizing_says_and_fits_the_host(
    before: int | None, sized: float | None, after: int | None
) -> None:
    """The larger of both, never more than the host; without a limit, or with all of the host, there is nothing to propose."""
    one = container("web", memory=None if before is None else before * MIB)
    known = Known(sized={} if sized is None else {"shop/web": sized * MIB})
    changes, advice = propose(one, Diagnosis("out-of-memory", "memory"), Inventory((HOST,), (one,)), known)
    assert [change.after for change in changes] == ([] if after is None else [after * MIB])
    assert advice


def test_a_port_moves_where_the_compliance_plan_says() -> None:
    """Only the move of this very service is taken."""
    one = container("web")
    moves = [PortMove("shop/web", 8080, 10007, "tcp", "", 0, ""), PortMove("shop/api", 8080, 10008, "tcp", "", 0, "")]
    changes, _ = propose(one, Diagnosis("address-in-use", "port"), Inventory((HOST,), (one,)), Known(moves=moves))
    assert [(change.resource, change.before, change.after) for change in changes] == [(What.HOST_PORT, 8080, 10007)]


def test_a_policy_that_is_right_already_is_no_change() -> None:
    """Three retries stay three retries."""
    one = container("web", restart_policy="on-failure:3")
    changes, advice = propose(one, Diagnosis("dependency-not-ready", "wait"), Inventory((HOST,), (one,)), Known())
    assert not changes
    assert "service_healthy" in advice
