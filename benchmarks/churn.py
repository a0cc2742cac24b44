"""How many limits move from one day to the next.

    CAPACITY_TRACES=folder python benchmarks/churn.py

Asked every day, with 28 days of history: `asked anew` compares what is proposed without a limit in
force, `in force` counts the changes of limits that are applied as they are proposed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.sizing import read
from benchmarks.unseen_fleets import TRACES, scaled
from capacity.sizing import Context, recommend

DAY, WINDOW, ASKED, SERVICES = 288, 28, 14, 200


def main() -> None:
    """Print one line a trace."""
    folder = os.environ.get("CAPACITY_TRACES")
    if not folder:
        sys.exit("Set CAPACITY_TRACES to the folder of the traces")
    for name in TRACES:
        file = Path(folder) / f"{name}.parquet"
        usage, resource = read(file)
        usage = scaled(usage, name).iloc[:, :SERVICES]
        days = len(usage) // DAY
        if days < WINDOW // 2:
            continue
        anew, moved = judge(usage, resource, range(min(WINDOW, days - 5), days + 1)[: ASKED + 1])
        print(f"{name:24} asked anew, by over 15 %: {anew:.1%} a day; in force: {moved:.1%} a day")


def judge(usage: pd.DataFrame, resource: str, ends: range) -> tuple[float, float]:
    """Mean share of limits that differ from the day before's by more than 15 %, and that are
    changed.
    """
    before = in_force = since = None
    anew, moved = [], []
    for end in ends:
        window = usage.iloc[max(0, end - WINDOW) * DAY : end * DAY]
        limit = recommend(window, signal=resource)["limit"]
        table = recommend(
            window, signal=resource, current=in_force, context=Context(limit_since=since)
        )
        now = table["limit"].fillna(table["current"])
        if in_force is None or since is None or before is None:
            since = pd.Series(window.index[0], index=now.index)
        else:
            change = np.abs(np.log(limit / before))
            anew.append(float((change > np.log(1.15)).mean()))
            changed = table["limit"].notna() & in_force.notna()
            moved.append(float(changed.mean()))
            since = since.where(~changed, window.index[-1])
        before, in_force = limit, now
    return float(np.mean(anew)), float(np.mean(moved))


if __name__ == "__main__":
    main()
