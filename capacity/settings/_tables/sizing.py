"""Tables of what limits are proposed: risks, types, prices, places, calendars, single services."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from capacity._common.text.units import parse_cpuset
from capacity.errors import InputError
from capacity.settings._tables.base import MOST_CORES, MOST_MIB, Moments, Table, ordered, utc

__all__ = [
    "ComputeSettings",
    "ForecastSettings",
    "MoneySettings",
    "OwnerSettings",
    "PlacementSettings",
    "ServiceSettings",
    "SizingSettings",
    "TypeSettings",
]


class SizingSettings(Table):
    """How limits are chosen."""

    risk: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="Accepted chance that next week's peak passes a memory limit: a kill",
    )
    cpu_risk: float = Field(
        0.1, gt=0, lt=1, description="The same for a CPU limit: a slower service"
    )
    headroom: float = Field(
        0.0, ge=0, le=100, description="Share added on top of what the risk asks for"
    )
    tolerance: float = Field(
        0.15,
        ge=0,
        le=100,
        description="Changes smaller than this share of the limit are not proposed",
    )
    cooldown_days: float = Field(
        7.0,
        ge=0,
        le=3_650,
        description="A limit changed less than this many days ago is not lowered",
    )
    largest_step_down: float = Field(
        0.5, gt=0, lt=1, description="Share of a limit that one change takes away at most"
    )
    throttle_target: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of throttled periods a CPU limit may have at busy times",
    )
    min_memory_mib: int = Field(
        32,
        ge=6,
        le=MOST_MIB,
        description="No memory limit below this many MiB; Docker's own minimum is 6",
    )
    min_cores: float = Field(
        0.1, gt=0, le=MOST_CORES, description="No CPU limit below this many cores"
    )


class TypeSettings(Table):
    """Defaults for services without history: the table `[types.NAME]`, in order before the built-in
    ones.
    """

    patterns: list[str] = Field(description="Globs of service names, matched in lower case")
    memory_mib: int = Field(1024, ge=6, le=MOST_MIB, description="Default memory limit, MiB")
    cores: float | None = Field(
        None, gt=0, le=MOST_CORES, description="Default CPU limit, cores; none without"
    )
    category: Literal["infrastructure", "critical", "standard"] = Field(
        "standard", description="Which cores it belongs on"
    )


class MoneySettings(Table):
    """What resources cost a month; without prices waste is shown in bytes and cores alone."""

    memory_gib: float | None = Field(
        None, ge=0, le=1e9, description="Price of a GiB of memory a month"
    )
    core: float | None = Field(None, ge=0, le=1e9, description="Price of a core a month")
    currency: str = Field("EUR", description="What it is paid in")


class PlacementSettings(Table):
    """Which cores the categories of services may use; ranges as Docker's cpuset writes them, such
    as 0-3,8.
    """

    infrastructure: str | None = Field(
        None, description="Cores of databases, caches and monitoring; default a quarter, the first"
    )
    critical: str | None = Field(
        None, description="Cores of gateways and whatever is critical; default the next quarter"
    )
    standard: str | None = Field(None, description="Cores of all others; default the rest")

    @field_validator("infrastructure", "critical", "standard")
    @classmethod
    def _is_a_cpuset(cls, cores: str | None) -> str | None:
        if cores is not None:
            try:
                parse_cpuset(cores)
            except InputError as error:
                raise ValueError(f"{error.message}; write it as 0-3,8") from error
        return cores


class ForecastSettings(Table):
    """What people know of the calendar."""

    holidays: list[Moments] = Field(
        [], description="Pairs of first and last moment of days unlike others, past and coming"
    )

    @field_validator("holidays")
    @classmethod
    def _in_order(cls, spans: list[Moments]) -> list[Moments]:
        return ordered(spans)


class ComputeSettings(Table):
    """Who works on a large fleet, and how much of it at once."""

    scheduler: str | None = Field(
        None,
        pattern=r"^[a-z]+://[^\s/@]+$",
        description="Address of a Dask scheduler, such as tcp://10.0.0.5:8786, whose workers read "
        "the archive at the same path; default the cores of this machine",
    )
    workers: int = Field(
        2,
        ge=1,
        le=256,
        description="Blocks that this machine works on at once, without a scheduler",
    )
    block: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Services of a block; a fleet of more is sized block by block, in memory for "
        "`workers` of them",
    )


class OwnerSettings(Table):
    """Who decides for services, where their containers say it themselves."""

    label: str = Field(
        "",
        max_length=200,
        pattern=r"^[^\s\"{}]*$",
        description="Label of containers that names who decides, such as com.example.team; goes "
        "before the owners of globs",
    )


class ServiceSettings(Table):
    """What people know of the services that fit a glob: the table `[services."shop/*"]`."""

    ignore: list[Moments] = Field(
        [], description="Pairs of first and last moment that teach nothing: incidents, load tests"
    )
    change_points: list[datetime] = Field(
        [], description="Moments after which older history counts no more: deploys, moves"
    )
    exclude: bool = Field(default=False, description="Make no forecast and no proposal")
    owner: str = Field("", max_length=200, description="Team or person that decides for them")
    risk_class: Literal["critical", "standard", "batch"] = Field(
        "standard",
        description="Risk it may run: a quarter of the risk set under sizing, that risk, four "
        "times as much",
    )
    min_memory_mib: int | None = Field(None, ge=6, le=MOST_MIB, description="No memory limit below")
    max_memory_mib: int | None = Field(None, ge=6, le=MOST_MIB, description="No memory limit above")
    min_cores: float | None = Field(None, gt=0, le=MOST_CORES, description="No CPU limit below")
    max_cores: float | None = Field(None, gt=0, le=MOST_CORES, description="No CPU limit above")
    never_lower: bool = Field(default=False, description="Raise its limits only")
    pinned: bool = Field(default=False, description="Leave its limits and its cores as they are")
    business_hours: tuple[int, int] | None = Field(
        None,
        description="First hour and the hour after the last, Monday to Friday, UTC: CPU is sized "
        "for these alone",
    )

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        for least, most, what in (
            (self.min_memory_mib, self.max_memory_mib, "memory_mib"),
            (self.min_cores, self.max_cores, "cores"),
        ):
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{what} {least} is above max_{what} {most}")
        if (
            self.business_hours is not None
            and not 0 <= self.business_hours[0] < self.business_hours[1] <= 24
        ):
            raise ValueError(
                f"business_hours {list(self.business_hours)} are no hours of one day; write them "
                "as [8, 18]"
            )
        return self

    @field_validator("ignore")
    @classmethod
    def _in_order(cls, spans: list[Moments]) -> list[Moments]:
        return ordered(spans)

    @field_validator("change_points")
    @classmethod
    def _with_zone(cls, moments: list[datetime]) -> list[datetime]:
        return [utc(moment) for moment in moments]
