"""Write docs/runbooks: an index and a page each for rules, reasons and causes of restarts, from
their own texts and docs/runbooks/texts.yaml. Run it after changing any of them.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

from ruamel.yaml import YAML

from capacity.compliance import Rule, load_rules
from capacity.model import Reason
from capacity.operations._restarts.causes import BY_STATE, load_causes

RUNBOOKS = Path(__file__).parents[1] / "docs" / "runbooks"
_STANDS_FOR = "`shop/web` stands for your service."
_EMERGENCY = """\
capacity emergency release --memory 4g      # stop containers labelled priority=low, free 4 GiB
capacity emergency release --flush redis    # empty a cache; cannot be undone
capacity emergency undo                     # start what was stopped
capacity emergency restart shop/db          # start what matters, its dependencies first
capacity emergency rollback                 # roll back the last run
capacity emergency rollback --revision HEAD~1 --compose compose.yaml
capacity restarts --window 10m --more-than 3
capacity timeline compose.yaml --engine     # what to fix on day 1, on days 2 and 3, in the week
capacity pool size 'agents/*'               # how many instances are enough, and why
capacity pool up agents --image agent:1.4 --size 3 --memory 800m  # what it would create"""


def causes() -> list[str]:
    """Every cause of restarts that the package knows."""
    return [*dict.fromkeys([*(cause.cause for cause in load_causes()), *BY_STATE])]


def pages() -> dict[str, str]:
    """File name -> text of every page, the index included."""
    texts = YAML(typ="safe").load(RUNBOOKS / "texts.yaml")
    return moved() | {
        "README.md": _index(texts),
        "rules.md": _page(
            "Runbooks: rules", "One section per rule.", [_of_rule(r, texts) for r in load_rules()]
        ),
        "reasons.md": _page(
            "Runbooks: reasons",
            "One section per reason code of a proposal.",
            [_of_reason(reason, texts) for reason in Reason],
        ),
        "causes.md": _page(
            "Runbooks: causes of restarts",
            "Why a container restarts again and again, or cannot start: one section per cause.",
            [_of_cause(cause, texts) for cause in causes()],
        ),
    }


def moved() -> dict[str, str]:
    """One line at the address that each runbook had in version 0.1: links to it stay good."""
    homes = {
        "rules": [rule.id for rule in load_rules()],
        "reasons": [str(reason) for reason in Reason],
        "causes": causes(),
    }
    return {
        f"{code}.md": f"# {code}\n\nThis runbook is now [a section]({page}.md#{code.lower()}).\n"
        for page, codes in homes.items()
        for code in codes
    }


class _Section:
    """One code's section; `shared` are the sections of texts.yaml that it links to."""

    def __init__(self, code: str, texts: dict[str, Any]) -> None:
        self.parts = [f"## {code}"]
        self.shared: dict[str, str] = {}
        self._all = texts["shared"]

    def say(self, text: str) -> _Section:
        """Add a paragraph."""
        self.parts.append(_wrapped(text))
        return self

    def part(self, heading: str, text: str = "", commands: list[str] | None = None) -> _Section:
        """Add a part with a heading."""
        self.parts += [f"### {heading}", *_body(text, commands)]
        return self

    def see(self, *names: str) -> _Section:
        """Link to shared sections."""
        links = []
        for name in names:
            title = self._all[name]["title"]
            self.shared[name] = _rendered(self._all[name])
            links.append(f"[{title[0].lower()}{title[1:]}](#{title.lower().replace(' ', '-')})")
        self.parts.append(
            "See " + ",\n".join(links[:-1]) + "\nand " * (len(links) > 1) + links[-1] + "."
        )
        return self


def _page(title: str, summary: str, sections: list[_Section]) -> str:
    shared: dict[str, str] = {}
    for section in sections:
        shared |= section.shared
    head = [f"# {title}", _wrapped(f"{summary} {_STANDS_FOR} [All runbooks](README.md).")]
    bodies = ["\n\n".join(section.parts) for section in sections]
    return "\n\n".join([*head, *bodies, *shared.values()]) + "\n"


def _rendered(shared: dict[str, Any]) -> str:
    return "\n\n".join([f"## {shared['title']}", *_body(shared["text"], shared["commands"])])


def _body(text: str, commands: list[str] | None) -> list[str]:
    block = ["\n".join(["```sh", *commands, "```"])] if commands else []
    return [*([_wrapped(text)] if text else []), *block]


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False)


def _of_rule(rule: Rule, texts: dict[str, Any]) -> _Section:
    shared = texts["rules"][rule.category]
    section = _Section(rule.id, texts)
    section.say(
        f"**{rule.title}.** Rule `{rule.slug}`, severity {rule.severity}. {rule.rationale}"
    ).see(shared["look"])
    section.part("How to fix", rule.remediation).say(f"Impact: {rule.impact}")
    section.parts += _body("", texts["commands"].get(rule.category))
    return section.see(*shared["then"])


def _of_reason(reason: Reason, texts: dict[str, Any]) -> _Section:
    told = texts["reasons"][str(reason)]
    section = _Section(str(reason), texts).say(f"{reason.text} {told['meaning']}")
    section.part("How to look", commands=told["look"])
    section.part("How to fix", told["fix"], told.get("commands"))
    return section.see(*(["apply-plan", "rollback-run"] if "apply" in told else ["rollback-none"]))


def _of_cause(cause: str, texts: dict[str, Any]) -> _Section:
    told = texts["causes"][cause]
    section = _Section(cause, texts).say(told["meaning"]).see("look-restarts")
    commands = ["capacity restarts --out plan.yaml"] if "plan" in told else None
    section.part("How to fix", told["fix"], commands)
    done = ["apply-plan", "rollback-run"] if "plan" in told else ["apply-edit", "rollback-edit"]
    return section.see(*done)


def _index(texts: dict[str, Any]) -> str:
    lines = [
        "# Runbooks",
        "",
        _wrapped(
            "What to do about a rule that fails, a reason of a proposal, or a cause of restarts. "
            "The monitor serves each at `/runbooks/CODE`, alerts link to it as `runbook_url`, and "
            f"SARIF as `helpUri`. {_STANDS_FOR}"
        ),
        "",
        "In an emergency, each a dry run until you add `--yes`:",
        "",
        f"```sh\n{_EMERGENCY}\n```",
        "",
        "## Reasons",
        "",
        "| reason | meaning |",
        "|---|---|",
    ]
    lines += [f"| [{reason}](reasons.md#{reason}) | {reason.text} |" for reason in Reason]
    lines += ["", "## Causes of restarts", "", "| cause | meaning |", "|---|---|"]
    lines += [
        f"| [{cause}](causes.md#{cause}) | {texts['causes'][cause]['meaning']} |"
        for cause in causes()
    ]
    lines += ["", "## Rules", "", "| rule | severity | title |", "|---|---|---|"]
    lines += [
        f"| [{rule.id}](rules.md#{rule.id.lower()}) | {rule.severity} | {rule.title} |"
        for rule in load_rules()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write all pages."""
    for name, text in pages().items():
        (RUNBOOKS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
