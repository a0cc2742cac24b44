"""The plan of a run: what to change, from what to what, why, at which risk and how to go back. Same
inputs, same bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from capacity._common.plain_data import PlainMapping
from capacity._common.setting_values import check_former, check_value
from capacity._common.text.printable import visible
from capacity.changes._plan.commands import update_command
from capacity.changes._plan.fields import (
    MOST_CHANGES,
    Command,
    Evidence,
    FileHashes,
    Fingerprint,
    HostName,
    Moment,
    Order,
    PlanId,
    Sentence,
    ServiceName,
)
from capacity.model import Change, Reason, Resource, ServiceKey, Setting, Value

__all__ = [
    "FILE_ONLY",
    "RECREATING",
    "MadeFrom",
    "Plan",
    "PlannedChange",
    "is_edited",
    "is_lowering",
    "is_raise",
    "make_plan",
]
__all__ += ["plan_id", "plan_schema"]

RECREATING = frozenset(
    {Setting.HOST_PORT, Setting.ENVIRONMENT, Setting.HEALTH_CHECK, Setting.ULIMITS}
)
"""What the Engine cannot change on a container that exists."""

FILE_ONLY = frozenset({Setting.CPU_RESERVATION, Setting.DEPENDS_ON, Setting.REPLICAS})
"""What a container has nothing of: it stands in the compose file alone, for the next `up`."""

ChangeRisk = Literal["low", "medium", "high"]

_UNNAMED = "unnamed"
_log = logging.getLogger(__name__)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class MadeFrom(_Part):
    """What the plan was computed from."""

    history: Fingerprint = Field(description="Hash of every sample used")
    settings: Fingerprint = Field(description="Hash of the settings that change results")
    code: Fingerprint = Field(description="Version of capacity")
    files: FileHashes = Field(
        {},
        description="Compose file -> SHA-256 of its bytes; a file that differs now is left alone",
    )
    warning: Sentence = Field(
        "",
        description="Why nothing should be done yet, without a full stop; left out where it may",
    )

    @model_serializer(mode="wrap")
    def _without_an_empty_warning(self, dump: SerializerFunctionWrapHandler) -> Any:
        """Plans of versions that knew none keep their bytes and so their ids."""
        whole = dump(self)
        return whole if self.warning else {k: v for k, v in whole.items() if k != "warning"}


class PlannedChange(_Part):
    """One thing to change on one service; CPU in cores, memory in bytes."""

    service: ServiceName = Field(
        description="project/service; a container outside Compose is standalone/NAME"
    )
    host: HostName = Field(
        "", description="Where it runs; empty where the service is only on one host"
    )
    what: Setting
    before: Value = Field(
        alias="from", description="In force when the plan was made; null = unlimited or not set"
    )
    after: Value = Field(alias="to", description="What is to be in force")
    reason: Reason
    why: Sentence = Field("", description="The reason as a sentence")
    risk: ChangeRisk = Field(
        "medium",
        description="What can happen if it is wrong: nothing, slowness, a stopped or replaced "
        "container",
    )
    order: Order = Field(
        0,
        description="Lower numbers first: raises, then new and lower limits, then replacements",
    )
    command: Command = Field("", description="What would change it on the running containers")
    inverse: Command = Field("", description="What would change it back")
    evidence: Evidence = Field(
        {}, description="Numbers that support it, in the units of what is changed"
    )

    @property
    def resource(self) -> Resource | None:
        """The resource limited, None for what is no limit of CPU or memory."""
        return self.what.resource

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.service} {self.what}"

    @property
    def key(self) -> tuple[str, str, Setting, int]:
        """What stands only once in a plan: a service has one memory limit, and each of its ports
        moves once.
        """
        port = (
            self.before
            if self.what is Setting.HOST_PORT and isinstance(self.before, (int, float))
            else 0
        )
        return self.service, self.host, self.what, int(port)

    @field_validator("before", "after", mode="before")
    @classmethod
    def _no_bare_boolean(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("true and false are no values here")  # noqa: TRY004 - pydantic reports ValueErrors
        return value

    @field_validator("before")
    @classmethod
    def _was_possible(cls, value: Value, info: ValidationInfo) -> Value:
        if "what" in info.data:
            check_former(info.data["what"], value)
        return value

    @field_validator("after")
    @classmethod
    def _is_possible(cls, value: Value, info: ValidationInfo) -> Value:
        if "what" in info.data:
            check_value(info.data["what"], value)
        return value


class Plan(_Part):
    """All proposed changes of one run."""

    format: Literal[1] = 1
    plan_id: PlanId = Field(
        description="Hash of everything else; differs from it when somebody has edited the plan"
    )
    as_of: Moment
    valid_until: Moment
    made_from: MadeFrom
    changes: Annotated[list[PlannedChange], FailFast()] = Field(max_length=MOST_CHANGES)

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        seen: dict[tuple[str, Setting, int], set[str]] = {}
        for change in self.changes:
            service, host, what, port = change.key
            hosts = seen.setdefault((service, what, port), set())
            spelled = _spelled(host)
            if spelled in hosts or (hosts and "" in {spelled, *hosts}):
                raise ValueError(f"{visible(change.label)} stands twice")
            hosts.add(spelled)
        return self


def _spelled(host: str) -> str:
    """A host's name in the one spelling that a resolver would compare."""
    return host.casefold().rstrip(".")


