"""Which Docker Engines are meant: names and addresses from the settings, the environment and docker's contexts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from capacity.errors import InputError
from capacity.settings import EngineSettings

__all__ = ["Address", "addresses"]

_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Address:
    """Where an Engine answers; `tls` is what a docker context secures the connection with, None for nothing of its own."""

    url: str
    tls: object = None


def addresses(settings: EngineSettings) -> dict[str, Address]:
    """Name -> address of the Engines: those of the settings, else the one that `docker` itself would use.

    Raises:
        InputError: a docker context that does not exist.
    """
    named = settings.hosts or {"local": os.environ.get("DOCKER_HOST") or _current_context()}
    return {name: Address(where) if "://" in where else _context(where) for name, where in named.items()}


def _current_context() -> str:
    """The name of the context that `docker context use` chose."""
    if name := os.environ.get("DOCKER_CONTEXT"):
        return name
    file = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("currentContext") or "default")
    except FileNotFoundError:
        return "default"
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"Cannot read {file}: {error}", "Correct it, or name the engines in the settings") from error


def _context(name: str) -> Address:
    if name == "default":
        return Address(_SOCKET)
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_context(name)
    except DockerException as error:
        raise InputError(f"The docker context {name!r} cannot be read: {error}", "`docker context ls` lists them") from error
    if context is None or not context.Host:
        raise InputError(f"There is no docker context {name!r}", "`docker context ls` lists them; an address has :// in it")
    return Address(str(context.Host), context.TLSConfig)
