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

__all__ = [
    "BEGIN",
    "END",
    "ENVIRONMENT",
    "Program",
    "compose_service",
    "crontab_block",
    "systemd_units",
]

ENVIRONMENT = "capacity.env"  # of the jobs, in their folder, where there is one
BEGIN, END = "# capacity schedule: begin", "# capacity schedule: end"
_EVERY = "*/5 * * * *"  # of a crontab: every five minutes
_NO_PROGRAM = re.compile(r"[\"'\\]")
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
        calendar = job.when.on_calendar(place)
        # of two times a day only the one counts at which the job is due
        due = ["--due"] if len(calendar) > 1 else []
        command = program.command("schedule", "run", job.name, *due)
        times = "\n".join(f"OnCalendar={each}" for each in calendar)
        units[f"{name}.service"] = (
            f"[Unit]\nDescription=capacity: {job.what}\nWants=network-online.target\n"
            "After=network-online.target\n\n"
            f"[Service]\nType=oneshot\nWorkingDirectory={_unit_path(program.folder)}\n"
            f"EnvironmentFile=-{_unit_path(program.folder / ENVIRONMENT)}\n"
            f"ExecStart={_start(command)}\nNice=10\nTimeoutStartSec=2h\n"
        )
        units[f"{name}.timer"] = (
            f"[Unit]\nDescription=capacity: when the {job.what} is due\n\n"
            f"[Timer]\n{times}\nPersistent=true\n"
            "RandomizedDelaySec=60\n\n[Install]\nWantedBy=timers.target\n"
        )
    return units


def crontab_block(program: Program, zone: str) -> str:
    """A line for a crontab between two marks, which runs what is due: cron knows one zone, its
    own, and not every cron catches up or takes care of daylight saving.
    """
    parse_zone(zone)
    words = " ".join(quote(word) for word in program.command("schedule", "run", "--due"))
    variables = f"{{ [ ! -r {ENVIRONMENT} ] || . ./{ENVIRONMENT}; }}"
    command = f"cd {quote(str(program.folder))} && set -a && {variables} && {words}"
    return "\n".join([BEGIN, f"{_EVERY} {_cron_text(command)}", END]) + "\n"


def compose_service(program: Program, zone: str, image: str) -> str:
    """A Compose file with one service that runs the jobs when they are due; it sees the settings
    file that the program is given, if any.
    """
    parse_zone(zone)
    zone_alone = {"CAPACITY_SCHEDULE__ZONE": zone}
    volumes: list[str | dict[str, str | bool]] = ["capacity:/var/lib/capacity"]
    if program.config is not None:
        source = str(program.config).replace("$", "$$")  # Compose would look for variables
        target = "/app/capacity.toml"
        volumes.append({"type": "bind", "source": source, "target": target, "read_only": True})
    service = {
        "image": image,
        "command": ["schedule", "serve"],
        "restart": "unless-stopped",
        "environment": zone_alone,
        "volumes": volumes,
        "mem_limit": "1g",
        "cpus": 1.0,
        "security_opt": ["no-new-privileges:true"],
        "healthcheck": {"test": ["CMD", "capacity", "schedule", "status", "--quiet"]},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }
    whole = {"services": {"capacity-schedule": service}, "volumes": {"capacity": {}}}
    return json.dumps(whole, indent=2) + "\n"


def _start(command: Sequence[str]) -> str:
    """The value of `ExecStart=`: in the first word systemd looks for no variables, and takes
    neither quotes nor backslashes.
    """
    if _NO_PROGRAM.search(command[0]):
        command = ["/usr/bin/env", *command]
    program = command[0].replace("%", "%%")
    return " ".join([_quoted(program), *map(_unit_word, command[1:])])


def _unit_word(word: str) -> str:
    """A word of it behind the first: quoted, without specifiers and variables."""
    return _quoted(_UNIT_SPECIAL.sub(lambda mark: mark[0] * 2, word))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unit_path(path: Path) -> str:
    return str(path).replace("%", "%%")


def _cron_text(command: str) -> str:
    """A command of a crontab, in which % would end the line."""
    return command.replace("%", "\\%")
