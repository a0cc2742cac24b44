"""Write docs/runbooks: one page a reason code, a cause of restarts and a rule, from their own texts
and docs/runbooks/texts.yaml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from capacity.compliance import Rule, load_rules
from capacity.model import Reason
from capacity.operations._restarts.causes import BY_STATE, load_causes

RUNBOOKS = Path(__file__).parents[1] / "docs" / "runbooks"
HEADINGS = ("What it means", "How to look", "How to mend", "How to undo")
_LOOKING = [
    "capacity restarts --window 1h",
    "capacity inventory",
    "capacity journal --service shop/web",
]
_MENDING = ["capacity restarts --out plan.yaml", "capacity apply plan.yaml --yes"]
_PLAN = ["capacity report weekly", "capacity apply plan.yaml", "capacity apply plan.yaml --yes"]


def _block(commands: list[str]) -> str:
    return "\n".join(["```sh", *commands, "```"])


def _page(title: str, means: str, look: str, mend: str, undo: str) -> str:
    parts = [f"# {title}"]
    for heading, text in zip(HEADINGS, (means, look, mend, undo), strict=True):
        parts += [f"## {heading}", text.strip()]
    return "\n\n".join(parts) + "\n"


def _undo(texts: dict[str, Any], name: str) -> str:
    said = texts["undo"][name]
    return f"{said['text']}\n\n{_block(said['commands'])}"


def _of_reason(reason: Reason, texts: dict[str, Any]) -> str:
    said = texts["reasons"][str(reason)]
    mending = _PLAN if said.get("apply") else said.get("commands", [])
    mend = said["mend"] + (f"\n\n{_block(mending)}" if mending else "")
    return _page(
        f"Reason `{reason}`",
        f"{reason.text} {said['meaning']}",
        _block(said["look"]),
        mend,
        _undo(texts, said["undo"]),
    )


def _of_rule(rule: Rule, texts: dict[str, Any]) -> str:
    said = texts["categories"][rule.category]
    means = f"Rule `{rule.slug}`, severity {rule.severity}. {rule.rationale}"
    evidence = (
        "The finding names the place, the value and the threshold; `--format json` adds the query "
        "that shows it again."
    )
    mend = f"{rule.remediation}\n\nMind: {rule.impact}\n\n{_block(said['mend'])}"
    return _page(
        f"{rule.id} {rule.title}",
        means,
        f"{_block(said['look'])}\n\n{evidence}",
        mend,
        _undo(texts, said["undo"]),
    )


def _of_cause(cause: str, texts: dict[str, Any]) -> str:
    said = texts["causes"][cause]
    mend = said["mend"] + (f"\n\n{_block(_MENDING)}" if said.get("apply") else "")
    means = f"Why a container restarts again and again, or cannot start. {said['meaning']}"
    return _page(
        f"Cause `{cause}`",
        means,
        _block(_LOOKING),
        mend,
        _undo(texts, "limit" if said.get("apply") else "file"),
    )


def causes() -> list[str]:
    """Every cause of restarts that the package knows."""
    return [*dict.fromkeys([*(cause.cause for cause in load_causes()), *BY_STATE])]


def pages() -> dict[str, str]:
    """File name -> text of every page, the index included."""
    texts = YAML(typ="safe").load(RUNBOOKS / "texts.yaml")
    found = {f"{reason}.md": _of_reason(reason, texts) for reason in Reason}
    found |= {f"{cause}.md": _of_cause(cause, texts) for cause in causes()}
    rules = load_rules()
    found |= {f"{rule.id}.md": _of_rule(rule, texts) for rule in rules}
    lines = [
        "# Runbooks",
        "",
        (
            "One page a reason code of a proposal, a cause of restarts and a rule of the house. "
            "`shop/web` stands for your service."
        ),
    ]
    lines += ["", "In an emergency, each a dry run until `--yes` is added:", ""]
    lines += [_block(_EMERGENCY), "", "## Reasons", "", "| reason | meaning |", "|---|---|"]
    lines += [f"| [{reason}]({reason}.md) | {reason.text} |" for reason in Reason]
    lines += ["", "## Causes of restarts", "", "| cause | meaning |", "|---|---|"]
    lines += [
        f"| [{cause}]({cause}.md) | {texts['causes'][cause]['meaning']} |" for cause in causes()
    ]
    lines += ["", "## Rules", "", "| rule | severity | title |", "|---|---|---|"]
    lines += [f"| [{rule.id}]({rule.id}.md) | {rule.severity} | {rule.title} |" for rule in rules]
    return found | {"README.md": "\n".join(lines) + "\n"}


_EMERGENCY = [
    (
        "capacity emergency release --memory 4g      # stop containers labelled priority=low until "
        "so "
        "much is free"
    ),
    "capacity emergency release --flush redis    # throw away a cache; cannot be undone",
    "capacity emergency undo                     # start again what was stopped",
    "capacity emergency restart shop/db          # start what matters, what it needs first",
    "capacity emergency rollback                 # take the last run back",
    "capacity emergency rollback --revision HEAD~1 --compose compose.yaml",
    "capacity restarts --window 10m --more-than 3",
    (
        "capacity timeline compose.yaml --engine     # what to mend on day 1, days 2 and 3, in the "
        "week"
    ),
    "capacity pool size 'agents/*'               # how many instances are enough, and why",
    "capacity pool up agents --image agent:1.4 --size 3 --memory 800m  # what it would make",
]


def main() -> None:
    """Write all pages."""
    for name, text in pages().items():
        (RUNBOOKS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
