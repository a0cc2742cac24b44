"""Before and after edits, the whole project as Compose would load it: the two differ in the changes
alone, or the edits are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from capacity._common.setting_values import COMPOSE_NAMES
from capacity._compose.edit.limits import HOMES_BY_NAME
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._compose.edit.verify import differing_paths, same
from capacity._compose.project import Project
from capacity._compose.render.render import render_healthcheck
from capacity._compose.setting_paths import declared_setting

__all__ = ["check_edit", "says_all"]

_SETTINGS = {name: what for what, name in COMPOSE_NAMES.items()}
_APART = 1e-4  # cores, less than a quota can say


def check_edit(before: Project, after: Project, edits: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse edits that mean anything but the changes.

    Args:
        before: the project without the edits.
        after: with them.
        edits: service -> what was to be set on it, by the names of `edit_compose`.

    Raises:
        EditRefused: other services, or other settings of these, change too, or another file has the
            last word.
    """
    for service, wanted in edits.items():
        if service not in after.services:
            raise refuse(EditReason.NOT_EXACT, service)
        was, now = (project.model["services"][service] for project in (before, after))
        for name, value in wanted.items():
            if not _is_set(was, now, name, value):
                stays = "stays" if _reads(was, name) == _reads(now, name) else "becomes"
                raise refuse(EditReason.OVERRIDDEN, service, f"{name} {stays} {_reads(now, name)}")
    wrong = differing_paths(*(_without(project, edits) for project in (before, after)))
    others = wrong - edits.keys() - {""}
    if others:
        raise refuse(EditReason.SHARED, min(edits), ", ".join(sorted(others)))
    if wrong:
        raise refuse(EditReason.NOT_EXACT, min(edits.keys() & wrong, default=min(edits)))


def says_all(model: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Whether a service has every value that it is to have; not asked of ports, of which there may
    be none to move.
    """
    return "ports" not in wanted and all(
        _is_set(model, model, name, value) for name, value in wanted.items()
    )


def _reads(model: Mapping[str, object], name: str) -> Any:
    return model.get("ports") if name == "ports" else declared_setting(model, _SETTINGS[name])


def _is_set(was: Mapping[str, object], now: Mapping[str, object], name: str, value: Any) -> bool:
    """Whether a service has a value that it was to have, and the rest of its mapping as before."""
    present = _reads(now, name)
    if name in {"cpus", "cpus_reservation"}:
        return present is not None and abs(present - float(value)) < _APART
    if name == "pids" and value == -1:
        return present is None
    if name == "ulimits":  # Compose prints a pair of equal bounds as it is written
        others = _reads(was, name) or {}
        return bool(present == others | {limit: str(said) for limit, said in value.items()})
    if name not in _EXPECTED:
        return bool(present == value)
    expected = _EXPECTED[name](was.get(name), value)
    return same(expected, now.get(name))


def _environment(was: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    texts = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
    }
    return {**(was or {}), **texts}


def _depends_on(was: Any, values: Mapping[str, str]) -> dict[str, Any]:
    waits = was or {}
    return waits | {
        name: {"required": True, **waits.get(name, {}), "condition": condition}
        for name, condition in values.items()
    }


def _healthcheck(was: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Compose prints no `disable: false`."""
    merged = {**(was or {}), **render_healthcheck(values)}
    return {
        name: part for name, part in merged.items() if name != "disable" or values.get(name, part)
    }


def _ports(was: Any, values: Mapping[Any, Any]) -> list[Any]:
    moved = {str(old): str(new) for old, new in values.items()}
    return [
        {**port, "published": moved[port["published"]]} if port.get("published") in moved else port
        for port in was or ()
    ]


_EXPECTED = {
    "environment": _environment,
    "depends_on": _depends_on,
    "healthcheck": _healthcheck,
    "ports": _ports,
}


def _without(project: Project, edits: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """The model without the settings that the edits were to change."""
    services: dict[str, object] = {**project.model["services"]}
    for service, wanted in edits.items():
        rest = {**deepcopy(project.model["services"][service])}
        for name in wanted:
            for home in HOMES_BY_NAME[name]:
                _remove(rest, home.split("."))
        if "scale" in rest:  # Compose repeats it in any deploy block
            _remove(rest, ["deploy", "replicas"])
        if "mem_reservation" in rest:  # and refuses a reservation of CPU that does not repeat it
            _remove(rest, ["deploy", "resources", "reservations", "memory"])
        rest["deploy"] = _filled(rest.get("deploy") or {})
        services[service] = rest
    return {**project.model, "services": services}


def _remove(model: Any, path: list[str]) -> None:
    for part in path[:-1]:
        model = model.get(part) if isinstance(model, dict) else None
    if isinstance(model, dict):
        model.pop(path[-1], None)


def _filled(value: Any) -> Any:
    """A mapping without the parts of it that say nothing."""
    if not isinstance(value, dict):
        return value
    parts = {name: _filled(part) for name, part in value.items()}
    return {name: part for name, part in parts.items() if part not in ({}, None)}
