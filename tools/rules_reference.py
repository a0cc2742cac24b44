"""Write docs/reference/rules.md from the rule book that comes with the package and the checks. Run it after changing
either.
"""

from __future__ import annotations

import inspect
import json
from textwrap import fill
from typing import Any

from capacity.compliance._rules.registry import checks, parameters_of
from capacity.compliance._rules.rules import Rule, load_rules
from tools.reference import REFERENCE

HEAD = """# Rules

Generated from `data/rules.md`. A rule book is a Markdown file. Under the heading of each rule is
one block ` ```yaml rule ` with these keys:

| key | meaning |
|---|---|
| `id` | capital letters and at least three digits, such as CAP001; unique over all books |
| `slug` | the id for people, such as `no-port-conflicts`; unique over all books |
| `check` | a check of the list below, or an entry point of the group `capacity.checks` |
| `parameters` | parameters of the check; optional |
| `severity` | critical, high, medium or low |
| `category` | one word of your own |
| `rationale`, `remediation`, `impact` | why, how to fix it, and what the fix costs |
| `scope` | `services` and `except`: globs of `project/service`; `labels`: label to glob; optional |

Any other key is an error.

A waivers file is YAML with one list `waivers`. Each has `rule` (id or slug), `service` (glob),
`reason`, `owner` and `expires`, its last day, such as 2027-01-31. An expired waiver no longer
counts, and one that matches nothing is reported.

The status of a finding is pass, fail, waived or not-evaluated. Without data nothing passes. The
score is the share of passes among passes and failures. A critical finding counts 8, a high one 4, a
medium one 2 and a low one 1.

A check of your own is a function `(facts, *, parameter=default)` that yields what
`capacity.compliance.passed`, `failed` and `unknown` return. The annotations of its parameters are
enforced.
"""


def render() -> str:
    """The whole page."""
    lines = [
        HEAD,
        "## Built-in rules",
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
        fill(f"{rule.title}. {rule.rationale}", 100),
        "",
        fill(
            f"- {rule.severity}, {rule.category}, check `{rule.check}`"
            + (f" with {parameters}" if parameters else ""),
            100,
            subsequent_indent="  ",
        ),
        fill(f"- how to fix it: {rule.remediation}", 100, subsequent_indent="  "),
        fill(f"- impact: {rule.impact}", 100, subsequent_indent="  "),
    ]


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`" if value is not None else "by category"


if __name__ == "__main__":
    (REFERENCE / "rules.md").write_text(render(), encoding="utf-8")
