"""Values as Compose's own types hold and print them: what a text, a size or a duration becomes, and
what is left out.

Compose is written in Go: an empty value is not printed unless a pointer holds it, and a struct is
printed even when empty.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from capacity._common.text.units import parse_memory
from capacity._compose.load.interpolate import NUMBER, TRUTHS
from capacity._compose.load.merge import go_text
from capacity._compose.load.normalize import key_values
from capacity._compose.load.short_syntax import parse_duration
from capacity._compose.render.shell_words import split_words
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Map
from capacity.errors import CapacityError, ComposeError

__all__ = [
    "Field",
    "FieldRule",
    "Misfit",
    "boolean",
    "duration",
    "each",
    "given",
    "go_text_of",
    "hosts",
    "integer",
    "labels",
    "listed",
    "names",
    "rate",
    "real",
    "scalars",
    "size",
    "structure",
    "texts",
    "texts_by_name",
    "unsigned",
    "variables",
    "words",
]

FieldRule = Callable[[Any], Any]
_DIGITS = 9  # as many as a float of 32 bits can need


class Field(NamedTuple):
    """How one key is printed; `given` ones are printed although they are empty, `always` ones even
    where nobody wrote them.
    """

    rule: FieldRule
    given: bool = False
    always: bool = False


class Misfit(Exception):
    """A value that Compose's type does not take: why, and where it stands below the place that
    reports it.
    """

    def __init__(self, error: CapacityError) -> None:
        super().__init__(error.message)
        self.error = error
        self.path: tuple[str, ...] = ()
        self.origin: Origin | None = None

    def below(self, name: str, origin: Origin | None) -> Misfit:
        """The same, seen from one step further up."""
        self.path = (name, *self.path)
        self.origin = self.origin or origin
        return self


def structure(fields: dict[str, Field]) -> FieldRule:
    """A mapping with known keys; Compose drops the others, which are extensions."""
    always = [name for name, known in fields.items() if known.always]

    def rule(value: Any) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, item in (value or {}).items():
            known = fields.get(name)
            if known is None or item is None:
                continue
            printed = _placed(known.rule, item, name, value.origin(name))
            if printed is not None and (
                known.given or known.always or printed not in ("", 0, [], {})
            ):
                result[name] = printed
        for name in always:
            if name not in result:
                result[name] = fields[name].rule(None)
        return result

    return rule


def _placed(rule: FieldRule, value: Any, name: str, origin: Origin | None) -> Any:
    try:
        return rule(value)
    except Misfit as misfit:
        raise misfit.below(name, origin) from misfit.error
    except CapacityError as error:
        raise Misfit(error).below(name, origin) from error


def names(rule: FieldRule) -> FieldRule:
    """A mapping of any names to values of one kind; nothing stays nothing."""

    def apply(value: Any) -> dict[str, Any]:
        return {
            name: None if item is None else _placed(rule, item, name, value.origin(name))
            for name, item in value.items()
        }

    return apply


def listed(rule: FieldRule) -> FieldRule:
    """A list of values of one kind."""

    def apply(value: Any) -> list[Any]:
        origins = getattr(value, "origins", [None] * len(value))
        return [
            _placed(rule, item, str(number), origins[number]) for number, item in enumerate(value)
        ]

    return apply


def each(rule: FieldRule, *names_: str) -> dict[str, Field]:
    """The same for several keys, left out when empty."""
    return dict.fromkeys(names_, Field(rule))


def given(rule: FieldRule, *names_: str) -> dict[str, Field]:
    """The same for several keys, printed once somebody wrote them."""
    return dict.fromkeys(names_, Field(rule, given=True))


def go_text_of(value: Any) -> str:
    """A text; a whole number becomes one."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ComposeError(f"{go_text(value)} is no text", "Quote it")


def texts_by_name(value: Any) -> dict[str, str]:
    """Texts by name; nothing is an empty one."""
    return {name: "" if item is None else go_text_of(item) for name, item in value.items()}


