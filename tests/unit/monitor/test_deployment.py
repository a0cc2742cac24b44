"""How the monitor is deployed: the compose file that ships with it."""

from __future__ import annotations

import re

import pytest

from capacity._common.bundled import bundled
from capacity._compose import load_project
from capacity.errors import ComposeError
from tests.fixtures.paths import ROOT


def test_the_compose_file_is_what_was_planned() -> None:
    """10499 to 8080, 512 MB, half a core, socket and rules read-only, a health check, and a
    webhook.
    """
    project = load_project(
        [bundled("data/compose.monitor.yaml")],
        environment={"MONITOR_TOKEN": "x", "ALERT_WEBHOOK": "http://a/b"},
    )
    monitor = project.services["compliance-monitor"]
    assert monitor.resources.memory == 512 * 2**20
    assert monitor.resources.cpus == 0.5
    assert [(port.published, port.target) for port in monitor.ports] == [("10499", 8080)]
    mounts = {volume.target: volume.read_only for volume in monitor.volumes}
    assert mounts["/var/run/docker.sock"]
    assert mounts["/app/rules.md"]
    assert monitor.healthcheck is not None
    assert monitor.environment["ALERT_WEBHOOK"] == "http://a/b"


def test_it_does_not_start_without_a_token() -> None:
    """Listening beyond the loopback asks for one, so Compose does too."""
    with pytest.raises(ComposeError, match="MONITOR_TOKEN"):
        load_project([bundled("data/compose.monitor.yaml")], environment={})


def test_the_image_installs_the_extra_alone() -> None:
    """Every file the Dockerfile copies is there or made by the build, and it runs as nobody's
    root.
    """
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert (ROOT / "requirements" / "monitor.txt").is_file()
    assert re.search(r"^USER 10499", text, re.MULTILINE)
    requirements = (ROOT / "requirements" / "monitor.txt").read_text(encoding="utf-8")
    assert all(
        f"{name}==" in requirements
        for name in ("starlette", "uvicorn", "prometheus-client", "docker", "pandas")
    )
    assert "--hash=" in requirements
