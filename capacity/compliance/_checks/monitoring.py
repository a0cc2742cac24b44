"""Whether those who watch are awake: scrape targets, alert rules, Alertmanager, and an alert that
really arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from capacity.compliance._facts.facts import Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed, unknown
from capacity.model import Signal

Share = Annotated[float, Field(gt=0, le=1)]


@check("targets-up", "prometheus", "history")
def targets_up(
    facts: Facts, *, answered: Share = 0.99, days: Annotated[float, Field(gt=0)] = 1.0
) -> Iterator[Verdict]:
    """Every scrape target is up now, and answered nearly all scrapes of the last days."""
    probed = facts.monitoring.targets if facts.monitoring else None
    for target in probed or ():
        evidence = Evidence(
            value="up" if target.up else "down",
            threshold="up",
            query=f'up{{instance="{_instance(target.name)}"}}',
        )
        if target.up:
            yield passed(target.name, "is up", evidence)
        else:
            yield failed(target.name, f"is down: {target.error or 'no scrape succeeded'}", evidence)
    known = None if probed is None else {target.name for target in probed}
    yield from _gaps(facts, answered, days, known)


def _instance(name: str) -> str:
    return name.partition("/")[2]


def _gaps(facts: Facts, answered: float, days: float, known: set[str] | None) -> Iterator[Verdict]:
    history = facts.history
    if history is None:
        return
    import pandas as pd

    up = history[Signal.UP]
    recent = up.loc[up.index >= history.end - pd.Timedelta(days=days)]
    window = f"the last {days:g} days"
    for name in recent.columns:
        if known is not None and name not in known:  # no longer scraped
            continue
        hours = recent[name]
        missing = int(hours.isna().sum())
        share = float(hours.fillna(0.0).mean()) if len(hours) else 0.0
        query = f'avg_over_time(up{{instance="{_instance(str(name))}"}}[{days * 24:g}h])'
        evidence = Evidence(
            f"answered {share:.1%}, {missing} hours without a sample",
            f"{answered:.0%}",
            window,
            query,
        )
        if missing == len(hours):
            yield unknown(str(name), "was not scraped at all", evidence)
        elif not float(hours.iloc[-1]) > 0 and known is None:
            yield failed(str(name), "is down", evidence)
        elif share < answered:
            yield failed(str(name), f"answered only {share:.1%} of its scrapes", evidence)
        else:
            yield passed(str(name), f"answered {share:.1%} of its scrapes", evidence)


@check("alert-rules", "prometheus")
def alert_rules_loaded(
    facts: Facts, *, least: Annotated[int, Field(ge=1)] = 1
) -> Iterator[Verdict]:
    """Prometheus has alert rules loaded, none of them fails, and it knows an Alertmanager to send
    to.
    """
    monitoring = facts.monitoring
    if monitoring is None or monitoring.alerting is None:
        return
    found, address = monitoring.alerting, monitoring.address
    evidence = Evidence(
        f"{found.rules} rules", f"at least {least}", query=f"{address}/api/v1/rules?type=alert"
    )
    if found.rules < least:
        yield failed("alert rules", f"Prometheus has {found.rules} alert rules loaded", evidence)
    else:
        yield passed("alert rules", f"Prometheus has {found.rules} alert rules loaded", evidence)
    for name, error in found.broken.items():
        yield failed(
            "alert rules",
            f"the alert rule {name} fails: {error}",
            Evidence(error, "no error", query=evidence.query),
        )
    senders = Evidence(
        ", ".join(found.alertmanagers) or "none",
        "at least 1",
        query=f"{address}/api/v1/alertmanagers",
    )
    if found.alertmanagers:
        yield passed("alert sending", "Prometheus sends its alerts to an Alertmanager", senders)
    else:
        yield failed("alert sending", "Prometheus knows no Alertmanager to send alerts to", senders)


@check("alertmanager", "alertmanager")
def alertmanager(facts: Facts) -> Iterator[Verdict]:
    """Alertmanager answers."""
    delivery = facts.monitoring.delivery if facts.monitoring else None
    if delivery is None:
        return
    evidence = Evidence(delivery.error or "ready", "ready", query=f"{delivery.address}/-/ready")
    if delivery.error:
        yield failed("alertmanager", f"does not answer: {delivery.error}", evidence)
    else:
        yield passed("alertmanager", "answers", evidence)


@check("alert-delivery", "alertmanager")
def alert_delivery(facts: Facts) -> Iterator[Verdict]:
    """A probe alert that is given to Alertmanager arrives at a webhook receiver."""
    delivery = facts.monitoring.delivery if facts.monitoring else None
    if delivery is None:
        return
    evidence = Evidence(
        value="not delivered"
        if delivery.seconds is None
        else f"delivered in {delivery.seconds:.1f} s",
        threshold=f"within {delivery.waited:g} s",
        query=f"{delivery.address}/api/v2/alerts",
    )
    if delivery.error:
        yield failed("alert delivery", f"no alert can be delivered: {delivery.error}", evidence)
    elif not delivery.receiver:
        yield unknown(
            "alert delivery", "No receiver was opened to see whether an alert arrives", evidence
        )
    elif delivery.seconds is None:
        yield failed(
            "alert delivery",
            f"a probe alert did not reach the receiver {delivery.receiver}",
            evidence,
        )
    else:
        yield passed(
            "alert delivery",
            f"a probe alert reached the receiver in {delivery.seconds:.1f} s",
            evidence,
        )
