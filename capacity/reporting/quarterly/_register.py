"""The risk register: `risks.yaml` of each quarterly run, in which people write and which the next
run carries on.
"""

from __future__ import annotations

import io
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from capacity._common.files import read_bounded, write_text
from capacity.errors import ComposeError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "FILE",
    "FoundRisk",
    "Level",
    "Risk",
    "carry_on",
    "read_register",
    "register_text",
    "write_register",
]

FILE = "risks.yaml"
_HEADER = (
    "# Risks of this fleet. Yours are owner, decision, due and note; they are kept. A risk that\n"
    "# is found no more is closed, and one that you add yourself stays until you remove it.\n"
)
Level = Literal["high", "medium", "low"]
_ORDER = {"high": 0, "medium": 1, "low": 2}
_MOST_RISKS = 10_000
_MOST_EVENTS = 30 * _MOST_RISKS  # of YAML: a risk with all its fields takes 24


class FoundRisk(BaseModel):
    """A risk that a review finds.

    Attributes:
        id: the same for the same risk in every quarter, such as `runway:node-1:memory`.
        level: how much it matters.
        what: one sentence, with numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=300)
    level: Level
    what: str = Field(max_length=2000)


class Risk(FoundRisk):
    """A risk of the register: as it is found, since when, and what people say of it.

    Attributes:
        since: day on which it was first found, or opened again.
        closed: day on which it was found no more; None while it is open.
        found_by: `review`, or `people` who added it.
        owner: whose it is.
        decision: such as accept, reduce or move.
        due: until when.
        note: whatever else.
    """

    since: date
    closed: date | None = None
    found_by: Literal["review", "people"] = "people"
    owner: str = Field("", max_length=300)
    decision: str = Field("", max_length=300)
    due: str = Field("", max_length=40)
    note: str = Field("", max_length=2000)


class _Register(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    risks: list[Risk] = Field(max_length=_MOST_RISKS)


def carry_on(known: Iterable[Risk], found: Iterable[FoundRisk], today: date) -> list[Risk]:
    """The register after a review: open ones before closed ones, the gravest first.

    What people wrote stays; what is found again after it was closed opens anew.
    """
    before = {risk.id: risk for risk in known}
    now = {risk.id: risk for risk in found}
    kept = [
        risk
        if risk.id in now or risk.found_by == "people" or risk.closed
        else risk.model_copy(update={"closed": today})
        for risk in before.values()
    ]
    fresh = [_joined(before.get(risk.id), risk, today) for risk in now.values()]
    every = [*fresh, *(risk for risk in kept if risk.id not in now)]
    return sorted(every, key=lambda risk: (risk.closed is not None, _ORDER[risk.level], risk.id))


def _joined(before: Risk | None, now: FoundRisk, today: date) -> Risk:
    if before is None:
        return Risk(**now.model_dump(), since=today, found_by="review")
    since = today if before.closed else before.since
    said = {**now.model_dump(), "since": since, "closed": None, "found_by": "review"}
    return before.model_copy(update=said)


def read_register(path: Path) -> list[Risk]:
    """The risks of a file; none where there is no file.

    Raises:
        InputError: unreadable, or no register; names the file and the cause.
    """
    from capacity._compose.yaml.written_out import read_written_out

    if not path.is_file():
        return []
    try:
        said = read_written_out(read_bounded(path).decode(), str(path), _MOST_EVENTS)
        risks = _Register.model_validate(said).risks
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "risks"
        cause = f"{path} is no risk register: {place}: {first['msg']}"
        raise InputError(cause, "Correct it, or move it away to begin anew") from None
    except (OSError, ValueError, ComposeError) as error:
        cause = f"{path} is no risk register: {' '.join(str(error).split())}"
        raise InputError(cause, "Correct it, or move it away to begin anew") from error
    twice = sorted(name for name, count in Counter(risk.id for risk in risks).items() if count > 1)
    if twice:
        raise InputError(f"{path} has the risk {twice[0]} twice", "Remove one of them")
    return risks


def register_text(risks: Iterable[Risk]) -> str:
    """The register as YAML."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=False)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # a bool in truth: keep the order of the fields
    yaml.width = 1000
    yaml.allow_unicode = False  # line separators beyond ASCII do not survive a plain scalar
    text = io.StringIO()
    yaml.dump({"risks": [risk.model_dump(mode="json") for risk in risks]}, text)
    return _HEADER + text.getvalue()


def write_register(risks: Iterable[Risk], path: Path) -> None:
    """Write the register.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, register_text(risks))
