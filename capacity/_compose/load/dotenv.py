"""`.env` files and `env_file`s, read as Compose reads them."""

from __future__ import annotations

import collections.abc
import re
from pathlib import Path

from capacity._common.files import read_bounded
from capacity._compose.load.interpolate import substitute
from capacity.errors import ComposeError

__all__ = ["read_env_file"]

_SPACE = " \t\v\f\r\x85\xa0"
_KEY = re.compile(r"[\w.\-\[\] \t\v\f\r\x85\xa0]*?(?=[=:\n])")
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
_ESCAPE = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")


def read_env_file(path: Path, variables: collections.abc.Mapping[str, str]) -> dict[str, str]:
    """Variables of a file; `variables` are what its values may refer to, and win over its own.

    Raises:
        ComposeError: unreadable, or not in the form `NAME=value`.
    """
    try:
        text = read_bounded(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeError(
            f"Cannot read the env file {path}: {error}", "Create it, or mark it `required: false`"
        ) from error
    try:
        return _parse(text.replace("\r\n", "\n"), variables)
    except ValueError as error:
        raise ComposeError(f"{path}: {error}", "Write one NAME=value a line") from error


def _parse(text: str, variables: collections.abc.Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = text.lstrip()
    while rest:
        if rest.startswith("#"):
            rest = rest.partition("\n")[2].lstrip()
            continue
        rest = re.sub(r"^export\s+", "", rest)
        line = text.count("\n", 0, len(text) - len(rest)) + 1
        match = _KEY.match(rest + "\n")
        if match is None:
            raise ValueError(f"line {line}: unexpected character in a variable name")
        name, sign = match.group().rstrip(), (rest + "\n")[match.end()]
        if " " in name:
            raise ValueError(f"line {line}: key cannot contain a space")
        rest = rest[match.end() + 1 :].lstrip(_SPACE)
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
    if text.startswith("\\0") and len(text) == len("\\0123"):
        return chr(int(text, base=0))
    return _ESCAPES.get(text, text)
