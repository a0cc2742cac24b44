"""What a step asks of the Engine before it begins grows with its containers, no faster."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.engine import Engine
from capacity.changes._apply import step as module
from capacity.changes._apply.preflight import Step
from capacity.errors import ChangeRefused
from tests.fixtures.fleets.containers import HOST, container
from tests.unit.changes.apply.test_remaining_changes import RECREATING

CONTAINERS = tuple(container(f"web-{number}", replica=number) for number in range(1, 9))


class Declared:
    """A project in which every service is declared."""

    def service(self, name: str) -> str:
        """Its text stands for it."""
        return name


def _asked(replicas: int, pending: str = "") -> list[str]:
    """Whose compose files were compared before a step that replaces so many containers."""
    asked: list[str] = []

    def pending_edits(engine: Engine, found: Any, service: Any) -> list[str]:
        del engine, service
        asked.append(found.name)
        return ["image"] if found.name == pending else []

    declared: Any = Declared()
    step = Step(1, "shop/web", HOST, "recreate", (RECREATING[0],), CONTAINERS[:replicas], declared)
    known = {found.id: found for found in CONTAINERS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "pending_edits", pending_edits)
        patch.setattr(module, "inspect", lambda _, identity, *__: replace(known[identity]))
        assert len(module._fresh(step, Engine(HOST, SimpleNamespace()))) == replicas
    return asked


@given(st.integers(1, len(CONTAINERS)))
def test_every_container_is_compared_once(replicas: int) -> None:
    """With its compose files, whatever their number."""
    assert _asked(replicas) == [found.name for found in CONTAINERS[:replicas]]


@given(st.integers(1, len(CONTAINERS)))
def test_each_container_can_refuse_the_step(number: int) -> None:
    """The first as well as the last."""
    with pytest.raises(ChangeRefused, match=f"web-{number} was made before"):
        _asked(len(CONTAINERS), f"web-{number}")
