"""Port conflicts, the range, the gateways, and the proposals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.containers import Inventory
from capacity.compliance import Facts, Status, propose_ports
from capacity.compliance._facts.port_claims import addresses_overlap, port_claims, port_conflicts
from capacity.model import Setting
from tests.fixtures.fleets.compliance_fleets import container, declared, found, live, rule, run


def published(*ports: tuple[str, int, str]) -> dict[str, Any]:
    """PortBindings of (address, host port, container port/protocol)."""
    bindings: dict[str, Any] = {}
    for address, port, target in ports:
        bindings.setdefault(target, []).append({"HostIp": address, "HostPort": str(port)})
    return {"PortBindings": bindings}


def service(name: str, *ports: str, more: str = "") -> str:
    """One service with ports in the short syntax."""
    listed = "".join(f"      - '{port}'\n" for port in ports)
    return f"  {name}:\n    image: house/{name}:1\n    ports:\n{listed}{more}"


@pytest.mark.parametrize(
    ("first", "other", "clash"),
    [
        ("8080:80", "8080:81", True),
        ("8080:80/tcp", "8080:80/udp", False),
        ("127.0.0.1:8080:80", "8080:81", True),
        ("127.0.0.1:8080:80", "127.0.0.2:8080:81", False),
        ("127.0.0.1:8080:80", "0.0.0.0:8080:81", True),
        ("[::1]:8080:80", "0.0.0.0:8080:81", False),
        ("127.0.0.1:8080:80", "[::]:8080:81", True),
        ("0.0.0.0:8080:80", "[::]:8080:81", True),
        ("8080-8085:80-85", "8083:81", True),
        ("8080-8085:80", "8083:81", False),  # the Engine takes another one of the range
        ("8080-8081:80", "8080:81", False),
        ("8080", "8080", False),  # published wherever there is room
    ],
)
def test_two_services(tmp_path: Path, first: str, other: str, clash: bool) -> None:
    """Ranges, protocols and addresses decide whether two claims can both be met."""
    facts = declared(tmp_path, a=service("one", first), b=service("two", other))
    failing = {
        subject
        for subject, status in found("port-conflicts", facts).items()
        if status is Status.FAIL
    }
    assert failing == ({"a/one", "b/two"} if clash else set())


def test_a_range_without_a_free_port_clashes(tmp_path: Path) -> None:
    """Every port of the range is held by somebody."""
    facts = declared(
        tmp_path, a=service("one", "8080-8081:80"), b=service("two", "8080:1", "8081:2")
    )
    assert found("port-conflicts", facts) == {"a/one": Status.FAIL, "b/two": Status.PASS}


def test_profiles_are_looked_at_and_may_be_alternatives(tmp_path: Path) -> None:
    """Services behind profiles count; two that no profile starts together may share a port."""
    dev, test = "    profiles: [dev]\n", "    profiles: [test]\n"
    facts = declared(
        tmp_path,
        a=service("one", "80:1", more=dev)
        + service("two", "80:1", more=test)
        + service("x", "81:1"),
    )
    assert set(found("port-conflicts", facts).values()) == {Status.PASS}
    assert found("port-range", facts)["a/one"] is Status.FAIL
    facts = declared(tmp_path, a=service("one", "80:1", more=dev) + service("two", "80:1"))
    assert found("port-conflicts", facts) == {"a/one": Status.FAIL, "a/two": Status.FAIL}


def test_replicas_fight_for_one_port(tmp_path: Path) -> None:
    """Two replicas cannot both publish one port; a range wide enough serves them."""
    replicas = "    deploy: {replicas: 2}\n"
    facts = declared(
        tmp_path,
        a=service("one", "8080:80", more=replicas) + service("two", "9000-9001:80", more=replicas),
    )
    assert found("port-conflicts", facts) == {"a/one": Status.FAIL, "a/two": Status.PASS}


def test_the_message_names_line_and_rival(tmp_path: Path) -> None:
    """The finding points at the port itself."""
    facts = declared(tmp_path, a=service("one", "9000:1", "8080:80"), b=service("two", "8080:80"))
    first, _ = run("port-conflicts", facts).failing()
    assert (first.line, first.verdict.message) == (7, "wants 8080/tcp, so does b/two with 8080/tcp")


def test_a_service_that_wants_one_port_for_two_of_its_own(tmp_path: Path) -> None:
    """It is its own rival, and each line names the other port."""
    failing = run(
        "port-conflicts", declared(tmp_path, a=service("one", "8080:80", "8080:81"))
    ).failing()
    assert [(finding.line, finding.verdict.message) for finding in failing] == [
        (6, "wants 8080/tcp, so does the same service for its port 81"),
        (7, "wants 8080/tcp, so does the same service for its port 80"),
    ]


def test_a_declared_port_and_another_containers(tmp_path: Path) -> None:
    """What runs holds its port against what is about to be started; a service's own container does
    not.
    """
    facts = live(
        container("two", "b", **published(("", 8080, "80/tcp"))),
        container("three", "c", **published(("127.0.0.1", 9000, "80/tcp"))),
        facts=declared(
            tmp_path, a=service("one", "8080:80"), c=service("three", "127.0.0.1:9000:80")
        ),
    )
    assert found("port-conflicts", facts) == {
        "a/one": Status.FAIL,
        "b/two": Status.FAIL,
        "c/three": Status.PASS,
    }


def test_hosts_keep_their_ports_apart(tmp_path: Path) -> None:
    """The same port on two hosts is no conflict."""
    facts = live(
        container("one", "a", **published(("", 8080, "80/tcp"))),
        container("two", "b", **published(("", 8080, "80/tcp"))),
        facts=declared(tmp_path, a=service("one", "8080:80"), b=service("two", "8080:80")),
    )
    assert set(found("port-conflicts", facts).values()) == {Status.FAIL}
    assert facts.inventory is not None
    apart = tuple(
        replace(container, host=container.project) for container in facts.inventory.containers
    )
    facts = replace(facts, inventory=Inventory(facts.inventory.hosts, apart))
    assert set(found("port-conflicts", facts).values()) == {Status.PASS}


def test_range_reserved_and_address(tmp_path: Path) -> None:
    """Gateways, told by name or image, keep what others must not have."""
    text = (
        service("web", "8080:80")
        + service("api", "127.0.0.1:10500:80")
        + service("kong", "80:8000", "8080:8080")
        + "  edge: {image: 'house/traefik:3', ports: ['8080-8081:8080-8081']}\n"
    )
    facts = declared(tmp_path, shop=text)
    for check in ("port-range", "port-reserved", "port-address"):
        statuses = {key: str(status) for key, status in found(check, facts).items()}
        assert statuses == {
            "shop/web": "fail",
            "shop/api": "pass",
            "shop/kong": "pass",
            "shop/edge": "pass",
        }, check


@pytest.mark.parametrize(
    ("port", "text"),
    [
        ("80", "80/tcp on a port that the Engine chooses"),
        ("0:80", "80/tcp on a port that the Engine chooses"),
        ("53/udp", "53/udp on a port that the Engine chooses"),
        ("0.0.0.0::80", "80/tcp on a port of 0.0.0.0 that the Engine chooses"),
        ("127.0.0.1::80", "80/tcp on a port of 127.0.0.1 that the Engine chooses"),
    ],
)
def test_a_port_that_the_engine_chooses(tmp_path: Path, port: str, text: str) -> None:
    """It is outside of any range, open to all without an address, and in nobody's way."""
    facts = declared(tmp_path, shop=service("web", "127.0.0.1:10000:1", port))
    (outside,) = run("port-range", facts).failing()
    assert outside.verdict.message == f"publishes {text}, outside 10000-10999"
    assert outside.line == 7
    said = [finding.verdict.message for finding in run("port-address", facts).failing()]
    wild = [f"publishes {text} on every address of the host"]
    assert said == ([] if "127.0.0.1" in port else wild)
    for check in ("port-conflicts", "port-reserved"):
        assert found(check, facts) == {"shop/web": Status.PASS}
    assert not propose_ports(facts, [rule("port-range")])


