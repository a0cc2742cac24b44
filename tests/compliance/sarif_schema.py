"""What SARIF 2.1.0 (OASIS, 27 March 2020) demands of the parts that a report uses, as JSON Schema; nothing else may be there."""

from __future__ import annotations

from typing import Any

__all__ = ["SCHEMA"]

LEVELS = ["none", "note", "warning", "error"]
URI_REFERENCE = {"type": "string", "minLength": 1, "pattern": r"^[^\s\\<>\"{}|^`]+$"}


def record(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def several(items: Any, *, unique: bool = False) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": items, "uniqueItems": unique}


TEXT = {"type": "string", "minLength": 1}
MESSAGE = record(["text"], text=TEXT)  # 3.11: text or id
BAG = {"type": "object", "properties": {"tags": several(TEXT, unique=True)}}  # 3.8
RULE = record(  # 3.49
    ["id"],
    id=TEXT,
    name=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    helpUri={"type": "string", "format": "uri", "pattern": "^https://"},
    defaultConfiguration=record([], level={"enum": LEVELS}),
    properties=BAG,
)
PHYSICAL = record(  # 3.29: artifactLocation or address
    ["artifactLocation"],
    artifactLocation=record(["uri"], uri=URI_REFERENCE),  # 3.4
    region=record(["startLine"], startLine={"type": "integer", "minimum": 1}),  # 3.30
)
LOCATION = record(  # 3.28
    [], physicalLocation=PHYSICAL, logicalLocations=several(record([], fullyQualifiedName=TEXT), unique=True)
)
SUPPRESSION = record(  # 3.35
    ["kind"],
    kind={"enum": ["inSource", "external"]},
    status={"enum": ["accepted", "underReview", "rejected"]},
    justification=TEXT,
)
RESULT = record(  # 3.27
    ["message"],
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
    level={"enum": LEVELS},
    message=MESSAGE,
    locations=several(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    suppressions=several(SUPPRESSION, unique=True),
)
NOTIFICATION = record(["message"], level={"enum": LEVELS}, message=MESSAGE, associatedRule=record(["id"], id=TEXT))  # 3.58
INVOCATION = record(  # 3.20
    ["executionSuccessful"], executionSuccessful={"type": "boolean"}, toolExecutionNotifications=several(NOTIFICATION)
)
DRIVER = record(["name"], name=TEXT, version=TEXT, rules=several(RULE, unique=True))  # 3.19
RUN = record(  # 3.14
    ["tool"],
    tool=record(["driver"], driver=DRIVER),  # 3.18
    invocations=several(INVOCATION),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results=several(RESULT),
)
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **record(  # 3.13
        ["version", "runs"], **{"$schema": {"type": "string"}}, version={"const": "2.1.0"}, runs=several(RUN)
    ),
}
