"""The rule book's reader: what it takes, and where it says what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from capacity.compliance import Facts, Severity, Status, evaluate, load_rules
from capacity.compliance._rules.registry import checks
from capacity.compliance._rules.rules import read_rules
from capacity.errors import InputError
from tests.fixtures.fleets.compliance_fleets import DAY, declared

BLOCK = """id: CAP900
slug: own-rule
check: pids-limit
parameters: {most: 200}
severity: low
category: security
rationale: Because.
remediation: Do it.
impact: None.
scope: {services: ["shop/*"], except: ["shop/old-*"], labels: {tier: "front*"}}
"""


def book(block: str = BLOCK, heading: str = "## CAP900 Own rule", info: str = "yaml rule") -> str:
    """A book with one rule; the block's first line is line 7."""
    return f"# Ours\n\nProse.\n\n{heading}\n```{info}\n{block}```\n"


def refusal(text: str) -> str:
    """What the reader says."""
    with pytest.raises(InputError) as caught:
        read_rules(text, "book.md")
    assert caught.value.hint
    return caught.value.message


def test_the_houses_book_uses_every_check() -> None:
    """Each check of the house has a rule, ids count up, and every rule explains itself."""
    rules = load_rules()
    assert {rule.check for rule in rules} == set(checks())
    assert [rule.id for rule in rules] == [f"CAP{number:03}" for number in range(1, len(rules) + 1)]
    assert all(rule.rationale and rule.remediation and rule.impact and rule.title for rule in rules)


def test_a_rule_is_read() -> None:
    """Everything in the block arrives, with its place."""
    (rule,) = read_rules(book(), "book.md")
    assert (rule.id, rule.slug, rule.title, rule.severity) == (
        "CAP900",
        "own-rule",
        "Own rule",
        Severity.LOW,
    )
    assert (rule.parameters, rule.place) == ({"most": 200}, "book.md:7")
    assert rule.scope.covers("shop/web", {"tier": "frontend"})
    assert not rule.scope.covers("shop/web", {})
    assert not rule.scope.covers("shop/old-web", {"tier": "frontend"})
    assert not rule.scope.covers("data/web", {"tier": "frontend"})


@pytest.mark.parametrize(
    ("change", "line", "cause"),
    [
        (("id: CAP900", "id: cap1"), 7, "id is 'cap1'"),
        (("id: CAP900", "id: CAP901"), 7, "heading says CAP900"),
        (("slug: own-rule", "slug: Own Rule"), 8, "slug is"),
        (("check: pids-limit", "check: pids"), 9, "'pids' is no check"),
        (("{most: 200}", "{mots: 200}"), 10, "knows no parameter 'mots'"),
        (("{most: 200}", "{most: '200'}"), 10, "most"),
        (("{most: 200}", "{most: 0}"), 10, "most"),
        (("{most: 200}", "{most: .nan}"), 10, "most"),
        (("{most: 200}", "[most]"), 10, "must be a mapping"),
        (("severity: low", "severity: lowest"), 11, "severity is"),
        (("severity: low", "severity: low\nseverity: low"), 12, "stands already"),
        (("category: security", "categroy: security"), 12, "knows no key 'categroy'"),
        (("rationale: Because.", "rationale: ''"), 13, "must be a text"),
        (("rationale: Because.\n", ""), 7, "lacks rationale"),
        (("services: [", "service: ["), 16, "knows no key 'service'"),
        (('["shop/*"]', "[]"), 16, "list of texts"),
        (('"front*"', "1"), 16, "globs of text"),
        (("remediation: Do it.", "remediation: [a"), 14, "no YAML"),
    ],
)
def test_a_wrong_word_is_named_with_its_line(
    change: tuple[str, str], line: int, cause: str
) -> None:
    """File and line of the book, and the cause."""
    said = refusal(book(BLOCK.replace(*change)))
    assert re.match(r"book\.md:(\d+)", said), said
    assert cause in said
    assert abs(int(said.split(":")[1]) - line) <= (2 if "YAML" in cause else 0), said


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("# Nothing\n", 0, "holds no rule"),
        (book(info="yaml rules"), 6, "no rule block"),
        (book(info="yml rule"), 6, "no rule block"),
        (book(heading="## CAP901 Other"), 7, "heading says CAP901"),
        (book() + "\n## CAP902 Empty\n", 19, "no rule block stands under"),
        (book().rstrip("`\n") + "\n", 6, "not closed"),
        (book() + "```yaml rule\n" + BLOCK + "```\n", 18, "without a heading"),
        (book() + "\n" + book(), 0, "stands already in book.md:7"),
        (
            book() + "\n" + book(BLOCK.replace("CAP900", "CAP901"), "## Second"),
            0,
            "the slug own-rule stands already",
        ),
        ("```yaml rule\n" + BLOCK + "```\n", 1, "without a heading"),
    ],
)
def test_a_wrong_book_is_refused(text: str, line: int, cause: str) -> None:
    """No block is overlooked, none counts twice."""
    said = refusal(text)
    assert cause in said
    assert not line or said.startswith(f"book.md:{line}:"), said


