"""The JSON interface: findings, services, plan, and the document that describes them."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from capacity._common.plain_data import Plain, PlainMapping
from capacity._common.version import VERSION
from capacity.compliance._formats import as_json
from capacity.model import Action

if TYPE_CHECKING:
    from capacity._monitor.background_tasks import Monitor

__all__ = ["findings", "openapi", "plan", "services"]


def findings(watch: Monitor) -> dict[str, Plain]:
    """The report, when it was made, and which sources are stale."""
    found = watch.evaluation
    assert found is not None
    report = (
        json.loads(as_json(found.report, found.moves, watch.watched.runbooks))
        if found.report is not None
        else None
    )
    sources = {
        name: {
            "answered": source.answered.isoformat() if source.answered else None,
            "stale_since": source.stale_since.isoformat() if source.stale_since else None,
            "error": source.error,
        }
        for name, source in found.sources.items()
    }
    return {"at": found.at.isoformat(), "error": found.error, "sources": sources, "report": report}


@dataclass
class _Known:
    """What is known of a service, as it is gathered."""

    containers: int = 0
    recommendations: dict[str, PlainMapping] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)


def services(watch: Monitor) -> dict[str, Plain]:
    """Everything known of each service: containers, limits recommended, failing rules."""
    found = watch.evaluation
    assert found is not None
    names: defaultdict[str, _Known] = defaultdict(_Known)
    for key in found.facts.declared:
        names[key]
    for key, live in found.facts.live.items():
        names[key].containers = len(live)
    for resource, table in found.tables.items():
        for service, row in table.iterrows():
            said = {
                name: _number(row[name])
                for name in ("current", "limit", "breach_now", "breach_after")
            }
            names[str(service)].recommendations[str(resource)] = {
                "action": row["action"],
                "reason": row["reason"],
                **said,
            }
    for finding in found.report.failing() if found.report is not None else ():
        if finding.subject in names:
            names[finding.subject].failing.append(finding.rule.id)
    known = {name: asdict(names[name]) for name in sorted(names)}
    return {"at": found.at.isoformat(), "services": known}


def plan(watch: Monitor) -> dict[str, Plain]:
    """What would be changed: limits and ports."""
    found = watch.evaluation
    assert found is not None
    limits = [
        {
            "service": str(service),
            "resource": str(resource),
            "action": row["action"],
            "reason": row["reason"],
            "from": _number(row["current"]),
            "to": _number(row["limit"]),
        }
        for resource, table in sorted(found.tables.items())
        for service, row in table.iterrows()
        if row["action"] in {Action.SET, Action.RAISE, Action.LOWER}
    ]
    ports = (
        json.loads(as_json(found.report, found.moves))["port_moves"]
        if found.report is not None
        else []
    )
    return {"at": found.at.isoformat(), "limits": limits, "ports": ports}


def openapi() -> dict[str, Plain]:
    """OpenAPI 3.1 of the interface."""
    answer: PlainMapping = {"content": {"application/json": {"schema": {"type": "object"}}}}
    texts = {
        "findings": "Findings, score and waivers",
        "services": "Services with limits and rules",
        "plan": "Proposed changes",
    }
    paths: dict[str, Plain] = {
        f"/api/v1/{name}": {
            "get": {
                "operationId": name,
                "summary": text,
                "responses": {
                    "200": {"description": text, **answer},
                    "401": {"description": "Credentials are needed"},
                    "503": {
                        "description": "Nothing has been evaluated yet, or too many requests at "
                        "once"
                    },
                },
            }
        }
        for name, text in texts.items()
    }
    body: PlainMapping = {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "required": ["alerts"]}}},
    }
    paths["/api/v1/alerts"] = {
        "post": {
            "operationId": "alerts",
            "summary": "Webhook receiver for Alertmanager, version 4: proves that alerts arrive",
            "requestBody": body,
            "responses": {
                "200": {"description": "Taken", **answer},
                "400": {"description": "No webhook body"},
                "413": {"description": "Too large"},
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "capacity monitor", "version": VERSION},
        "paths": paths,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
