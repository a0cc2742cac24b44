"""Write docs/reference/rules.md from the house's rule book and the checks. Run it after changing
either.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

from capacity.compliance._rules.registry import checks, parameters_of
from capacity.compliance._rules.rules import Rule, load_rules
from tools.reference import REFERENCE

HEAD = """# Rules

Generated from `data/rules.md`. A rule book is a Markdown file; under each rule's heading stands one block ` ```yaml rule ` with

| key | meaning |
|---|---|
| `id` | capital letters and at least three digits, such as CAP001; once in all books |
| `slug` | the id for people, such as `no-port-conflicts`; once in all books |
| `check` | a check of the list below, or the name of an entry point in the group `capacity.checks` |
| `parameters` | what the check is to be run with; may be left out |
| `severity` | critical, high, medium or low |
| `category` | one word of your own |
| `rationale`, `remediation`, `impact` | why, how to mend it, and what mending it costs |
| `scope` | `services` and `except`, lists of globs of `project/service`; `labels`, a mapping of label to glob; may be left out |

Any other key is an error. A waivers file is YAML with one list `waivers`; each has `rule` (id or slug), `service` (glob), `reason`,
`owner` and `expires`, its last day as 2027-01-31. A waiver that has expired no longer helps, and one that matches nothing is reported.

A finding is pass, fail, waived or not-evaluated; without data nothing passes. The score is the share of passes among passes and
failures, a critical one counting 8, a high one 4, a medium one 2 and a low one 1.

An own check is a function `(facts, *, parameter=default)` that yields what `capacity.compliance.passed`, `failed` and `unknown`
make; the annotations of its parameters are enforced.
"""


def render() -> str:
    """The whole page."""
    lines = [
        HEAD,
        "## The house's rules",
        "",
        "| id | slug | severity | check |",
        "|---|---|---|---|",
    ]
    rules = load_rules()
    lines += [
        f"| [{rule.id}](#{rule.id.lower()}) | {rule.slug} | {rule.severity} | `{rule.check}` |"
        for rule in rules
    ]
    for rule in rules:
        lines += ["", f"### {rule.id}", "", *_rule(rule)]
    lines += ["", "## Checks", "", "| check | parameters | what it looks at |", "|---|---|---|"]
    for name, function in checks().items():
        parameters = ", ".join(
            f"`{key}` = {_shown(value)}" for key, value in parameters_of(function).items()
        )
        summary = (inspect.getdoc(function) or "").split("\n\n", 1)[0].replace("\n", " ")
        lines.append(f"| `{name}` | {parameters or '-'} | {summary} |")
    return "\n".join([*lines, ""])


def _rule(rule: Rule) -> list[str]:
    parameters = ", ".join(f"`{name}` = {_shown(value)}" for name, value in rule.parameters.items())
    return [
        f"{rule.title}. {rule.rationale}",
        "",
        f"- {rule.severity}, {rule.category}, check `{rule.check}`"
        + (f" with {parameters}" if parameters else ""),
        f"- to mend it: {rule.remediation}",
        f"- impact: {rule.impact}",
    ]


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`" if value is not None else "by category"


if __name__ == "__main__":
    (REFERENCE / "rules.md").write_text(render(), encoding="utf-8")
