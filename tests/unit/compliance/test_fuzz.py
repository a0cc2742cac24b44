"""Whatever is thrown at it: an error of our own tree, and never a pass by accident."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity._common.text.secrets import looks_secret
from capacity.compliance import Facts, Status, _formats, evaluate, load_rules, propose_ports
from capacity.compliance._facts.alert_receiver import tokens_of
from capacity.compliance._facts.collect import from_files, read_snapshot
from capacity.compliance._facts.probes import read_alerting, read_targets
from capacity.compliance._rules.rules import read_rules
from capacity.compliance._waivers import read_waivers
from capacity.errors import CapacityError, ComposeError, InputError
from tests.fixtures.fleets.compliance_fleets import DAY, container

RULES = load_rules()
BOOK = """## CAP900 Own
```yaml rule
id: CAP900
slug: own
check: port-range
parameters: {first: 10000, last: 10999, gateways: [kong]}
severity: low
category: x
rationale: a
remediation: b
impact: c
scope: {services: ["*"], labels: {a: b}}
```
"""
WAIVERS = "waivers:\n- {rule: CAP001, service: '*', reason: r, owner: o, expires: 2026-12-01}\n"
COMPOSE = """name: p
services:
  web:
    image: a:1
    ports: ["127.0.0.1:8080-8081:80-81/tcp", {target: 1, published: "9-10"}]
    environment: [A=b, TOKEN=x]
    healthcheck: {test: [CMD, x], disable: false}
    deploy:
      {replicas: 2, resources: {limits: {cpus: "1", memory: 1g, pids: 5}},
       restart_policy: {condition: any}}
    volumes: ["/var/run/docker.sock:/x"]
"""
PIECES = [
    "",
    "\n",
    "  ",
    ":",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "```",
    "```yaml rule\n",
    "## CAP901 x\n",
    "null",
    "-1",
    "0",
    "\t",
    "\x00",
]
PIECES += [
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "1e999",
    "99999999999999999999",
    "\u2028",
    "é",
    "~",
    "|",
    ">-",
    "#",
    "<!--",
    "${X",
    "$$",
    "true",
]


def tried(work: Callable[[], Any]) -> tuple[Any, CapacityError | None]:
    """The result, or the error of our own tree; any other error fails the test."""
    try:
        return work(), None
    except CapacityError as error:
        return None, error


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """A text with a few places cut out, doubled or overwritten."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = (
            text[:start]
            + draw(st.sampled_from(PIECES))
            + text[start if draw(st.booleans()) else end :]
        )
    return text


@given(text=damaged(BOOK) | st.text())
@settings(max_examples=300, deadline=None)
def test_rule_books(text: str) -> None:
    """Rules or an error that names the book, and nothing else; a rule that is read can be run."""
    rules, error = tried(lambda: read_rules(text, "book.md"))
    if error is not None:
        assert isinstance(error, InputError)
        assert "book.md" in error.message
        assert error.hint
        return
    assert rules
    report, error = tried(lambda: evaluate(rules, Facts(), today=DAY))
    assert "failed" in error.message if error else report.score is None


@given(text=damaged(WAIVERS) | st.text())
@settings(max_examples=300, deadline=None)
def test_waivers(text: str) -> None:
    """Waivers with all their words, or an error that names the file."""
    waivers, error = tried(lambda: read_waivers(text, "waivers.yaml"))
    if error is not None:
        assert isinstance(error, InputError)
        assert "waivers.yaml" in error.message
        return
    assert all(
        waiver.rule and waiver.service and waiver.owner and waiver.reason for waiver in waivers
    )


