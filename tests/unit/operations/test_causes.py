"""Why containers restart: patterns that fit their examples alone, and logs without secrets."""

from __future__ import annotations

import string
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from capacity._common.bundled import bundled
from capacity._common.text.secrets import redact, redact_lines
from capacity.errors import InputError
from capacity.operations._restarts.causes import diagnose, load_causes

CAUSES = load_causes()
EXAMPLES = {
    entry["cause"]: entry["example"]
    for entry in YAML(typ="safe").load(bundled("data/restart_causes.yaml"))["causes"]
}
SECRETS = st.text(
    string.ascii_letters + string.digits + "._~+/-!$%^*(),;&@#", min_size=9, max_size=40
).map(lambda text: "Zq" + text)
URL_SECRETS = st.text(string.ascii_letters + string.digits + "._~-!$", min_size=9, max_size=40).map(
    lambda text: "Zq" + text
)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda case: case.cause)
def test_a_pattern_fits_its_own_example_and_no_other(cause: object) -> None:
    """Each example is diagnosed as its own cause, and by one pattern only."""
    fitting = {name for name, example in EXAMPLES.items() if cause.pattern.search(example)}  # type: ignore[attr-defined]  # a Cause
    assert fitting == {cause.cause}  # type: ignore[attr-defined]  # the same


@pytest.mark.parametrize(
    "line",
    [
        "password=%s",
        "DB_PASSWORD='%s' and more",
        'config {"api_key": "%s"}',
        "token: %s",
        "Authorization: Bearer %s",
        'curl -H "X: Bearer %s"',
        "client_secret=%s; retry",
        "connecting with --password %s",
        'PGPASSWORD="%s and more words"',
        "Cookie: lang=en; session=%s",
        '{\\"access_token\\":\\"%s\\"}',
    ],
)
@given(secret=SECRETS)
def test_a_named_secret_is_never_shown(line: str, secret: str) -> None:
    """Whatever follows password=, token:, Bearer and their like is gone, all of it."""
    shown = redact(line % secret)
    assert secret not in shown
    assert secret[:6] not in shown
    assert "[redacted]" in shown


@given(secret=URL_SECRETS, user=st.text(string.ascii_lowercase, max_size=8))
def test_the_password_of_an_address_is_never_shown(secret: str, user: str) -> None:
    """`postgres://user:password@host` keeps user and host."""
    shown = redact(f"cannot reach postgres://{user}:{secret}@db:5432/shop")
    assert secret not in shown
    assert "@db:5432/shop" in shown


def test_a_password_with_an_at_sign_in_an_address_is_hidden_whole() -> None:
    """The last at sign ends it."""
    assert redact("amqp://u:Zqpa@ssword@host/x") == "amqp://u:[redacted]@host/x"


@given(st.text())
def test_any_line_is_printable_and_short(text: str) -> None:
    """No escape sequence of a log reaches a terminal."""
    shown = redact(text)
    assert shown.isprintable()
    assert len(shown) <= 304


def test_the_kernel_is_believed_first_and_the_exit_code_last() -> None:
    """A kill for memory beats the log, the log beats health, health beats the exit code."""
    refused = ["connection refused"]
    plain: dict[str, Any] = {"exit_code": 1, "health": None, "log": []}
    assert (
        diagnose(CAUSES, oom_killed=True, exit_code=137, health=None, log=refused).fix == "memory"
    )
    assert (
        diagnose(CAUSES, oom_killed=False, exit_code=1, health="unhealthy", log=refused).fix
        == "wait"
    )
    sick = diagnose(
        CAUSES,
        oom_killed=False,
        exit_code=1,
        health="unhealthy",
        log=["x"],
        health_log=["HTTP 500"],
    )
    assert (sick.cause, sick.lines) == ("failing-health-check", ("HTTP 500",))
    assert diagnose(CAUSES, oom_killed=False, **plain).cause == "crash"
    assert diagnose(CAUSES, oom_killed=False, **{**plain, "exit_code": 0}).cause == "ends-by-itself"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("causes: [{cause: a, pattern: '(', example: x, fix: manual}]", "holds no causes"),
        (
            "causes: [{cause: a, pattern: b, example: x, fix: manual}]",
            "does not fit its own example",
        ),
        ("causes: [{cause: a, pattern: x, example: x, fix: magic}]", "no fix 'magic'"),
        ("causes: [{cause: a}]", "an entry has"),
        ("- x", "holds no causes"),
        ("causes: {", "holds no causes"),
        ("", "no list `causes:` with entries"),
        ("causes: []", "no list `causes:` with entries"),
        ("cause: [{cause: a}]", "no list `causes:`"),
        ("bultin: false\ncauses: [{cause: a, pattern: x, example: x, fix: manual}]", "not bultin"),
        (
            "builtin: maybe\ncauses: [{cause: a, pattern: x, example: x, fix: manual}]",
            "it may say `builtin: false`",
        ),
    ],
)
def test_a_file_that_holds_no_causes_says_why(tmp_path: Path, text: str, named: str) -> None:
    """People may extend the patterns, and mistakes are named."""
    file = tmp_path / "causes.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=named):
        load_causes(file)


