"""`plan.yaml`: written with the same bytes for the same plan, read back with the place of whatever
is wrong.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from capacity._common.files import read_bounded, write_text
from capacity._common.text.printable import visible
from capacity._common.text.yaml_text import yaml_text
from capacity._compose.yaml.nodes import (
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    children,
    parse_documents,
)
from capacity._compose.yaml.values import plain
from capacity.changes._plan.fields import MOST_CHANGES
from capacity.changes._plan.plan import Plan
from capacity.errors import InputError

__all__ = ["plan_text", "read_plan", "write_plan"]

_MOST_BYTES = 16 * 2**20
_MOST_VALUES = 25 * MOST_CHANGES
_LONGEST_MESSAGE = 1000
_CONTROL = re.compile("[^\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\U0010ffff]")
_HEADER = "# Proposed limit changes. Nothing here has been applied. Delete what you do not want.\n"


def plan_text(plan: Plan, warning: str = "") -> str:
    """The plan as YAML 1.2, under a warning for who reads it."""
    said = f"# {visible(warning)}.\n" if warning else ""
    return _HEADER + said + yaml_text(plan.model_dump(mode="json", by_alias=True))


def write_plan(plan: Plan, path: Path, warning: str = "") -> None:
    """Write the plan.

    Args:
        plan: what to write.
        path: of the file.
        warning: a sentence without its full stop, for who reads the file.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, plan_text(plan, warning))


def read_plan(path: Path) -> Plan:
    """The plan in a file. It may come from anybody, so every field is checked here.

    Raises:
        InputError: unreadable, or not a plan; with file, line and field.
    """
    try:
        text = read_bounded(path, _MOST_BYTES).decode()
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}", "Name a plan.yaml of a report"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no YAML: {error}", "Correct the place named above") from error
    root = _parsed(text, path)
    try:
        return Plan.model_validate(plain(root), by_alias=True, by_name=False)
    except ValidationError as error:
        raise InputError(
            f"{_place(error, root, path)} is no plan: {_first(error, plain(root))}",
            "Correct it, or make it again with a report",
        ) from error


def _parsed(text: str, path: Path) -> Mapping:
    """The one mapping that a plan is, written out in full.

    Raises:
        InputError: it is something else.
    """
    hidden = _CONTROL.search(text)
    if hidden:
        line = text.count("\n", 0, hidden.start()) + 1
        raise InputError(
            f"{path}:{line} is no YAML: it holds the control character {visible(hidden.group())}",
            "Remove it",
        )
    if text.count("\n") + 2 * text.count(",") > _MOST_VALUES:  # three seconds for each 50,000
        raise InputError(
            f"{path} is no plan: it has more values than {MOST_CHANGES} changes have",
            "Split it, or make it again with a report",
        )
    documents = parse_documents(text, str(path))
    root = documents[0] if len(documents) == 1 else None
    if not isinstance(root, Mapping):
        empty = root is None or (isinstance(root, Scalar) and not root.text)
        raise InputError(
            f"{path} is no plan: it holds {'nothing' if empty else 'no mapping'}",
            "Name a plan.yaml of a report",
        )
    waiting: list[Node] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Alias) or node.anchor:
            raise InputError(
                f"{node.origin} is no plan: an anchor or an alias", "Write the value out"
            )
        waiting += children(node)
    return root


def _place(error: ValidationError, root: Mapping, path: Path) -> str:
    """File and line of the first fault, as near as the file has it."""
    node: Node = root
    for part in error.errors(include_url=False, include_input=False)[0]["loc"]:
        if isinstance(part, int) and isinstance(node, Sequence) and part < len(node.items):
            node = node.items[part]
        elif isinstance(node, Mapping) and (found := node.get(str(part))) is not None:
            node = found
    return f"{path}:{node.origin.line}"


def _first(error: ValidationError, content: Any) -> str:
    """The first fault with its field; a change is named by its service."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["loc"][:1] == ("changes",) and len(first["loc"]) > 1:
        try:
            where += f" (service {content['changes'][first['loc'][1]]['service']})"
        except (KeyError, TypeError, IndexError):
            where += ""
    said = first["msg"].removeprefix("Value error, ")
    # what is wrong with the whole has no place
    return visible(f"{where}: {said}" if where else said)[:_LONGEST_MESSAGE]