def test_moves_leave_one_and_the_gateways(tmp_path: Path) -> None:
    """The gateway keeps its port, the others get free ones of the range, the same ones at every
    run.
    """
    facts = declared(
        tmp_path,
        a=service("one", "8080:80") + service("two", "8080:80", "8080:80/udp"),
        b=service("kong", "8080:1"),
    )
    moves = propose_ports(facts, [rule("port-range")])
    assert [(move.service, move.old, move.protocol) for move in moves] == [
        ("a/one", 8080, "tcp"),
        ("a/two", 8080, "tcp+udp"),
    ]
    assert moves == propose_ports(facts, [rule("port-range")])
    assert all(move.new is not None and 10000 <= move.new <= 10999 for move in moves)
    assert [move.line for move in moves] == [6, 10]
    change = moves[0].change()
    assert change is not None
    assert (change.resource, change.before, change.after) == (Setting.HOST_PORT, 8080, moves[0].new)


def test_who_runs_keeps_the_port(tmp_path: Path) -> None:
    """A running container stays, whatever its name."""
    facts = live(
        container("zoo", "z", **published(("", 8080, "80/tcp"))),
        facts=declared(tmp_path, a=service("one", "8080:80")),
    )
    assert [move.service for move in propose_ports(facts)] == ["a/one"]


