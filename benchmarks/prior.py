"""Make `capacity/sizing/policies/prior.json` again: how far a week's peak strays, seen on real
traces.

    CAPACITY_TRACES=folder python benchmarks/prior.py

For every trace, past morning and service: log(peak of the coming week / peak of the last 14 days),
sorted into strata by days of history and by the spread of daily peaks. A trace weighs by the root
of its rows. Histories are cut to 1, 3, 7 and all days, since a short past knows less.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from capacity.sizing._policies.daily_features import FEATURES, Days, days_of

TARGET = Path(__file__).parents[1] / "capacity" / "sizing" / "_policies" / "prior.json"
LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
LENGTHS = (
    (1, 2),
    (3, 5),
    (7, 10),
    (None, None),
)  # days of history looked at, and the bound of the stratum
SPREADS = (0.01, 0.05, 0.15, 0.4, 1.0, None)  # standard deviation of log daily peaks
DRIFT = {"realised": 0.85, "risk": 0.2, "exponent": 0.08, "weeks": 8, "least": 15}
WEIGHT = 15
LEAST, LEAST_OF_ONE = 300, 100
WHAT = (
    "How far a week's peak strays from the peak of the 14 days before it, before a fleet has shown "
    "its own: quantiles of"
    " log(peak / trailing peak) at `levels`, by resource, days of history and the standard "
    "deviation of the log daily peaks."
    " It weighs as much as `weight` service-weeks and fades as a fleet shows its own."
    " `drift`: realised over expected breaches is assumed `realised` x (`risk` / risk "
    "asked)^`exponent`, and counts as `weeks`"
    " weeks of the fleet, as `least` breaches at least."
)


def main() -> None:
    """Read the traces, write the prior."""
    folder = os.environ.get("CAPACITY_TRACES")
    if not folder:
        sys.exit("Set CAPACITY_TRACES to the folder of the traces")
    files = sorted(Path(folder).glob("*.parquet"))
    seen: dict[tuple[str, int, int], list[np.ndarray]] = {}
    for file in files:
        resource = "memory" if "memory" in file.stem else "cpu"
        for (length, spread), strays in _strays(file).items():
            if len(strays) >= LEAST_OF_ONE:
                seen.setdefault((resource, length, spread), []).append(strays)
    strata = {resource: _strata(resource, seen) for resource in ("cpu", "memory")}
    prior = {
        "what": WHAT,
        "provenance": f"Made by benchmarks/prior.py from {len(files)} traces "
        f"({', '.join(file.stem for file in files)}), each"
        " weighing by the root of its rows; `weeks` counts overlapping service-weeks.",
        "weight": WEIGHT,
        "drift": DRIFT,
        "levels": LEVELS,
        "strata": strata,
    }
    TARGET.write_text(_readable(prior), encoding="utf-8")
    print(f"{sum(map(len, strata.values()))} strata to {TARGET.name}")


def _strata(
    resource: str, seen: dict[tuple[str, int, int], list[np.ndarray]]
) -> list[dict[str, object]]:
    """Rows of one resource; the last of each length of history has no bound."""
    strata: list[dict[str, object]] = []
    for length, (_, days_below) in enumerate(LENGTHS):
        for spread, spread_below in enumerate(SPREADS):
            parts = seen.get((resource, length, spread), [])
            count = sum(len(part) for part in parts)
            if count >= LEAST:
                row = {
                    "days_below": days_below,
                    "spread_below": spread_below,
                    "weeks": count,
                    "strays": _quantiles(parts),
                }
                strata.append(row)
        strata[-1]["spread_below"] = None
    return strata


def _strays(file: Path) -> dict[tuple[int, int], np.ndarray]:
    """(length, spread) -> log strays of one trace."""
    frame = pd.read_parquet(file)
    step = int(frame.index[1] - frame.index[0])
    whole = np.arange(frame.index[0] // 1440 * 1440, frame.index[-1] + 1, step)
    values = frame.reindex(whole).to_numpy(np.float64)
    days = Days(days_of(values[: len(values) // (1440 // step) * (1440 // step)], step * 60))
    peaks = days.table[:, :, 0]
    usual = np.nanmedian(np.where(np.isfinite(peaks).any(axis=0), peaks, 0.0), axis=0)
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for origin in range(1, len(days) - 6):
        ahead = days.next_peak(origin)
        for length, (span, _) in enumerate(LENGTHS):
            past = Days(days.table[max(0, origin - span) : origin] if span else days.table[:origin])
            if len(past) < (span or 10):
                continue
            base = past.base(len(past))
            now = past.features(len(past))
            # a machine that was all but off says nothing of how far one at work strays
            ok = (
                np.isfinite(ahead)
                & (base > 0)
                & (base >= 0.1 * usual)
                & (now[:, FEATURES.index("days with samples")] >= len(past) / 2)
            )
            spread = now[:, FEATURES.index("spread of daily peaks")]
            place = np.searchsorted(
                np.array([bound for bound in SPREADS if bound is not None]), spread, side="right"
            )
            for number in np.unique(place[ok]):
                chosen = ok & (place == number)
                found.setdefault((length, int(number)), []).append(
                    np.log(np.maximum(ahead[chosen], 1e-12) / base[chosen])
                )
    return {place: np.clip(np.concatenate(parts), -3, 4) for place, parts in found.items()}


def _quantiles(parts: list[np.ndarray]) -> list[float]:
    """Quantiles of all parts together; four times the rows count twice, so that no trace drowns the
    others.
    """
    values = np.concatenate(parts)
    weights = np.concatenate([np.full(len(part), len(part) ** -0.5) for part in parts])
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return [round(float(value), 3) for value in np.interp(LEVELS, share, values[order])]


def _readable(prior: dict[str, object]) -> str:
    """One line a stratum."""
    lines = [
        f"  {json.dumps(name)}: {json.dumps(value)}"
        for name, value in prior.items()
        if name != "strata"
    ]
    tables = []
    for resource, rows in prior["strata"].items():  # type: ignore[attr-defined]  # a mapping among other values
        strata = ",\n".join(f"      {json.dumps(row)}" for row in rows)
        tables.append(f'    "{resource}": [\n{strata}\n    ]')
    return "{\n" + ",\n".join(lines) + ',\n  "strata": {\n' + ",\n".join(tables) + "\n  }\n}\n"


if __name__ == "__main__":
    main()
