"""`plan.yaml`: written with the same bytes for the same plan, read back with the place of whatever
is wrong.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from capacity._common.files import write_text
from capacity.changes._plan.plan import Plan
from capacity.errors import InputError

__all__ = ["plan_text", "read_plan", "write_plan"]

_HEADER = "# Proposed limit changes. Nothing here has been applied. Delete what you do not want.\n"


def plan_text(plan: Plan) -> str:
    """The plan as YAML 1.2."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=False)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # a bool in truth: keep the order of the fields
    yaml.width = 1000
    yaml.allow_unicode = False  # line separators beyond ASCII do not survive a plain scalar
    text = io.StringIO()
    yaml.dump(plan.model_dump(mode="json", by_alias=True), text)
    return _HEADER + text.getvalue()


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, plan_text(plan))


def read_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        InputError: unreadable, or not a plan.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise InputError(
                f"{path} is no plan: it holds {'nothing' if content is None else 'no mapping'}",
                "Name a plan.yaml of a report",
            )
        return Plan.model_validate(content, by_alias=True, by_name=False)
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}", "Name a plan.yaml of a report"
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {error}", "Correct the place named above") from error
    except ValidationError as error:
        raise InputError(
            f"{path} is no plan: {_first(error, content)}",
            "Correct it, or make it again with a report",
        ) from error


def _first(error: ValidationError, content: Any) -> str:
    """The first fault with its place; a change is named by its service."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["loc"][:1] == ("changes",) and len(first["loc"]) > 1:
        try:
            where += f" (service {content['changes'][first['loc'][1]]['service']})"
        except (KeyError, TypeError, IndexError):
            where += ""
    said = first["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said  # what is wrong with the whole has no place
