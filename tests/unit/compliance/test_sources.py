"""What each check says when the file, the container or both are known, and when they disagree."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from capacity.compliance import Facts, Status
from capacity.compliance._facts.hardening_profile import read_hardening_profile, volume_devices
from capacity.compliance._rules.registry import checks, sources_of
from tests.fixtures.fleets.compliance_fleets import container, declared, found, live
from tests.unit.compliance.test_hardening import CASES
from tests.unit.compliance.test_history import history

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


# Of a plain service, one part known alone: nothing, file, container, image, history of its use;
# "?" is not evaluated. The image is
# known by the container made of it. A rule that is missing here fails the test.
ALONE = """
agents-pooled ? ? ? ? ?
alert-delivery ? ? ? ? ?
alert-rules ? ? ? ? ?
alertmanager ? ? ? ? ?
confined ? pass pass pass ?
cores-balanced ? ? ? ? ?
cpu-limit ? fail fail fail ?
cpu-pinning ? ? ? ? ?
cpu-share ? ? ? ? ?
docker-socket ? pass pass pass ?
environment-secrets ? pass pass pass ?
health-check ? ? fail pass ?
health-passing ? ? ? ? ?
host-namespaces ? pass pass pass ?
host-network ? pass pass pass ?
image-tag ? fail pass pass ?
memory-limit-declared ? fail ? ? ?
memory-limit-live ? ? fail fail ?
no-new-privileges ? fail fail fail ?
pids-limit ? fail fail fail ?
port-address ? pass pass pass ?
port-conflicts ? pass pass pass ?
port-range ? pass pass pass ?
port-reserved ? pass pass pass ?
privileged ? pass pass pass ?
read-only-root ? fail fail fail ?
restart-bounded ? pass pass pass ?
restart-loop ? ? pass pass ?
targets-up ? ? ? ? ?
ulimits ? pass pass pass ?
"""


@pytest.mark.parametrize("check", sorted(checks()))
def test_one_part_alone(tmp_path: Path, check: str) -> None:
    """What each rule of the book says of a plain service when nothing but one part is known: never
    a pass without the data that it judges.
    """
    table = {name: said for name, *said in map(str.split, ALONE.strip().splitlines())}
    assert said_alone(tmp_path, check) == table[check]


@pytest.mark.parametrize("check", sorted(checks()))
def test_what_evaluates_a_check_alone_is_one_of_its_sources(tmp_path: Path, check: str) -> None:
    """Options are proposed by them; every check has one."""
    parts = ("", "files", "engine", "engine", "history")
    said = dict(zip(parts, said_alone(tmp_path, check), strict=True))
    assert {source for source, letters in said.items() if letters != "?"} <= {*sources_of(check)}
    assert sources_of(check)


def said_alone(folder: Path, check: str) -> list[str]:
    """Of nothing, the file, the container, the image and the history."""
    image: dict[str, Any] = {"Healthcheck": {"Test": ["CMD", "ok"]}, "Env": ["PATH=/bin"]}
    parts = (
        Facts(),
        declared(folder, shop="  web: {image: a}\n"),
        live(container("web")),
        live(container("web", **image)),
        Facts(history=history()),
    )
    letters = {Status.PASS: "pass", Status.FAIL: "fail", Status.NOT_EVALUATED: "?"}
    return [
        "/".join(sorted({letters[status] for status in found(check, facts).values()}))
        for facts in parts
    ]


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
        ("", None, Status.NOT_EVALUATED),
        ("", {}, Status.FAIL),
        ("healthcheck: {interval: 5s}", None, Status.NOT_EVALUATED),
        ("healthcheck: {disable: false}", None, Status.NOT_EVALUATED),
        ("healthcheck: {disable: false}", {"Test": ["CMD", "ok"]}, Status.PASS),
        ("", {"Test": ["CMD", "ok"]}, Status.PASS),
        ("healthcheck: {test: [NONE]}", None, Status.FAIL),
        ("healthcheck: {test: [CMD, ok]}", {}, Status.FAIL),
        ("healthcheck: {test: [CMD, ok]}", {"Test": ["NONE"]}, Status.FAIL),
        ("healthcheck: {test: '${NOWHERE_SET}'}", None, Status.FAIL),
        ("healthcheck: {test: [CMD-SHELL, ' ']}", {"Test": ["CMD-SHELL", " "]}, Status.FAIL),
        ("healthcheck: {test: [CMD]}", None, Status.FAIL),
        ("healthcheck: {test: [CMD], disable: true}", None, Status.FAIL),
        ("healthcheck: {test: 'exit 0'}", None, Status.PASS),
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
        "shop/db": Status.NOT_EVALUATED,
        "shop/migrate": Status.PASS,
        "shop/web": Status.PASS,
    }


@pytest.mark.parametrize("check", sorted(checks()))
def test_what_a_provider_brings_up_has_no_container_to_judge(tmp_path: Path, check: str) -> None:
    """Neither its image nor its limits are the project's; the services that need it are judged."""
    web = "  web: {image: a, depends_on: [db]}\n"
    text = f"{web}  db: {{provider: {{type: cloud, options: {{size: 256}}}}}}\n"
    subjects = found(check, declared(tmp_path, shop=text))
    alone = found(check, declared(tmp_path / "alone", shop="  web: {image: a}\n"))
    assert subjects == alone


@pytest.mark.parametrize(
    ("device", "status"),
    [("/var/run/docker.sock", Status.FAIL), ("/run", Status.FAIL), ("/srv/data", Status.PASS)],
)
def test_a_named_volume_may_be_the_socket(device: str, status: Status) -> None:
    """By the Engine's list of volumes, or by what the container was created with."""
    mount = {"Type": "volume", "Name": "v", "Source": "/data/v", "Destination": "/x"}
    options = {"type": "none", "o": "bind", "device": device}
    made = {
        "Type": "volume",
        "Target": "/x",
        "VolumeOptions": {"DriverConfig": {"Options": options}},
    }
    recorded = container("web", Mounts=[mount])
    recorded["HostConfig"]["Mounts"] = [made]
    assert found("docker-socket", live(recorded)) == {"shop/web": status}
    listed = volume_devices({"Volumes": [{"Name": "v", "Options": options}, {"Name": "w"}]})
    attrs: Any = container("web", Mounts=[mount])
    posture = read_hardening_profile(attrs, listed)
    assert posture.mounts == (device,)


@pytest.mark.parametrize("check", ["memory-limit-live", "cpu-limit"])
@pytest.mark.parametrize("state", ["running", "restarting", "paused", "exited"])
def test_a_container_between_two_restarts_still_has_no_limit(check: str, state: str) -> None:
    """In a restart loop a finding would come and go with every look; one that has ended is none."""
    known = live(container("web", Status=state, Memory=0))
    failing = found(check, known).get("shop/web") is Status.FAIL
    assert failing == (state != "exited")
