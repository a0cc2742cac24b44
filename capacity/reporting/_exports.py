"""Recommendations for other programs and eyes: CSV, Markdown, Prometheus exposition; sorted, so
that runs compare.
"""

from __future__ import annotations

import json
import math
from io import StringIO
from typing import TYPE_CHECKING

from capacity._common.text.escape import csv_cell, from_csv_cell, label_value, markdown
from capacity.errors import InputError
from capacity.model import Action, Reason, Resource, ServiceKey
from capacity.reporting._html.formatting import NAMES, PRINT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

__all__ = ["as_csv", "as_exposition", "as_markdown", "differences", "read_limits"]

_GAUGES = {
    "limit": ("recommended_limit", "Limit that capacity recommends"),
    "current": ("current_limit", "Limit in force"),
    "reservation": ("recommended_reservation", "Reservation that capacity recommends"),
    "breach_now": ("breach_probability", "Chance that next week's peak passes the limit in force"),
    "breach_after": (
        "breach_probability_after",
        "Chance that next week's peak passes the recommended limit",
    ),
    "peak_high": ("forecast_peak_high", "Forecast peak, high"),
}
_UNITS = {Resource.MEMORY: "bytes", Resource.CPU: "cores"}


def as_csv(tables: Mapping[Resource, pd.DataFrame]) -> str:
    """Raw numbers, one line a service and resource, by service."""
    import pandas as pd

    parts = [
        table.rename_axis("service").assign(resource=str(resource)).reset_index()
        for resource, table in tables.items()
    ]
    whole = pd.concat(parts).sort_values(["service", "resource"], kind="stable")
    whole = whole.assign(service=[csv_cell(str(name)) for name in whole["service"]])
    first = ["service", "resource"]
    return whole[first + [name for name in whole.columns if name not in first]].to_csv(
        index=False, lineterminator="\n"
    )


def as_markdown(tables: Mapping[Resource, pd.DataFrame]) -> str:
    """A table of the proposals for people, and how many services have none and why."""
    lines = [
        "| Service | Resource | Action | Now | Proposed | Breach risk now | after | Why |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    rest: dict[str, int] = {}
    for resource, table in sorted(tables.items()):
        show = PRINT[resource]
        for service, row in table.sort_index().iterrows():
            if row["action"] not in {Action.SET, Action.RAISE, Action.LOWER}:
                rest[str(row["reason"])] = rest.get(str(row["reason"]), 0) + 1
                continue
            now = show(row["current"]) if math.isfinite(row["current"]) else "unlimited"
            chances = " | ".join(
                "-" if math.isnan(row[name]) else f"{row[name]:.1%}"
                for name in ("breach_now", "breach_after")
            )
            lines.append(
                f"| {markdown(str(service))} | {NAMES[resource]} | {row['action']} | {now} | "
                f"{show(row['limit'])} | {chances} |"
                f" {Reason(row['reason']).text} |"
            )
    unchanged = [f"- {count} x {Reason(reason).text}" for reason, count in sorted(rest.items())]
    return "\n".join([*lines, "", "Without a proposal:", "", *(unchanged or ["- none"])]) + "\n"


def as_exposition(tables: Mapping[Resource, pd.DataFrame]) -> str:
    """Gauges in Prometheus' text format, for a textfile collector or a scrape, so that Grafana can
    plot recommendations.
    """
    lines = []
    for resource, table in sorted(tables.items()):
        for column, (name, text) in _GAUGES.items():
            share = column.startswith("breach")
            metric = f"capacity_{resource}_{name}" + ("" if share else f"_{_UNITS[resource]}")
            lines += [f"# HELP {metric} {text}.", f"# TYPE {metric} gauge"]
            for service, value in table[column].sort_index().items():
                if math.isfinite(value):
                    key = ServiceKey.parse(str(service))
                    labels = (
                        f'project="{label_value(key.project)}",service="{label_value(key.service)}"'
                    )
                    lines.append(f"{metric}{{{labels}}} {value:.10g}")
    return "\n".join(lines) + "\n"


def read_limits(file: Path, resource: Resource) -> pd.DataFrame:
    """Recommendations of an earlier run, from the CSV or the JSON that was printed then: service x
    `limit`, `action`, `reason`.

    Raises:
        InputError: no such file, or it holds no recommendations for this resource.
    """
    import pandas as pd

    try:
        text = file.read_text(encoding="utf-8")
        # names such as `none` are actions, not gaps
        read = (
            pd.DataFrame(json.loads(text))
            if text[:1] == "["
            else pd.read_csv(StringIO(text), na_values=[""], keep_default_na=False)
        )
        rows = read[read["resource"] == str(resource)].set_index("service")[
            ["limit", "action", "reason"]
        ]
        rows = rows.assign(limit=pd.to_numeric(rows["limit"]))
        if text[:1] != "[":
            rows.index = rows.index.map(lambda name: from_csv_cell(str(name)))
    except OSError as error:
        raise InputError(
            f"Cannot read {file}: {error.strerror}", "Name an earlier output"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} holds no recommendations", "Write them with --format csv or --json"
        ) from error
    if rows.empty:
        raise InputError(
            f"{file} holds no recommendations for {resource}", f"Make it with --signal {resource}"
        )
    return rows


def differences(before: pd.DataFrame, now: pd.DataFrame) -> list[dict[str, float | str]]:
    """What two runs propose differently, by service: `service`, `was`, `is` (limits; NaN = none),
    `action`, `reason`.

    The action of a service that only this run knows ends with `(new)`, that of one which only the
    other knows is `gone`.
    """
    was, is_ = (
        {
            str(row["service"]): row
            for row in each.rename_axis("service").reset_index().to_dict("records")
        }
        for each in (before, now)
    )
    rows: list[dict[str, float | str]] = []
    for service in sorted(was.keys() | is_.keys()):
        old, new = was.get(service, {}), is_.get(service, {})
        limits = {
            name: float(row.get("limit", math.nan)) for name, row in (("was", old), ("is", new))
        }
        if old.get("action") == new.get("action") and _same(*limits.values()):
            continue
        action = f"{new['action']}{'' if old else ' (new)'}" if new else "gone"
        rows.append(
            {"service": service, **limits, "action": action, "reason": str(new.get("reason", ""))}
        )
    return rows


def _same(number: float, other: float) -> bool:
    return (math.isnan(number) and math.isnan(other)) or math.isclose(number, other, rel_tol=1e-9)
