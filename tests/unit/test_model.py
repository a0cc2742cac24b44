"""`capacity.model`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capacity.model import Reason, Resource, ServiceKey, Signal


@given(st.text().filter(lambda text: "/" not in text), st.text())
def test_a_service_key_reads_back(project: str, service: str) -> None:
    """Only the first slash separates, so services may have slashes in their names."""
    key = ServiceKey(project, service)
    assert ServiceKey.parse(str(key)) == key


def test_a_name_without_a_project_stands_alone() -> None:
    """A container outside Compose has the project `standalone`."""
    assert str(ServiceKey.parse("redis")) == "standalone/redis"


def test_every_resource_has_its_signals() -> None:
    """Usage and limit of each resource are signals."""
    assert {resource.usage for resource in Resource} == {Signal.CPU, Signal.MEMORY}
    assert {resource.limit for resource in Resource} == {Signal.CPU_LIMIT, Signal.MEMORY_LIMIT}


def test_every_reason_is_a_sentence() -> None:
    """Each reason has a text for people."""
    assert all(reason.text.endswith(".") for reason in Reason)
