"""Settings from a file that somebody else may have written: numbers, texts, shapes, readers."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from capacity._cli.commands.history import _readers
from capacity.errors import SettingsError
from capacity.settings import Settings, exposed_secrets, load_settings
from capacity.settings._endless_names import refuse_endless_names


def numbers() -> list[str]:
    """Every setting that is one number, by its path."""
    return [
        f"{table}.{name}"
        for table, part in Settings.model_fields.items()
        if isinstance(part.annotation, type) and issubclass(part.annotation, BaseModel)
        for name, field in part.annotation.model_fields.items()
        if {int, float} & {field.annotation, *get_args(field.annotation)}
        and bool not in get_args(field.annotation)
    ]


def read(folder: Path, text: str) -> Settings:
    """The settings of a file with that text."""
    file = folder / "capacity.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


@pytest.mark.parametrize("setting", numbers())
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "-1e300", "9" * 400, "-5"])
def test_no_number_is_infinite_or_absurd(tmp_path: Path, setting: str, value: str) -> None:
    """Each setting has a largest value; the message names it."""
    table, _, name = setting.partition(".")
    with pytest.raises(SettingsError, match=name if len(value) < 9 else "capacity.toml"):
        read(tmp_path, f"[{table}]\n{name} = {value}\n")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "{b=" * 5000 + "1" + "}" * 5000,
        ".".join("a" * 5000) + " = 1",
        "[" + ".".join("a" * 5000) + "]",
        "a = " + "9" * 10_000,
        "a = 2026-99-99",
        "a = 0001-01-01T00:00:00+23:59",
        '[archive]\npath = "a\\u0000b"',
        '[prometheus]\nurl = "http://a\\u0000b"',
        "\0",
        "x" * 2_000_000,
    ],
    ids=lambda text: text[:20],
)
def test_shapes_that_no_settings_have_are_refused(tmp_path: Path, text: str) -> None:
    """Deep, long, or with a NUL: one line, no traceback."""
    with pytest.raises(SettingsError) as told:
        read(tmp_path, text)
    assert len(str(told.value)) < 2000


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """There is no other error."""
    file = tmp_path_factory.mktemp("settings") / "capacity.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_settings(file)
    except SettingsError as error:
        assert "capacity.toml" in str(error)  # noqa: PT017 - most texts are refused, not all


def test_a_pipe_for_settings_does_not_hang(tmp_path: Path) -> None:
    """Nor does a device, or a folder."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), Path("a\0")):
        with pytest.raises(SettingsError, match="Cannot read"):
            load_settings(path)


SECRETS: list[tuple[str, Any]] = [
    ('[prometheus]\nbearer_token = "x"', "prometheus.bearer_token"),
    ('[prometheus]\nusername = "a"\npassword = "x"', "prometheus.password"),
    ('[prometheus]\nheaders = {X = "y"}', "prometheus.headers"),
    ('[prometheus]\nurl = "http://a:b@c"', "prometheus.url"),
    ('[monitor]\ntoken = "x"', "monitor.token"),
    ('[monitor]\nwebhook = "http://x/secret"', "monitor.webhook"),
    ('[collect]\ntoken = "x"', "collect.token"),
    ('[delivery]\nsmtp_password = "x"', "delivery.smtp_password"),
    ('[delivery]\nwebhooks = ["https://x/secret"]', "delivery.webhooks"),
    ('[delivery]\napprise = ["slack://secret"]', "delivery.apprise"),
    ("[delivery]\nwebhooks = []", ""),
    ('[prometheus]\nurl = "http://c"', ""),
    ('[archive]\npath = "x"', ""),
]


@pytest.mark.parametrize(("text", "named"), SECRETS)
def test_secrets_that_everybody_can_read_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, named: str
) -> None:
    """At the start and by the doctor, with what to do; nothing once it is done."""
    file = tmp_path / "capacity.toml"
    file.write_text(text)
    file.chmod(0o644)
    load_settings(file)
    told = exposed_secrets(file)
    assert named in told
    assert bool(told) == bool(named)
    assert (told in caplog.text) == bool(named) or not told
    assert [check.status for check in _readers(file)] == (["warn"] if named else [])
    file.chmod(0o640)
    assert exposed_secrets(file) == ""
    assert _readers(file) == []


@pytest.mark.parametrize(
    "line",
    [
        f"# {'.' * 5000}",
        f'token = "{"a.b" * 3000}"',
        f"token = 'x'  # {'see. ' * 1000}",
        "[services." + '"a.b.c/web"' + "]",
    ],
)
def test_long_lines_that_people_write_are_read(line: str) -> None:
    """Comments, tokens and keys in quotes may have any number of dots."""
    refuse_endless_names(f"{line}\n")
    tomllib.loads(f"{line}\n")


@pytest.mark.parametrize(
    "name", ["a." * 200 + "a", '"."."=".' * 200 + "a", "['x'" + ".a" * 101 + "]"]
)
def test_names_of_endless_parts_are_refused_with_their_line(tmp_path: Path, name: str) -> None:
    """Before they are read, which takes the square of their number."""
    file = tmp_path / "capacity.toml"
    file.write_text(f"# first\n\n{name} = 1\n")
    with pytest.raises(SettingsError, match=r"line 3: a name of more than 100 parts"):
        load_settings(file)
