"""Prometheus alert rules for forecasts: a limit that will be reached, a risk above the accepted
one, use above the forecast.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from capacity._common.container_names import name_pattern
from capacity._common.plain_data import Plain
from capacity._common.runbooks import runbook_url
from capacity._common.text.escape import promql_string, template
from capacity._common.text.units import count_cores, format_memory
from capacity._common.text.yaml_text import yaml_text
from capacity.changes._accepted_risk import accepted_risk, raised_above
from capacity.changes._plan.plan import Plan
from capacity.model import Reason, Resource, ServiceKey, Signal
from capacity.settings import Settings

__all__ = ["LimitForecast", "alert_rules", "limit_forecasts"]

_WARN_HOURS = 48
_WINDOW = 300  # seconds a rate looks back


@dataclass(frozen=True)
class LimitForecast:
    """What is expected of one limit; cores or bytes.

    Attributes:
        service: `project/service`.
        resource: which limit.
        limit: in force; None is unlimited.
        peak: the highest that the forecast holds for likely.
        reaches: when the forecast is at the limit, None if not within its horizon.
        breach: chance that it is reached within the horizon.
        raised_above: chance from which sizing raises it for that alone; None = from the settings.
    """

    service: str
    resource: Resource
    limit: float | None = None
    peak: float | None = None
    reaches: datetime | None = None
    breach: float | None = None
    raised_above: float | None = None


def limit_forecasts(plan: Plan) -> list[LimitForecast]:
    """What a plan's evidence says of the limits in force; when they are reached it does not
    know.
    """
    found = []
    for change in plan.changes:
        if change.resource is not None:
            limit = change.before if isinstance(change.before, (int, float)) else None
            evidence = change.evidence
            peak = evidence.get("peak_high")
            found.append(
                LimitForecast(
                    change.service,
                    change.resource,
                    limit,
                    peak,
                    None,
                    evidence.get("breach_now"),
                    evidence.get("raised_above"),
                )
            )
    return found


def alert_rules(
    outlooks: Iterable[LimitForecast],
    settings: Settings,
    *,
    valid_until: datetime,
    name: str = "capacity-forecasts",
) -> str:
    """The text of a rules file; the alerts are silent once the forecast's time is over.

    Args:
        outlooks: one a limit.
        settings: labels and metric names of the server, accepted risks.
        valid_until: end of the forecast.
        name: of the rule group.
    """
    until = int(valid_until.timestamp())
    rules = [rule for outlook in outlooks for rule in _rules(outlook, settings, until)]
    return _yaml({"groups": [{"name": name, "rules": rules}]}) if rules else "groups: []\n"


def _rules(outlook: LimitForecast, settings: Settings, until: int) -> Iterable[dict[str, Plain]]:
    show = count_cores if outlook.resource is Resource.CPU else format_memory
    risk = accepted_risk(outlook.service, outlook.resource, settings)
    rule = partial(_rule, page=runbook_url(Reason.BREACH_EXPECTED, settings.report.runbooks))
    what = template(f"{outlook.service} {outlook.resource}")
    labels = {"service": template(outlook.service), "resource": str(outlook.resource)}
    if outlook.reaches is not None and outlook.limit is not None:
        at = int(outlook.reaches.timestamp())
        yield rule(
            "CapacityTimeToLimit",
            f"(vector({at}) - time()) / 3600 < {_WARN_HOURS} and vector(time()) < {min(at, until)}",
            {**labels, "severity": "warning"},
            f"{what} reaches its limit of {show(outlook.limit)} in "
            f'{{{{ $value | printf "%.0f" }}}} hours',
        )
    # below it sizing keeps the limit, and an alert would ask for what nobody proposes
    above = max(
        raised_above(outlook.service, outlook.resource, settings), outlook.raised_above or 0.0
    )
    if outlook.breach is not None and outlook.breach > above:
        yield rule(
            "CapacityBreachRisk",
            f"vector({outlook.breach:.4f}) > {above:g} and vector(time()) < {until}",
            {**labels, "severity": "warning"},
            f"{what} passes its limit with a chance of {{{{ $value | humanizePercentage }}}}; "
            f"accepted are {100 * risk:.3g}%, and it is raised above {100 * above:.3g}%",
        )
    if outlook.peak is not None:
        yield rule(
            "CapacityAboveForecast",
            f"{_usage(outlook, settings)} > {outlook.peak:.6g} and on() vector(time()) < {until}",
            {**labels, "severity": "info"},
            f"{what} is above the {show(outlook.peak)} that the forecast held for the most likely "
            "maximum",
            wait="15m",
        )


def _rule(
    alert: str,
    expression: str,
    labels: dict[str, str],
    summary: str,
    wait: str = "",
    *,
    page: str | None,
) -> dict[str, Plain]:
    body: dict[str, Plain] = {"alert": alert, "expr": expression}
    if wait:
        body["for"] = wait
    return {
        **body,
        "labels": labels,
        "annotations": {"summary": summary, **({"runbook_url": page} if page else {})},
    }


def _usage(outlook: LimitForecast, settings: Settings) -> str:
    """The worst replica's use now."""
    from capacity.history._metrics.query_rendering import label_name, render_query
    from capacity.history._metrics.signals import CATALOGUE

    identity, key = settings.identity, ServiceKey.parse(outlook.service)
    signal = Signal.CPU if outlook.resource is Resource.CPU else Signal.MEMORY
    query = render_query(CATALOGUE[signal].queries[0], identity, settings.metrics, _WINDOW)
    project, service, name = map(label_name, (identity.project, identity.service, identity.name))
    unlabelled = f'{service}="",{name}=~{promql_string(name_pattern(key))}'
    labelled = f"{project}={promql_string(key.project)},{service}={promql_string(key.service)}"
    chosen = [unlabelled] if key.project == ServiceKey.STANDALONE else [labelled, unlabelled]
    narrowed = " or ".join(query.replace(f'{name}!=""', each, 1) for each in chosen)
    inner = f"sum without (cpu) ({narrowed})" if signal is Signal.CPU else narrowed
    return f"max({inner})"


def _yaml(content: dict[str, Plain]) -> str:
    return (
        "# Alerts from a capacity forecast; they fall silent when its time is over.\n"
        + yaml_text(content, width=100_000)
    )
