"""Kubernetes' units in a compose file, `4Gi` for instance: found, explained and put right, every
other byte kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from capacity._compose.edit.reasons import EditReason, refuse
from capacity._compose.edit.verify import read, same, with_value
from capacity._compose.yaml.nodes import Mapping, Node, Scalar, target

__all__ = ["Correction", "correct_units"]

_PLACES = (
    ("deploy", "resources", "limits", "memory"),
    ("deploy", "resources", "reservations", "memory"),
    ("mem_limit",),
    ("mem_reservation",),
    ("memswap_limit",),
    ("shm_size",),
)
_KUBERNETES = re.compile(r"(\d+(?:\.\d+)?)([KMGTP])i")
_SHARED = re.compile(r"\$\{[^}]*\d[KMGTP]i\}")


@dataclass(frozen=True)
class Correction:
    """A size that Compose may not read; `new` is empty where a person has to put it right."""

    line: int
    service: str
    setting: str
    old: str
    new: str

    @property
    def text(self) -> str:
        """What is wrong, for people."""
        what = f"line {self.line}: {self.service} {self.setting}: {self.old!r} is a Kubernetes unit"
        return (
            f"{what}, which most builds of Compose refuse; {self.new!r} is the same size"
            if self.new
            else f"{what}; correct the variable by hand"
        )


def correct_units(text: str) -> tuple[str, list[Correction]]:
    """The text with sizes that Compose accepts, and what was wrong.

    Raises:
        EditRefused: no compose file, or the result would mean anything else than the same sizes.
    """
    file = read(text)
    found = list(_found(file.root))
    splices = sorted(
        {
            (node.start, node.end): correction.new for node, correction in found if correction.new
        }.items(),
        reverse=True,
    )
    new = text
    for (start, end), size in splices:
        new = new[:start] + _KUBERNETES.sub(size, new[start:end], count=1) + new[end:]
    intended = file.services
    for _, correction in found:
        if correction.new:
            path = (correction.service, *correction.setting.split("."))
            intended = with_value(intended, path, correction.new)
    if not same(intended, read(new).services):
        raise refuse(EditReason.NOT_EXACT)
    return new, [correction for _, correction in found]


def _found(root: Mapping) -> Iterator[tuple[Scalar, Correction]]:
    services = target(root.get("services"))
    for key, body in services.entries if isinstance(services, Mapping) else ():
        for path in _PLACES:
            node = _at(body, path)
            if not isinstance(node, Scalar) or not isinstance(key, Scalar):
                continue
            match = _KUBERNETES.fullmatch(node.text)
            if match or _SHARED.search(node.text):
                new = f"{match[1]}{match[2].lower()}" if match else ""
                yield node, Correction(node.origin.line, key.text, ".".join(path), node.text, new)


def _at(node: Node | None, path: tuple[str, ...]) -> Node | None:
    """The node at a path, aliases and merge keys followed."""
    found = target(node)
    for name in path:
        found = _child(found, name)
    return found


def _child(node: Any, name: str) -> Any:
    if not isinstance(node, Mapping):
        return None
    own = node.get(name)
    if own is not None:
        return target(own)
    merged = target(node.get("<<"))
    parts = (
        [merged]
        if isinstance(merged, Mapping)
        else [target(item) for item in getattr(merged, "items", ())]
    )
    return next((found for part in parts if (found := _child(part, name)) is not None), None)