def test_one_more_service_moves_no_other(tmp_path: Path) -> None:
    """The proposal for a service depends on itself, not on who else is in conflict."""
    few = declared(tmp_path / "few", a=service("one", "8080:80") + service("two", "8080:80"))
    many = declared(
        tmp_path / "many",
        a=service("aaa", "8080:80") + service("one", "8080:80") + service("two", "8080:80"),
    )
    before = {move.service: move.new for move in propose_ports(few)}
    after = {move.service: move.new for move in propose_ports(many)}
    assert before["a/two"] == after["a/two"]


def test_a_full_range_gives_no_port(tmp_path: Path) -> None:
    """Where nothing is free the move says so and makes no change."""
    facts = declared(tmp_path, a=service("one", "8080:80", "10000:1") + service("two", "8080:80"))
    narrow = replace(
        rule("port-range"), parameters={"first": 10000, "last": 10000, "gateways": ("kong",)}
    )
    (move,) = propose_ports(facts, [narrow])
    assert (move.new, move.change()) == (None, None)


ADDRESSES = st.sampled_from(["", "0.0.0.0", "::", "127.0.0.1", "::1", "10.0.0.1"])
PORTS = st.tuples(ADDRESSES, st.integers(8080, 8084), st.sampled_from(["80/tcp", "80/udp"]))


@given(first=ADDRESSES, other=ADDRESSES)
def test_overlap_is_mutual(first: str, other: str) -> None:
    """Whoever stands in another's way has the other in his."""
    assert addresses_overlap(first, other) == addresses_overlap(other, first)
    assert addresses_overlap(first, first)


@given(ports=st.lists(PORTS, min_size=1, max_size=8))
def test_after_the_moves_nothing_clashes(ports: list[tuple[str, int, str]]) -> None:
    """Whatever runs, carrying out every proposal leaves no conflict."""
    fleet = [container(f"s{number}", **published(port)) for number, port in enumerate(ports)]
    facts = live(*fleet)
    moves = {(move.service, move.old): move.new for move in propose_ports(facts)}
    assert None not in moves.values()
    moved = [
        container(
            f"s{number}",
            **published((address, moves.get((f"shop/s{number}", port), port) or 0, target)),
        )
        for number, (address, port, target) in enumerate(ports)
    ]
    assert port_conflicts(port_claims(live(*moved))) == ()


def test_nothing_published_passes(tmp_path: Path) -> None:
    """A service without ports is in nobody's way; without services there is nothing to pass."""
    assert found("port-conflicts", declared(tmp_path, a="  one: {image: 'a:1'}\n")) == {
        "a/one": Status.PASS
    }
    assert found("port-conflicts", Facts()) == {"fleet": Status.NOT_EVALUATED}


@pytest.mark.parametrize(
    "line", ["network_mode: host", "deploy: {replicas: 0}", "scale: 0", "network_mode: 'service:b'"]
)
def test_what_publishes_nothing_is_in_nobodys_way(tmp_path: Path, line: str) -> None:
    """The ports stand in the file, and the Engine opens none."""
    facts = declared(
        tmp_path,
        shop=f"  a:\n    image: a:1\n    ports: ['10001:80']\n    {line}\n"
        "  b: {image: 'a:1', ports: ['10001:80']}\n",
    )
    assert set(found("port-conflicts", facts).values()) == {Status.PASS}


@pytest.mark.parametrize(
    ("image", "gateway"),
    [
        ("kong/kong-gateway:3.8", True),
        ("registry.example/mirror/kong-gateway-dev@sha256:0", True),
        ("rancher/mirrored-library-traefik:3", True),
        ("traefik/traefikee:v2", True),
        ("docker.io/library/traefik:v3", True),
        ("thomseddon/traefik-forward-auth:2", False),
        ("pantsel/konga:latest", False),
        ("kong-database:1", False),
    ],
)
def test_images_of_gateways(tmp_path: Path, image: str, gateway: bool) -> None:
    """Whatever their vendors call them; what only stands beside a gateway is none."""
    facts = declared(tmp_path, shop=f"  edge: {{image: '{image}', ports: ['8080:80']}}\n")
    status = Status.PASS if gateway else Status.FAIL
    assert found("port-reserved", facts) == {"shop/edge": status}
