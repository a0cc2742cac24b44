"""Tables of how changes are applied, and when nobody watches."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import (
    Field,
    field_validator,
)

from capacity.settings._maintenance_window import parse_maintenance_window
from capacity.settings._tables.base import SECONDS_A_DAY, Table

__all__ = ["ApplySettings", "UnattendedSettings"]


class ApplySettings(Table):
    """How plans are applied."""

    journal: Path = Field(
        user_data_path("capacity") / "journal",
        description="Folder of the journal, one folder a run",
    )
    observe: float = Field(
        60.0,
        ge=0,
        le=SECONDS_A_DAY,
        description="Seconds to watch changed services before a change counts as good",
    )
    cooldown_hours: float = Field(
        72.0,
        ge=0,
        le=87_600,
        description="Hours for which a service is held back after a failed change",
    )
    margin: float = Field(
        0.1,
        ge=0,
        le=100,
        description="Share by which a lowered memory limit must stay above present and recent use",
    )
    recreate: bool = Field(
        default=True, description="Replace containers for what the Engine cannot change live"
    )
    windows: list[str] = Field(
        [],
        description="When plans may be applied, UTC, such as Mon-Fri 22:00-04:00; default always",
    )
    most_per_hour: int | None = Field(
        None, ge=1, le=1_000_000, description="Services that may be changed in an hour"
    )
    projects: dict[str, Path] = Field(
        {}, description="Where the compose file of a project lies on this machine: project = file"
    )
    live_only: bool = Field(
        default=False,
        description="Change containers although their compose file is not on this machine",
    )

    @field_validator("windows")
    @classmethod
    def _can_be_read(cls, windows: list[str]) -> list[str]:
        for window in windows:
            parse_maintenance_window(window)
        return windows


class UnattendedSettings(Table):
    """Which changes a scheduled run may apply by itself; everything else waits for a person."""

    enabled: bool = Field(
        default=False, description="Whether `capacity apply --unattended` may change anything"
    )
    actions: list[Literal["raise", "set", "lower"]] = Field(
        ["raise"], description="Kinds of change"
    )
    reasons: list[str] = Field(
        ["breach-expected", "oom-killed", "throttled"], description="Reason codes"
    )
    largest: float = Field(
        0.5, gt=0, le=1_000, description="Largest change, as a share of the limit in force"
    )
    confidence: float = Field(
        0.8, ge=0, le=1, description="Least confidence in the evidence of a change"
    )
    services: list[str] = Field(["*"], description="Globs of services")
