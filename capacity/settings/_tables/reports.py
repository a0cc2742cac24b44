"""Tables of reports: what is in them, where they go, when they are made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import (
    Field,
    SecretStr,
    field_validator,
)

from capacity.settings._tables.base import SECONDS_A_DAY, Table
from capacity.settings._tables.sources import _SHORTEST_STEP

__all__ = ["DeliverySettings", "ReportSettings", "ScheduleSettings"]


class ReportSettings(Table):
    """What the weekly report looks at."""

    window_days: int = Field(28, ge=7, le=400, description="Days of history the report looks at")
    horizon_days: int = Field(7, ge=1, le=28, description="Days ahead it forecasts")
    step: int = Field(300, description="Seconds between samples; divides a day, at least 8")
    timeout: float = Field(
        1800.0, gt=0, le=SECONDS_A_DAY, description="Seconds a whole report run may take"
    )
    runbooks: str | None = Field(
        None,
        pattern=r"^https?://\S*\{code\}\S*$",
        description="Address of your runbooks with {code} in it, for alerts and findings; default "
        "those of the project",
    )

    @field_validator("step")
    @classmethod
    def _divides_a_day(cls, step: int) -> int:
        if step < _SHORTEST_STEP or SECONDS_A_DAY % step:
            raise ValueError(
                f"{step} does not divide a day of 86400 seconds, or is under {_SHORTEST_STEP}"
            )
        return step


class DeliverySettings(Table):
    """Where finished reports are sent; each way that is named is taken."""

    mail_to: list[str] = Field([], description="Addresses that get the report by mail")
    mail_from: str = Field(
        "capacity@localhost", max_length=254, description="Sender of these mails"
    )
    smtp: str = Field(
        "localhost:25", pattern=r"^\S+:[0-9]{1,5}$", description="Mail server and port"
    )
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "starttls", description="How the connection to it is protected"
    )
    smtp_user: str | None = Field(None, description="Name to log in with")
    smtp_password: SecretStr | None = Field(None, description="Its password")
    webhooks: list[SecretStr] = Field([], description="Addresses that get plain JSON by POST")
    apprise: list[SecretStr] = Field(
        [], description="Addresses in the form of apprise: slack://, msteams://, mmosts:// ..."
    )
    folder: str | None = Field(
        None, description="Folder, or object store such as s3://reports, that gets the page"
    )
    base_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Where the folder of reports is served"
    )

    @field_validator("mail_to", "mail_from")
    @classmethod
    def _one_line(cls, said: list[str] | str) -> list[str] | str:
        for address in [said] if isinstance(said, str) else said:
            if not re.fullmatch(r"[^\s,@]+@[^\s,@]+", address):
                raise ValueError("a mail address has the form name@host")
        return said


class ScheduleSettings(Table):
    """When fetch and reports run by themselves; an empty time switches a job off."""

    zone: str = Field("UTC", max_length=64, description="Time zone of these times: Europe/Berlin")
    fetch: str = Field("daily 02:30", max_length=40, description="When history is fetched")
    weekly: str = Field("Mon 06:00", max_length=40, description="When the resource report runs")
    compliance: str = Field(
        "Mon 06:15",
        max_length=40,
        description="When the compliance report runs; needs `compose`",
    )
    monthly: str = Field("1 07:00", max_length=40, description="When the monthly review runs")
    quarterly: str = Field(
        "quarterly 1 07:30", max_length=40, description="When the quarterly review runs"
    )
    compose: list[Path] = Field([], description="Compose files or folders that compliance judges")
    reports: Path = Field(Path("reports"), description="Folder of the reports")
    state: Path = Field(
        user_data_path("capacity") / "schedule", description="Folder of what became of each job"
    )
    textfile: Path | None = Field(
        None, description="File of metrics of the jobs, for node_exporter's textfile collector"
    )
