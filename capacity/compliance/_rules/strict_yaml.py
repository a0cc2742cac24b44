"""Reading people's YAML strictly: known names only, the right kind of value, file and line in every
error.
"""

from __future__ import annotations

from collections.abc import Collection

from capacity._common.plain_data import PlainMapping
from capacity._compose.yaml.nodes import Mapping, Node, Sequence, parse_documents, target
from capacity._compose.yaml.values import entries, plain
from capacity.errors import InputError

__all__ = ["MOST_OF_A_BOOK", "StrictMapping", "read_items", "read_mapping"]

MOST_OF_A_BOOK = 2**22
"""Bytes of a rule book, or of waivers."""

_HINT = "See docs/reference/rules.md for what may stand there"


class StrictMapping:
    """A mapping of a YAML file whose every wrong word is an error with its place."""

    def __init__(self, node: Node, known: Collection[str], what: str) -> None:
        found = target(node)
        if not isinstance(found, Mapping):
            raise InputError(f"{node.origin}: {what} must be a mapping", _HINT)
        self.what = what
        self.origin = node.origin
        self._nodes = {str(name): value for name, (_, value) in entries(found).items()}
        for name, (key, _) in entries(found).items():
            if name not in known:
                raise InputError(
                    f"{key.origin}: {what} knows no key {name!r}", f"Use one of {', '.join(known)}"
                )

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def node(self, name: str) -> Node:
        """The node of a key that must be there."""
        if name not in self._nodes:
            raise InputError(f"{self.origin}: {self.what} lacks {name}", _HINT)
        return self._nodes[name]

    def text(self, name: str) -> str:
        """A text that is not empty, its line breaks made spaces."""
        value = plain(self.node(name))
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(name, "must be a text")
        return " ".join(value.split())

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts with at least one in it; nothing at all when the key is not there."""
        if name not in self._nodes:
            return ()
        value = plain(self.node(name))
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(item, str) and item.strip() for item in value)
        ):
            raise self.wrong(name, "must be a list of texts")
        return tuple(value)

    def mapping(self, name: str) -> PlainMapping:
        """A mapping with texts as keys; empty when the key is not there."""
        value = plain(self.node(name)) if name in self._nodes else {}
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.wrong(name, "must be a mapping")
        return value

    def wrong(self, name: str, cause: str, hint: str = _HINT) -> InputError:
        """The error that names a key's place."""
        return InputError(f"{self._nodes[name].origin}: {name} {cause}", hint)


def read_mapping(text: str, file: str, known: Collection[str], what: str) -> StrictMapping:
    """The one document of a text as a strict mapping.

    Raises:
        InputError: no YAML, more or less than one document, no mapping, an unknown key.
    """
    documents = parse_documents(text, file)
    if not documents:
        raise InputError(
            f"{file}: {what} must be one YAML document, not none", "Fill it in, or leave it out"
        )
    if len(documents) != 1:
        raise InputError(
            f"{file}: {what} must be one YAML document, not {len(documents)}", "Remove the others"
        )
    return StrictMapping(documents[0], known, what)


def read_items(
    fields: StrictMapping, name: str, known: Collection[str], what: str
) -> list[StrictMapping]:
    """The mappings in the list under a key.

    Raises:
        InputError: no list, or an item that is no such mapping.
    """
    node = target(fields.node(name))
    if not isinstance(node, Sequence):
        raise fields.wrong(name, "must be a list")
    return [StrictMapping(item, known, what) for item in node.items]
