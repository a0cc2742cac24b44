"""Small fleets for the tests: compose texts, containers as the Engine describes them, rules of one check."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from capacity.compliance import Facts, Report, Rule, Status, evaluate, load_rules
from capacity.compliance.gather import from_files, read_snapshot

__all__ = ["DAY", "container", "declared", "facts_of", "found", "live", "rule", "run"]

DAY = date(2026, 11, 23)
_RULES = {one.check: one for one in load_rules()}


def declared(folder: Path, **projects: str) -> Facts:
    """Facts of compose texts, each the body of `services:` of a project."""
    for name, services in projects.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "compose.yaml").write_text(f"name: {name}\nservices:\n{services}")
    return from_files([folder / name for name in projects])


def container(name: str, project: str = "shop", **more: Any) -> dict[str, Any]:
    """A running container of the service `name`; keys of `more` go into HostConfig, State and Config by what knows them."""
    labels = {"com.docker.compose.project": project, "com.docker.compose.service": name}
    answer: dict[str, Any] = {
        "Id": f"{project}-{name}-{more.pop('number', 1)}",
        "Name": f"/{project}-{name}-1",
        "Created": "2026-11-23T05:00:00.1Z",
        "RestartCount": more.pop("RestartCount", 0),
        "Mounts": more.pop("Mounts", []),
        "Config": {"Image": "house/x:1", "Labels": labels, "Env": more.pop("Env", [])},
        "State": {"Status": more.pop("Status", "running"), "StartedAt": "2026-11-23T05:00:01Z"},
        "HostConfig": {},
    }
    for key in ("Image", "Healthcheck"):
        if key in more:
            answer["Config"][key] = more.pop(key)
    for key in ("Health", "StartedAt"):
        if key in more:
            answer["State"][key] = more.pop(key)
    answer["HostConfig"].update(more)
    return answer


def live(*containers: dict[str, Any], facts: Facts | None = None) -> Facts:
    """Facts of containers."""
    import json

    inventory, postures = read_snapshot(json.dumps(list(containers)), "snapshot.json")
    return replace(facts or Facts(), inventory=inventory, postures=postures)


def rule(check: str, **parameters: Any) -> Rule:
    """The house's rule of that check, with other parameters."""
    from functools import partial

    from capacity.compliance.registry import find_check

    house = _RULES[check]
    return replace(house, run=partial(find_check(check), **parameters)) if parameters else house


def run(check: str, facts: Facts, **parameters: Any) -> Report:
    """The report of one rule."""
    return evaluate([rule(check, **parameters)], facts, today=DAY)


def found(check: str, facts: Facts, **parameters: Any) -> dict[str, Status]:
    """Subject -> status of one rule."""
    return {one.subject: one.status for one in run(check, facts, **parameters).findings}


def facts_of(folder: Path, text: str) -> Facts:
    """Facts of one compose text of the project `shop`."""
    return declared(folder, shop=text)
