"""`capacity.settings`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.errors import SettingsError
from capacity.settings import Settings, load_settings
from capacity.settings._load import exposed_secrets

SECRET = "hunter2-and-more"


def written(folder: Path, text: str) -> Path:
    """A settings file with this text."""
    file = folder / "capacity.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[prometheus]\nulr = 'x'", "prometheus.ulr"),
        ("[promethues]\nurl = 'x'", "promethues"),
        ("colour = 1", "colour"),
        ("[identity]\nservice = ''", "identity.service"),
        ('[identity]\nservice = "a\\nb"', "identity.service"),
        ("[report]\nstep = 7", "report.step"),
        ("[report]\nstep = 'often'", "report.step"),
        ("[prometheus]\nurl = 'host'", "prometheus.url"),
        ("[prometheus]\nquery_budget = 0", "prometheus.query_budget"),
    ],
)
def test_a_wrong_name_or_value_is_named(tmp_path: Path, text: str, named: str) -> None:
    """Unknown names and impossible values are errors on one line that names the setting and the
    file.
    """
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, text))
    assert f"Setting {named} " in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CAPACITY_PROMETHEUS__ULR", "x"),
        ("CAPACITY_PROMETHUES__URL", "http://x"),
        ("CAPACITY_REPORT__STEP", "seven"),
        ("CAPACITY_PROMETHEUS__HEADERS", SECRET),
        ("CAPACITY_METRICS", SECRET),
    ],
)
def test_a_wrong_variable_is_an_error_that_does_not_show_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A misspelt variable must not be ignored in silence, and a value that cannot be read may be a
    secret.
    """
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert SECRET not in repr(caught.value) + repr(caught.value.__cause__) + str(
        caught.value.__cause__
    )


def test_the_environment_wins_over_the_file_and_overrides_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses and secrets belong to the place of deployment; a command line's option is
    nearest.
    """
    file = written(
        tmp_path, "[report]\nstep = 60\nwindow_days = 14\n[prometheus]\nconnect_timeout = 9\n"
    )
    monkeypatch.setenv("CAPACITY_REPORT__STEP", "120")
    monkeypatch.setenv("CAPACITY_REPORT__WINDOW_DAYS", "21")
    settings = load_settings(file, report__window_days=28, prometheus__url=None)
    assert (
        settings.report.step,
        settings.report.window_days,
        settings.prometheus.connect_timeout,
    ) == (120, 28, 9)


def test_paths_are_relative_to_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler may start anywhere; `~` and variables are resolved, an unknown user's home stays
    as it is.
    """
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("PLACE", "/srv/there")
    text = (
        "[archive]\npath='history'\n[prometheus]\nca_file='~/ca.pem'\n"
        "client_cert='$PLACE/c.pem'\nclient_key='~nobody-at-all/k'\n"
    )
    settings = load_settings(written(tmp_path, text))
    assert settings.archive.path == tmp_path / "history"
    assert settings.prometheus.ca_file == Path("/home/someone/ca.pem")
    assert settings.prometheus.client_cert == Path("/srv/there/c.pem")
    assert settings.prometheus.client_key == tmp_path / "~nobody-at-all/k"


def _settings() -> list[tuple[str, str, Any]]:
    """Table, name and JSON schema of every setting that has a name of its own."""
    schema = Settings.model_json_schema()
    tables = [
        (table, schema["$defs"].get(part.get("$ref", "").rpartition("/")[2], {}))
        for table, part in schema["properties"].items()
    ]
    return [
        (table, name, part)
        for table, fields in tables
        for name, part in fields.get("properties", {}).items()
    ]


PATHS = [
    (table, name, part)
    for table, name, part in _settings()
    if '"format": "path"' in json.dumps(part)
]


@pytest.mark.parametrize(("table", "name", "part"), PATHS)
def test_every_path_is_relative_to_its_file(
    tmp_path: Path, table: str, name: str, part: Any
) -> None:
    """Whatever setting it is of, alone, in a list or in a mapping."""
    value = {"array": "['a/b']", "object": "{shop = 'a/b'}"}.get(part.get("type"), "'a/b'")
    settings = load_settings(written(tmp_path, f"[{table}]\n{name} = {value}\n"))
    found = getattr(getattr(settings, table), name)
    expected = tmp_path / "a/b"
    assert found in (expected, [expected], {"shop": expected})


