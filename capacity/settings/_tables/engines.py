"""The table of Docker Engines and how they are reached."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import (
    Field,
    field_validator,
)

from capacity.settings._tables.base import SECONDS_A_DAY, Table

__all__ = ["EngineSettings"]


_SCHEMES = {"unix", "tcp", "http", "https", "ssh"}


class EngineSettings(Table):
    """Which Docker Engines there are and how to reach them."""

    hosts: dict[str, str] = Field(
        {},
        description="Engines: name = unix://, tcp:// or ssh:// address, or a docker context; "
        "default the current one",
    )
    ca_file: Path | None = Field(
        None, description="Certificate authority of engines behind TLS, PEM"
    )
    client_cert: Path | None = Field(
        None, description="Client certificate for engines behind TLS, PEM"
    )
    client_key: Path | None = Field(None, description="Key of that certificate, PEM")
    timeout: float = Field(
        60.0,
        gt=0,
        le=SECONDS_A_DAY,
        description="Seconds to wait for an engine's answer; all of it, or of what a command in a "
        "container prints, may take ten times that",
    )
    in_flight: int = Field(
        16, ge=1, le=64, description="Questions an engine may have to answer at once"
    )

    @field_validator("hosts")
    @classmethod
    def _are_addresses(cls, hosts: dict[str, str]) -> dict[str, str]:
        for name, address in hosts.items():
            scheme, mark, rest = address.partition("://")
            if not address or (mark and (scheme not in _SCHEMES or not rest)):
                raise ValueError(
                    f"the address of {name} is none; write unix://, tcp://, ssh:// or the name of "
                    "a docker context"
                )
            if mark and scheme != "unix" and not _has_port_of_sense(address):
                port = "22" if scheme == "ssh" else "2376 with TLS, or :2375 without"
                raise ValueError(
                    f"the address of {name} has no port that is one; write "
                    f"{scheme}://{_host_of(rest)}:{port}"
                )
        return hosts


def _has_port_of_sense(address: str) -> bool:
    try:
        found = urlsplit(address)
        return bool(
            found.hostname and (found.port or (found.scheme == "ssh" and found.port is None))
        )
    except ValueError:
        return False


def _host_of(rest: str) -> str:
    return rest.partition("/")[0].rpartition(":")[0] or rest.partition("/")[0] or "host"
