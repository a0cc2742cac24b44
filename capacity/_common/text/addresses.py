"""Addresses of servers as people write them."""

from __future__ import annotations

import re

__all__ = ["with_scheme"]

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}(/\S*)?")


def with_scheme(address: str) -> str:
    """The address with `http://` where only a host and its port were given; else as it is."""
    return f"http://{address}" if _HOST_AND_PORT.fullmatch(address) else address
