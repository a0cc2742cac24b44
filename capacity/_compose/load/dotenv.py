"""`.env` files and `env_file`s, read as Compose reads them."""

from __future__ import annotations

import collections.abc
import re
from pathlib import Path

from capacity._common.files import cause_of, read_bounded
from capacity._compose.load.interpolate import substitute
from capacity.errors import ComposeError

__all__ = ["read_env_file"]

_SPACE = " \t\v\f\r\x85\xa0"
_KEY = re.compile(r"(?P<name>[\w.\-\[\] \t\v\f\r\x85\xa0]*?)(?P<sign>[=:\n]|\Z)")
_ESCAPES = {
    "\\n": "\n",
    "\\r": "\r",
    "\\t": "\t",
    "\\a": "\a",
    "\\b": "\b",
    "\\f": "\f",
    "\\v": "\v",
    "\\\\": "\\",
    "\\$": "$$",
}
_OCTAL = re.compile(r"[0-3][0-7]{2}")
_ESCAPE = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")


def read_env_file(
    path: Path, variables: collections.abc.Mapping[str, str], form: str = ""
) -> dict[str, str]:
    """Variables of a file.

    Args:
        path: the file.
        variables: what its values may refer to; they win over its own.
        form: the `format` of an `env_file`: empty, or `raw` for values that stand as they are.

    Raises:
        ComposeError: unreadable, or not in the form `NAME=value`.
    """
    if form not in _FORMS:
        raise ComposeError(
            f"{path}: unsupported env_file format {form!r}", "Write format: raw, or remove it"
        )
    try:
        text = read_bounded(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeError(
            f"Cannot read the env file {path}: {cause_of(error)}",
            "Create it, or mark it `required: false`",
        ) from error
    try:
        return _FORMS[form](text, variables)
    except ValueError as error:
        raise ComposeError(f"{path}: {error}", "Write one NAME=value a line") from error


def _raw(text: str, variables: collections.abc.Mapping[str, str]) -> dict[str, str]:
    """As `docker run --env-file` reads them: no quotes, no variables, no comment behind a value."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        name, sign, value = line.lstrip().partition("=")
        if name.startswith("#") or not (name or sign):
            continue
        if not name:
            raise ValueError(f"line {number}: no variable name")
        if " " in name or "\t" in name:
            raise ValueError(f"line {number}: key cannot contain a space")
        if sign:
            found[name] = value
        elif name in variables:
            found[name] = variables[name]
    return found


def _parse(text: str, variables: collections.abc.Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = text.lstrip()
    while rest:
        if rest.startswith("#"):
            rest = rest.partition("\n")[2].lstrip()
            continue
        rest = re.sub(r"^export\s+", "", rest)
        line = text.count("\n", 0, len(text) - len(rest)) + 1
        match = _KEY.match(rest)
        if match is None:
            raise ValueError(f"line {line}: unexpected character in a variable name")
        name, sign, behind = match["name"].rstrip(), match["sign"], rest[match.end() :]
        if not sign:  # to Compose the last line, without a break, is the value of an empty name
            name, behind = "", rest
        if " " in name:
            raise ValueError(f"line {line}: key cannot contain a space")
        rest = behind.lstrip(_SPACE)
        if sign == "\n":
            if name in variables:
                found[name] = variables[name]
        else:
            found[name], rest = _value(rest, line, {**found, **variables})
        rest = rest.lstrip()
    return found


def _value(rest: str, line: int, known: dict[str, str]) -> tuple[str, str]:
    """A value and what comes behind it."""
    quote = rest[:1]
    if quote not in {"'", '"'}:
        value, _, rest = rest.partition("\n")
        return substitute(value.split(" #")[0].rstrip(), known), rest
    quoted = re.compile(rf"{quote}((?:\\.|[^{quote}\\])*){quote}", re.DOTALL).match(rest)
    if quoted is None:
        raise ValueError(f"line {line}: unterminated quoted value")
    value = quoted.group(1).replace("\\" + quote, quote)
    if quote == '"':
        value = substitute(_ESCAPE.sub(_unescape, value), known)
    return value, rest[quoted.end() :]


def _unescape(match: re.Match[str]) -> str:
    text = match.group()
    if not text.startswith("\\0"):
        return _ESCAPES.get(text, text)
    digits = text.removeprefix("\\0")
    return chr(int(digits, 8)) if _OCTAL.fullmatch(digits) else f"\\{digits}"


_FORMS = {"": _parse, "raw": _raw}
