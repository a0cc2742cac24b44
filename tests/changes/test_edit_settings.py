"""`capacity.changes.edit_compose` beyond limits: reservations, environment, health check, ports."""

from __future__ import annotations

from typing import Any

import pytest

from capacity.changes import EditReason, EditRefused, edit_compose
from tests.changes.compose_texts import load

TEXT = """services:
  web:
    image: nginx
    environment:
      - MODE=fast
      - "QUOTED=a b"
    ports:
      - "8080:80"
      - 127.0.0.1:9000:90/udp
      - target: 70
        published: 7000
  db:
    image: redis
    environment:
      A: 1
"""


def body(edited: str, service: str = "web") -> Any:
    """One service of the edited file."""
    return load(edited)["services"][service]


def test_reservations_beside_limits() -> None:
    """Both are written into one new block."""
    edited = body(edit_compose(TEXT, {"web": {"memory": 2**32, "cpus": 4, "memory_reservation": 2**31, "cpus_reservation": 2}}))
    assert edited["deploy"]["resources"] == {
        "limits": {"cpus": "4", "memory": "4g"},
        "reservations": {"cpus": "2", "memory": "2g"},
    }


def test_environment_as_list_and_as_mapping() -> None:
    """Present names are changed in place, new ones appended, dollar signs escaped."""
    wanted = {"environment": {"MODE": "slow", "NEW": "a$b"}}
    assert body(edit_compose(TEXT, {"web": wanted}))["environment"] == ["MODE=slow", "QUOTED=a b", "NEW=a$$b"]
    assert body(edit_compose(TEXT, {"db": wanted}), "db")["environment"] == {"A": 1, "MODE": "slow", "NEW": "a$$b"}


def test_a_new_environment() -> None:
    """Where there is none, a mapping is written."""
    edited = edit_compose("services:\n  a:\n    image: a\n", {"a": {"environment": {"OLLAMA_NUM_PARALLEL": 2}}})
    assert edited == 'services:\n  a:\n    image: a\n    environment:\n      OLLAMA_NUM_PARALLEL: "2"\n'


def test_ports_keep_everything_but_the_published_one() -> None:
    """Short, with address and protocol, and long."""
    edited = body(edit_compose(TEXT, {"web": {"ports": {8080: 18080, "9000": 19000, 7000: 17000}}}))
    assert edited["ports"] == ["18080:80", "127.0.0.1:19000:90/udp", {"target": 70, "published": 17000}]


def test_health_check() -> None:
    """A new one is written as given."""
    check = {"test": ["CMD", "curl", "-f", "http://localhost"], "interval": "30s", "retries": 3}
    assert body(edit_compose(TEXT, {"web": {"healthcheck": check}}))["healthcheck"] == check


def test_service_keys() -> None:
    """What has no place under deploy is a key of the service."""
    edited = body(edit_compose(TEXT, {"web": {"cpuset": "0,1", "restart": "no", "memswap": -1}}))
    assert (edited["cpuset"], edited["restart"], edited["memswap_limit"]) == ("0,1", "no", -1)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"ports": {1: 2}}, EditReason.SHAPE),
        ({"ports": {8080: 99999}}, EditReason.BAD_VALUE),
        ({"environment": {}}, EditReason.BAD_VALUE),
        ({"environment": {"A B": "x"}}, EditReason.BAD_VALUE),
        ({"healthcheck": {"nonsense": 1}}, EditReason.BAD_VALUE),
        ({"pids": 0}, EditReason.BAD_VALUE),
        ({"restart": ""}, EditReason.BAD_VALUE),
    ],
)
def test_refusals(wanted: dict[str, Any], reason: EditReason) -> None:
    """Values that make no sense are refused."""
    with pytest.raises(EditRefused) as refused:
        edit_compose(TEXT, {"web": wanted})
    assert refused.value.reason is reason