@pytest.mark.parametrize(
    "line",
    [
        '{"db":{"pass":"Zq9pa55"}}',
        "DB_PASS=Zq9pa55",
        "MYSQL_PWD=Zq9pa55",
        "Server=h;User Id=sa;Pwd=Zq9pa55;",
        "dial u:Zq9pa55@tcp(10.0.0.1:3306)/db",
        "https://Zq9pa55TOKEN123@github.com/x",
        "jdbc:oracle:thin:u/Zq9pa55@h:1521",
        "GET /x?key=Zq9pa55&sig=Zq9pa55",
        "password: correct horse Zq9pa55",
        "password => Zq9pa55",
        "('password', 'Zq9pa55')",
        "<password>Zq9pa55</password>",
        '<add key="password" value="Zq9pa55"/>',
        "the password is Zq9pa55",
        "Invalid password 'Zq9pa55' for user bob",
        "mysql -uroot -pZq9pa55",
        "curl -u bob:Zq9pa55 http://h",
        "requirepass Zq9pa55",
        "ENCRYPTION_KEY=Zq9pa55",
        "pass\u200bword=Zq9pa55",
        "pass\x1b[0mword=Zq9pa55",
        "https://hooks.slack.com/services/T000/B000/Zq9pa55XXXX",
        "creds AKIAIOSFODNN7EXAMPLE:Zq9pa55tnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "github_pat_11ABCDEFG0abcdefghijkl_Zq9pa55",
        "sk_live_Zq9pa55abcdefgh",
    ],
)
def test_secrets_of_many_shapes_are_hidden(line: str) -> None:
    """Assignments, addresses, commands, markup, sentences, and letters that nobody sees between
    others.
    """
    assert "Zq9pa55" not in redact(line)


def test_of_a_private_key_no_line_is_left() -> None:
    """Neither with its begin in sight nor with that cut off."""
    key = [
        "-----BEGIN RSA PRIVATE KEY-----",
        "Zq9pa55abc",
        "Zq9pa55==",
        "-----END RSA PRIVATE KEY-----",
    ]
    for cut in (key, key[1:]):
        shown = redact_lines(["reads its key:", *cut, "ready"])
        assert "Zq9pa55" not in "".join(shown)
        assert (shown[0], shown[-1]) == ("reads its key:", "ready")


def test_own_causes_come_before_the_built_in_ones(tmp_path: Path) -> None:
    """A house adds a pattern and keeps the others, unless it says that it wants none of them."""
    file = tmp_path / "causes.yaml"
    own = (
        "causes:\n  - {cause: licence, pattern: 'licence (server )?refused', example: licence "
        "refused, fix: manual}\n"
    )
    file.write_text(own)
    assert [cause.cause for cause in load_causes(file)] == [
        "licence",
        *(cause.cause for cause in CAUSES),
    ]
    said = diagnose(
        load_causes(file),
        oom_killed=False,
        exit_code=1,
        health=None,
        log=["licence refused: connection refused"],
    )
    assert said.cause == "licence"
    file.write_text(f"builtin: false\n{own}")
    assert [cause.cause for cause in load_causes(file)] == ["licence"]


def test_what_is_hidden_still_tells_the_cause() -> None:
    """The words are looked at as they were written, and shown without secrets."""
    found = diagnose(
        load_causes(),
        oom_killed=False,
        exit_code=1,
        health=None,
        log=["auth: connection refused by Zq9pa55"],
    )
    assert (found.cause, "connection" in found.lines[0]) == ("dependency-not-ready", False)


@pytest.mark.parametrize(
    "line",
    ["password: " + "a b " * 900, "mysql " + " " * 3900, "x:" * 2000, "a" * 4000, "A1/" * 1300],
)
def test_no_line_takes_for_ever(line: str) -> None:
    """Patterns look at so much, and not again and again."""
    began = time.perf_counter()
    redact(line)
    assert time.perf_counter() - began < 1
