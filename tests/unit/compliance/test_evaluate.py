"""Statuses, waivers, score, trend."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from capacity.compliance import Facts, Status, evaluate, load_rules
from capacity.compliance._formats.json_report import as_json
from capacity.compliance._formats.markdown import as_markdown
from capacity.compliance._trend import compare, read_records, record, trend
from capacity.compliance._waivers import load_waivers, read_waivers
from capacity.errors import InputError, StorageError
from tests.fixtures.fleets.compliance_fleets import DAY, container, declared, live, rule

WAIVER = (
    "waivers:\n- {{rule: {rule}, service: '{service}', reason: Old box, owner: ann, expires: "
    "{expires}}}\n"
)
SERVICES = "  web: {image: 'a:1', privileged: true}\n  db: {image: 'a:1'}\n"


def waived(text: str, facts: Facts, *, today: date = DAY) -> dict[str, Status]:
    """Subject -> status of the rule on privileged containers."""
    report = evaluate([rule("privileged")], facts, read_waivers(text, "waivers.yaml"), today=today)
    return {finding.subject: finding.status for finding in report.findings}


@pytest.mark.parametrize("name", ["CAP018", "no-privileged"])
def test_a_waiver_counts_until_its_last_day(tmp_path: Path, name: str) -> None:
    """By id or slug; on the day after, the finding fails again and says why."""
    facts = declared(tmp_path, shop=SERVICES)
    text = WAIVER.format(rule=name, service="shop/*", expires="2026-11-23")
    assert waived(text, facts) == {"shop/web": Status.WAIVED, "shop/db": Status.PASS}
    late = evaluate(
        [rule("privileged")], facts, read_waivers(text, "w.yaml"), today=DAY + timedelta(days=1)
    )
    (failing,) = late.failing()
    assert "its waiver expired on 2026-11-23" in failing.verdict.message
    assert late.expired == late.waivers
    assert late.unused == ()


def test_waivers_without_use_and_ending_soon(tmp_path: Path) -> None:
    """One that fits no failure is reported, so is one that ends within 30 days."""
    facts = declared(tmp_path, shop=SERVICES)
    text = WAIVER.format(rule="CAP018", service="shop/db", expires="2027-06-01")
    text += WAIVER.format(rule="CAP018", service="shop/web", expires="2026-12-23").partition("\n")[
        2
    ]
    report = evaluate([rule("privileged")], facts, read_waivers(text, "w.yaml"), today=DAY)
    assert [(waiver.service, report.useless(waiver)) for waiver in report.unused] == [
        ("shop/db", "fits nothing")
    ]
    assert [waiver.service for waiver in report.expiring] == ["shop/web"]


def test_a_waiver_of_a_rule_that_does_not_exist_says_so(tmp_path: Path) -> None:
    """A slip of the pen in the rule's name is not the same as a rule that nobody breaks."""
    text = WAIVER.format(rule="no-priviliged", service="*", expires="2027-06-01")
    report = evaluate(
        [rule("privileged")],
        declared(tmp_path, shop=SERVICES),
        read_waivers(text, "w.yaml"),
        today=DAY,
    )
    assert [report.useless(waiver) for waiver in report.unused] == ["names no rule of the book"]
    assert json.loads(as_json(report))["waivers"]["unused"][0]["why"] == "names no rule of the book"
    assert "that name no rule of the book" in as_markdown(report)


def test_a_waiver_for_what_was_not_evaluated_is_not_without_use(tmp_path: Path) -> None:
    """Without an Engine nobody knows whether the health checks pass."""
    text = WAIVER.format(rule="health-passing", service="shop/web", expires="2027-06-01")
    report = evaluate(
        [rule("health-passing")],
        declared(tmp_path, shop=SERVICES),
        read_waivers(text, "w.yaml"),
        today=DAY,
    )
    assert report.unused == ()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("waivers: {}\n", "w.yaml:1:10: waivers must be a list"),
        ("waiver: []\n", "knows no key 'waiver'"),
        ("waivers:\n- {rule: CAP001}\n", "w.yaml:2:3: a waiver lacks service"),
        (WAIVER.format(rule="x", service="*", expires="soon"), "expires is no date"),
        (WAIVER.format(rule="x", service="*", expires="2026-13-01"), "expires is no date"),
        (WAIVER.format(rule="x", service="", expires="2027-01-01"), "service must be a text"),
        ("a: b: c\n", "no YAML"),
        ("--- {}\n--- {}\n", "one YAML document"),
        ("", "one YAML document, not none"),
        ("[]", "must be a mapping"),
    ],
)
def test_wrong_waivers_are_refused(text: str, cause: str) -> None:
    """With file and line."""
    with pytest.raises(InputError) as caught:
        read_waivers(text, "w.yaml")
    assert cause in str(caught.value)


