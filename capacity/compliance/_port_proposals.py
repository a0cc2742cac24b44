"""Free ports for services that want one that is taken or not theirs: the same proposal at every
run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capacity.compliance._facts.facts import Facts
from capacity.compliance._facts.port_claims import (
    PortClaim,
    blocking_claims,
    port_claims,
    port_conflicts,
)
from capacity.compliance._rules.rules import Rule
from capacity.model import Change, Reason, Setting

__all__ = ["PortProposal", "propose_ports"]

_FIRST, _LAST, _GATEWAYS = 10000, 10999, ("kong", "traefik")


@dataclass(frozen=True, slots=True)
class PortProposal:
    """A service's port of the host that is to change; `new` is None where no port of the range is
    free.

    `protocol` is `tcp`, `udp` or both joined by a plus; file and line are those of the compose
    file, empty and 0 without one.
    """

    service: str
    old: int
    new: int | None
    protocol: str
    file: str
    line: int
    reason: str

    def change(self) -> Change | None:
        """The change of the plan; None without a free port."""
        if self.new is None:
            return None
        return Change(
            self.service,
            Setting.HOST_PORT,
            float(self.old),
            float(self.new),
            Reason.PORT_CONFLICT,
            {},
        )


def propose_ports(facts: Facts, rules: Iterable[Rule] = ()) -> tuple[PortProposal, ...]:
    """A free port for every service that must give way in a conflict.

    Gateways keep their ports; else who runs with it now keeps it, else the first by name. The new
    port lies in the range of the `port-range` rule, at a place that depends on the service and its
    old port alone, or the next free one above.

    Args:
        facts: projects, containers, or both.
        rules: where the range and the gateways are taken from; without such a rule 10000-10999,
            kong and traefik.
    """
    range_rule = next((rule for rule in rules if rule.check == "port-range"), None)
    settings = range_rule.parameters if range_rule else {}
    first, last = _port(settings.get("first"), _FIRST), _port(settings.get("last"), _LAST)
    gateways = settings.get("gateways")
    wanted = port_claims(facts)
    leaving = _who_gives_way(facts, wanted, gateways if isinstance(gateways, tuple) else _GATEWAYS)
    taken = {
        port
        for claim in wanted
        if claim not in leaving
        for port in range(claim.first, claim.last + 1)
    }
    moves: dict[tuple[str, int], PortProposal] = {}
    for claim in sorted(
        leaving, key=lambda wanted: (wanted.service, wanted.first, wanted.protocol, wanted.running)
    ):
        place = (claim.service, claim.first)
        if place in moves:
            moves[place] = _merged(moves[place], claim)
            continue
        new = _free(f"{claim.service}:{claim.first}", first, last, taken)
        if new is not None:
            taken.add(new)
        where = (claim.origin.file, claim.origin.line) if claim.origin else ("", 0)
        moves[place] = PortProposal(
            claim.service, claim.first, new, claim.protocol, *where, leaving[claim]
        )
    return tuple(moves.values())


def _who_gives_way(
    facts: Facts, wanted: Sequence[PortClaim], gateways: Sequence[str]
) -> dict[PortClaim, str]:
    """Claim -> reason, for every claim on one port that has to move so that the others can stay."""
    from capacity.compliance._checks.ports import is_gateway

    leaving: dict[PortClaim, str] = {}
    fighting = [clash.claim for clash in port_conflicts(wanted) if not clash.claim.flexible]

    def standing(claim: PortClaim) -> tuple[bool, bool, str, int]:
        return (
            not is_gateway(facts, claim.service, gateways),
            not claim.running,
            claim.service,
            claim.target,
        )

    staying: dict[tuple[int, str], list[PortClaim]] = {}
    for claim in sorted(fighting, key=standing):
        there = staying.setdefault((claim.first, claim.protocol), [])
        stronger = blocking_claims(claim, there)
        if not stronger:
            there.append(claim)
        elif not is_gateway(facts, claim.service, gateways):
            leaving[claim] = f"{claim.text} stays with {stronger[0].service}"
    reasons = {
        (claim.service, claim.first, claim.last): reason for claim, reason in leaving.items()
    }
    for claim in wanted:  # a container and its declaration move together
        if (claim.service, claim.first, claim.last) in reasons:
            leaving.setdefault(claim, reasons[claim.service, claim.first, claim.last])
    return leaving


def _port(said: object, default: int) -> int:
    return said if isinstance(said, int) else default


def _merged(move: PortProposal, claim: PortClaim) -> PortProposal:
    protocols = "+".join(sorted({*move.protocol.split("+"), claim.protocol}))
    file, line = (
        (move.file, move.line)
        if move.file
        else ((claim.origin.file, claim.origin.line) if claim.origin else ("", 0))
    )
    return PortProposal(move.service, move.old, move.new, protocols, file, line, move.reason)


def _free(name: str, first: int, last: int, taken: set[int]) -> int | None:
    size = last - first + 1
    start = zlib.crc32(name.encode()) % size
    ports = (first + (start + step) % size for step in range(size))
    return next((port for port in ports if port not in taken), None)
