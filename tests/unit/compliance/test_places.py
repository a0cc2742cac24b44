"""Findings stand in the line to edit: the one marked with `# *` in the texts below."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacity.compliance import Status
from capacity.compliance._facts.collect import from_files
from tests.fixtures.fleets.compliance_fleets import declared, found, run

MARK = "# *"


def marked_and_found(folder: Path, check: str, body: str, status: Status) -> tuple[int, set[int]]:
    """The marked line of a service's body, and the lines of its findings."""
    text = f"  web:\n    image: a:1\n{body}"
    known = declared(folder, shop=text)
    lines = (folder / "shop" / "compose.yaml").read_text().splitlines()
    (line,) = (number for number, said in enumerate(lines, 1) if MARK in said)
    findings = [each for each in run(check, known).findings if each.subject == "shop/web"]
    return line, {finding.line for finding in findings if finding.status is status}


@pytest.mark.parametrize(
    "body",
    [
        "    env_file: secret.env  # *\n",
        "    env_file:\n      - more.env\n      - secret.env  # *\n    environment: {A: b}\n",
        "    env_file: [{path: secret.env}]  # *\n    environment:\n      A: b\n",
        "    env_file: secret.env\n    environment:\n      A: b\n      DB_PASSWORD: own  # *\n",
        "    environment:\n      A: b\n      db.password: own  # *\n",
        "    environment:\n      - A=b\n      - spring.datasource.password=own  # *\n",
    ],
)
def test_a_secret_stands_where_the_variable_comes_from(tmp_path: Path, body: str) -> None:
    """In its own line, also with dots in its name, or in that of the file it comes from."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "secret.env").write_text("MODE=slow\nDB_PASSWORD=hunter2\n")
    (tmp_path / "shop" / "more.env").write_text("MODE=slow\n")
    line, found = marked_and_found(tmp_path, "environment-secrets", body, Status.FAIL)
    assert found == {line}


@pytest.mark.parametrize("name", ["DB_PASSWORD", "db.password"])
def test_a_variable_without_a_value_stands_in_its_own_line(tmp_path: Path, name: str) -> None:
    """The files alone cannot tell what it holds."""
    body = f"    environment:\n      A: b\n      {name}:  # *\n"
    line, found = marked_and_found(tmp_path, "environment-secrets", body, Status.NOT_EVALUATED)
    assert found == {line}


@pytest.mark.parametrize(
    ("check", "body"),
    [
        ("health-check", "    healthcheck:\n      interval: 5s\n      test: ''  # *\n"),
        ("health-check", "    healthcheck:\n      interval: 5s\n      test: [NONE]  # *\n"),
        ("privileged", "    cap_add:\n      - CHOWN\n      - cap_sys_admin  # *\n"),
        ("privileged", "    privileged: false\n    cap_add:\n      - CHOWN\n      - ALL  # *\n"),
        ("privileged", "    cap_add:\n      - ALL\n    privileged: true  # *\n"),
        ("host-namespaces", "    pid: service:db\n    ipc: host  # *\n"),
        ("host-namespaces", "    ipc: private\n    userns_mode: host  # *\n"),
        ("confined", "    security_opt:\n      - seccomp:mine\n      - apparmor=unconfined  # *\n"),
        (
            "no-new-privileges",
            "    security_opt:\n      - seccomp:mine\n      - no-new-privileges:false  # *\n",
        ),
        ("ulimits", "    ulimits:\n      nofile: 1024\n      nproc: -1  # *\n"),
        ("ulimits", "    ulimits:\n      memlock: -1\n      nofile: {soft: 1, hard: -1}  # *\n"),
        ("docker-socket", "    volumes:\n      - /srv:/srv\n      - /var/run:/var/run  # *\n"),
        ("docker-socket", "    volumes:\n      - /srv:/srv\n      - socket:/socket  # *\n"),
        (
            "docker-socket",
            "    volumes:\n      - /srv:/srv\n    configs:\n      - c\n      - s  # *\n",
        ),
        (
            "docker-socket",
            "    volumes:\n      - /srv:/srv\n    volumes_from:\n      - open:ro  # *\n",
        ),
        ("docker-socket", "    volumes_from:\n      - db\n      - behind  # *\n"),
        ("host-network", "    network_mode: service:open  # *\n"),
        ("host-network", "    network_mode: service:behind  # *\n"),
        ("host-namespaces", "    pid: service:db\n    ipc: service:behind  # *\n"),
        ("docker-socket", "    volumes: ['/srv:/srv']\n    use_api_socket: true  # *\n"),
    ],
)
def test_a_fault_of_several_keys_or_items_stands_at_its_own(
    tmp_path: Path, check: str, body: str
) -> None:
    """Not at the first item of the list, nor at a key beside it that is in order."""
    rest = (
        "  db: {image: 'b:1'}\n"
        "  open: {image: 'b:1', network_mode: host, ipc: host, volumes: ['/run:/run']}\n"
        "  behind: {image: 'b:1', network_mode: 'service:open', ipc: 'service:open',"
        " volumes_from: [open]}\n"
        "volumes:\n  socket: {driver_opts: {type: none, o: bind, device: /run/docker.sock}}\n"
        "configs:\n  c: {file: /etc/c}\n  s: {file: /run/docker.sock}\n"
    )
    line, found = marked_and_found(tmp_path, check, body + rest, Status.FAIL)
    assert found == {line}


@pytest.mark.parametrize(
    "text",
    [
        "  web:  # *\n    image: a:1\n",
        "  web:  # *\n\n    # the shop\n\n    image: a:1\n",
        "  web: {image: 'a:1'}  # *\n",
        "  db: &base\n    image: a:1\n  web:  # *\n    <<: *base\n",
        "  db: &base\n    image: a:1\n  web: *base  # *\n",
        "  db:\n    image: a:1\n  web:  # *\n    extends: db\n",
        "  ? web  # *\n  : image: a:1\n",
    ],
)
def test_what_a_service_lacks_stands_at_its_name(tmp_path: Path, text: str) -> None:
    """Whatever stands first below the name, or is merged into it."""
    known = declared(tmp_path, shop=text)
    lines = (tmp_path / "shop" / "compose.yaml").read_text().splitlines()
    (line,) = (number for number, said in enumerate(lines, 1) if MARK in said)
    for check in ("memory-limit-declared", "cpu-limit", "pids-limit", "health-check"):
        found = [item for item in run(check, known).findings if item.subject == "shop/web"]
        assert [finding.line for finding in found] == [line]


def test_a_file_that_an_override_names_in_short_stands_there(tmp_path: Path) -> None:
    """A text in place of a list has a place of its own, in whichever file."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "a.env").write_text("A=b\n")
    (folder / "b.env").write_text("DB_PASSWORD=x1\n")
    base = "services:\n  web:\n    image: a:1\n    env_file:\n      - a.env\n"
    (folder / "compose.yaml").write_text(base)
    (folder / "compose.override.yaml").write_text("services:\n  web:\n    env_file: b.env\n")
    report = run("environment-secrets", from_files([folder]))
    (finding,) = [each for each in report.findings if each.status is Status.FAIL]
    assert (Path(finding.file).name, finding.line) == ("compose.override.yaml", 3)


