"""Whether a container is up: what was started together is waited for together."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.engine import Engine
from capacity._docker.host import read_host
from capacity.operations import _readiness
from tests.fixtures.fleets.engines import INFOS, VERSIONS

STEADY = 2.0
KIND = "debian-13-v2"


class Machine:
    """An Engine with containers that were started at some time, and a clock that sleeping moves."""

    def __init__(self, *started: float, lives: float = 1e9) -> None:
        self.now, self.slept = 1000.0, 0.0
        self.started, self.lives = [self.now - age for age in started], lives
        self.engine = Engine(read_host("here", "unix://x", INFOS[KIND], VERSIONS[KIND]), self)

    def monotonic(self) -> float:
        """As `time` has it."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """The same."""
        self.now, self.slept = self.now + seconds, self.slept + seconds

    def info(self) -> dict[str, str]:
        """The Engine's clock."""
        return {"SystemTime": _said(self.now)}

    def inspect_container(self, name: str) -> dict[str, Any]:
        """A container, which ends when it has lived."""
        started = self.started[int(name)]
        runs = self.now < started + self.lives
        state = {"Running": runs, "Status": "running" if runs else "exited", "ExitCode": 3}
        return {"Id": name, "Name": f"/{name}", "State": state | {"StartedAt": _said(started)}}


def _said(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def wait(machine: Machine) -> list[str]:
    """What is wrong with each, asked one after the other."""
    asked = [
        SimpleNamespace(id=str(number), name=str(number)) for number in range(len(machine.started))
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_readiness, "time", machine)
        return [_readiness.wait_ready(machine.engine, each, STEADY) for each in asked]  # type: ignore[arg-type]  # no more of it is read


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8))
def test_each_has_been_up_for_a_while_and_none_is_waited_for_twice(ages: list[float]) -> None:
    """The youngest decides how long all take, give or take a look at each."""
    machine = Machine(*ages)
    assert wait(machine) == [""] * len(ages)
    assert all(machine.now - started >= STEADY - 1e-6 for started in machine.started)
    assert machine.slept <= max(0.0, STEADY - min(ages)) + _readiness._POLL * len(ages)


@given(st.floats(0, 1.9), st.floats(0, 1.9))
def test_one_that_ends_within_that_time_is_seen(age: float, lives: float) -> None:
    """However long before it was started."""
    assert wait(Machine(age, lives=lives)) == ["it is exited, no health"]