@pytest.mark.parametrize(("table", "name", "part"), _settings())
def test_a_variable_with_one_underscore_is_refused(
    monkeypatch: pytest.MonkeyPatch, table: str, name: str, part: Any
) -> None:
    """It would be passed over in silence; the message has the right name."""
    del part
    monkeypatch.setenv(f"CAPACITY_{table}_{name}".upper(), SECRET)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"CAPACITY_{table}__{name}".upper() in caught.value.hint
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("variable", ["CAPACITY_TRACES", "CAPACITY_IMAGE", "_CAPACITY_COMPLETE"])
def test_variables_for_others_are_let_be(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """They name no setting with one underscore."""
    monkeypatch.setenv(variable, "x")
    load_settings()


@pytest.mark.parametrize("make", ["missing", "folder", "no toml", "binary"])
def test_an_unreadable_file_is_one_line(tmp_path: Path, make: str) -> None:
    """A file that is not there, no file or no TOML says so."""
    file = tmp_path / "own.toml"
    if make == "folder":
        file.mkdir()
    elif make == "no toml":
        file.write_text("[prometheus\n")
    elif make == "binary":
        file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"own\.toml"):
        load_settings(file)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6).filter(
        lambda text: text not in repr(Settings())
    )
)
def test_secrets_are_never_shown(secret: str) -> None:
    """Neither repr nor str nor the fingerprint's input show a token, a password, a header or a
    password in the address.
    """
    user = {
        "bearer_token": secret,
        "password": secret,
        "headers": {"X-Key": secret},
        "url": "http://me:hunter2@host",
    }
    settings = Settings(prometheus=user)
    assert secret not in repr(settings) + str(settings) + repr(settings.prometheus)
    assert "hunter2" not in repr(settings) + str(settings) + repr(settings.prometheus)
    assert settings.fingerprint() == Settings().fingerprint()


def test_the_fingerprint_changes_with_what_changes_results() -> None:
    """Sizing, report, identity and metric names count; addresses do not."""
    base = Settings()
    others = [
        Settings(sizing={"risk": 0.1}),
        Settings(report={"step": 60}),
        Settings(identity={"host": "node"}),
        Settings(metrics={"up": "alive"}),
    ]
    assert len({settings.fingerprint() for settings in [base, *others]}) == 5
    assert load_settings(prometheus__url="http://other").fingerprint() == base.fingerprint()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('[apply]\nwindows = ["always"]', "Mon-Fri 22:00-04:00"),
        ('[apply]\nwindows = ["25:00-26:00"]', "no time of day"),
        ('[placement]\ncritical = "four"', "0-3,8"),
        ('[placement]\nstandard = "3-1"', "0-3,8"),
        ('[engine.hosts]\nfar = "shh://box"', "the address of far"),
        ('[engine.hosts]\nfar = "tcp://"', "the address of far"),
        ('[engine.hosts]\nfar = "tcp://box:port"', "the address of far"),
        ('[engine.hosts]\nfar = "http://box"', "write http://box:2376 with TLS, or :2375 without"),
        ('[engine.hosts]\nfar = "tcp://box:0"', "the address of far"),
        ('[services."a/*"]\nmin_cores = 2\nmax_cores = 1', "min_cores 2"),
        ('[services."a/*"]\nbusiness_hours = [18, 8]', "hours of one day"),
    ],
)
def test_what_can_be_judged_is_judged_when_it_is_read(
    tmp_path: Path, text: str, cause: str
) -> None:
    """A slip in a window, a list of cores or an address is told at once, not in the night it is
    used.
    """
    file = tmp_path / "capacity.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(cause)):
        load_settings(file)


def test_several_servers_share_what_the_first_table_says(tmp_path: Path) -> None:
    """Each source is a server of its own, with paths relative to the file and secrets found."""
    file = tmp_path / "capacity.toml"
    file.write_text(
        "[prometheus]\nread_timeout = 9\nca_file = 'ca.pem'\n"
        "[sources.a]\nurl = 'a:9090'\nbearer_token_file = 'token'\n"
        "[sources.b]\nurl = 'http://b:9090'\nread_timeout = 7\npassword = 'x'\nusername = 'u'\n"
    )
    servers = {name: its.prometheus for name, its in load_settings(file).servers().items()}
    assert [str(server.url) for server in servers.values()] == ["http://a:9090/", "http://b:9090/"]
    assert (servers["a"].read_timeout, servers["b"].read_timeout) == (9, 7)
    assert servers["a"].bearer_token_file == tmp_path / "token"
    assert servers["b"].ca_file == tmp_path / "ca.pem"
    assert servers["b"].bearer_token_file is None
    file.chmod(0o644)
    assert "sources.b.password" in exposed_secrets(file)


def test_a_server_that_is_named_on_the_command_line_is_meant_alone(tmp_path: Path) -> None:
    """`--source ADDRESS` goes before all sources of the file."""
    file = tmp_path / "capacity.toml"
    file.write_text("[sources.a]\nurl = 'a:9090'\n")
    servers = load_settings(file, prometheus__url="http://c:9090").servers()
    assert {name: str(its.prometheus.url) for name, its in servers.items()} == {
        "": "http://c:9090/"
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[prometheus]\nurl = 'a:1'\n[sources.b]\nurl = 'b:1'", "both name servers"),
        ("[sources.b]\nread_timeout = 3", "b has no url"),
        ("[sources.sample]\nurl = 'b:1'", "is no name of a source"),
        ("[sources.'a/b']\nurl = 'b:1'", "is no name of a source"),
        ("[sources.'..']\nurl = 'b:1'", "is no name of a source"),
    ],
)
def test_sources_that_could_not_be_kept_apart_are_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    """A name is a folder of the archive, and every server is named in one place."""
    file = tmp_path / "capacity.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings(file)
