"""`capacity check`: exit codes, paths, formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capacity.compliance._trend import read_records
from tests.fixtures.fleets.compliance_fleets import container
from tests.fixtures.running.running_containers import check

GOOD = """services:
  web:
    image: house/web:1
    cpuset: "0"
    mem_limit: 64m
    cpus: 1
    pids_limit: 50
    read_only: true
    security_opt: ["no-new-privileges:true"]
    healthcheck: {test: ["CMD", "true"]}
"""
BAD = "services: {web: {image: 'a:1', privileged: true}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own to work in, without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    return tmp_path


def write(path: Path, text: str) -> Path:
    """A file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_clean_files_end_with_0(folder: Path) -> None:
    """Nothing at or above the threshold."""
    write(folder / "compose.yaml", GOOD)
    outcome = check()
    assert (outcome.code, "fail" in outcome.text) == (0, True), outcome.text
    assert "score 100.0%" in outcome.text or "score 9" in outcome.text


def test_quiet_ends_with_the_code_alone(folder: Path) -> None:
    """No table; a format that a program asked for is printed all the same."""
    write(folder / "compose.yaml", BAD)
    outcome = check("--quiet")
    assert (outcome.code, outcome.text, outcome.error) == (1, "", "")
    assert json.loads(check("--quiet", "--format", "json").text)


def test_findings_end_with_1_from_the_threshold_on(folder: Path) -> None:
    """Critical findings count for `high`, low ones do not."""
    write(folder / "compose.yaml", BAD)
    assert check().code == 1
    assert check("--fail-on", "never").code == 0
    write(folder / "compose.yaml", GOOD.replace("read_only: true", "read_only: false"))
    assert check("--fail-on", "high").code == 0
    assert check("--fail-on", "low").code == 1


@pytest.mark.parametrize("services", [1, 2, 9])
def test_what_is_not_evaluated_names_how_many_and_the_option(folder: Path, services: int) -> None:
    """One line a rule: the first service, how many more there are, what would tell."""
    text = "".join(f"  s{number}: {{image: 'a:1'}}\n" for number in range(services))
    write(folder / "shop" / "compose.yaml", f"services:\n{text}")
    lines = [line for line in check("shop").text.splitlines() if line.startswith("not evaluated: ")]
    more = f" and {services - 1} more" if services > 1 else ""
    (health,) = [line for line in lines if "CAP005" in line]
    assert health.startswith(f"not evaluated: CAP005 health-check for shop/s0{more}: declares")
    added = {line.split()[2]: line.rpartition("; add ")[2] for line in lines}
    assert added["CAP005"] == added["CAP006"] == "--engine"
    assert added["CAP001"] == added["CAP008"] == added["CAP010"] == "--history"
    assert added["CAP003"] == "--engine or --history"
    assert added["CAP011"] == "--alertmanager"


@pytest.mark.usefixtures("folder")
def test_a_recorded_history_does_not_tell_what_a_server_would() -> None:
    """The option that is given already is not proposed again without saying what it lacks."""
    text = check("--sample", "--fail-on", "never").text
    (rules,) = [line for line in text.splitlines() if line.startswith("not evaluated: CAP010")]
    assert rules.endswith("; add --history with a live server")
    assert "not evaluated: CAP001" not in text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--fail-on", "worst"), "no severity 'worst'"),
        (("--format", "xml"), "no format 'xml'"),
        (("--rules", "none.md"), "Cannot read the rule book"),
        (("--waivers", "none.yaml"), "Cannot read the waivers"),
        (("--snapshot", "none.json"), "Cannot read the snapshot"),
        (("none.yaml",), "Cannot read"),
        (("empty",), "hold no compose file"),
        (("broken.yaml",), "no YAML"),
        (("nobody.yaml",), "No rule could be evaluated"),
        (("--sample", "--offline"), "--sample goes alone"),
        (("--config", "none.toml"), "Cannot read"),
        (("--receiver", "127.0.0.1:10498"), "awaits an alert that nobody sends"),
        (("--receiver", "nonsense", "--alertmanager", "http://127.0.0.1:1"), ""),
    ],
)
def test_what_cannot_be_judged_ends_with_2(
    folder: Path, arguments: tuple[str, ...], error: str
) -> None:
    """Usage and data errors, whose message says which."""
    write(folder / "compose.yaml", BAD)
    (folder / "empty").mkdir()
    write(folder / "broken.yaml", "services: [\n")
    write(folder / "nobody.yaml", "services: {}\n")
    outcome = check(*arguments)
    assert outcome.code == (2 if error else 1)
    assert error in outcome.error


