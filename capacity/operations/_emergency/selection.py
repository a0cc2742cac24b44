"""Which services an emergency is about, and which hosts do not answer."""

from __future__ import annotations

from collections.abc import Mapping

from capacity._common.text.suggest import closest_names
from capacity._docker.containers import Inventory
from capacity.changes._result import StepResult
from capacity.model import StepState

__all__ = ["silent_hosts", "such_as"]


def silent_hosts(unreachable: Mapping[str, str]) -> list[StepResult]:
    """A line for each host that could not be looked at."""
    return [
        StepResult("-", name, StepState.UNREACHABLE, why, container="-")
        for name, why in sorted(unreachable.items())
    ]


def such_as(name: str, inventory: Inventory) -> str:
    """What a person may have meant, or how services are called."""
    known = sorted({container.key for container in inventory.containers if not container.oneoff})
    near = closest_names(name, known)
    return (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"Names are such as {', '.join(known[:3]) or 'shop/web'}"
    )
