"""Policies by name: rules that turn the past into limits. Ours is beside its rivals, each with the
constants it ships with.
"""

from __future__ import annotations

from collections.abc import Callable

from capacity.sizing._baselines.autopilot import Autopilot
from capacity.sizing._baselines.krr import Krr
from capacity.sizing._baselines.linear_plan import LinearPlan
from capacity.sizing._baselines.tuned_maximum import TunedMaximum
from capacity.sizing._baselines.vpa import Vpa
from capacity.sizing._policies.base import Past, Policy
from capacity.sizing._policies.capacity import Capacity

__all__ = ["POLICIES", "Past", "Policy"]

POLICIES: dict[str, Callable[[], Policy]] = {
    "capacity": Capacity,
    "maximum": TunedMaximum,
    "krr": lambda: Krr("krr", 0.95),
    "vpa": lambda: Vpa("vpa"),
    "autopilot": lambda: Autopilot("autopilot"),
    "seed": LinearPlan,
}
