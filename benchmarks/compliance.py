"""How long 1,000 services take: 40 compose projects read, a recorded snapshot read, all rules
evaluated, every format written.

    python benchmarks/compliance.py [services]

The fleet is made in a temporary folder: every fourth service breaks a few rules, every tenth wants
a port that is taken.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from capacity.compliance import _formats, evaluate, load_rules, propose_ports
from capacity.compliance._facts.collect import from_files, from_snapshot

PROJECTS = 40


def main() -> None:
    """Make the fleet and print the time of each part."""
    services = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, services)
        total = 0.0

        def timed(what: str, work: Callable[[], Any]) -> Any:
            nonlocal total
            began = time.perf_counter()
            result = work()
            spent = time.perf_counter() - began
            total += spent
            print(f"{what:<44} {spent:7.2f} s")
            return result

        rules = timed("rule book", load_rules)
        declared = timed(
            f"{PROJECTS} compose projects, {services} services", lambda: from_files([folder])
        )
        facts = timed(
            "recorded snapshot", lambda: from_snapshot(declared, folder / "snapshot.json")
        )
        report = timed(
            f"{len(rules)} rules", lambda: evaluate(rules, facts, today=date(2026, 11, 23))
        )
        moves = timed("port proposals", lambda: propose_ports(facts, rules))
        print(f"{'all that a verdict takes':<44} {total:7.2f} s (bar: 5 s for 1,000 services)")
        for form in (_formats.as_json, _formats.as_sarif, _formats.as_junit, _formats.as_markdown):
            timed(form.__name__, partial(form, report))
        print(
            {str(status): count for status, count in report.counts.items()},
            f"{len(moves)} moves, score {report.score:.3f}",
        )


def make(folder: Path, services: int) -> None:
    """Compose files of 40 projects, and what `docker inspect` would say of their containers."""
    answers = []
    for project in range(PROJECTS):
        numbers = range(project, services, PROJECTS)
        place = folder / f"p{project:02}"
        place.mkdir()
        body = "".join(service(number) for number in numbers)
        (place / "compose.yaml").write_text(f"name: p{project:02}\nservices:\n{body}")
        answers += [container(f"p{project:02}", number) for number in numbers]
    (folder / "snapshot.json").write_text(json.dumps(answers))


def port(number: int) -> int:
    """Every tenth service wants 8080."""
    return 8080 if number % 10 == 0 else 10000 + number % 1000


def service(number: int) -> str:
    """One service, with limits unless it is a fourth one."""
    limits = (
        ""
        if number % 4 == 0
        else "\n    mem_limit: 512m\n    cpus: 1\n    pids_limit: 200\n    read_only: true"
    )
    return f"""  s{number}:
    image: house/s{number}:1.{number}
    restart: unless-stopped
    ports:
      - "127.0.0.1:{port(number)}:8000"
    environment:
      MODE: fast
      LEVEL: info
    healthcheck:
      test: ["CMD", "true"]
      interval: 30s{limits}
"""


def container(project: str, number: int) -> dict[str, Any]:
    """The container of a service."""
    labels = {"com.docker.compose.project": project, "com.docker.compose.service": f"s{number}"}
    limits = (
        {}
        if number % 4 == 0
        else {"Memory": 2**29, "NanoCpus": 10**9, "PidsLimit": 200, "ReadonlyRootfs": True}
    )
    bindings = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port(number))}]}
    return {
        "Id": f"{number:064x}",
        "Name": f"/{project}-s{number}-1",
        "Created": "2026-11-01T00:00:00Z",
        "RestartCount": 0,
        "Mounts": [],
        "Config": {
            "Image": f"house/s{number}:1.{number}",
            "Labels": labels,
            "Env": ["MODE=fast", "LEVEL=info", "PATH=/bin"],
        },
        "State": {
            "Status": "running",
            "StartedAt": "2026-11-01T00:00:01Z",
            "Health": {"Status": "healthy"},
        },
        "HostConfig": {
            "NetworkMode": project,
            "PortBindings": bindings,
            "RestartPolicy": {"Name": "unless-stopped"},
            **limits,
        },
    }


if __name__ == "__main__":
    main()
