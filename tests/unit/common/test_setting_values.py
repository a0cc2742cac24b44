"""The values of a change as people read them."""

from __future__ import annotations

import pytest

from capacity._common.setting_values import show_value
from capacity._common.text.units import MIB
from capacity.model import Setting, Value


@pytest.mark.parametrize("what", Setting)
@pytest.mark.parametrize("missing", [None, ""])
def test_only_a_missing_limit_is_unlimited(what: Setting, missing: Value) -> None:
    """A reservation, a port or an environment that is not there is none."""
    limits = {Setting.MEMORY, Setting.MEMORY_SWAP, Setting.CPUS, Setting.PIDS}
    assert show_value(what, missing) == ("unlimited" if what in limits else "none")


@pytest.mark.parametrize(
    ("what", "value", "shown"),
    [
        (Setting.HOST_PORT, 9090.0, "9090"),
        (Setting.MEMORY, 512.0 * MIB, "512 MiB"),
        (Setting.MEMORY_SWAP, -1, "unlimited"),
        (Setting.CPUSET, "0-3", "0-3"),
        (Setting.ENVIRONMENT, {"A": "x"}, "A=x"),
    ],
)
def test_values_are_shown_with_their_units(what: Setting, value: Value, shown: str) -> None:
    """No decimals where there are none, and the unit where there is one."""
    assert show_value(what, value) == shown
