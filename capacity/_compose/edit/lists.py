"""Settings that are lists or mappings: environment, published ports, ulimits, the health check,
what a service waits for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sized
from typing import Any

from capacity._common.setting_values import check_value
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._compose.edit.wanted import Branch, Keyed, Leaf, ListEdit
from capacity._compose.setting_paths import at
from capacity.errors import EditRefused
from capacity.model import Setting

__all__ = ["STRUCTURED", "add_structured", "line_budget"]

STRUCTURED = frozenset({"depends_on", "environment", "healthcheck", "ports", "ulimits"})
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_CHECK_KEYS = {
    "test",
    "interval",
    "timeout",
    "retries",
    "start_period",
    "start_interval",
    "disable",
}
_RANGE = re.compile(r"(?:^|:)([0-9]+)-([0-9]+)(?=:|$)")
_PUBLISHED = re.compile(
    r"(?P<before>(?:\[[0-9a-fA-F:.]+\]:|[0-9.]+:)?)(?P<port>[0-9]+)(?P<after>:[0-9]+(?:/[a-z]+)?)"
)


def line_budget(wanted: Mapping[str, object], present: Mapping[str, object]) -> int:
    """How many lines an edit may change: 4 for one limit, one more for each further value or name
    of a list made a mapping.
    """
    sizes = (
        len(value) + (name == "healthcheck") if isinstance(value, Mapping) else 1
        for name, value in wanted.items()
    )
    awaited = wanted.get("depends_on", ())
    listed = present.get("depends_on") if "depends_on" in wanted else None
    names = listed if isinstance(listed, list) else awaited
    beside = "cpus_reservation" in wanted and "mem_reservation" in present  # which is repeated
    return 3 + sum(sizes) + beside + (len(names) if isinstance(names, Sized) else 0)


def add_structured(
    service: str, model: Mapping[str, object], wanted: Mapping[str, object], tree: Branch
) -> None:
    """Add to `tree` what sets the environment, the health check, the ports and the dependencies of
    a service.

    Args:
        service: its name, for refusals.
        model: what the service means at present.
        wanted: settings of `STRUCTURED` with their values.
        tree: what is to be put into the service, extended in place.

    Raises:
        EditRefused: a value of the wrong kind, or no such port.
    """
    values: dict[str, Mapping[Any, Any]] = {}
    for name, value in wanted.items():
        if not isinstance(value, Mapping) or not value:
            raise refuse(
                EditReason.BAD_VALUE, service, f"{name} must be a mapping with something in it"
            )
        values[name] = value
    if "environment" in values:
        _environment(service, model.get("environment"), values["environment"], tree)
    if "healthcheck" in values:
        _healthcheck(service, values["healthcheck"], tree)
    if "depends_on" in values:
        _depends_on(service, model.get("depends_on"), values["depends_on"], tree)
    if "ulimits" in values:
        _ulimits(service, model.get("ulimits"), values["ulimits"], tree)
    if "ports" in values:
        _ports(service, model.get("ports"), values["ports"], tree)


def _environment(service: str, present: Any, values: Mapping[str, Any], tree: Branch) -> None:
    texts = {}
    for name, value in values.items():
        if (
            not isinstance(name, str)
            or not re.fullmatch(r"[^\s=$]+", name)
            or not isinstance(value, (str, int, float))
        ):
            raise refuse(EditReason.BAD_VALUE, service, f"environment {name!r}: {value!r}")
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        texts[name] = _literal(text)
    if present is None or isinstance(present, dict):
        tree["environment"] = {
            name: Leaf(text, _bare(text))
            for name, text in texts.items()
            if (present or {}).get(name) != text
        }
        return
    if not isinstance(present, list):
        raise refuse(EditReason.SHAPE, service, "environment")
    places = {str(item).split("=", 1)[0]: index for index, item in enumerate(present)}
    changed = {places[name]: f"{name}={text}" for name, text in texts.items() if name in places}
    added = [f"{name}={text}" for name, text in texts.items() if name not in places]
    tree["environment"] = ListEdit(
        {index: Leaf(text) for index, text in changed.items() if present[index] != text}, added
    )


def _bare(text: str) -> int | None:
    """The number that stands for the text where the file writes such values without quotes."""
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,15}", text) else None


def _healthcheck(service: str, values: Mapping[str, Any], tree: Branch) -> None:
    for name, value in values.items():
        fits = isinstance(value, (str, int, bool)) or (
            name == "test" and isinstance(value, (list, tuple))
        )
        if name not in _CHECK_KEYS or not fits:
            raise refuse(EditReason.BAD_VALUE, service, f"healthcheck {name!r}: {value!r}")
    tree["healthcheck"] = {name: Leaf(_literal(value)) for name, value in values.items()}


def _literal(value: Any) -> Any:
    """The value as Compose reads it back: a dollar is no variable of whoever runs it."""
    if isinstance(value, (list, tuple)):
        return [_literal(part) for part in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _depends_on(service: str, present: Any, values: Mapping[str, Any], tree: Branch) -> None:
    for name, condition in values.items():
        if not isinstance(name, str) or condition not in _CONDITIONS or name == service:
            raise refuse(EditReason.BAD_VALUE, service, f"depends_on {name!r}: {condition!r}")
    for name in values:
        if "$" in str(at(present, name, "condition")):
            raise refuse(
                EditReason.INTERPOLATED,
                service,
                f"depends_on.{name}.condition: {at(present, name, 'condition')}",
            )
    if isinstance(present, list):
        all_of_it = {str(name): _CONDITIONS[0] for name in present} | dict(values)
        tree["depends_on"] = Keyed(
            {name: {"condition": condition} for name, condition in all_of_it.items()}
        )
        return
    wanted = {
        name: condition
        for name, condition in values.items()
        if at(present, name, "condition") != condition
    }
    if wanted:
        tree["depends_on"] = {
            name: {"condition": Leaf(condition)} for name, condition in wanted.items()
        }


def _ulimits(service: str, present: Any, values: Mapping[str, Any], tree: Branch) -> None:
    try:
        check_value(Setting.ULIMITS, dict(values))
    except ValueError as error:
        raise refuse(EditReason.BAD_VALUE, service, f"ulimits {dict(values)!r}: {error}") from error
    limits: Branch = {}
    for name, value in values.items():
        soft, _, hard = str(value).partition(":")
        wanted, said = {"soft": int(soft), "hard": int(hard or soft)}, at(present, name)
        if "$" in str(said):
            raise refuse(EditReason.INTERPOLATED, service, f"ulimits.{name}: {said}")
        if isinstance(said, dict):
            limits[name] = {bound: Leaf(number) for bound, number in wanted.items()}
        else:
            limits[name] = Leaf(wanted if hard else int(soft))
    tree["ulimits"] = limits


def _ports(service: str, present: Any, values: Mapping[Any, Any], tree: Branch) -> None:
    changed: dict[int, Any] = {}
    for old, new in values.items():
        if not all(str(port).isdecimal() and 0 < int(port) < 2**16 for port in (old, new)):
            raise refuse(EditReason.BAD_VALUE, service, f"port {old!r} to {new!r}")
        found = {
            index: _moved(item, str(old), int(new))
            for index, item in enumerate(present if isinstance(present, list) else [])
        }
        moved = {index: item for index, item in found.items() if item is not None}
        if not moved:
            raise _not_moved(service, present, int(old))
        changed.update(moved)
    _check_distinct(service, present, changed)
    tree["ports"] = ListEdit(changed, [])


def _not_moved(service: str, present: Any, old: int) -> EditRefused:
    """Why a port cannot be moved: a variable or a range publishes it, or nothing does."""
    published = [
        str(item.get("published", "") if isinstance(item, dict) else item)
        for item in (present if isinstance(present, list) else [])
    ]
    for text in published:
        found = _RANGE.search(text)
        if found and int(found[1]) <= old <= int(found[2]):
            return refuse(EditReason.PORT_RANGE, service, f"{text} publishes {old}")
    variable = next((text for text in published if "$" in text), None)
    if variable is not None:
        return refuse(EditReason.INTERPOLATED, service, f"ports: {variable}")
    return refuse(EditReason.NO_PORT, service, str(old))


def _check_distinct(service: str, present: list[Any], changed: Mapping[int, Any]) -> None:
    """Refuse when a port would be published twice by one service for one protocol."""
    after = [
        changed[index].value if isinstance(changed.get(index), Leaf) else item
        for index, item in enumerate(present)
    ]
    texts = [str(item) for item in after if not isinstance(item, dict)]
    places = [
        (found["before"], found["port"], found["after"].partition("/")[2] or "tcp")
        for found in map(_PUBLISHED.fullmatch, texts)
        if found is not None
    ]
    twice = [place for place in places if places.count(place) > 1]
    if twice:
        raise refuse(EditReason.BAD_VALUE, service, f"{twice[0][1]} would be published twice")


def _moved(item: Any, old: str, new: int) -> Any:
    """The item with another published port, None when it is not published as `old`."""
    if isinstance(item, dict):
        published = item.get("published")
        return (
            {"published": Leaf(str(new) if isinstance(published, str) else new)}
            if str(published) == old
            else None
        )
    match = _PUBLISHED.fullmatch(str(item))
    return (
        Leaf(f"{match['before']}{new}{match['after']}") if match and match["port"] == old else None
    )
