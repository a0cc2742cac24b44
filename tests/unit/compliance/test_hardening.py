"""The CIS checks, each on a service that keeps it and one that breaks it, declared and live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from capacity.compliance import Status
from capacity.compliance._checks.images import _MOVING
from capacity.compliance._facts.hardening_profile import is_docker_socket
from tests.fixtures.fleets.compliance_fleets import container, declared, found, live, run

CASES: dict[str, tuple[str | None, str | None, dict[str, Any] | None, dict[str, Any] | None]] = {
    "privileged": ("privileged: true", "privileged: false", {"Privileged": True}, {}),
    "host-namespaces": (
        "ipc: host",
        "ipc: private",
        {"PidMode": "host"},
        {"PidMode": "container:x", "IpcMode": "private"},
    ),
    "confined": (
        "security_opt: ['seccomp:unconfined']",
        "security_opt: ['seccomp:builtin', 'label:disable']",
        {"SecurityOpt": ["apparmor=unconfined"]},
        {"SecurityOpt": ["label=disable"]},
    ),
    "host-network": (
        "network_mode: host",
        "network_mode: none",
        {"NetworkMode": "host"},
        {"NetworkMode": "none"},
    ),
    "docker-socket": (
        "volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']",
        "volumes: ['/srv:/srv']",
        {"Mounts": [{"Type": "bind", "Source": "/run/docker.sock"}]},
        {"Mounts": [{"Type": "volume", "Source": "/var/run/docker.sock"}]},
    ),
    "pids-limit": ("cap_add: [CHOWN]", "pids_limit: 100", {"PidsLimit": -1}, {"PidsLimit": 100}),
    "ulimits": (
        "ulimits: {nofile: {soft: 1024, hard: -1}}",
        "ulimits: {nofile: 65536, memlock: -1}",
        {"Ulimits": [{"Name": "nproc", "Soft": 2_000_000, "Hard": 2_000_000}]},
        {"Ulimits": [{"Name": "memlock", "Soft": -1, "Hard": -1}]},
    ),
    "no-new-privileges": (
        "security_opt: ['no-new-privileges:false']",
        "security_opt: ['no-new-privileges:true']",
        {"SecurityOpt": None},
        {"SecurityOpt": ["no-new-privileges"]},
    ),
    "read-only-root": ("read_only: false", "read_only: true", {}, {"ReadonlyRootfs": True}),
    "restart-bounded": (
        "restart: unless-stopped",
        "restart: on-failure:5",
        {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 6}},
        {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5}},
    ),
    "image-tag": (
        "image: redis:latest",
        "image: redis:7",
        {"Image": "redis"},
        {"Image": f"redis@sha256:{'0' * 64}"},
    ),
    "memory-limit-declared": ("cpus: 1", "mem_limit: 64m", None, None),
    "cpu-limit": (
        "mem_limit: 64m",
        "deploy: {resources: {limits: {cpus: '1'}}}",
        {},
        {"NanoCpus": 10**9},
    ),
    "memory-limit-live": (None, None, {}, {"Memory": 2**26}),
    "health-check": (
        "healthcheck: {disable: true}",
        "healthcheck: {test: [CMD, 'true']}",
        {},
        {"Healthcheck": {"Test": ["CMD", "true"]}},
    ),
    "health-passing": (
        None,
        None,
        {"Health": {"Status": "unhealthy"}},
        {"Health": {"Status": "healthy"}},
    ),
    "environment-secrets": (
        "environment: {DB_PASSWORD: hunter2}",
        "environment: {DB_PASSWORD_FILE: /run/secrets/db}",
        {"Env": ["API_TOKEN=abc"]},
        {"Env": ["MODE=fast", "PATH=/bin"]},
    ),
}


@pytest.mark.parametrize("check", [name for name, case in CASES.items() if case[0]])
def test_declared(tmp_path: Path, check: str) -> None:
    """The broken service fails in its own line, the other passes."""
    broken, good, _, _ = CASES[check]
    bodies = [
        (text if text.startswith("image:") else f"image: a:1\n    {text}")
        for text in (broken, good)
        if text is not None
    ]
    facts = declared(tmp_path, shop=f"  bad:\n    {bodies[0]}\n  good:\n    {bodies[1]}\n")
    assert found(check, facts) == {"shop/bad": Status.FAIL, "shop/good": Status.PASS}
    (failing,) = run(check, facts).failing()
    assert failing.file == str(tmp_path / "shop" / "compose.yaml")
    assert failing.line in {3, 4, 5}


@pytest.mark.parametrize("check", [name for name, case in CASES.items() if case[2] is not None])
def test_live(check: str) -> None:
    """The same on containers, with the command that shows it."""
    _, _, broken, good = CASES[check]
    facts = live(container("bad", **(broken or {})), container("good", **(good or {})))
    assert found(check, facts) == {"shop/bad": Status.FAIL, "shop/good": Status.PASS}
    (failing,) = run(check, facts).failing()
    assert failing.verdict.evidence.host == "snapshot" or check == "health-check"


@pytest.mark.parametrize("check", sorted(CASES))
def test_nothing_known_is_no_pass(check: str) -> None:
    """Without any facts no rule passes."""
    from capacity.compliance import Facts

    assert found(check, Facts()) == {"fleet": Status.NOT_EVALUATED}


def test_a_live_container_can_break_what_its_file_keeps(tmp_path: Path) -> None:
    """Declared read-only, running writable: the container started before the file was fixed."""
    facts = live(
        container("web"), facts=declared(tmp_path, shop="  web: {image: 'a:1', read_only: true}\n")
    )
    assert found("read-only-root", facts) == {"shop/web": Status.FAIL}


@pytest.mark.parametrize(
    ("policy", "ok"),
    [("", True), ("no", True), ("always", False), ("on-failure", False), ("on-failure:9", False)],
)
def test_restart_policies(tmp_path: Path, policy: str, ok: bool) -> None:
    """Only `no` and a bounded `on-failure` are bounded."""
    line = f"\n    restart: '{policy}'" if policy else ""
    facts = declared(tmp_path, shop=f"  web:\n    image: a:1{line}\n")
    assert found("restart-bounded", facts) == {"shop/web": Status.PASS if ok else Status.FAIL}


@pytest.mark.parametrize(
    ("options", "ok"),
    [
        *(
            ([f"no-new-privileges{said}"], True)
            for said in ("", ":true", "=true", ":1", "=T", ":TRUE")
        ),
        *(([f"no-new-privileges{said}"], False) for said in (":false", "=0", ":", ":yes", ":tRUE")),
        (["no-new-privileges:false", "no-new-privileges:true"], True),
        (["no-new-privileges:true", "no-new-privileges:false"], False),
        (["seccomp:mine"], False),
    ],
)
def test_what_the_engine_takes_for_no_new_privileges(
    tmp_path: Path, options: list[str], ok: bool
) -> None:
    """Declared and live, in each spelling; of two the last one counts."""
    status = {"shop/web": Status.PASS if ok else Status.FAIL}
    facts = declared(tmp_path, shop=f"  web: {{image: 'a:1', security_opt: {options}}}\n")
    assert found("no-new-privileges", facts) == status
    assert found("no-new-privileges", live(container("web", SecurityOpt=options))) == status


@pytest.mark.parametrize("condition", ["any", "always", "unless-stopped"])
def test_tries_of_a_policy_that_has_none(tmp_path: Path, condition: str) -> None:
    """The Engine takes a number of tries with on-failure alone, so the container is not created."""
    policy = f"{{condition: {condition}, max_attempts: 3}}"
    text = f"  web:\n    image: a:1\n    deploy: {{restart_policy: {policy}}}\n"
    (failing,) = run("restart-bounded", declared(tmp_path, shop=text)).failing()
    name = "always" if condition == "any" else condition
    assert failing.verdict.message.startswith(f"declares {name}:3, which the Engine refuses: ")


@pytest.mark.parametrize(
    ("network", "ok"),
    [
        ("outside: {external: true, name: host}", False),
        ("host: {external: true}", False),
        ("host: {driver: bridge}", True),
        ("host:", True),
        ("outside: {external: true, name: hosts}", True),
        ("default: {external: true, name: host}", False),
    ],
)
def test_the_name_on_the_engine_makes_a_network_the_hosts(
    tmp_path: Path, network: str, ok: bool
) -> None:
    """A project may call it anything, and may call a network of its own `host`."""
    key = network.partition(":")[0]
    text = f"  web:\n    image: a:1\n    networks:\n      - {key}\nnetworks:\n  {network}\n"
    facts = declared(tmp_path, shop=text)
    assert found("host-network", facts) == {"shop/web": Status.PASS if ok else Status.FAIL}
    assert [finding.line for finding in run("host-network", facts).failing()] == [6] * (not ok)


@pytest.mark.parametrize(
    ("check", "body"),
    [
        ("host-network", "network_mode: service:db"),
        ("host-network", "network_mode: none"),
        ("host-namespaces", "pid: service:db"),
        ("confined", "privileged: true"),
        ("docker-socket", "privileged: true"),
    ],
)
def test_a_pass_says_no_more_than_was_looked_at(tmp_path: Path, check: str, body: str) -> None:
    """What shares with another service, or is privileged, has nothing of its own and no filter."""
    text = f"  web:\n    image: a:1\n    {body}\n  db: {{image: 'b:1'}}\n"
    said = {
        finding.subject: finding.verdict.message
        for finding in run(check, declared(tmp_path, shop=text)).findings
        if finding.status is Status.PASS
    }
    assert not any(word in said["shop/web"] for word in ("own", "keeps", "cannot"))


def test_a_folder_with_the_socket_in_it_counts(tmp_path: Path) -> None:
    """Mounting /var/run or the whole root gives the Engine away as well."""
    services = "".join(
        f"  s{number}: {{image: 'a:1', volumes: ['{place}:/x']}}\n"
        for number, place in enumerate(("/var/run", "/", "/var", "/var/lib"))
    )
    statuses = list(found("docker-socket", declared(tmp_path, shop=services)).values())
    assert statuses == [Status.FAIL, Status.FAIL, Status.FAIL, Status.PASS]


@pytest.mark.parametrize(
    ("image", "ok"),
    [
        ("redis", False),
        ("redis:latest", False),
        ("host:5000/redis", False),
        ("host:5000/redis:7", True),
        ("redis:latest@sha256:" + "a" * 64, True),
        ("nginx:stable-alpine", False),
        ("x:release-1.4", True),
        ("x:main-3fa91c2", True),
        ("x:mainframe", True),
        ("redis:7-alpine", True),
        ("redis:alpine3.20", True),
        ("nginx:alpine-slim", False),
        ("nginx:mainline-alpine", False),
        ("debian:bookworm", True),
        *((f"x:{tag}", False) for tag in _MOVING),
    ],
)
def test_image_names(tmp_path: Path, image: str, ok: bool) -> None:
    """A registry's port is no tag, a digest is better than one, and what has no version moves."""
    facts = declared(tmp_path, shop=f"  web: {{image: '{image}'}}\n")
    assert found("image-tag", facts) == {"shop/web": Status.PASS if ok else Status.FAIL}