def make_plan(
    changes: Iterable[Change],
    *,
    hosts: Mapping[str, str],
    as_of: datetime,
    valid_until: datetime,
    made_from: MadeFrom,
) -> Plan:
    """A plan from changes; its id is the hash of its content.

    A change that no plan could hold, such as one of a name with characters that nobody sees, is
    left out with a warning.

    Args:
        changes: in any order.
        hosts: service -> host, for those that are known.
        as_of: the moment the plan was computed for.
        valid_until: after this moment it is refused.
        made_from: hashes of the inputs.
    """
    planned = sorted(
        (
            planned
            for change in changes
            if (planned := _held(change, hosts.get(change.service, ""))) is not None
        ),
        key=_place,
    )
    unnamed = Plan(
        plan_id=_UNNAMED, as_of=as_of, valid_until=valid_until, made_from=made_from, changes=planned
    )
    return unnamed.model_copy(update={"plan_id": plan_id(unnamed)})


def _held(change: Change, host: str) -> PlannedChange | None:
    """The change as a plan has it, None where none could hold it."""
    try:
        return _planned(change, host)
    except ValidationError as error:
        said = error.errors(include_url=False, include_input=False)[0]["msg"]
        _log.warning("%s is left out of the plan: %s", visible(change.service), visible(said))
        return None


def _place(change: PlannedChange) -> tuple[str, str, int, int]:
    service, host, what, port = change.key
    return service, host, list(Setting).index(what), port


def _planned(change: Change, host: str) -> PlannedChange:
    what = Setting.of(change.resource)
    return PlannedChange(
        service=str(ServiceKey.parse(change.service)),
        host=host,
        what=what,
        before=change.before,
        after=change.after,
        reason=change.reason,
        why=change.reason.text,
        risk=_risk(what, change.before, change.after),
        order=_order(what, change.before, change.after),
        command=update_command(change.service, {what: change.after}),
        inverse=update_command(change.service, {what: change.before}),
        evidence=dict(sorted(change.evidence.items())),
    )


def is_raise(what: Setting, before: Value, after: Value) -> bool:
    """Whether a container gets more than it had."""
    numbers = isinstance(before, (int, float)) and isinstance(after, (int, float))
    return what is not Setting.HOST_PORT and numbers and float(after) > float(before)  # type: ignore[arg-type]


def is_lowering(what: Setting, before: Value, after: Value) -> bool:
    """Whether a container gets less than it had, a first limit included."""
    if what in {Setting.HOST_PORT, Setting.RESERVATION, Setting.CPU_RESERVATION} or not isinstance(
        after, (int, float)
    ):
        return False
    return before is None or (isinstance(before, (int, float)) and float(after) < float(before))


def _risk(what: Setting, before: Value, after: Value) -> ChangeRisk:
    if what in RECREATING or (
        what in {Setting.MEMORY, Setting.MEMORY_SWAP, Setting.PIDS, Setting.REPLICAS}
        and is_lowering(what, before, after)
    ):
        return "high"
    return (
        "low"
        if is_raise(what, before, after) or what in FILE_ONLY | {Setting.RESERVATION}
        else "medium"
    )


def _order(what: Setting, before: Value, after: Value) -> int:
    """Raises first, so nothing is squeezed between its neighbours' old and its own new limit;
    replacements last.
    """
    if what in RECREATING:
        return 3
    return 1 if is_raise(what, before, after) else 2


def plan_id(plan: Plan) -> str:
    """Hash of a plan's content; differs from the id it carries when somebody has edited it."""
    content = plan.model_copy(update={"plan_id": ""}).model_dump(mode="json", by_alias=True)
    return hashlib.sha256(json.dumps(_tidy(content), sort_keys=True).encode()).hexdigest()[:12]


def is_edited(plan: Plan) -> bool:
    """Whether somebody has changed the plan since it was made."""
    return plan.plan_id != plan_id(plan)


def _tidy(value: Any) -> Any:
    """Whole numbers as integers, so that 64 and 64.0 are one plan."""
    if isinstance(value, dict):
        return {name: _tidy(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_tidy(part) for part in value]
    return (
        int(value)
        if isinstance(value, float) and math.isfinite(value) and value.is_integer()
        else value
    )


def plan_schema() -> PlainMapping:
    """JSON Schema of `plan.yaml`, as published in docs/reference/plan.schema.json."""
    schema = Plan.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
