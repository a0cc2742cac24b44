"""Ports of the host: conflicts, the allocated range, the gateways' port, addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from capacity.compliance._facts.facts import Facts
from capacity.compliance._facts.port_claims import PortClaim, bad_ports, port_claims, port_conflicts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed

__all__ = ["is_gateway"]

PortNumber = Annotated[int, Field(ge=1, le=65535)]
Globs = Annotated[tuple[str, ...], Field(min_length=1)]
GATEWAYS = ("kong", "traefik")
_VENDORS = {
    "kong": ("kong-gateway*", "kong-enterprise*", "mirrored-*kong"),
    "traefik": ("traefikee*", "traefik-hub*", "mirrored-*traefik", "*-traefik-ee"),
}
"""Gateway -> other names of its images."""
_SHOWN = 3


def is_gateway(facts: Facts, key: str, gateways: Iterable[str]) -> bool:
    """Whether a service is a gateway: one of the globs fits its name, or the last part of its
    image's, or the image is one that a gateway's vendor gives another name.
    """
    images = {_plain(image) for image in facts.images(key)}
    names = {key.partition("/")[2].lower(), *images}
    wanted = tuple(gateways)
    vendors = [glob for gateway in wanted for glob in _VENDORS.get(gateway, ())]
    return any(fnmatchcase(name, glob) for name in names for glob in wanted) or any(
        fnmatchcase(image, glob) for image in images for glob in vendors
    )


def _plain(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()


def evidence_of(claim: PortClaim, threshold: str) -> Evidence:
    """Where a claim stands: its line in the compose file, or its container."""
    if claim.running:
        look = f"docker port {claim.container}"
        return Evidence(value=claim.text, threshold=threshold, query=look, host=claim.host)
    return Evidence.at(claim.origin, claim.text, threshold)


def _every(
    facts: Facts, faults: dict[PortClaim, str], threshold: str, good: str
) -> Iterator[Verdict]:
    """A failure for each claim with a fault, a pass for every other service."""
    for claim, fault in faults.items():
        yield failed(claim.service, fault, evidence_of(claim, threshold), (claim.ports,))
    broken = {claim.service for claim in faults}
    for key in sorted({*facts.declared, *facts.live} - broken):
        service = facts.declared.get(key)
        where = (
            Evidence.at(service.where("ports"), "", threshold)
            if service
            else Evidence(threshold=threshold)
        )
        yield passed(key, good, where)


@check("port-conflicts", "files", "engine")
def no_port_conflicts(facts: Facts) -> Iterator[Verdict]:
    """No two services want one port of a host: across running containers, across compose files, and
    between both.
    """
    for key, text, origin in bad_ports(facts):
        shown = Evidence.at(origin, text, "8080, or 8080-8085")
        yield failed(key, f"publishes {text!r}, which is no port", shown, (str(text),))
    faults = {}
    for clash in port_conflicts(port_claims(facts)):
        names = list(dict.fromkeys(_rival(clash.claim, other) for other in clash.others))
        cause = (
            f"so does {_some(names)}"
            if names
            else f"and so do all {clash.claim.replicas} of its replicas"
        )
        faults[clash.claim] = f"wants {clash.claim.text}, {cause}"
    yield from _every(facts, faults, "one service a port", "shares no host port")


def _rival(claim: PortClaim, other: PortClaim) -> str:
    if other.service == claim.service:
        return f"the same service for its port {other.target}"
    return f"{other.owner} with {other.text}"


def _some(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (
        f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    )


@check("port-range", "files", "engine")
def port_range(
    facts: Facts, *, first: PortNumber = 10000, last: PortNumber = 10999, gateways: Globs = GATEWAYS
) -> Iterator[Verdict]:
    """Published ports lie in the range allocated to services; gateways keep the well-known
    ones.
    """
    if last < first:
        raise ValueError(f"the range ends at {last}, before it begins at {first}")
    faults = {
        claim: f"publishes {claim.text}, outside {first}-{last}"
        for claim in port_claims(facts)
        if not (first <= claim.first and claim.last <= last)
        and not is_gateway(facts, claim.service, gateways)
    }
    yield from _every(facts, faults, f"{first}-{last}", "publishes nothing outside the range")


@check("port-reserved", "files", "engine")
def port_reserved(
    facts: Facts, *, port: PortNumber = 8080, gateways: Globs = GATEWAYS
) -> Iterator[Verdict]:
    """A well-known port of the host belongs to the gateways alone."""
    faults = {
        claim: f"publishes {claim.text}; {port} belongs to {', '.join(gateways)}"
        for claim in port_claims(facts)
        if claim.first <= port <= claim.last and not is_gateway(facts, claim.service, gateways)
    }
    yield from _every(facts, faults, f"{port} for gateways only", f"does not publish {port}")


@check("port-address", "files", "engine")
def port_address(facts: Facts, *, gateways: Globs = GATEWAYS) -> Iterator[Verdict]:
    """Ports are published on a named address of the host, not on all; gateways are there to be
    reached.
    """
    faults = {
        claim: f"publishes {claim.text} on every address of the host"
        for claim in port_claims(facts)
        if _is_wild(claim.address) and not is_gateway(facts, claim.service, gateways)
    }
    yield from _every(facts, faults, "a named address", "publishes on named addresses only")


def _is_wild(address: str) -> bool:
    try:
        return not address or ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False