@pytest.mark.parametrize(
    ("check", "body", "more", "said"),
    [
        ("privileged", f"cap_add: [{name}]", {"CapAdd": [name]}, said)
        for name, said in [
            ("ALL", "adds ALL"),
            ("all", "adds ALL"),
            ("SYS_ADMIN", "adds SYS_ADMIN"),
            ("CAP_SYS_MODULE", "adds SYS_MODULE"),
            ("cap_sys_rawio", "adds SYS_RAWIO"),
            ("NET_ADMIN", ""),
        ]
    ]
    + [
        ("host-namespaces", f"{key}: host", {inspected: "host"}, f"({key})")
        for key, inspected in [
            ("pid", "PidMode"),
            ("ipc", "IpcMode"),
            ("userns_mode", "UsernsMode"),
        ]
    ]
    + [
        ("confined", f"security_opt: ['{option}']", {"SecurityOpt": [option]}, said)
        for what in ("seccomp", "apparmor")
        for option, said in [
            (f"{what}:unconfined", "switches protection off"),
            (f"{what}=unconfined", "switches protection off"),
            (f"{what}:mine", ""),
        ]
    ]
    + [
        (
            "confined",
            "security_opt: ['systempaths=unconfined']",
            {"MaskedPaths": []},
            "systempaths",
        ),
        ("confined", "security_opt: []", {"MaskedPaths": ["/proc/kcore"]}, ""),
        ("confined", "privileged: true", {"MaskedPaths": None}, ""),
    ],
)
def test_what_opens_the_host_is_seen_declared_and_live(
    tmp_path: Path, check: str, body: str, more: dict[str, Any], said: str
) -> None:
    """In each spelling, with the word that opens it; no text means that it passes."""
    for facts in (
        declared(tmp_path, shop=f"  web:\n    image: a:1\n    {body}\n"),
        live(container("web", **more)),
    ):
        failing = run(check, facts).failing()
        assert len(failing) == bool(said)
        assert all(said in finding.verdict.message for finding in failing)


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (
            "mem_limit: 512",
            5,
            "memory of 512 B is below 6 MiB; a number without a unit is bytes",
        ),
        ("mem_limit: 1g\n    mem_reservation: 2g", 6, "reservation of 2 GiB is above the limit"),
        ("mem_limit: 1g\n    memswap_limit: 512m", 6, "of 512 MiB is below the memory limit"),
        (
            "deploy: {resources: {limits: {memory: 1G}, reservations: {memory: 2G}}}",
            5,
            "the reservation of 2 GiB is above the limit of 1 GiB",
        ),
    ],
)
def test_a_memory_limit_that_the_engine_refuses(
    tmp_path: Path, body: str, line: int, said: str
) -> None:
    """Is said with the cause, in the line of the setting that is wrong."""
    facts = declared(tmp_path, shop=f"  web:\n    image: a:1\n    {body}\n")
    (failing,) = run("memory-limit-declared", facts).failing()
    assert "declares a limit that the Engine refuses: " in failing.verdict.message
    assert said in failing.verdict.message
    assert failing.line == line


