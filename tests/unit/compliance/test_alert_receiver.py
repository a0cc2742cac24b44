"""The webhook receiver of a probe alert, and the sample's waivers."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from capacity._common.bundled import bundled
from capacity.compliance import load_waivers
from capacity.compliance._facts.alert_receiver import LABEL, open_receiver
from capacity.compliance._facts.probes import probe_delivery
from capacity.errors import InputError, WorkError
from tests.fixtures.running.servers import free_port


def post(port: int, body: bytes, **headers: str) -> int:
    """Status of a POST."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=body, headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=10
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_only_its_own_token_counts() -> None:
    """Other alerts and nonsense are taken and ignored."""
    port = free_port()
    with open_receiver(f"127.0.0.1:{port}") as receiver:
        assert post(port, b"nonsense") == 200
        assert post(port, json.dumps({"alerts": [{"labels": {LABEL: "other"}}]}).encode()) == 200
        assert not receiver.arrived.is_set()
        assert (
            post(
                port,
                json.dumps(
                    {"alerts": [{"labels": {}}, {"labels": {LABEL: receiver.token}}]}
                ).encode(),
            )
            == 200
        )
        assert receiver.arrived.is_set()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_endless_body_is_refused() -> None:
    """What says it is too long is not read."""
    port = free_port()
    with (
        open_receiver(f"127.0.0.1:{port}") as receiver,
        socket.create_connection(("127.0.0.1", port), timeout=5) as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in client.recv(100)
        assert not receiver.arrived.is_set()


def test_many_at_once() -> None:
    """Alertmanager may send in parallel."""
    port = free_port()
    with open_receiver(f"127.0.0.1:{port}"), ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: post(port, b"{}"), range(40))) == {200}


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"])
def test_what_is_no_address(address: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(InputError, match="no address"), open_receiver(address):
        pass


def test_a_taken_port() -> None:
    """It says so and names the option."""
    port = free_port()
    with (
        open_receiver(f"127.0.0.1:{port}"),
        pytest.raises(WorkError, match="Cannot listen"),
        open_receiver(f"127.0.0.1:{port}"),
    ):
        pass


def test_an_alertmanager_that_is_none() -> None:
    """Refused connections and odd addresses are findings, with no password in them."""
    delivery = probe_delivery(f"http://ann:pw@127.0.0.1:{free_port()}", "127.0.0.1:0", 1)
    assert delivery.error
    assert delivery.seconds is None
    assert "pw" not in f"{delivery}"


def test_the_samples_waivers_are_readable() -> None:
    """The example in data/ keeps to the format."""
    assert [waiver.owner for waiver in load_waivers(bundled("data/waivers.yaml"))] == [
        "platform team",
        "data team",
    ]
