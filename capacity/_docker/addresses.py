"""Which Docker Engines are meant: names and addresses from the settings, the environment and
docker's contexts.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from capacity._common.files import cause_of
from capacity.errors import InputError, SettingsError
from capacity.settings import EngineSettings

__all__ = ["Address", "addresses", "chosen_hosts"]

_SOCKET = "unix:///var/run/docker.sock"
_SCHEMES = ("unix", "tcp", "ssh")
_WRITTEN = "unix:///path/docker.sock, tcp://host:port or ssh://user@host"


@dataclass(frozen=True)
class Address:
    """Where an Engine answers; `tls` is what a docker context secures the connection with, None for
    nothing of its own.
    """

    url: str
    tls: object = None


def addresses(settings: EngineSettings) -> dict[str, Address]:
    """Name -> address of the Engines: those of the settings, else the one that `docker` itself
    would use.

    Raises:
        InputError: a docker context that does not exist.
        SettingsError: DOCKER_HOST or a context has an address that is none.
    """
    return {
        name: Address(where) if "://" in where else _context(where)
        for name, where in chosen_hosts(settings).items()
    }


def chosen_hosts(settings: EngineSettings) -> dict[str, str]:
    """Name -> address or docker context of the Engines, as they are chosen now.

    Raises:
        InputError: docker's choice cannot be read.
        SettingsError: DOCKER_HOST is no address.
    """
    if not settings.hosts and (where := os.environ.get("DOCKER_HOST")):
        return {"local": _checked(where, "DOCKER_HOST")}
    return settings.hosts or {"local": _current_context()}


def _checked(where: str, what: str) -> str:
    """An address that others than the settings gave, refused at once: docker-py would look for a
    host of any scheme.
    """
    scheme, mark, rest = where.partition("://")
    if mark and rest and scheme in _SCHEMES:
        return where
    raise SettingsError(
        f"{what} is {where!r}, which is no address of an Engine", f"Write it as {_WRITTEN}"
    )


def _current_context() -> str:
    """The name of the context that `docker context use` chose."""
    if name := os.environ.get("DOCKER_CONTEXT"):
        return name
    file = _folder() / "config.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("currentContext") or "default")
    except FileNotFoundError:
        return "default"
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"Cannot read {file}: {cause_of(error)}",
            "Correct it, or name the engines in the settings",
        ) from error


def _folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _context(name: str) -> Address:
    """A docker context; docker-py looks for contexts in the wrong place where there is no
    config.json.
    """
    if name == "default":
        return Address(_SOCKET)
    digest = hashlib.sha256(name.encode()).hexdigest()
    file = _folder() / "contexts" / "meta" / digest / "meta.json"
    try:
        endpoint = json.loads(file.read_text(encoding="utf-8"))["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except FileNotFoundError as error:
        hint = "`docker context ls` lists them; an address has :// in it"
        raise InputError(f"There is no docker context {name!r}", hint) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The docker context {name!r} cannot be read: {cause_of(error)}",
            "Look at it with `docker context inspect`",
        ) from error
    return Address(
        _checked(host, f"The host of the docker context {name!r}"),
        _tls(
            _folder() / "contexts" / "tls" / digest / "docker",
            verify=not endpoint.get("SkipTLSVerify"),
        ),
    )


def _tls(folder: Path, *, verify: bool) -> object:
    if not folder.is_dir():
        return None
    from docker.tls import TLSConfig

    authority, certificate, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    pair = (str(certificate), str(key)) if certificate.is_file() and key.is_file() else None
    return TLSConfig(
        client_cert=pair, ca_cert=str(authority) if authority.is_file() else None, verify=verify
    )
