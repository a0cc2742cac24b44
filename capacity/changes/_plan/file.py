"""`plan.yaml`: written with the same bytes for the same plan, read back with the place of whatever
is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from capacity._common.files import read_bounded, write_text
from capacity._common.plain_data import PlainMapping
from capacity._common.text.printable import visible
from capacity._common.text.yaml_text import yaml_text
from capacity._compose.yaml.written_out import place_of, read_written_out
from capacity.changes._plan.fields import MOST_CHANGES
from capacity.changes._plan.plan import Plan
from capacity.errors import InputError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["plan_text", "read_plan", "write_plan"]

_MOST_BYTES = 16 * 2**20
_MOST_EVENTS = 60 * MOST_CHANGES  # a change with ten numbers has fifty
_LONGEST_MESSAGE = 1000
_CONTROL = re.compile("[^\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\U0010ffff]")
_HEADER = "# Proposed limit changes. Nothing here has been applied. Delete what you do not want.\n"


def plan_text(plan: Plan) -> str:
    """The plan as YAML 1.2, under its warning for who reads it."""
    warning = plan.made_from.warning
    said = f"# {visible(warning)}.\n" if warning else ""
    return _HEADER + said + yaml_text(plan.model_dump(mode="json", by_alias=True))


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan.

    Args:
        plan: what to write.
        path: of the file.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, plan_text(plan))


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
    content = _parsed(text, path)
    try:
        return Plan.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        there = first["loc"][:-1] if first["type"] == "missing" else first["loc"]
        line = place_of(text, str(path), there, _MOST_EVENTS).line
        raise InputError(
            f"{path}:{line} is no plan: {_said(first, content)}",
            "Correct it, or make it again with a report",
        ) from None


def _parsed(text: str, path: Path) -> PlainMapping:
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
    content = read_written_out(text, str(path), _MOST_EVENTS)
    if not isinstance(content, Mapping):
        holds = "nothing" if content is None else "no mapping"
        raise InputError(f"{path} is no plan: it holds {holds}", "Name a plan.yaml of a report")
    return content


def _said(fault: ErrorDetails, content: PlainMapping) -> str:
    """A fault with its field; a change is named by its service."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["loc"][:1] == ("changes",) and len(fault["loc"]) > 1:
        changes: Any = content["changes"]
        with suppress(KeyError, TypeError, IndexError):
            where += f" (service {changes[fault['loc'][1]]['service']})"
    said = fault["msg"].removeprefix("Value error, ")
    # what is wrong with the whole has no place
    return visible(f"{where}: {said}" if where else said)[:_LONGEST_MESSAGE]