@given(text=damaged(COMPOSE))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_compose_files(text: str) -> None:
    """A report in every format, or an error; the socket that is still mounted is still found."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "own.yaml"
        file.write_text(text, encoding="utf-8")
        facts, error = tried(lambda: from_files([file]))
    if error is not None:
        assert error.exit_code == 2
        return
    report, error = tried(lambda: evaluate(RULES, facts, today=DAY))
    if error is not None:
        assert isinstance(error, ComposeError)
        assert "which is no port" in error.message
        return
    moves = propose_ports(facts, RULES)
    for form in (_formats.as_sarif, _formats.as_junit, _formats.as_markdown):
        assert form(report)
    json.loads(_formats.as_json(report, moves))
    if not facts.declared:
        assert report.score is None
    for key, service in facts.declared.items():
        broken = {finding.rule.check for finding in report.failing() if finding.subject == key}
        mounted = any(volume.source == "/var/run/docker.sock" for volume in service.service.volumes)
        assert "docker-socket" in broken or not mounted


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def odd_answers(draw: st.DrawFn) -> list[Any]:
    """What `docker inspect` says of a container, with one or two values replaced by anything."""
    answer = container(
        "web",
        Privileged=True,
        PortBindings={"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        Env=["A=b"],
    )
    for _ in range(draw(st.integers(0, 2))):
        place = answer
        path = draw(st.sampled_from([(), ("Config",), ("HostConfig",), ("State",)]))
        for name in path:
            if not isinstance(place.get(name), dict):
                break
            place = place[name]
        place[
            draw(
                st.sampled_from(
                    [
                        *place,
                        "Mounts",
                        "Health",
                        "Healthcheck",
                        "RestartPolicy",
                        "SecurityOpt",
                        "NanoCpus",
                    ]
                )
            )
        ] = draw(JUNK)
    return [answer]


@given(answers=odd_answers())
@settings(max_examples=300, deadline=None)
def test_engine_answers(answers: list[Any]) -> None:
    """Readable or refused; a container that says it is privileged never passes that rule."""
    found, error = tried(lambda: read_snapshot(json.dumps(answers), "snapshot.json"))
    if error is not None:
        assert isinstance(error, InputError)
        assert "snapshot.json" in error.message
        return
    inventory, postures = found
    report = evaluate(RULES, Facts(inventory=inventory, postures=postures), today=DAY)
    statuses = {finding.status for finding in report.findings if finding.rule.check == "privileged"}
    if answers[0]["HostConfig"].get("Privileged") is True:
        assert Status.PASS not in statuses


@given(text=st.text() | JUNK.map(json.dumps))
def test_snapshots_of_anything(text: str) -> None:
    """No JSON, no list, no containers: an error; an empty list has nobody who passes."""
    try:
        inventory, postures = read_snapshot(text, "snapshot.json")
    except InputError:
        return
    assert evaluate(RULES, Facts(inventory=inventory, postures=postures), today=DAY).score is None


@given(answer=JUNK, other=JUNK)
def test_answers_of_prometheus(answer: Any, other: Any) -> None:
    """Unreadable ones are refused, not taken for silence."""
    for read in (lambda: read_targets(answer), lambda: read_alerting(answer, other)):
        with pytest.raises(CapacityError):
            read()


@given(body=st.binary() | JUNK.map(lambda value: json.dumps({"alerts": value}).encode()))
def test_webhook_bodies(body: bytes) -> None:
    """Anything may be posted; only a probe's own label counts."""
    assert tokens_of(body) == set()


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DB_PASSWORD", "x1", True),
        ("POSTGRES_PASSWORD", "postgres", True),
        ("api_key", "x1", True),
        ("APIKEY", "x1", True),
        ("GITHUB_TOKEN", "x1", True),
        ("AWS_SECRET_ACCESS_KEY", "x1", True),
        ("DB_PWD", "x1", True),
        ("URL", "postgres://user:pw@db/x", True),
        ("URL", "postgres://user@db/x", False),
        ("NOTE", "ghp_" + "a" * 36, True),
        ("DB_PASSWORD_FILE", "/run/secrets/x", False),
        ("DB_PASSWORD", "", False),
        ("DB_PASSWORD", None, False),
        ("TOKEN_TTL", "60", False),
        ("USE_PASSWORD", "true", False),
        ("PWD", "/app", False),
        ("MODE", "fast", False),
        ("KEYBOARD", "us", False),
        ("COMPASS", "north", False),
        ("TOKEN_LIMIT", "4096", False),
        ("PASS_SCHEME", "SSHA512", False),
        ("GITEA__security__PASSWORD_HASH_ALGO", "argon2", False),
        ("GITEA__mailer__PASSWD__FILE", "/run/secrets/mail", False),
        ("JWT_SECRET_ALG", "HS256", False),
        ("JWT_TOKEN_EXP", "3600", False),
        ("PASSWORD_COMPLEXITY", "lower,upper", False),
        ("DJANGO_PASSWORD_HASHERS", "argon2", False),
        ("REFRESH_TOKEN_TIME", "1h", False),
        ("TOKEN_SERVER", "http://auth:5001", False),
        ("TOKEN_SERVER", "http://a:b@auth:5001", True),
        ("AUTH_TOKEN_REALM", "house", False),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "30", False),
        ("PASSWORD_MIN_LENGTH", "12", False),
        ("MAX_TOKEN", "12", False),
        ("TOKEN_LIMIT", "ghp_" + "a" * 36, True),
        ("SECRET_KEY_BASE", "x1", True),
        ("PASSWORD_HASH", "x1", True),
        ("SALT", "9f86d081884c7d659a2feaa0c55ad015", True),
        ("APP_KEY", "base64:" + "aB3+" * 11, True),
        ("JWT", "aB3" * 12, True),
        ("CSRF_KEY", "k7v2m9x4q8w1z6t3r5y0p2n7b4h8j1g6", True),
        ("CSRF_KEY", "K7V2M9X4Q8W1Z6T3R5Y0P2N7B4H8J1G6", True),
        ("NGINX_PGPKEY", "573BFD6B3D8FBC641079A6ABABF5BD827BD9BF62", False),
        ("S3_BUCKET", "acmeproductionbackupseuwest120240101", False),
        ("DATABASE", "ANALYTICSWAREHOUSEPRODUCTION20240101", False),
        ("DSN", "host=db user=app password=hunter2", True),
        ("CONNECTION", "Server=db;Database=x;Pwd=hunter2;", True),
        ("GIT_COMMIT", "9f86d081884c7d659a2feaa0c55ad0159f86d081", False),
        ("PYTHON_SHA256", "9f86d081884c7d659a2feaa0c55ad0159f86d081", False),
        ("GPG_KEY", "E3FF2839C048B25C084DEBE9B26995E310250568", False),
        ("NODE_ID", "9f86d081884c7d659a2feaa0c55ad015", False),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", False),
        *(
            (f"X_{name}_KEY", "x1", True)
            for name in ("MASTER", "SIGNING", "HMAC", "SHARED", "ACCOUNT")
        ),
        ("API_KEYS", "x1,x2", True),
        *((f"{name}_KEY", "x1", True) for name in ("JWT", "SESSION", "COOKIE")),
        ("TRAEFIK_BASIC_AUTH", "admin:x1", True),
        ("GITHUB_PAT", "x1", True),
        ("SSH_PASSWORD_AUTH", "keyboard-interactive", False),
        ("NEXT_PUBLIC_TOKEN", "x1", False),
        ("VITE_API_KEY", "x1", False),
        ("VITE_DB_PASSWORD", "x1", True),
        ("REACT_APP_SECRET_KEY", "x1", True),
        ("PUBLIC_DB_PASSWORD", "x1", True),
        ("JWTSECRET", "x1", True),
        ("BIND_PW", "x1", True),
        ("PW_BROWSERS", "chromium", False),
        ("NOTIFY", "https://hooks.slack.com/services/T0/B0/x", True),
        ("NOTIFY", "https://discord.com/api/webhooks/1/x", True),
        ("NOTIFY", "https://hooks.example.com/services/x", False),
        ("USERS", "admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/", True),
        ("USERS", "admin:$6$rounds=5000$salt$" + "a" * 86, True),
        ("PRICE", "$6$7", False),
        ("MAIL_PASSWORD", "null", False),
        ("MAIL_PASSWORD", "None", False),
        ("ADMIN_PASSWORD", "/run/secrets/admin", False),
        ("ADMIN_PASSWORD", "/run/secrets/admin x1", True),
        ("JWT_SECRET_ARN", "arn:aws:secretsmanager:x", False),
        ("PASSWORD_AUTHENTICATION", "internal", False),
        ("VAULT_SECRET_MOUNT", "kv", False),
        ("MESSAGE", "a-long-name-of-a-thing-that-is-plain-text", False),
    ],
)
def test_names_of_secrets(name: str, value: str | None, secret: bool) -> None:
    """Told by name and by shape."""
    assert looks_secret(name, value) is secret
