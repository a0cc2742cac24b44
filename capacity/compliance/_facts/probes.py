"""Questions to Prometheus and Alertmanager about themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from capacity._common.plain_data import PlainMapping
from capacity.compliance._facts.alert_receiver import LABEL, open_receiver
from capacity.compliance._facts.monitoring import Alerting, Delivery, Monitoring, Restarts, Target
from capacity.errors import BadAnswer, QueryRefused, SourceError

if TYPE_CHECKING:
    from capacity.history._prometheus.transport import Transport
    from capacity.settings import Settings

__all__ = ["probe_delivery", "probe_prometheus", "read_alerting", "read_targets", "send_probe"]

_T = TypeVar("_T")
_PATIENCE = 10.0  # seconds for Alertmanager to answer
_HINT = "Is it a Prometheus server?"


def probe_prometheus(
    settings: Settings, *, minutes: int, hours: float = 24
) -> tuple[Monitoring, tuple[str, ...]]:
    """What the metrics server of the settings says of its targets, its rules and of restarts, and
    notes on what it did not say.

    Args:
        settings: with the server's address.
        minutes: length of the window in which restarts are counted.
        hours: how far back such windows are looked for.

    Raises:
        SettingsError: no server is named.
        SourceError: none of them answers at all.
    """
    from capacity.history._joined_sources import host_names
    from capacity.history._prometheus.client import no_server

    servers = settings.servers()
    if not servers:
        raise no_server()
    found: list[Monitoring] = []
    notes: list[str] = []
    failed: list[SourceError] = []
    for name, its in servers.items():
        source = settings.sources.get(name)
        named = host_names(name, source.host if source else None, several=len(servers) > 1)
        try:
            probed, said = _probe(its, minutes, hours)
        except SourceError as error:
            failed.append(error)
            notes.append(f"{name} was not asked: {error.message}")
            continue
        found.append(_with_hosts(probed, named))
        notes += said
    if not found:
        raise failed[0]
    return _joined(found), tuple(notes)


def _with_hosts(found: Monitoring, named: Callable[[str], str]) -> Monitoring:
    """Targets under the names that history has for them."""
    from capacity.history._joined_sources import column_name
    from capacity.history._metrics.signals import SignalScope

    if found.targets is None:
        return found
    targets = [
        replace(target, name=column_name(target.name, SignalScope.TARGET, named))
        for target in found.targets
    ]
    return replace(found, targets=tuple(targets))


def _joined(found: list[Monitoring]) -> Monitoring:
    """What several servers say as one; of alert rules and Alertmanagers the weakest counts."""
    if len(found) == 1:
        return found[0]
    targets = [each.targets for each in found if each.targets is not None]
    alerting = [each.alerting for each in found if each.alerting is not None]
    restarts = [each.restarts for each in found if each.restarts is not None]
    senders = [each.alertmanagers for each in alerting]
    most: dict[str, float] = {}
    for each in restarts:
        for name, count in each.most.items():
            most[name] = max(count, most.get(name, count))
    return Monitoring(
        address=", ".join(each.address for each in found),
        targets=tuple(target for some in targets for target in some) if targets else None,
        alerting=Alerting(
            min(each.rules for each in alerting),
            {name: error for each in alerting for name, error in each.broken.items()},
            tuple(sorted({url for some in senders for url in some})) if all(senders) else (),
        )
        if alerting
        else None,
        restarts=replace(restarts[0], most=most) if restarts else None,
    )


def _probe(settings: Settings, minutes: int, hours: float) -> tuple[Monitoring, tuple[str, ...]]:
    """What one server says."""
    from capacity.history._prometheus.transport import Transport, plain_address

    transport = Transport(settings.prometheus)
    notes: list[str] = []

    def asked(what: str, question: Callable[[], _T]) -> _T | None:
        try:
            return question()
        except (
            QueryRefused,
            BadAnswer,
        ) as error:  # servers that speak PromQL alone know nothing of targets and rules
            notes.append(f"{transport.address} says nothing of {what}: {error.message}")
            return None

    try:
        found = Monitoring(
            address=plain_address(str(settings.prometheus.url)),
            targets=asked(
                "targets",
                lambda: read_targets(_data(transport, "/api/v1/targets", {"state": "active"})),
            ),
            alerting=asked("alert rules", lambda: _alerting(transport)),
            restarts=asked("restarts", lambda: _restarts(settings, minutes, hours)),
        )
    finally:
        transport.session.close()
    return found, tuple(notes)


def _data(transport: Transport, path: str, params: Mapping[str, str]) -> Any:
    try:
        return json.loads(transport.get(path, params))["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadAnswer(f"{transport.address}{path} gave no Prometheus answer", _HINT) from error


def read_targets(data: Any) -> tuple[Target, ...]:
    """Targets from the answer of `/api/v1/targets`.

    Raises:
        BadAnswer: it is none.
    """
    try:
        found = [
            Target(
                name=f"{target['labels'].get('job', '')}/{target['labels'].get('instance', '')}",
                up=target["health"] == "up",
                error="it has not been scraped yet"
                if target["health"] == "unknown"
                else str(target.get("lastError") or ""),
            )
            for target in data["activeTargets"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise BadAnswer(
            f"The answer about scrape targets is unreadable ({error!r})", _HINT
        ) from error
    return tuple(sorted(found, key=lambda target: target.name))


def _alerting(transport: Transport) -> Alerting:
    rules = _data(transport, "/api/v1/rules", {"type": "alert"})
    return read_alerting(rules, _data(transport, "/api/v1/alertmanagers", {}))


def read_alerting(rules: Any, alertmanagers: Any) -> Alerting:
    """Alert rules and Alertmanagers from the answers of `/api/v1/rules` and
    `/api/v1/alertmanagers`.

    Raises:
        BadAnswer: they are none.
    """
    try:
        found = [
            rule
            for group in rules["groups"]
            for rule in group["rules"]
            if rule.get("type", "alerting") == "alerting"
        ]
        broken = {
            str(rule["name"]): str(rule.get("lastError") or rule["health"])
            for rule in found
            if rule.get("health", "ok") == "err"
        }
        urls = tuple(
            sorted(str(manager["url"]) for manager in alertmanagers["activeAlertmanagers"])
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadAnswer(f"The answer about alert rules is unreadable ({error!r})", _HINT) from error
    return Alerting(len(found), dict(sorted(broken.items())), urls)


def _restarts(settings: Settings, minutes: int, hours: float) -> Restarts | None:
    """The worst window of every service; None where the server has no CPU counters of
    containers.
    """
    from capacity.history._fetch.instant_query import ask_containers
    from capacity.history._prometheus.client import PrometheusSource
    from capacity.model import Signal

    # every half window, so that what lies across the border of two windows is seen by a third
    over = f"max_over_time(({{}})[{hours * 60:.0f}m:{minutes * 30}s])"
    source = PrometheusSource(settings.prometheus)
    try:
        most, query = ask_containers(source, settings, Signal.RESTARTS, minutes * 60, over)
    finally:
        source.close()
    return Restarts(minutes, hours, most, query) if most else None


def probe_delivery(address: str, receiver: str = "", wait: float = 60.0) -> Delivery:
    """Whether Alertmanager answers, and whether an alert that it is given arrives.

    Args:
        address: Alertmanager's.
        receiver: `host:port` to listen at, where one of its routes leads to; empty to send nothing.
        wait: seconds the alert may take; its route's `group_wait` is part of it.

    Raises:
        WorkError: the receiver cannot listen.
    """
    from capacity.history._prometheus.transport import plain_address

    shown, base = plain_address(address), address.rstrip("/")
    error = _request("GET", f"{base}/-/ready")
    if error or not receiver:
        return Delivery(shown, error, receiver, wait)
    with open_receiver(receiver) as opened:
        began = time.monotonic()
        error = send_probe(base, opened.token, wait)
        seconds = time.monotonic() - began if not error and opened.arrived.wait(wait) else None
        if not error:
            send_probe(base, opened.token, 0)
    return Delivery(shown, error, receiver, wait, seconds)


def send_probe(address: str, token: str, lasts: float) -> str:
    """Give Alertmanager the probe alert of a token, which ends by itself after `lasts` seconds;
    what went wrong, or nothing.
    """
    return _request(
        "POST", f"{address.rstrip('/')}/api/v2/alerts", _alert(token, timedelta(seconds=lasts))
    )


def _alert(token: str, lasts: timedelta) -> list[PlainMapping]:
    now = datetime.now(UTC)
    return [
        {
            "labels": {"alertname": "CapacityProbe", "severity": "none", LABEL: token},
            "annotations": {"summary": "A test of alert delivery; nothing is wrong."},
            "startsAt": (now - timedelta(seconds=1)).isoformat(),
            "endsAt": (now + lasts).isoformat(),
        }
    ]


def _request(method: str, url: str, body: Any = None) -> str:
    """What went wrong, or nothing."""
    from capacity._common.bounded_http import status_of
    from capacity.history._prometheus.transport import plain_address

    try:
        status = status_of(method, url, body, _PATIENCE)
        return "" if status < 400 else f"HTTP {status} at {plain_address(url)}"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__} at {plain_address(url)}"