def test_an_image_built_here_needs_no_tag(tmp_path: Path) -> None:
    """The files of the project say which version it is."""
    assert found("image-tag", declared(tmp_path, shop="  web: {build: .}\n")) == {
        "shop/web": Status.PASS
    }


@pytest.mark.parametrize(
    "rest",
    [
        "volumes: ['sock:/v']",
        "volumes: ['folder:/v']",
        "use_api_socket: true",
        "configs: [c]",
    ],
)
def test_the_socket_by_other_ways(tmp_path: Path, rest: str) -> None:
    """A named volume that binds it or its folder, the key that asks for it, a config of it."""
    text = (
        f"  web:\n    image: a:1\n    {rest}\n  db: {{image: 'b:1', volumes: ['data:/d']}}\n"
        "volumes:\n  data:\n"
        "  sock: {driver_opts: {type: none, o: bind, device: /var/run/docker.sock}}\n"
        "  folder: {driver_opts: {type: none, o: bind, device: /var/run}}\n"
        "configs:\n  c: {file: /run/docker.sock}\n"
    )
    assert found("docker-socket", declared(tmp_path, shop=text)) == {
        "shop/db": Status.PASS,
        "shop/web": Status.FAIL,
    }


@pytest.mark.parametrize(
    ("path", "gives_away"),
    [
        ("/var/run/docker.sock", True),
        ("/run/user/1000/docker.sock", True),
        ("/run/podman/podman.sock", True),
        ("/run/user/1000/podman/podman.sock", True),
        ("/run/containerd/containerd.sock", True),
        ("/run/podman", True),
        ("/var/run/", True),
        ("/", True),
        ("//./pipe/docker_engine", True),
        (r"\\.\pipe\docker_engine", True),
        ("/run/postgres/postgres.sock", False),
        ("/srv/docker.socket", False),
        ("", False),
    ],
)
def test_sockets_of_engines(path: str, gives_away: bool) -> None:
    """Of Docker, Podman and containerd, of the system and of a user, alone or in their folder."""
    assert is_docker_socket(path) is gives_away
