"""Limits for services without history, by type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from capacity._common.text.units import MIB
from capacity.model import Resource

if TYPE_CHECKING:
    from capacity.settings import TypeSettings

__all__ = ["TYPES", "ServiceType", "type_of", "types_with"]

_GIB = float(1 << 30)


@dataclass(frozen=True)
class ServiceType:
    """A kind of service.

    Attributes:
        name: what it is called.
        patterns: globs of service names, matched in lower case against `project/service` and
            against `service`.
        memory: default memory limit, bytes.
        cpu: default CPU limit, cores; None = none.
        category: which cores it belongs on: `infrastructure`, `critical` or `standard`.
    """

    name: str
    patterns: tuple[str, ...]
    memory: float
    cpu: float | None = None
    category: str = "standard"

    def limit(self, resource: Resource) -> float | None:
        """The default limit of a resource, cores or bytes."""
        return self.memory if resource is Resource.MEMORY else self.cpu


_DATABASES = (
    "*postgres*",
    "*mysql*",
    "*mariadb*",
    "*mongo*",
    "*database*",
    "*-db",
    "db",
    "*elastic*",
    "*clickhouse*",
    "*qdrant*",
)
_MONITORS = (
    "*prometheus*",
    "*grafana*",
    "*loki*",
    "*alertmanager*",
    "*exporter*",
    "*cadvisor*",
    "*monitor*",
    "*jaeger*",
)
TYPES = (
    ServiceType("monitoring", _MONITORS, _GIB, category="infrastructure"),
    ServiceType("agent", ("*agent*",), 2 * _GIB),
    ServiceType("database", _DATABASES, 4 * _GIB, category="infrastructure"),
    ServiceType(
        "cache",
        ("*redis*", "*memcache*", "*valkey*", "*cache*"),
        2 * _GIB,
        category="infrastructure",
    ),
    ServiceType(
        "gateway",
        ("*kong*", "*traefik*", "*nginx*", "*gateway*", "*proxy*"),
        _GIB,
        category="critical",
    ),
    ServiceType("default", ("*",), _GIB),
)


def types_with(own: Mapping[str, TypeSettings]) -> tuple[ServiceType, ...]:
    """The types of the settings, then the built-in ones that they do not replace."""
    said = tuple(
        ServiceType(
            name,
            tuple(glob.lower() for glob in kind.patterns),
            float(kind.memory_mib * MIB),
            kind.cores,
            kind.category,
        )
        for name, kind in own.items()
    )
    return said + tuple(kind for kind in TYPES if kind.name not in own)


def type_of(service: str, types: tuple[ServiceType, ...] = TYPES) -> ServiceType:
    """The first type one of whose patterns fits the service; the last one where none does."""
    whole = service.lower()
    name = whole.rpartition("/")[2]
    return next(
        (
            kind
            for kind in types
            if any(fnmatchcase(name, glob) or fnmatchcase(whole, glob) for glob in kind.patterns)
        ),
        types[-1],
    )
