"""Tables of rules, the monitor and what counts as a restart loop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from pydantic import (
    AnyHttpUrl,
    Field,
    SecretStr,
    field_validator,
)

from capacity.model import RestartLimit
from capacity.settings._tables.base import SECONDS_A_DAY, Table

__all__ = ["ComplianceSettings", "MonitorSettings", "OperationsSettings"]


class ComplianceSettings(Table):
    """Which rules are kept, and how alert delivery is proved."""

    rules: list[str] = Field(
        ["house"],
        description="Rule books, Markdown files; `house` is the one that comes with capacity",
    )
    waivers: Path | None = Field(None, description="File with the waivers")
    record: Path = Field(
        user_data_path("capacity") / "compliance.jsonl",
        description="File that keeps the scores of past weeks",
    )
    alertmanager: AnyHttpUrl | None = Field(None, repr=False, description="Address of Alertmanager")
    receiver: str = Field(
        "",
        description="host:port where a probe alert is awaited, such as 127.0.0.1:10498; default "
        "none is sent",
    )
    wait: float = Field(
        60.0,
        gt=0,
        le=600,
        description="Seconds a probe alert may take; the group_wait of its route is part of it",
    )


class MonitorSettings(Table):
    """The compliance monitor."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen at; any other than the loopback asks for a token or a "
        "password",
    )
    names: list[str] = Field(
        [],
        description="Names that it is asked under beside the loopback's and `host`, where it asks "
        "for no credentials",
    )
    port: int = Field(10499, ge=1, le=65535, description="Port to listen at")
    interval: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="Seconds between evaluations; events of the engines ask for more",
    )
    token: SecretStr | None = Field(
        None, description="Token that clients send as Authorization: Bearer"
    )
    token_file: Path | None = Field(
        None, description="File with such a token, read at the start; beside `token` both count"
    )
    username: str | None = Field(
        None, description="User for basic authentication, beside the token"
    )
    password: SecretStr | None = Field(None, description="Password for basic authentication")
    webhook: SecretStr | None = Field(
        None,
        validate_default=True,
        description="Where changes of state are posted in Alertmanager's format; default the "
        "variable ALERT_WEBHOOK",
    )
    external_url: str = Field(
        "", description="Address under which people reach the monitor, for links"
    )
    most_in_flight: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Requests that may be worked on at once; the others are told to come back",
    )
    probe: bool = Field(
        default=True,
        description="Prove alert delivery, where an Alertmanager is named whose route leads here",
    )
    probe_interval: float = Field(
        900.0, ge=10, le=SECONDS_A_DAY * 7, description="Seconds between probe alerts"
    )

    @field_validator("webhook", mode="before")
    @classmethod
    def _from_the_environment(cls, webhook: Any) -> Any:
        return webhook if webhook is not None else os.environ.get("ALERT_WEBHOOK") or None


class OperationsSettings(Table):
    """Restart loops and emergencies."""

    critical: list[str] = Field(
        [],
        description="Services, project/service, that must run: `capacity emergency restart` starts "
        "them in this order",
    )
    window_minutes: float = Field(
        10.0, gt=0, le=1440, description="Minutes in which restarts are counted"
    )
    more_than: int = Field(
        3, ge=0, le=1_000_000, description="Restarts within these minutes that are no loop yet"
    )
    loop_a_day: int = Field(
        12, ge=1, le=1_000_000, description="Restarts in a day that are a loop, however they lie"
    )

    @property
    def restart_limit(self) -> RestartLimit:
        """What a restart loop is, for everything that speaks of one."""
        return RestartLimit(self.more_than, self.window_minutes, self.loop_a_day)

    causes: Path | None = Field(
        None,
        description="File with patterns of causes, as data/restart_causes.yaml; default that one",
    )
    timeline: Path = Field(
        Path("timeline.yaml"), description="File that keeps the remediation timeline"
    )
