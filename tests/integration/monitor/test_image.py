"""The monitor's image: built from a local base, started by the compose file that ships with it,
beside a real Alertmanager.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from capacity._common.bundled import bundled
from tests.fixtures.paths import ROOT
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import Fleet, fleet
from tests.fixtures.running.image import python_image
from tests.fixtures.running.servers import Server, alertmanager, free_port, require, wait_for

TOKEN = "for-tests-only"
MEMORY = "CAP003"
OWN = """\
services:
  compliance-monitor:
    network_mode: host
    ports: !reset []
    command: ["monitor", "--host", "127.0.0.1", "--port", "{port}", "/fleet"]
    environment:
      CAPACITY_COMPLIANCE__ALERTMANAGER: {alerts}
      CAPACITY_COMPLIANCE__WAIT: "20"
      CAPACITY_MONITOR__PROBE_INTERVAL: "10"
      CAPACITY_MONITOR__INTERVAL: "600"
    volumes:
      - {socket}:/var/run/docker.sock:ro
      - {rules}:/app/rules.md:ro
    healthcheck:
      test:
        - CMD
        - python
        - -c
        - "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/health', timeout=4)"
      interval: 1s
"""
ROUTE = """\
route: {{receiver: monitor, group_wait: 1s, group_interval: 1s}}
receivers:
- name: monitor
  webhook_configs:
  - url: http://127.0.0.1:{port}/api/v1/alerts
    http_config: {{authorization: {{credentials: {token}}}}}
"""


@dataclass(frozen=True)
class Deployed:
    """A running monitor: its address, the Engine it watches, and what its webhook was told."""

    url: str
    shop: Fleet
    told: list[dict[str, Any]]

    def get(self, path: str) -> Any:
        """A JSON answer."""
        request = urllib.request.Request(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def status(self, rule: str, subject: str) -> str | None:
        """What became of a rule on a subject in the last evaluation."""
        findings = self.get("/api/v1/findings")["report"]["findings"]
        return next(
            (
                finding["status"]
                for finding in findings
                if (finding["rule"], finding["subject"]) == (rule, subject)
            ),
            None,
        )

    def heard(self, status: str, rule: str, subject: str) -> bool | None:
        """Whether the webhook was told so."""
        for message in self.told:
            for alert in message["alerts"]:
                if (alert["status"], alert["labels"]["rule"], alert["labels"]["subject"]) == (
                    status,
                    rule,
                    subject,
                ):
                    return True
        return None


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of alerts and what it got."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def build_image(shop: Fleet, folder: Path, distributions: Path) -> None:
    """What the Dockerfile makes of the tree's wheel, without a network: the base has what the wheel
    needs.
    """
    base = python_image(shop.engine, "base", ROOT / "requirements" / "monitor.txt")
    context = folder / "context"
    (context / "requirements").mkdir(parents=True)
    for name in ("Dockerfile", ".dockerignore", "requirements/monitor.txt"):
        shutil.copy(ROOT / name, context / name)
    (context / "dist").mkdir()
    (wheel,) = distributions.glob("*.whl")
    shutil.copy(wheel, context / "dist")
    with closing(client(shop.engine)) as api:
        api.images.build(
            path=str(context),
            tag="capacity-monitor:0.1.0",
            buildargs={"BASE": base},
            network_mode="none",
            rm=True,
            forcerm=True,
        )


def compose(shop: Fleet, folder: Path, *words: str) -> None:
    """Compose with the file that ships and the test's own addresses."""
    program: list[str | Path] = [require("docker-compose"), "--project-directory", folder]
    files: list[str | Path] = [
        "--file",
        bundled("data/compose.monitor.yaml"),
        "--file",
        folder / "own.yaml",
    ]
    socket = shop.engine.url.removeprefix("unix://")
    own = {
        "MONITOR_TOKEN": TOKEN,
        "FLEET": str(folder / "fleet"),
        "DOCKER_GROUP": str(Path(socket).stat().st_gid),
    }
    environment = {**shop.environment(), **own, "ALERT_WEBHOOK": (folder / "webhook").read_text()}
    subprocess.run([*program, *files, *words], env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, distributions: Path) -> Iterator[Deployed]:
    """Engine, Alertmanager, webhook, and the monitor beside them as a container."""
    folder, port = tmp_path_factory.mktemp("image"), free_port()
    with ExitStack() as stack:
        shop = stack.enter_context(fleet(folder))
        address, told = stack.enter_context(webhook())
        alerts: Server = stack.enter_context(
            alertmanager(folder / "alerts", ROUTE.format(port=port, token=TOKEN))
        )
        build_image(shop, folder, distributions)
        (folder / "fleet").mkdir()
        (folder / "fleet" / "compose.yaml").write_text(
            "name: own\nservices: {declared: {image: 'a:1', privileged: true}}\n"
        )
        (folder / "webhook").write_text(address)
        own = {
            "port": port,
            "alerts": alerts.url,
            "socket": shop.engine.url.removeprefix("unix://"),
        }
        (folder / "own.yaml").write_text(OWN.format(**own, rules=bundled("data/rules.md")))
        compose(shop, folder, "up", "--detach", "--wait", "--wait-timeout", "120")
        yield Deployed(f"http://127.0.0.1:{port}", shop, told)
        compose(shop, folder, "down", "--volumes", "--timeout", "5")


