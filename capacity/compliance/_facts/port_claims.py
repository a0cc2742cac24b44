"""Who wants which port of the host, as declared and as running, and which claims cannot both be
met.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from capacity._compose import Origin
from capacity.compliance._facts.facts import Facts

__all__ = [
    "ANY_HOST",
    "PortClaim",
    "PortConflict",
    "addresses_overlap",
    "bad_ports",
    "blocking_claims",
    "port_claims",
    "port_conflicts",
]

_LARGEST_PORT = 65535
ANY_HOST = ""
"""The host of a declared service of which no container runs anywhere."""


@dataclass(frozen=True, slots=True)
class PortClaim:
    """A port of a host that a service wants.

    `first` and `last` are one port, or a range of which the Engine takes any; both are 0 where it
    takes any port that is free. `running` ones are of containers.
    """

    service: str
    host: str
    address: str
    first: int
    last: int
    protocol: str
    target: int
    running: bool
    replicas: int = 1
    profiles: tuple[str, ...] = ()
    origin: Origin | None = None
    container: str = ""

    @property
    def flexible(self) -> bool:
        """Whether the Engine may choose among several ports."""
        return self.last > self.first

    @property
    def ports(self) -> str:
        """The port or the range: `8080`, `8080-8085`."""
        return str(self.first) if not self.flexible else f"{self.first}-{self.last}"

    @property
    def text(self) -> str:
        """As people write it: `127.0.0.1:8080/tcp`."""
        ports = self.ports
        address = f"[{self.address}]" if ":" in self.address else self.address
        if not self.last:
            of_address = f" of {address}" if address else ""
            return f"{self.target}/{self.protocol} on a port{of_address} that the Engine chooses"
        return f"{address + ':' if address else ''}{ports}/{self.protocol}"

    @property
    def owner(self) -> str:
        """Who wants it, for messages."""
        return f"{self.service} (running on {self.host})" if self.running else self.service


@dataclass(frozen=True, slots=True)
class PortConflict:
    """A claim that cannot be met because of others; without others its own replicas fight for
    it.
    """

    claim: PortClaim
    others: tuple[PortClaim, ...]


def port_claims(facts: Facts) -> tuple[PortClaim, ...]:
    """All claims on host ports, declared ones first; a range that maps port by port is one claim a
    port.
    """
    return (*_declared(facts), *_live(facts))


def _declared(facts: Facts) -> Iterator[PortClaim]:
    for key, pair in facts.pairs:
        if not pair.service.replicas or _shares_network(pair.service.network_mode):
            continue
        for host in sorted({live.container.host for live in facts.running(key)}) or [ANY_HOST]:
            for number, port in enumerate(pair.service.ports):
                span = _ports(port.published or "0")
                if span is not None and port.mode in {"ingress", "host"}:
                    origin = pair.where(f"ports.{number}", "ports")
                    first, last = span
                    yield PortClaim(
                        service=key,
                        host=host,
                        address=port.host_ip,
                        first=first,
                        last=last,
                        protocol=port.protocol,
                        target=port.target,
                        running=False,
                        replicas=pair.service.replicas,
                        profiles=pair.service.profiles,
                        origin=origin,
                    )


def _shares_network(mode: str | None) -> bool:
    """Whether the ports are those of another network, so that the Engine discards its own. What has
    no network at all keeps its claims: they come true with the first network it gets.
    """
    return (mode or "").partition(":")[0] in {"host", "container", "service"}


def bad_ports(facts: Facts) -> Iterator[tuple[str, str, Origin | None]]:
    """Service, text and place of what is published and is no port; Compose leaves it to the Engine
    to refuse.
    """
    for key, pair in facts.pairs:
        for number, port in enumerate(pair.service.ports):
            if port.published and _ports(port.published) is None:
                yield key, port.published, pair.where(f"ports.{number}", "ports")


def _ports(text: str) -> tuple[int, int] | None:
    """First and last port of `8080` or `8080-8085`; None for anything else."""
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text, re.ASCII)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    return (first, last) if first <= last <= _LARGEST_PORT else None


def _live(facts: Facts) -> Iterator[PortClaim]:
    for key in facts.live:
        for member in facts.running(key):
            container = member.container
            if member.posture is not None and _shares_network(member.posture.network_mode):
                continue
            for port in container.ports:
                if port.host_port:
                    yield PortClaim(
                        service=key,
                        host=container.host,
                        address=port.host_ip,
                        first=port.host_port,
                        last=port.host_port,
                        protocol=port.protocol,
                        target=port.target,
                        running=True,
                        container=container.name,
                    )


def port_conflicts(wanted: Iterable[PortClaim]) -> tuple[PortConflict, ...]:
    """The claims that cannot all be met, each with those in its way; a service does not stand in
    its own containers' way.

    A range is in trouble only when others hold every port in it.
    """
    fixed: dict[tuple[int, str], list[PortClaim]] = defaultdict(list)
    wanted = [claim for claim in wanted if claim.first > 0]
    for claim in wanted:
        if not claim.flexible:
            fixed[claim.first, claim.protocol].append(claim)
    found = []
    for claim in wanted:
        held = {
            port: blocking_claims(claim, fixed.get((port, claim.protocol), ()))
            for port in range(claim.first, claim.last + 1)
        }
        free = sum(not others for others in held.values())
        if free >= claim.replicas or (claim.running and free):
            continue
        others = tuple(dict.fromkeys(other for port in held.values() for other in port))
        found.append(PortConflict(claim, others))
    return tuple(found)


def blocking_claims(claim: PortClaim, others: Iterable[PortClaim]) -> list[PortClaim]:
    """Those of others, on the same port and protocol, that cannot be met beside a claim."""
    return [
        other
        for other in others
        if other is not claim
        and not _same_thing(claim, other)
        and not _alternatives(claim, other)
        and (claim.host == other.host or ANY_HOST in {claim.host, other.host})
        and addresses_overlap(claim.address, other.address)
    ]


def _same_thing(claim: PortClaim, other: PortClaim) -> bool:
    """A declared port and the container that has it; or the containers of a service that the Engine
    already lets run.
    """
    return claim.service == other.service and (
        claim.running or other.running or claim.target == other.target
    )


def _alternatives(claim: PortClaim, other: PortClaim) -> bool:
    """Services of one project that no profile starts together."""
    same_project = claim.service.partition("/")[0] == other.service.partition("/")[0]
    both = bool(claim.profiles and other.profiles)
    return same_project and both and not {*claim.profiles} & {*other.profiles}


@cache
def addresses_overlap(first: str, other: str) -> bool:
    """Whether two host addresses share an address: empty is all; `::` is taken to include IPv4, as
    on most systems.
    """
    if first == other or not first or not other:
        return True
    try:
        addresses = ipaddress.ip_address(first), ipaddress.ip_address(other)
    except ValueError:
        return True  # what cannot be read must not look free
    wild = [address for address in addresses if address.is_unspecified]
    if not wild:
        return addresses[0] == addresses[1]
    return (
        any(address.version == 6 for address in wild)
        or addresses[0].version == addresses[1].version
    )
