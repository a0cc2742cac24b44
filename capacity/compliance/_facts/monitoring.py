"""What Prometheus and Alertmanager said of themselves just now, in plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Alerting", "Delivery", "Monitoring", "Restarts", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A scrape target: `name` is `job/instance`."""

    name: str
    up: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Alerting:
    """Alert rules that Prometheus has loaded, those that fail with why, and the Alertmanagers it
    sends to.
    """

    rules: int
    broken: Mapping[str, str]
    alertmanagers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a probe alert: `address` is Alertmanager's, `error` why it did not answer.

    `seconds` is how long the alert took to reach the receiver; None when it did not within `waited`
    seconds, or was not sent.
    """

    address: str
    error: str = ""
    receiver: str = ""
    waited: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Restarts:
    """The most restarts of each service within any `minutes` of the last `hours`."""

    minutes: int
    hours: float
    most: Mapping[str, float]
    query: str


@dataclass(frozen=True)
class Monitoring:
    """Each part is None where it was not asked for."""

    address: str = ""
    targets: tuple[Target, ...] | None = None
    alerting: Alerting | None = None
    delivery: Delivery | None = None
    restarts: Restarts | None = None
