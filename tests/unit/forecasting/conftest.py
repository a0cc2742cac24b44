"""Made-up fleets with known properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def grid(days: float, step: str = "1h") -> pd.DatetimeIndex:
    """A UTC grid from a Monday on."""
    return pd.date_range(
        "2026-01-05", periods=int(pd.Timedelta(days=days) / pd.Timedelta(step)), freq=step, tz="UTC"
    )


def fleet(services: int = 6, days: float = 28, step: str = "1h", seed: int = 0) -> pd.DataFrame:
    """Services with a daily season and noise, each at a level of its own."""
    draw = np.random.default_rng(seed)
    index = grid(days, step)
    hour = np.asarray((index - index[0]) / pd.Timedelta("1h"))[:, None]
    level, swing = draw.uniform(1, 5, services), draw.uniform(0, 0.8, services)
    values = (
        level * (1 + swing * np.sin(2 * np.pi * hour / 24))
        + draw.normal(0, 0.1, (len(index), services)) * level
    )
    return pd.DataFrame(
        np.abs(values), index=index, columns=[f"shop/s{i}" for i in range(services)]
    )


@pytest.fixture(scope="session")
def usage() -> pd.DataFrame:
    """Four weeks of six hourly services."""
    return fleet()
