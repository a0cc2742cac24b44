"""Variables in values: `$VAR`, `${VAR}` and its defaults, alternatives and demands, nested, as
Compose substitutes them.
"""

from __future__ import annotations

import collections.abc
import re
from dataclasses import dataclass, field
from typing import Any

from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Items, Map, Path
from capacity.errors import ComposeError

__all__ = ["NUMBER", "TRUTHS", "interpolate", "substitute"]

Variables = collections.abc.Mapping[str, str]
_NAME = re.compile(r"[_a-z][_a-z0-9]*", re.IGNORECASE | re.ASCII)
_OPERATORS = (":?", ":-", ":+", "?", "-", "+")
_DIGITS = "[0-9](?:_?[0-9])*"
NUMBER = re.compile(rf"[+-]?({_DIGITS}(\.({_DIGITS})?)?|\.{_DIGITS})([eE][+-]?{_DIGITS})?")
"""How Go writes a decimal number."""
_DEEPEST = 100
_INTEGER, _NUMBER, _BOOLEAN = "whole number", "number", "boolean"


def _paths(kind: str, prefix: Path, *names: str) -> dict[Path, str]:
    return {(*prefix, *name.split(".")): kind for name in names}


_SERVICE = ("services", "*")
_CASTS: dict[Path, str] = {
    ("configs", "*", "mode"): _INTEGER,
    **_paths(
        _INTEGER,
        _SERVICE,
        "cpu_count",
        "cpu_period",
        "cpu_quota",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "cpu_shares",
    ),
    **_paths(
        _INTEGER,
        _SERVICE,
        "deploy.replicas",
        "deploy.update_config.parallelism",
        "deploy.rollback_config.parallelism",
    ),
    **_paths(
        _INTEGER,
        _SERVICE,
        "deploy.restart_policy.max_attempts",
        "deploy.placement.max_replicas_per_node",
    ),
    **_paths(
        _INTEGER,
        _SERVICE,
        "healthcheck.retries",
        "oom_score_adj",
        "pids_limit",
        "ports.[].target",
        "scale",
    ),
    **_paths(
        _INTEGER,
        _SERVICE,
        "secrets.[].mode",
        "configs.[].mode",
        "ulimits.*",
        "ulimits.*.hard",
        "ulimits.*.soft",
    ),
    **_paths(_NUMBER, _SERVICE, "cpu_percent", "cpus", "deploy.update_config.max_failure_ratio"),
    **_paths(_NUMBER, _SERVICE, "deploy.rollback_config.max_failure_ratio"),
    **_paths(
        _BOOLEAN,
        _SERVICE,
        "init",
        "healthcheck.disable",
        "oom_kill_disable",
        "privileged",
        "read_only",
        "stdin_open",
        "tty",
    ),
    **_paths(_BOOLEAN, _SERVICE, "volumes.[].read_only", "volumes.[].volume.nocopy"),
    **_paths(
        _BOOLEAN,
        ("networks", "*"),
        "external",
        "internal",
        "attachable",
        "enable_ipv4",
        "enable_ipv6",
    ),
    **_paths(_BOOLEAN, ("volumes", "*"), "external"),
    **_paths(_BOOLEAN, ("secrets", "*"), "external"),
    **_paths(_BOOLEAN, ("configs", "*"), "external"),
}
TRUTHS = {
    "true": True,
    "y": True,
    "yes": True,
    "on": True,
    "false": False,
    "n": False,
    "no": False,
    "off": False,
}


@dataclass(slots=True)
class _Cast:
    """What a text becomes at one path, and at the paths below it."""

    kind: str | None = None
    below: dict[str, _Cast] = field(default_factory=dict)

    def at(self, name: str) -> _Cast | None:
        """The same one step down."""
        return self.below.get(name) or self.below.get("*")


