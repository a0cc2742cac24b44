"""What the doctor says of a server whose metrics are there and of no use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from capacity.history._doctor import examine
from capacity.settings import Settings, override
from tests.fixtures.running.web_server import Answer, web

CONTAINERS = 20


def metrics_server(zero: int) -> Callable[[int, str], Answer]:
    """A small Prometheus on which so many containers use 0 B."""

    def answer(_: int, path: str) -> Answer:
        parts = urlsplit(path)
        query = parse_qs(parts.query).get("query", [""])[0]
        data: Any = {"revision": "x"}
        if parts.path.endswith("/values"):
            data = ["container_memory_working_set_bytes"]
        elif parts.path.endswith("/query"):
            value = zero if "== 0" in query else CONTAINERS
            rows = [{"metric": {"s": "x"}, "value": [0, str(value)]}] if value else []
            data = {"resultType": "vector", "result": rows}
        return Answer(body=json.dumps({"status": "success", "data": data}).encode())

    return answer


@pytest.mark.parametrize(("zero", "status"), [(0, None), (3, "warn"), (20, "fail")])
def test_memory_that_is_not_accounted_is_said(
    tmp_path: Path, zero: int, status: str | None
) -> None:
    """A few containers at 0 B are a warning, most of them a failure with what to switch on."""
    with web(metrics_server(zero)) as server:
        settings = override(Settings(), "prometheus__url", server.url)
        checks = examine(override(settings, "archive__path", tmp_path))
    found = [check for check in checks if check.what == "memory accounting"]
    assert [check.status for check in found] == ([status] if status else [])
    assert all("cgroup_enable=memory" in check.advice for check in found)
