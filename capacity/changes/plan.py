"""`plan.yaml`: the proposed changes of a run. The same inputs give the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from capacity.changes.commands import update_command
from capacity.errors import InputError, StorageError
from capacity.model import Reason, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from capacity.model import Change

__all__ = ["MadeFrom", "Plan", "PlannedChange", "make_plan", "plan_id", "read_plan", "write_plan"]

_HEADER = "# Proposed limit changes. Nothing here has been applied. Delete what you do not want.\n"


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("a limit must be above zero")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MadeFrom(_Part):
    """What the plan was computed from."""

    history: str = Field(description="Hash of every sample used")
    settings: str = Field(description="Hash of the settings that change results")
    code: str = Field(description="Version of capacity")


class PlannedChange(_Part):
    """One limit to change; CPU in cores, memory in bytes."""

    service: str
    host: str
    resource: Resource
    before: float | None = Field(description="Limit in force; null = unlimited")
    after: Annotated[float, AfterValidator(_positive)]
    reason: Reason
    why: str = Field(description="The reason as a sentence")
    command: str = Field(description="What would change it on the running containers")
    evidence: dict[str, float]


class Plan(_Part):
    """All proposed changes of one run."""

    format: Literal[1] = 1
    plan_id: str
    as_of: datetime
    valid_until: datetime
    made_from: MadeFrom
    changes: list[PlannedChange]


def make_plan(
    changes: Iterable[Change], *, hosts: dict[str, str], as_of: datetime, valid_until: datetime, made_from: MadeFrom
) -> Plan:
    """A plan from changes; its id is the hash of its content."""
    planned = [
        PlannedChange(
            service=change.service,
            host=hosts.get(change.service, ""),
            resource=change.resource,
            before=change.before,
            after=change.after,
            reason=change.reason,
            why=change.reason.text,
            command=update_command(change.service, {change.resource: change.after}),
            evidence=dict(sorted(change.evidence.items())),
        )
        for change in sorted(changes, key=lambda change: (change.service, change.resource))
    ]
    unnamed = Plan(plan_id="", as_of=as_of, valid_until=valid_until, made_from=made_from, changes=planned)
    return unnamed.model_copy(update={"plan_id": plan_id(unnamed)})


def plan_id(plan: Plan) -> str:
    """Hash of a plan's content; differs from the id it carries when somebody has edited it."""
    unnamed = plan.model_copy(update={"plan_id": ""})
    return hashlib.sha256(unnamed.model_dump_json().encode()).hexdigest()[:12]


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan as YAML 1.2.

    Raises:
        StorageError: the file cannot be written.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=False)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # a bool in truth: keep the order of the fields
    yaml.width = 1000
    yaml.allow_unicode = False  # line separators beyond ASCII do not survive a plain scalar
    text = io.StringIO()
    yaml.dump(json.loads(plan.model_dump_json()), text)
    try:
        path.write_text(_HEADER + text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}", "Check the folder and the disk") from error


def read_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        InputError: unreadable, or not a plan.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        return Plan.model_validate(content)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}", "Name a plan.yaml of a report") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {error}", "Correct the place named above") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is no plan: {where}: {first['msg']}", "Make it again with `capacity report weekly`") from error
