"""What a YAML node means to Compose: the scalars of go-yaml v3, merge keys, duplicate keys.

go-yaml v3 reads `yes` and `no` as text, `0777` and `0o777` as octal, `1_000` as a thousand,
`2024-01-01` as a time and `22:22` as text, which is neither YAML 1.1 nor 1.2.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from typing import Any

from capacity._compose.yaml.nodes import Mapping, Node, Origin, Scalar, Sequence, target
from capacity._compose.yaml.timestamps import Timestamp, timestamp
from capacity.errors import ComposeError

__all__ = ["entries", "plain", "resolved", "scalar_value"]

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_SPECIAL = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INTEGERS = (
    (re.compile(r"[-+]?0[xX][0-9a-fA-F]+", re.ASCII), 16),
    (re.compile(r"[-+]?0[bB][01]+", re.ASCII), 2),
    (re.compile(r"[-+]?0[oO][0-7]+", re.ASCII), 8),
    (re.compile(r"[-+]?0[0-7]+", re.ASCII), 8),
    (re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII), 10),
)
_YAML = "tag:yaml.org,2002:"
_RESOLVED = frozenset({"int", "float", "bool", "null", "timestamp"})  # other tags make a text
_LARGEST = 2**64
_MOST_DIGITS = 300  # more are no number that a float could hold


def scalar_value(node: Scalar) -> Any:
    """The value go-yaml v3 gives a scalar: None, bool, int, float or str.

    Raises:
        ComposeError: binary that is none.
    """
    tag = (node.tag or "").removeprefix(_YAML).removeprefix("!!")
    if node.tag and tag in {"str", "!"}:
        return node.text
    if tag == "binary":
        return _decoded(node)
    if (tag or node.style) and tag not in _RESOLVED:
        return node.text
    value = resolved(node.text)
    if tag == "float" and isinstance(value, int):
        return float(value)
    return value


def _decoded(node: Scalar) -> str:
    """The text of base64, as go-yaml reads it."""
    try:
        return base64.b64decode("".join(node.text.split()), validate=True).decode()
    except ValueError as error:
        raise ComposeError(
            f"{node.origin}: {node.text!r} is no base64 text", "Remove the tag", origin=node.origin
        ) from error


def resolved(text: str) -> Any:
    """The value of a text without quotes and tag."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text.lower() in _SPECIAL and text[-3:] in {"inf", "Inf", "INF", "nan", "NaN", "NAN"}:
        return _SPECIAL[text.lower()]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if len(digits) > _MOST_DIGITS:
        return text
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(digits):
            number = int(re.sub(r"0[xXbBoO]", "", digits, count=1), base)
            return number if abs(number) < _LARGEST else float(number)
    if _FLOAT.fullmatch(digits) and math.isfinite(float(digits)):
        return float(digits)
    return timestamp(text) or text


def plain(node: Node | None) -> Any:
    """Dicts, lists and scalars of a node, aliases followed and merge keys applied; dates as they
    are written.

    Raises:
        ComposeError: a key twice in a mapping, a merge of something that is no mapping, an alias
            that contains itself.
    """
    return _plain_node(node, ())


def _plain_node(node: Node | None, above: tuple[int, ...]) -> Any:
    node = target(node)
    if node is None:
        return None
    if isinstance(node, Scalar):
        value = scalar_value(node)
        return node.text if isinstance(value, Timestamp) else value
    above = _deeper(node, above)
    if isinstance(node, Sequence):
        return [_plain_node(item, above) for item in node.items]
    return {name: _plain_node(value, above) for name, (_, value) in entries(node).items()}


def _deeper(node: Mapping | Sequence, above: tuple[int, ...]) -> tuple[int, ...]:
    if id(node) in above:
        raise ComposeError(
            f"{node.origin}: the alias contains itself", "Remove the alias", origin=node.origin
        )
    return (*above, id(node))


def entries(
    node: Mapping, is_kept: Callable[[Node], bool] = lambda _value: True
) -> dict[Any, tuple[Node, Node]]:
    """Key and value nodes of a mapping by the key's value: own keys first, then what merge keys
    bring.

    Args:
        node: the mapping.
        is_kept: whether a value counts; a key without one is left to what is merged.

    Raises:
        ComposeError: a key twice in a mapping, or a merge of something that is no mapping.
    """
    own: dict[Any, tuple[Node, Node]] = {}
    seen: dict[str, Origin] = {}
    merges: list[Node] = []
    for key, value in node.entries:
        scalar = _key(key)
        if scalar.text in seen:  # by its text: 1 and "1" are one key
            raise _twice(key.origin, scalar.text, seen[scalar.text])
        seen[scalar.text] = key.origin
        if not is_kept(value):
            continue
        if _is_merge(key):
            merges.append(value)
        else:
            own[scalar_value(scalar)] = (key, value)
    for merged in merges:
        for name, entry in _merged(merged, is_kept).items():
            own.setdefault(name, entry)
    return own


def _twice(origin: Origin, name: Any, first: Origin) -> ComposeError:
    return ComposeError(
        f"{origin}: the key {name!r} stands already in line {first.line}",
        "Keep one of them",
        origin=origin,
    )


def _is_merge(key: Node) -> bool:
    return (
        isinstance(key, Scalar)
        and key.text == "<<"
        and not key.style
        and key.tag in {None, f"{_YAML}merge", "!!merge"}
    )


def _key(key: Node) -> Scalar:
    node = target(key)
    if not isinstance(node, Scalar):
        raise ComposeError(
            f"{key.origin}: a list or a mapping cannot be a key",
            "Quote it if it is a template",
            origin=key.origin,
        )
    return node


def _merged(node: Node, is_kept: Callable[[Node], bool]) -> dict[Any, tuple[Node, Node]]:
    found = target(node)
    if isinstance(found, Mapping):
        return entries(found, is_kept)
    if isinstance(found, Sequence):
        together: dict[Any, tuple[Node, Node]] = {}
        for item in found.items:
            if not isinstance(target(item), Mapping):
                break
            for name, entry in _merged(item, is_kept).items():
                together.setdefault(name, entry)
        else:
            return together
    raise ComposeError(
        f"{node.origin}: a merge key needs a mapping or a list of mappings",
        "Correct the merge",
        origin=node.origin,
    )
