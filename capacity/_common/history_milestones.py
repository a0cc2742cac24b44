"""What a history that has just begun is enough for, and when it will be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

__all__ = ["LEAST_DAYS", "history_milestones"]

LEAST_DAYS = 1.0
"""Days of samples from which a service is forecast, and limits are proposed."""


def history_milestones(first: float, now: float, step: int, window_days: int) -> str:
    """What can be had of it from when on; empty where the whole window is there.

    Args:
        first: when the oldest sample was taken, Unix seconds.
        now: this moment, Unix seconds.
        step: seconds between samples of a usage frame.
        window_days: days that reports look at.
    """
    day = timedelta(days=1).total_seconds()
    whole_step = (math.ceil(first / step) + 1) * step
    to_come = [
        f"{what} from {_moment(at)} on"
        for what, at in (
            ("reports", whole_step),
            ("forecasts and limits", whole_step + LEAST_DAYS * day),
            (f"all {window_days} days", whole_step + window_days * day),
        )
        if at > now
    ]
    if not to_come:
        return ""
    return f"Samples begin at {_moment(first)}: {', '.join(to_come)}"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(math.ceil(at / 60) * 60, UTC):%Y-%m-%d %H:%M} UTC"