def test_paths(folder: Path) -> None:
    """A folder of folders, an override that belongs to its file, a file twice, a hidden folder."""
    write(folder / "a" / "compose.yaml", GOOD)
    write(folder / "a" / "compose.override.yaml", "services: {web: {privileged: true}}\n")
    write(folder / "b" / "deep" / "docker-compose.yml", BAD.replace("web", "other"))
    write(folder / ".hidden" / "compose.yaml", BAD.replace("web", "hidden"))
    subjects = {finding["subject"] for finding in failing(".")}
    assert subjects == {"a/web", "deep/other"}
    again = {
        finding["subject"] for finding in failing("a/compose.override.yaml", "a", "a/compose.yaml")
    }
    assert again == {"a/web"}


def failing(*arguments: str) -> list[dict[str, str]]:
    """Findings on privileged containers that fail."""
    findings = json.loads(check(*arguments, "--format", "json").text)["findings"]
    return [
        finding
        for finding in findings
        if finding["rule"] == "CAP018" and finding["status"] == "fail"
    ]


def test_own_rules_waivers_and_record(folder: Path) -> None:
    """From capacity.toml: books and waivers relative to it; the score is kept when asked for."""
    write(folder / "compose.yaml", "name: shop\n" + BAD)
    own = (
        "## OWN001 Few processes\n```yaml rule\nid: OWN001\nslug: few\ncheck: "
        "privileged\nseverity: critical\ncategory: own\n"
    )
    write(folder / "own.md", own + "rationale: a\nremediation: b\nimpact: c\n```\n")
    write(
        folder / "waivers.yaml",
        "waivers:\n- {rule: few, service: '*', reason: r, owner: o, expires: 2099-01-01}\n"
        "- {rule: CAP099, service: '*', reason: r, owner: o, expires: 2099-01-01}\n",
    )
    settings = (
        '[compliance]\nrules = ["own.md"]\nwaivers = "waivers.yaml"\nrecord = "kept/scores.jsonl"\n'
    )
    write(folder / "sub" / "x", "")
    write(folder / "capacity.toml", settings)
    outcome = check("--record")
    assert outcome.code == 0, outcome.text
    assert "1 waived" in outcome.text
    assert "CAP099 for * (o, until 2099-01-01): names no rule of the book" in outcome.text
    (kept,) = read_records(folder / "kept" / "scores.jsonl")
    assert kept.counts["waived"] == 1


def test_a_recorded_snapshot(folder: Path) -> None:
    """Containers without an Engine; together with --engine it is one too many."""
    snapshot = write(folder / "snapshot.json", json.dumps([container("web", Privileged=True)]))
    (finding,) = failing("--snapshot", str(snapshot))
    assert finding["subject"] == "shop/web"


@pytest.mark.parametrize("form", ["table", "sarif", "junit", "markdown", "json"])
def test_every_format_prints(folder: Path, form: str) -> None:
    """And ends with the code of its findings."""
    write(folder / "compose.yaml", BAD)
    outcome = check("--format", form)
    assert outcome.code == 1
    assert "CAP018" in outcome.text


def test_the_sample(folder: Path) -> None:
    """The bundled fleet's known faults are found: 8080 wanted five times, stand-alone agents,
    uneven cores.
    """
    del folder
    outcome = check("--sample", "--format", "json")
    said = json.loads(outcome.text)
    failing = {
        (finding["rule"], finding["subject"])
        for finding in said["findings"]
        if finding["status"] == "fail"
    }
    assert {subject for rule, subject in failing if rule == "CAP004"} == {
        "shop/frontend",
        "shop/backend-api",
        "observability/cadvisor",
        "data/airflow",
        "ai/agent-console",
    }
    assert {("CAP016", "ai/claude-1"), ("CAP008", "dock1"), ("CAP001", "shop/search")} <= failing
    assert len(said["port_moves"]) == 4
