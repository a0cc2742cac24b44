"""What became of each job: kept as JSON, told as metrics and as an alert rule."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from capacity._common.files import read_bounded, write_text
from capacity._common.text.escape import label_value
from capacity.operations._schedule.jobs import Job

__all__ = [
    "JobState",
    "any_begun",
    "exposition",
    "late_alert",
    "read_state",
    "read_states",
    "write_state",
]


@dataclass(frozen=True)
class JobState:
    """The last run of a job.

    Attributes:
        started: of the last run, Unix seconds.
        seconds: that it took.
        exit_code: 0 = it went well; 3 = done, but a project was not judged or a delivery failed.
        succeeded: end of the last run that went well, Unix seconds; 0 = none yet.
        failures: runs in a row that failed.
        log: what the last run printed, where its exit code is not 0; empty = it was.
    """

    started: float = 0.0
    seconds: float = 0.0
    exit_code: int = 0
    succeeded: float = 0.0
    failures: int = 0
    log: str = ""


def read_state(folder: Path, job: str) -> JobState:
    """What is known of a job; nothing where it never ran, or its file is no longer readable."""
    try:
        fields = json.loads(read_bounded(folder / f"{job}.json"))
        return JobState(**fields)
    except (OSError, ValueError, TypeError):
        return JobState()


def any_begun(folder: Path) -> bool:
    """Whether a job has ever begun, by its lock: a first run that is not done yet has no state."""
    return any(folder.glob("*.lock"))


def read_states(folder: Path) -> dict[str, JobState]:
    """What is known of each job that has run, by its name."""
    return {file.stem: read_state(folder, file.stem) for file in sorted(folder.glob("*.json"))}


def write_state(folder: Path, job: str, state: JobState) -> None:
    """Keep what became of a job.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_text(folder / f"{job}.json", json.dumps(asdict(state), indent=1) + "\n")


def exposition(states: dict[str, JobState]) -> str:
    """Gauges in Prometheus' text format, for node_exporter's textfile collector; a job that never
    ran has none, since a success at 0 would read as one that is decades late.
    """
    gauges = (
        ("last_success_timestamp_seconds", "End of the last run that went well", "succeeded"),
        ("last_run_timestamp_seconds", "Start of the last run", "started"),
        ("last_duration_seconds", "How long the last run took", "seconds"),
        ("consecutive_failures", "Runs in a row that failed", "failures"),
    )
    lines = []
    for name, text, field in gauges:
        metric = f"capacity_schedule_{name}"
        lines += [f"# HELP {metric} {text}.", f"# TYPE {metric} gauge"]
        lines += [
            f'{metric}{{job_name="{label_value(job)}"}} {getattr(state, field):.10g}'
            for job, state in sorted(states.items())
            if state.started
        ]
    return "\n".join(lines) + "\n"


def late_alert(jobs: list[Job], zone: ZoneInfo, now: datetime) -> str:
    """Alert rules, as Prometheus loads them, for jobs whose last success is too old or not there:
    the job never ran, or nothing gives Prometheus the metrics.
    """
    last = {
        job.name: (
            f'capacity_schedule_last_success_timestamp_seconds{{job_name="{label_value(job.name)}"}}'
        )
        for job in jobs
    }
    rules = [
        {
            "alert": "CapacityReportLate",
            "expr": (
                f"time() - {last[job.name]} > {job.late_after(zone, now).total_seconds():.0f}"
                f" or absent({last[job.name]})"
            ),
            "for": "15m",
            "labels": {"severity": "warning"},
            "annotations": {
                "summary": f"The {job.what} is late, or nothing says that it ever ran",
                "description": (
                    f"capacity schedule status shows why {job.name} did not succeed; where it "
                    f"never ran, capacity schedule run {job.name} runs it now. Where it did, "
                    "look whether schedule.textfile is written and collected."
                ),
            },
        }
        for job in jobs
    ]
    return json.dumps({"groups": [{"name": "capacity-schedule", "rules": rules}]}, indent=1) + "\n"
