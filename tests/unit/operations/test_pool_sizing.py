"""How many instances a pool needs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.errors import InputError
from capacity.operations._pools.sizing import pool_size

GIB = float(1 << 30)


def shifts(instances: int, at_once: int, steps: int = 2000) -> pd.DataFrame:
    """Instances of which so many work at a time, in turns; the others hum along."""
    values = np.full((steps, instances), 0.004)
    for step in range(steps):
        for number in range(at_once):
            values[step, (step // 7 + number) % instances] = 0.5
    return pd.DataFrame(values, columns=[f"agents/a{number}" for number in range(instances)])


def test_three_and_not_twelve() -> None:
    """Twelve instances of which three work at once need a pool of three, and nine times their
    memory is free.
    """
    cpu = shifts(12, 3)
    memory = pd.DataFrame(GIB, index=cpu.index, columns=cpu.columns)
    found = pool_size(cpu, memory)
    assert (found.size, found.instances, found.at_once, found.freed) == (3, 12, 3.0, 9 * GIB)
    assert found.why == "3 of 12 were busy at once at most: 3 are enough"
    assert pool_size(cpu, memory, growth=1.5).size == 5
    assert pool_size(cpu, growth=0.2).size == 3
    assert pool_size(cpu, growth=100).size == 12


@given(instances=st.integers(1, 12), at_once=st.integers(0, 12))
def test_never_fewer_than_are_busy_and_never_none(instances: int, at_once: int) -> None:
    """Between one and all of them."""
    assert pool_size(shifts(instances, min(at_once, instances), 200)).size == max(
        1, min(at_once, instances)
    )


def test_without_samples_there_is_no_answer() -> None:
    """A glob that fits nothing, or services never measured."""
    for cpu in (pd.DataFrame(), pd.DataFrame({"a": [np.nan]})):
        with pytest.raises(InputError, match="no sample"):
            pool_size(cpu)