def test_examples_and_comments_are_no_rules() -> None:
    """A block within a longer fence, and one within a comment."""
    text = (
        "# Book\n\n````\n```yaml rule\nid: x\n```\n````\n\n<!--\n## CAP777 x\n```yaml "
        "rule\n```\n-->\n\n" + book()
    )
    assert [rule.id for rule in read_rules(text, "book.md")] == ["CAP900"]


def test_two_books_together(tmp_path: Path) -> None:
    """One's own rules beside the house's; an id of the house's is taken."""
    own = tmp_path / "own.md"
    own.write_text(book())
    assert len(load_rules(["house", own])) == len(load_rules()) + 1
    own.write_text(book(BLOCK.replace("CAP900", "CAP001"), "## x"))
    with pytest.raises(InputError, match="CAP001 stands already"):
        load_rules(["house", own])
    with pytest.raises(InputError, match="Cannot read"):
        load_rules([tmp_path / "none.md"])


def test_a_scope_without_anyone_is_no_pass(tmp_path: Path) -> None:
    """A glob that fits nobody gives not-evaluated."""
    facts = declared(tmp_path, data="  web: {image: 'a:1'}\n")
    (finding,) = evaluate(read_rules(book(), "book.md"), facts, today=DAY).findings
    assert (finding.subject, finding.status) == ("fleet", Status.NOT_EVALUATED)


def test_labels_choose(tmp_path: Path) -> None:
    """Only the service with the label is looked at."""
    facts = declared(
        tmp_path, shop="  web: {image: 'a:1', labels: {tier: frontend}}\n  db: {image: 'a:1'}\n"
    )
    (finding,) = evaluate(read_rules(book(), "book.md"), facts, today=DAY).findings
    assert (finding.subject, finding.status) == ("shop/web", Status.FAIL)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that brings the checks `own-good`, `own-bad` and `own-missing`."""
    (tmp_path / "own_checks.py").write_text(
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING, Annotated\n"
        "from capacity.compliance import Verdict, failed\n"
        "from pydantic import Field\n"
        "if TYPE_CHECKING:\n    from capacity.compliance import Facts\n"
        "def good(facts: Facts, *, most: Annotated[int, Field(le=9)] = 3):\n    yield "
        "failed('shop/web', f'more than {most}')\n"
        "def bad(facts):\n    raise ZeroDivisionError('x')\n"
        "def odd(facts):\n    return [True]\n"
        "def text(facts):\n    return [Verdict('shop/web', 'fail', 'x')]\n"
        "def bare(facts, *, most=3):\n    return []\n"
    )
    info = tmp_path / "own_checks-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-checks\nVersion: 1\n")
    names = {
        "own-good": "good",
        "own-bad": "bad",
        "own-odd": "odd",
        "own-text": "text",
        "own-bare": "bare",
        "own-missing": "nothing",
    }
    (info / "entry_points.txt").write_text(
        "[capacity.checks]\n"
        + "".join(f"{name} = own_checks:{item}\n" for name, item in names.items())
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def own(check: str, parameters: str = "{}") -> str:
    """A book with a rule of another package's check."""
    return book(
        BLOCK.replace("pids-limit", check)
        .replace("{most: 200}", parameters)
        .replace("scope:", "# scope:")
    )


def test_a_check_from_another_package(plugin: Path) -> None:
    """Found by its entry point, with its parameters checked."""
    del plugin
    report = evaluate(read_rules(own("own-good", "{most: 5}"), "book.md"), Facts(), today=DAY)
    assert [(finding.subject, finding.verdict.message) for finding in report.failing()] == [
        ("shop/web", "more than 5")
    ]
    assert "most" in refusal(own("own-good", "{most: many}"))
    assert "most" in refusal(own("own-good", "{most: 10}"))
    assert "no annotation" in refusal(own("own-bare", "{most: 1}"))


@pytest.mark.parametrize(
    ("check", "cause"),
    [("own-bad", "ZeroDivisionError"), ("own-odd", "no verdict"), ("own-text", "no verdict")],
)
def test_a_check_that_breaks_is_an_error(plugin: Path, check: str, cause: str) -> None:
    """Never a pass, never a traceback."""
    del plugin
    with pytest.raises(InputError, match=cause):
        evaluate(read_rules(own(check), "book.md"), Facts(), today=DAY)


def test_a_check_that_cannot_be_loaded(plugin: Path) -> None:
    """The error names the entry point."""
    del plugin
    assert "cannot be loaded from own_checks:nothing" in refusal(own("own-missing"))
