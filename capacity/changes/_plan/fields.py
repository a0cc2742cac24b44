"""The fields of a plan, each with its type, bounds and characters: a plan may come from anybody."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from capacity._common.text.printable import check_name, check_text

__all__ = [
    "MOST_CHANGES",
    "Command",
    "Evidence",
    "FileHashes",
    "Fingerprint",
    "HostName",
    "Moment",
    "Order",
    "PlanId",
    "Sentence",
    "ServiceName",
    "check_service",
]

MOST_CHANGES = 10_000
_MOST_ENTRIES = 10_000
_FIRST_YEAR, _LAST_YEAR = 2000, 2199


def check_service(text: str) -> str:
    """The text, if it can be `project/service`; behind the first slash a label may have more.

    Raises:
        ValueError: with the cause.
    """
    project, slash, service = text.partition("/")
    if not slash:
        raise ValueError(f"{text[:80]!r} is no project/service")
    check_name(project, "the project's name")
    for part in service.split("/"):
        check_name(part, "the service's name")
    return text


def _host(text: str) -> str:
    return check_name(text, "the host's name", 1024) if text else text


def _sentence(text: str) -> str:
    return check_text(text, "it", 4096)


def _command(text: str) -> str:
    return check_text(text, "it", 16_384)


def _path(text: str) -> str:
    return check_text(text, "it", 4096)


def _time_only(value: Any) -> Any:
    """Pydantic would take a number as seconds since 1970."""
    if not isinstance(value, (str, datetime)) or (
        isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value, re.ASCII)
    ):
        raise ValueError("must be a time such as 2026-11-23T00:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(f"must be a time from {_FIRST_YEAR} to {_LAST_YEAR}")
    return value.astimezone(UTC)


PlanId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Fingerprint = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]{0,128}$")]
ServiceName = Annotated[str, AfterValidator(check_service)]
HostName = Annotated[str, AfterValidator(_host)]
Sentence = Annotated[str, AfterValidator(_sentence)]
Command = Annotated[str, AfterValidator(_command)]
Moment = Annotated[AwareDatetime, BeforeValidator(_time_only), AfterValidator(_in_utc)]
Order = Annotated[int, Field(strict=True, ge=0, le=1000)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Fact = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
Evidence = Annotated[dict[_Fact, _Number], Field(max_length=100)]
_Path = Annotated[str, AfterValidator(_path)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileHashes = Annotated[dict[_Path, _Sha256], Field(max_length=_MOST_ENTRIES)]
