"""What a check calls a secret of the environment is not shown in a line either."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from capacity._common.text.secrets import looks_secret, redact

NAMES = st.one_of(
    st.sampled_from(
        ["HMAC_KEY", "JWT_KEY", "APP_AUTH_KEY", "COOKIE_KEYS", "DB_PASS", "GITHUB_PAT", "SMTP_PW"]
    ),
    st.from_regex(r"[A-Z]{2,8}_(HMAC|JWT|SESSION|MASTER)_KEY", fullmatch=True),
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,12}", fullmatch=True),
)
VALUES = st.one_of(
    st.from_regex(r"[A-Za-z0-9./+_!-]{4,50}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{32,64}", fullmatch=True),
    st.from_regex(
        r"\$(1|5|6|y|7|apr1|2b\$12)\$[./A-Za-z0-9]{8,16}\$[./A-Za-z0-9]{22,60}", fullmatch=True
    ),
    st.from_regex(r"\{S?SHA\}[A-Za-z0-9+/]{27}=", fullmatch=True),
    st.from_regex(
        r"\$argon2id\$v=19\$m=65536,t=3,p=4\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", fullmatch=True
    ),
)
FORMS = (
    "{name}={value}",
    "{name}: {value}",
    "env {name}={value} started",
    'msg="ready" {name}="{value}"',
    "--env {name}={value}",
    '{{"{name}": "{value}"}}',
)


@given(NAMES, VALUES, st.sampled_from(FORMS))
def test_a_secret_of_the_environment_is_in_no_line(name: str, value: str, form: str) -> None:
    """In whatever form the line names it."""
    assume(looks_secret(name, value))
    assume(value not in name)
    line = form.format(name=name, value=value)
    assert value not in redact(line).replace(name, ""), line


@pytest.mark.parametrize(
    "line",
    [
        "level=info msg=started port=8080 took=12ms",
        "HMAC_KEY_FILE=/run/secrets/hmac",
        "JWT_KEY_ID=main",
        "commit=3f786850e387550fdab836ed7e6dc881de23001b",
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span=00f067aa0ba902b7",
        "KEYBOARD=de-latin1 MONKEY=1",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    """Places, numbers and public digests help to find a fault."""
    assert redact(line) == line


@pytest.mark.parametrize("letter", ["a", "a=", "a:", " ", '"', "A_", "=", "$6$", "{SHA}"])
def test_no_line_takes_for_ever(letter: str) -> None:
    """A line of one letter, however long."""
    assert len(redact(letter * 5000)) < 400
