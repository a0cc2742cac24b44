"""What each check says when the file, the container or both are known, and when they disagree."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from capacity.compliance import Facts, Status
from tests.fixtures.compliance_fleets import container, declared, found, live
from tests.unit.compliance.test_hardening import CASES

PARTS = ("none", "good", "bad")
BOTH = sorted(name for name, case in CASES.items() if case[0] and case[2] is not None)


def facts(folder: Path, check: str, file: str, running: str) -> Facts:
    """What is known of `shop/web`, each part good, bad or not there."""
    bad_file, good_file, bad_live, good_live = CASES[check]
    known = Facts()
    if file != "none":
        text = (bad_file if file == "bad" else good_file) or ""
        body = text if text.startswith("image:") else f"image: a:1\n    {text}"
        known = declared(folder, shop=f"  web:\n    {body}\n")
    if running != "none":
        known = live(
            container("web", **((bad_live if running == "bad" else good_live) or {})), facts=known
        )
    return known


@pytest.mark.parametrize("check", BOTH)
@pytest.mark.parametrize(("file", "running"), list(itertools.product(PARTS, PARTS))[1:])
def test_either_breaks_the_rule_and_a_health_check_is_the_containers(
    tmp_path: Path, check: str, file: str, running: str
) -> None:
    """The file breaks a rule for the next start, the container for now; whether a health check is
    there, a container that is known decides.
    """
    decides = (running,) if check == "health-check" and running != "none" else (file, running)
    status = Status.FAIL if "bad" in decides else Status.PASS
    assert found(check, facts(tmp_path, check, file, running)) == {"shop/web": status}


@pytest.mark.parametrize(
    ("line", "env", "status"),
    [
        ("DB_PASSWORD: ${NOWHERE_SET}", None, Status.NOT_EVALUATED),
        ("DB_PASSWORD:", None, Status.NOT_EVALUATED),
        ("DB_PASSWORD: ${NOWHERE_SET}", [], Status.PASS),
        ("DB_PASSWORD: ${NOWHERE_SET}", ["DB_PASSWORD=hunter2"], Status.FAIL),
        ("DB_PASSWORD: ${NOWHERE_SET:-changeme}", [], Status.FAIL),
        ("MODE: fast", ["API_TOKEN=abc"], Status.FAIL),
        ("MODE: fast", None, Status.PASS),
    ],
)
def test_a_secret_in_a_variable_is_known_of_the_container(
    tmp_path: Path, line: str, env: list[str] | None, status: Status
) -> None:
    """The file alone cannot pass it, the container tells."""
    known = declared(tmp_path, shop=f"  web:\n    image: a:1\n    environment:\n      {line}\n")
    if env is not None:
        known = live(container("web", Env=env), facts=known)
    assert found("environment-secrets", known) == {"shop/web": status}


@pytest.mark.parametrize(
    ("check", "running", "status"),
    [
        ("", None, Status.FAIL),
        ("healthcheck: {interval: 5s}", None, Status.NOT_EVALUATED),
        ("healthcheck: {disable: false}", None, Status.NOT_EVALUATED),
        ("healthcheck: {disable: false}", {"Test": ["CMD", "ok"]}, Status.PASS),
        ("", {"Test": ["CMD", "ok"]}, Status.PASS),
        ("healthcheck: {test: [NONE]}", None, Status.FAIL),
        ("healthcheck: {test: [CMD, ok]}", {}, Status.FAIL),
        ("healthcheck: {test: [CMD, ok]}", {"Test": ["NONE"]}, Status.FAIL),
    ],
)
def test_a_health_check_comes_from_file_or_image(
    tmp_path: Path, check: str, running: dict[str, list[str]] | None, status: Status
) -> None:
    """What only the image can say is not evaluated without it."""
    known = declared(tmp_path, shop=f"  web:\n    image: a:1\n    {check}\n")
    if running is not None:
        known = live(container("web", Healthcheck=running), facts=known)
    assert found("health-check", known) == {"shop/web": status}


def test_a_job_that_is_awaited_to_its_end_needs_no_health_check(tmp_path: Path) -> None:
    """A migration is done when it has ended well; its database needs one all the same."""
    text = (
        "  web:\n    image: a:1\n    healthcheck: {test: [CMD, ok]}\n    depends_on:\n"
        "      migrate: {condition: service_completed_successfully}\n"
        "      db: {condition: service_started}\n"
        "  migrate: {image: 'a:1'}\n  db: {image: 'b:1'}\n"
    )
    assert found("health-check", declared(tmp_path, shop=text)) == {
        "shop/db": Status.FAIL,
        "shop/migrate": Status.PASS,
        "shop/web": Status.PASS,
    }
