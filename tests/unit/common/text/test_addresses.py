"""Addresses of servers as people write them."""

from __future__ import annotations

import pytest

from capacity._common.text.addresses import with_scheme


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("host:9090", "http://host:9090"),
        ("10.0.0.1:9090/prom", "http://10.0.0.1:9090/prom"),
        ("[::1]:9090", "http://[::1]:9090"),
        ("https://host:9090", "https://host:9090"),
        ("sample", "sample"),
        ("dock1-prometheus-de92471e", "dock1-prometheus-de92471e"),
        ("host", "host"),
        ("a b:90", "a b:90"),
    ],
)
def test_a_host_and_its_port_are_an_address(written: str, meant: str) -> None:
    """Names of sources in the archive, and what is no address, stay as they are."""
    assert with_scheme(written) == meant