def _tree() -> _Cast:
    root = _Cast()
    for path, kind in _CASTS.items():
        place = root
        for name in path:
            place = place.below.setdefault(name, _Cast())
        place.kind = kind
    return root


def interpolate(
    value: Any, variables: Variables, path: Path = (), origin: Origin | None = None
) -> Any:
    """The model with variables put in, and texts turned into the numbers and booleans that Compose
    expects in their places.

    Raises:
        ComposeError: a bad template, a demanded variable that is missing, a text that is not the
            number it must be.
    """
    return _filled(value, variables, path, origin, _ROOT)


def _filled(
    value: Any, variables: Variables, path: Path, origin: Origin | None, cast: _Cast | None
) -> Any:
    if isinstance(value, Map):
        filled = {
            name: _filled(
                item, variables, (*path, name), value.origin(name), cast and cast.at(name)
            )
            for name, item in value.items()
        }
        return Map(filled, value.origins)
    if isinstance(value, Items):
        below = cast and cast.at("[]")
        items = [
            _filled(item, variables, (*path, "[]"), at, below)
            for item, at in zip(value, value.origins, strict=True)
        ]
        return Items(items, value.origins)
    if not isinstance(value, str):
        return value
    try:
        text = substitute(value, variables) if "$" in value else value
        return text if cast is None or cast.kind is None else _converted(text, cast.kind)
    except ValueError as error:
        raise ComposeError(
            f"{origin or '.'.join(path)}: {'.'.join(path)}: {error}",
            "Set the variable, or write $$ for a dollar sign",
            origin=origin,
        ) from error


def _converted(text: str, kind: str) -> Any:
    if kind == _BOOLEAN and text.lower() in TRUTHS:
        return TRUTHS[text.lower()]
    if kind == _INTEGER and re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return int(text)
    if kind == _NUMBER and NUMBER.fullmatch(text):
        return float(text.replace("_", ""))
    raise ValueError(f"{text!r} is no {kind}")


_ROOT = _tree()


def substitute(text: str, variables: Variables) -> str:
    """A text with its variables put in.

    Raises:
        ValueError: a bad template or a demanded variable that is missing.
    """
    parts: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        parts.append(text[position:dollar])
        value, position = _variable(text, dollar + 1, variables)
        parts.append(value)
    return "".join([*parts, text[position:]])


def _variable(text: str, position: int, variables: Variables) -> tuple[str, int]:
    """What stands for the variable that begins behind a dollar sign, and where the text goes on."""
    if text.startswith("$", position):
        return "$", position + 1
    named = _NAME.match(text, position)
    if named:
        return variables.get(named.group(), ""), named.end()
    named = _NAME.match(text, position + 1) if text.startswith("{", position) else None
    if named is None:
        if not text.startswith("{", position):
            return "$", position  # a lone dollar sign stays
        raise ValueError(f"invalid interpolation format in {text!r}")
    end = _closing(text, position)
    rest = text[named.end() : end]
    operator = next((operator for operator in _OPERATORS if rest.startswith(operator)), None)
    if rest and operator is None:
        raise ValueError(f"invalid interpolation format in {text!r}")
    return _braced(named.group(), operator, rest[len(operator or "") :], variables), end + 1


def _closing(text: str, position: int) -> int:
    depth = 0
    for index in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
        if depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} braces stand in each other")
        if text[index] == "\n":  # Compose looks for the end in the same line
            break
    line = text[position:].partition("\n")[0]
    if "}" not in line:
        raise ValueError(f"invalid interpolation format in {text!r}")
    return position + line.rindex("}")  # an opening one too many belongs to the word


def _braced(name: str, operator: str | None, word: str, variables: Variables) -> str:
    value = variables.get(name)
    if operator is None:
        return value or ""
    word = substitute(word, variables)
    given = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return word if given else (value or "")
    if given:
        return value or ""
    if operator.endswith("?"):
        raise ValueError(f"required variable {name} is missing a value: {word}")
    return word
