"""The recent peak that guards a lowering is found under the service's own identity."""

from __future__ import annotations

import json

import pytest

from capacity.changes._apply.recent_peaks import peaks_from
from capacity.history._service_series import service_of
from capacity.settings import Settings, override
from tests.fixtures.running.web_server import Answer, web

LABELS = [
    {"name": "shop-web-1", "instance": "h:8080"},
    {"name": "shop_web_2", "instance": "h:8080"},
    {"name": "lonely", "instance": "h:8080"},
    {
        "name": "x",
        "container_label_com_docker_compose_project": "shop",
        "container_label_com_docker_compose_service": "db",
    },
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: labels["name"])
def test_the_guard_knows_a_container_as_history_does(labels: dict[str, str]) -> None:
    """With and without Compose labels: the key of history is the key of the guard, and no other."""
    result = {"resultType": "vector", "result": [{"metric": labels, "value": [0, "900000000"]}]}

    def answer(_: int, path: str) -> Answer:
        data = ["container_memory_working_set_bytes"] if "/values" in path else result
        return Answer(body=json.dumps({"status": "success", "data": data}).encode())

    with web(answer) as server:
        settings = override(Settings(), "prometheus__url", server.url)
        peaks = peaks_from(settings)
        assert peaks is not None
        service = str(service_of(labels, settings.identity)[0])
        assert peaks(service) == 900e6
        assert peaks(f"standalone/{labels['name']}") == (
            900e6 if service.startswith("standalone/") else None
        )


def test_without_a_server_there_is_no_guard() -> None:
    """Nobody can be asked, so nothing is held against a lowering."""
    assert peaks_from(Settings()) is None
