"""Data as JSON and YAML have it: the type of what is read from a file or printed as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

__all__ = ["Plain", "PlainMapping"]

Plain: TypeAlias = "bool | int | float | str | Sequence[Plain] | PlainMapping | None"
"""A value at any depth; read only, so that a list of texts is one too."""

PlainMapping: TypeAlias = "Mapping[str, Plain]"
"""Values by their keys."""
