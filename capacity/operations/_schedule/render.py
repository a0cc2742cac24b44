"""The schedule as systemd units, as a block of a crontab, and as a Compose service."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from capacity.operations._schedule.jobs import Job
from capacity.operations._schedule.recurrence import parse_zone

__all__ = ["BEGIN", "END", "Program", "compose_service", "crontab_block", "systemd_units"]

BEGIN, END = "# capacity schedule: begin", "# capacity schedule: end"
_UNIT_SPECIAL = re.compile(r"[%$]")


@dataclass(frozen=True)
class Program:
    """How the jobs are started.

    Attributes:
        folder: where; the settings file is found from here.
        python: interpreter that has the package.
        config: settings file; None = as the folder has it.
    """

    folder: Path
    python: Path = Path(sys.executable)
    config: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        """The words that run a command of the program."""
        more = ["--config", str(self.config)] if self.config is not None else []
        return [str(self.python), "-m", "capacity", *arguments, *more]


def systemd_units(jobs: Sequence[Job], program: Program, zone: str) -> dict[str, str]:
    """File name -> text: a service and a timer a job. Missed runs are caught up at the next
    start (`Persistent=`), and a unit never runs twice at a time.
    """
    place = parse_zone(zone)
    units = {}
    for job in jobs:
        name = f"capacity-{job.name}"
        words = " ".join(_unit_word(word) for word in program.command("schedule", "run", job.name))
        units[f"{name}.service"] = (
            f"[Unit]\nDescription=capacity: {job.what}\nWants=network-online.target\n"
            "After=network-online.target\n\n"
            f"[Service]\nType=oneshot\nWorkingDirectory={_unit_path(program.folder)}\n"
            f"ExecStart={words}\nNice=10\nTimeoutStartSec=2h\n"
        )
        units[f"{name}.timer"] = (
            f"[Unit]\nDescription=capacity: when the {job.what} is due\n\n"
            f"[Timer]\nOnCalendar={job.when.on_calendar(place)}\nPersistent=true\n"
            "RandomizedDelaySec=60\n\n[Install]\nWantedBy=timers.target\n"
        )
    return units


def crontab_block(jobs: Sequence[Job], program: Program, zone: str) -> str:
    """Lines for a crontab between two marks; what was missed is caught up when the host starts."""
    parse_zone(zone)
    lines = [BEGIN, f"CRON_TZ={zone}"]
    start = f"cd {quote(str(program.folder))} && "
    for job in jobs:
        words = " ".join(quote(word) for word in program.command("schedule", "run", job.name))
        lines.append(f"{job.when.cron()} {_cron_text(start + words)}")
    due = " ".join(quote(word) for word in program.command("schedule", "run", "--due"))
    return "\n".join([*lines, f"@reboot {_cron_text(start + due)}", "CRON_TZ=", END]) + "\n"


def compose_service(program: Program, zone: str, image: str) -> str:
    """A Compose file with one service that runs the jobs when they are due."""
    parse_zone(zone)
    config = {"CAPACITY_SCHEDULE__ZONE": zone}
    service = {
        "image": image,
        "command": ["schedule", "serve"],
        "restart": "unless-stopped",
        "environment": config,
        "volumes": [
            "capacity:/var/lib/capacity",
            f"{program.folder}/capacity.toml:/app/capacity.toml:ro",
        ],
        "mem_limit": "1g",
        "cpus": 1.0,
        "security_opt": ["no-new-privileges:true"],
        "healthcheck": {"test": ["CMD", "capacity", "schedule", "status", "--quiet"]},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }
    whole = {"services": {"capacity-schedule": service}, "volumes": {"capacity": {}}}
    return json.dumps(whole, indent=2) + "\n"


def _unit_word(word: str) -> str:
    """One word of `ExecStart=`: quoted, without specifiers and variables."""
    escaped = _UNIT_SPECIAL.sub(lambda mark: mark[0] * 2, word)
    escaped = escaped.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unit_path(path: Path) -> str:
    return str(path).replace("%", "%%")


def _cron_text(command: str) -> str:
    """A command of a crontab, in which % would end the line."""
    return command.replace("%", "\\%")
