"""Proof that alerts arrive: a probe alert given to Alertmanager, awaited at the monitor's own
webhook.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from capacity._monitor.state import now
from capacity.compliance._facts.alert_receiver import tokens_of
from capacity.compliance._facts.monitoring import Delivery
from capacity.compliance._facts.probes import send_probe

if TYPE_CHECKING:
    from datetime import datetime

    from capacity.settings import Settings

__all__ = ["Prober"]


class Prober:
    """Sends a probe and waits for it; what any alert does at the webhook is noted too."""

    def __init__(self, settings: Settings) -> None:
        self.delivery: Delivery | None = None
        self.last_alert: datetime | None = None
        self._address = str(settings.compliance.alertmanager or "")
        self._wait = settings.compliance.wait
        self._token = ""
        self._arrived = threading.Event()

    def received(self, body: bytes) -> int:
        """Take a webhook body; how many probes were in it."""
        tokens = tokens_of(body)
        self.last_alert = now()
        if self._token and self._token in tokens:
            self._arrived.set()
        return len(tokens)

    def work(self) -> None:
        """One probe."""
        from capacity.history._prometheus.transport import plain_address

        self._token = secrets.token_hex(8)  # before it is sent: it may arrive before the answer
        self._arrived.clear()
        began = time.monotonic()
        error = send_probe(self._address, self._token, self._wait)
        arrived = not error and self._arrived.wait(self._wait)
        seconds = time.monotonic() - began if arrived else None
        self.delivery = Delivery(
            plain_address(self._address), error, "the monitor's own webhook", self._wait, seconds
        )
