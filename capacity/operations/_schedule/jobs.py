"""What runs by itself: each job with its time and its command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from capacity.errors import InputError
from capacity.operations._schedule.recurrence import Recurrence, parse_recurrence
from capacity.settings import Settings

__all__ = ["Job", "find_job", "scheduled_jobs"]

_GRACE = timedelta(hours=6)  # after which a run that has not succeeded is late


@dataclass(frozen=True)
class Job:
    """One thing that runs by itself.

    Attributes:
        name: such as `weekly`.
        what: for people.
        when: it is due.
        arguments: of the program `capacity`.
    """

    name: str
    what: str
    when: Recurrence
    arguments: tuple[str, ...]

    def late_after(self, zone: ZoneInfo, now: datetime) -> timedelta:
        """How old the last success may be, until the next one is due and has had its time."""
        due = self.when.after(now, zone)
        return due - self.when.before(now, zone) + _GRACE


def scheduled_jobs(settings: Settings, *, config: str | None = None) -> list[Job]:
    """The jobs that the settings switch on, in the order in which they should run.

    Args:
        settings: times, and what compliance looks at.
        config: path of the settings file that the jobs read; None = as they find it.
    """
    said = settings.schedule
    more = ("--config", config) if config else ()
    sent = settings.delivery
    ways = sent.mail_to or sent.webhooks or sent.apprise or sent.folder
    out = ("--out", str(said.reports), *(("--deliver",) if ways else ()))
    paths = tuple(str(path) for path in said.compose)
    known = (
        ("fetch", "history of the last days", said.fetch, ("fetch",)),
        ("weekly", "weekly resource report", said.weekly, ("report", "weekly", *out)),
        (
            "compliance",
            "weekly compliance report",
            said.compliance,
            ("report", "compliance", *paths, *out),
        ),
        (
            "monthly",
            "monthly optimization review",
            said.monthly,
            ("report", "monthly", *out),
        ),
        (
            "quarterly",
            "quarterly architecture review",
            said.quarterly,
            ("report", "quarterly", *paths, *out),
        ),
    )
    return [
        Job(name, what, parse_recurrence(when), (*arguments, *more, "--quiet"))
        for name, what, when, arguments in known
        if when and (name != "compliance" or paths)
    ]


def find_job(name: str, jobs: list[Job]) -> Job:
    """The job of that name.

    Raises:
        InputError: there is none.
    """
    for job in jobs:
        if job.name == name:
            return job
    known = ", ".join(job.name for job in jobs) or "none"
    raise InputError(f"There is no job {name!r}", f"The settings switch on: {known}")