def texts(value: Any) -> list[str]:
    """A list of texts; one alone becomes a list."""
    return [value] if isinstance(value, str) else [go_text_of(item) for item in value]


def scalars(value: Any) -> list[str]:
    """A list of texts and numbers, printed as texts."""
    return [value] if isinstance(value, str) else [go_text(item) for item in value]


def boolean(value: Any) -> bool:
    """True or false, also `yes` and `off`."""
    found = TRUTHS.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ComposeError(f"{value!r} is neither true nor false", "Write true or false")
    return found


def integer(value: Any) -> int:
    """A whole number; what stands behind the point is dropped."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,19}", value):
        return int(value)
    return _whole(value)


def unsigned(value: Any) -> int:
    """A whole number from zero up, which may not be a text."""
    number = _whole(value)
    if number < 0:
        raise ComposeError(f"{number} is below zero", "Write a number from zero up")
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ComposeError(f"{value!r} is no whole number", "Write for example 3")
    return int(value)


def real(value: Any) -> float | int:
    """A number with the precision of 32 bits."""
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        raise ComposeError(f"{value!r} is no number", "Write for example 1.5")
    try:
        number = float(value)
        narrow = struct.unpack("f", struct.pack("f", number))[0]
    except (ValueError, OverflowError) as error:
        raise ComposeError(f"{value!r} is no number", "Write for example 1.5") from error
    if not math.isfinite(narrow):
        raise ComposeError(f"{value!r} is no finite number", "Write for example 1.5")
    candidates = (float(f"{narrow:.{digits}g}") for digits in range(1, _DIGITS + 1))
    shortest = next(
        short for short in candidates if struct.unpack("f", struct.pack("f", short))[0] == narrow
    )
    return int(shortest) if shortest.is_integer() else shortest


def size(value: Any) -> str | None:
    """Bytes as text, nothing for none; Compose takes a broken number for none."""
    count = rate(value)
    return None if count == "0" else count


def rate(value: Any) -> str:
    """Bytes as text, also zero."""
    if isinstance(value, str):
        return str(parse_memory(value))
    return str(value) if isinstance(value, int) else "0"


def duration(value: Any) -> str:
    """A duration as Go prints it, also zero."""
    return parse_duration(go_text(value))


def labels(value: Any) -> dict[str, str]:
    """Names and texts; a name alone has an empty text."""
    return dict(key_values(value, empty=""))


def variables(value: Any) -> dict[str, str | None]:
    """Names and texts; a name alone has none."""
    return dict(key_values(value))


def words(value: Any) -> list[str] | None:
    """A command as a list; none stays none, which is not the same as an empty one."""
    return (
        split_words(value)
        if isinstance(value, str)
        else None
        if value is None
        else [go_text_of(item) for item in value]
    )


def hosts(value: Any) -> list[str] | None:
    """`NAME=ADDRESS` in order, from a mapping or from items with `=` or `:`; nothing when there is
    no name.
    """
    if not value:
        return None
    found = (
        _host_entries(value) if isinstance(value, Map) else [_host(go_text(item)) for item in value]
    )
    for name, _ in found:
        if not name or set(name) & {":", "="}:
            raise ComposeError(f"bad host name {name!r}", "Write NAME=ADDRESS")
    return sorted(f"{name}={_bare(address)}" for name, addresses in found for address in addresses)


def _host_entries(value: Map) -> list[tuple[str, list[str]]]:
    return [
        (
            name,
            [go_text(part) for part in item]
            if isinstance(item, list)
            else ["" if item is None else go_text_of(item)],
        )
        for name, item in value.items()
    ]


def _host(item: str) -> tuple[str, list[str]]:
    name, sign, addresses = item.partition("=" if "=" in item else ":")
    if not sign:
        raise ComposeError(f"additional host {item!r} lacks an address", "Write NAME=ADDRESS")
    return name, addresses.split(",")


def _bare(address: str) -> str:
    return (
        address[1:-1] if len(address) > 2 and address[0] == "[" and address[-1] == "]" else address
    )