def test_services_that_lead_back_to_each_other_end(tmp_path: Path) -> None:
    """A circle of namespaces, which Compose reads, blinds no fleet."""
    text = "".join(
        f"  {own}: {{image: 'a:1', userns_mode: 'service:{other}'}}\n"
        for own, other in (("a", "b"), ("b", "a"))
    )
    facts = declared(tmp_path, shop=text)
    assert found("host-namespaces", facts) == dict.fromkeys(("shop/a", "shop/b"), Status.PASS)


def test_layers_of_lent_volumes_are_looked_at_once(tmp_path: Path) -> None:
    """Two services a layer, each with the volumes of both below: billions of ways."""
    lines = ["  a0: {image: 'a:1', volumes: ['/run:/run']}", "  b0: {image: 'a:1'}"]
    lines += [
        f"  {name}{layer}: {{image: 'a:1', volumes_from: [a{layer - 1}, b{layer - 1}]}}"
        for layer in range(1, 30)
        for name in "ab"
    ]
    verdicts = found("docker-socket", declared(tmp_path, shop="\n".join(lines) + "\n"))
    assert [name for name, status in verdicts.items() if status is Status.PASS] == ["shop/b0"]
    assert len(verdicts) == 60


def test_the_pipe_of_windows_is_a_socket(tmp_path: Path) -> None:
    """In Compose's long form, as it has to be written."""
    mount = "{type: npipe, source: '\\\\.\\pipe\\docker_engine', target: '\\\\.\\pipe\\x'}"
    text = f"  a: {{image: 'a:1', volumes: [{mount}]}}\n"
    assert found("docker-socket", declared(tmp_path, shop=text)) == {"shop/a": Status.FAIL}