def test_it_runs_as_its_compose_file_says(deployed: Deployed) -> None:
    """Healthy by its own check, as nobody's root, read-only, within 512 MiB and half a core, behind
    its token.
    """
    with closing(client(deployed.shop.engine)) as api:
        (found,) = api.containers.list(
            filters={"label": "com.docker.compose.service=compliance-monitor"}
        )
        limits = found.attrs["HostConfig"]
        assert found.attrs["State"]["Health"]["Status"] == "healthy"
        assert found.attrs["Config"]["User"] == "10499:10499"
        assert (limits["Memory"], limits["NanoCpus"], limits["ReadonlyRootfs"]) == (
            512 * 2**20,
            500_000_000,
            True,
        )
        assert found.exec_run(["touch", "/app/x"]).exit_code != 0
    with (
        pytest.raises(urllib.error.HTTPError, match="401"),
        urllib.request.urlopen(f"{deployed.url}/metrics", timeout=10),
    ):
        pass


def test_an_event_of_the_engine_is_told_and_its_end_too(deployed: Deployed) -> None:
    """A container that breaks a rule is found long before the next evaluation is due, told once,
    and resolved when it is gone.
    """
    assert deployed.status("CAP018", "own/declared") == "fail"
    container = deployed.shop.run("loose", stop_signal="SIGKILL")
    wait_for(lambda: deployed.status(MEMORY, "standalone/loose") == "fail" or None, "the finding")
    wait_for(lambda: deployed.heard("firing", MEMORY, "standalone/loose"), "the alert")
    container.remove(force=True)
    wait_for(lambda: deployed.heard("resolved", MEMORY, "standalone/loose"), "the end of the alert")
    assert deployed.status(MEMORY, "standalone/loose") is None
    told = [
        alert
        for message in deployed.told
        if message["status"] == "firing"
        for alert in message["alerts"]
    ]
    assert len(
        [alert for alert in told if alert["labels"]["subject"] == "standalone/loose"]
    ) == len(
        {
            alert["labels"]["rule"]
            for alert in told
            if alert["labels"]["subject"] == "standalone/loose"
        }
    )


def test_a_probe_through_alertmanager_arrives(deployed: Deployed) -> None:
    """The monitor's own probe comes back over Alertmanager's route, credentials and all, and the
    rule passes, without an event and long before the next look on schedule.

    A probe that is lost while Alertmanager starts costs its wait of 20 s and a period of 10 s.
    """
    wait_for(
        lambda: deployed.status("CAP012", "alert delivery") == "pass" or None,
        "a probe that arrived",
        seconds=120,
    )
