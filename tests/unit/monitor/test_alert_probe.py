"""Alerts that arrive are seen, however fast they are."""

from __future__ import annotations

import json

import pytest

from capacity._monitor.alert_probe import Prober
from capacity.compliance._facts import probes
from capacity.settings import ComplianceSettings, Settings


@pytest.mark.parametrize("arrives", [True, False])
def test_an_alert_that_arrives_before_the_answer_is_seen(
    monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    """A receiver may be told before Alertmanager's answer to us is read."""
    settings = Settings(
        compliance=ComplianceSettings.model_validate(
            {"alertmanager": "http://alertmanager:9093", "wait": 1}
        )
    )
    prober = Prober(settings)

    def answer(method: str, url: str, body: list[dict[str, object]]) -> str:
        assert (method, url) == ("POST", "http://alertmanager:9093/api/v2/alerts")
        if arrives:
            assert prober.received(json.dumps({"alerts": body}).encode()) == 1
        return ""

    monkeypatch.setattr(probes, "_request", answer)
    for _ in range(2):
        prober.work()
        assert prober.delivery is not None
        assert (prober.delivery.seconds is not None) is arrives