def test_an_unreadable_waivers_file(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(InputError, match="Cannot read"):
        load_waivers(tmp_path / "none.yaml")


def test_the_score_weighs_by_severity(tmp_path: Path) -> None:
    """A critical failure weighs eight times a low one; what is waived or unknown counts on neither
    side.
    """
    facts = declared(tmp_path, shop="  web: {image: 'a:1', privileged: true, read_only: true}\n")
    rules = [rule("privileged"), rule("read-only-root"), rule("health-passing")]
    report = evaluate(rules, facts, today=DAY)
    assert report.score == pytest.approx(1 / 9)
    assert report.counts == {
        Status.PASS: 1,
        Status.FAIL: 1,
        Status.WAIVED: 0,
        Status.NOT_EVALUATED: 1,
    }
    text = WAIVER.format(rule="CAP018", service="*", expires="2027-01-01")
    assert evaluate(rules, facts, read_waivers(text, "w.yaml"), today=DAY).score == 1


def test_no_facts_no_score() -> None:
    """Nothing known: every rule is not-evaluated."""
    report = evaluate(load_rules(), Facts(), today=DAY)
    assert report.score is None
    assert {finding.status for finding in report.findings} == {Status.NOT_EVALUATED}


def test_a_service_that_breaks_a_rule_twice_counts_once(tmp_path: Path) -> None:
    """Two findings with their lines, one evaluation."""
    facts = declared(tmp_path, shop="  web:\n    image: a:1\n    ports: ['80:80', '81:81']\n")
    report = evaluate([rule("port-range")], facts, today=DAY)
    assert (len(report.findings), report.counts[Status.FAIL]) == (2, 1)


def test_two_folders_with_one_name_hide_nothing(tmp_path: Path) -> None:
    """A service declared twice under one name fails if either breaks the rule."""
    from capacity.compliance._facts.collect import from_files

    for folder, privileged in (("one", "false"), ("two", "true")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "compose.yaml").write_text(
            f"name: p\nservices: {{web: {{image: 'a:1', privileged: {privileged}}}}}\n"
        )
    report = evaluate([rule("privileged")], from_files([tmp_path]), today=DAY)
    assert [finding.file for finding in report.failing()] == [
        str(tmp_path / "two" / "compose.yaml")
    ]


def test_a_container_that_was_not_asked_does_not_pass(tmp_path: Path) -> None:
    """Declared without privileges, but the container's own are unknown."""
    from dataclasses import replace

    facts = replace(
        live(container("web"), facts=declared(tmp_path, shop="  web: {image: 'a:1'}\n")),
        postures={},
    )
    assert {
        finding.status for finding in evaluate([rule("privileged")], facts, today=DAY).findings
    } == {Status.NOT_EVALUATED}


def test_the_trend_keeps_the_last_of_each_week(tmp_path: Path) -> None:
    """Twelve weeks, those without an evaluation are empty, and what changed is named."""
    file, now = tmp_path / "kept" / "scores.jsonl", datetime(2026, 11, 25, 6, tzinfo=UTC)
    bad = evaluate([rule("privileged")], declared(tmp_path / "a", shop=SERVICES), today=DAY)
    good = evaluate(
        [rule("privileged")], declared(tmp_path / "b", shop="  db: {image: 'a:1'}\n"), today=DAY
    )
    record(bad, file, now - timedelta(days=15))
    record(bad, file, now - timedelta(days=1))
    record(good, file, now)
    weeks = trend(file, now)
    assert len(weeks) == 12
    assert [week.last.score if week.last else None for week in weeks[-3:]] == [0.5, None, 1.0]
    assert weeks[-1].start == datetime(2026, 11, 23, tzinfo=UTC)
    first, _, last = read_records(file)
    assert compare(first, last).fixed == (("CAP018", "shop/web"),)
    assert compare(last, first).new == (("CAP018", "shop/web"),)


@pytest.mark.parametrize(
    "line",
    ["x", "[]", '{"at": "2026-11-23", "score": 1, "counts": {}, "failing": []}', '{"score": 7}'],
)
def test_a_damaged_record_is_refused(tmp_path: Path, line: str) -> None:
    """Nothing is thrown away: the line is named."""
    file = tmp_path / "scores.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(StorageError, match=r"scores\.jsonl:1"):
        read_records(file)


COVERING = (
    "waivers:\n- {{rule: {rule}, service: 'shop/*', reason: Old box, owner: ann, expires: "
    "2026-11-30, covers: [{covers}]}}\n"
)


@pytest.mark.parametrize(
    ("service", "covers", "status"),
    [
        ("cap_add: [SYS_ADMIN]", "SYS_ADMIN", Status.WAIVED),
        ("cap_add: [CAP_SYS_ADMIN]", "sys_admin, ALL", Status.WAIVED),
        ("cap_add: [SYS_ADMIN, SYS_MODULE]", "SYS_ADMIN", Status.FAIL),
        ("cap_add: [SYS_ADMIN], privileged: true", "SYS_ADMIN", Status.FAIL),
        ("cap_add: [SYS_ADMIN], privileged: true", "SYS_ADMIN, privileged", Status.WAIVED),
        ("privileged: true", "SYS_ADMIN", Status.FAIL),
        ("cap_add: [SYS_ADMIN]", "CAP_SYS_ADMIN", Status.WAIVED),
    ],
)
def test_a_waiver_lets_what_it_covers_alone(
    tmp_path: Path, service: str, covers: str, status: Status
) -> None:
    """What was not there when it was given fails, and the finding names it."""
    facts = declared(tmp_path, shop=f"  web: {{image: 'a:1', {service}}}\n")
    text = COVERING.format(rule="CAP018", covers=covers)
    report = evaluate([rule("privileged")], facts, read_waivers(text, "w.yaml"), today=DAY)
    (finding,) = report.findings
    assert finding.status is status
    assert ("(no waiver covers " in finding.verdict.message) == (status is Status.FAIL)
    assert finding.said in finding.verdict.message
    assert "waiver" not in finding.said  # what its identity in other tools comes from


@pytest.mark.parametrize(
    ("service", "cause"),
    [
        ("", "no-limit"),
        (", mem_limit: 512", "memory"),
        (", mem_limit: 64m, mem_reservation: 65m", "reservation"),
        (", mem_limit: 64m, memswap_limit: 63m", "memory-swap"),
    ],
)
def test_a_waiver_of_no_limit_is_none_of_a_wrong_one(
    tmp_path: Path, service: str, cause: str
) -> None:
    """Each way to fail has a name of its own; one waiver lets one of them."""
    facts = declared(tmp_path, shop=f"  web: {{image: 'a:1'{service}}}\n")
    for covered in ("no-limit", "memory", "reservation", "memory-swap"):
        text = COVERING.format(rule="CAP002", covers=covered)
        waivers = read_waivers(text, "w.yaml")
        report = evaluate([rule("memory-limit-declared")], facts, waivers, today=DAY)
        (finding,) = report.findings
        assert (finding.status is Status.WAIVED) == (covered == cause), finding.verdict


def test_a_waiver_that_covers_all_says_so(tmp_path: Path) -> None:
    """Without `covers` whatever fails is let, which who reads the finding can see."""
    facts = declared(tmp_path, shop=SERVICES)
    text = WAIVER.format(rule="CAP018", service="shop/web", expires="2026-11-30")
    report = evaluate([rule("privileged")], facts, read_waivers(text, "w.yaml"), today=DAY)
    messages = {finding.status: finding.verdict.message for finding in report.findings}
    assert "(its waiver covers whatever fails here)" in messages[Status.WAIVED]


def test_two_waivers_share_what_fails(tmp_path: Path) -> None:
    """Each covers one capability; a third one is named alone."""
    parts = [COVERING.format(rule="CAP018", covers=name) for name in ("SYS_MODULE", "SYS_ADMIN")]
    waivers = read_waivers(parts[0] + parts[1].removeprefix("waivers:\n"), "w.yaml")
    for more, status in (("", Status.WAIVED), (", SYS_RAWIO", Status.FAIL)):
        service = f"{{image: 'a:1', cap_add: [SYS_ADMIN, SYS_MODULE{more}]}}"
        facts = declared(tmp_path, shop=f"  web: {service}\n")
        (finding,) = evaluate([rule("privileged")], facts, waivers, today=DAY).findings
        assert finding.status is status
        assert ("(no waiver covers SYS_RAWIO)" in finding.verdict.message) == bool(more)


def test_of_two_waivers_the_one_that_covers_it_counts(tmp_path: Path) -> None:
    """In any order."""
    facts = declared(tmp_path, shop="  web: {image: 'a:1', cap_add: [SYS_ADMIN]}\n")
    parts = [COVERING.format(rule="CAP018", covers=name) for name in ("ALL", "SYS_ADMIN")]
    for first, second in (parts, parts[::-1]):
        waivers = read_waivers(first + second.removeprefix("waivers:\n"), "w.yaml")
        (finding,) = evaluate([rule("privileged")], facts, waivers, today=DAY).findings
        assert finding.status is Status.WAIVED
