"""A plan from a stranger: whatever stands in it is refused with its place, or it is harmless."""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

from capacity._cli import app
from capacity.changes import (
    MadeFrom,
    Plan,
    PlannedChange,
    emit_override,
    emit_scripts,
    make_plan,
    plan_text,
    read_plan,
)
from capacity.changes._journal.runs import new_run
from capacity.errors import InputError
from capacity.model import Change, Reason, Resource, Setting
from tests.fixtures.generated.hostile import HIDDEN, NAMES, NO_NUMBERS, SIGNS, is_name
from tests.fixtures.running.fleet import MIB, memory, plan_of
from tests.fixtures.running.servers import require

WHOLE = plan_of(memory("shop/web", 64, 96, peak=1.0))
CONTENT: dict[str, Any] = WHOLE.model_dump(mode="json", by_alias=True)
WAYS_OUT = ("/../../x", "..", "../x", "a/b", "/etc/passwd", "~/x", "a b", ".", "x" * 300)
TIMES: tuple[Any, ...] = (
    0,
    1764288000,
    True,
    "now",
    "2026-11-23T00:00:00",
    "2026-11-23",
    "9999-12-31T23:59:59Z",
)
TIMES += ("0001-01-01T00:00:00+14:00", "٢٠٢٦-11-23T00:00:00Z", "1e3", None, [], "2026-13-01T00:00Z")
NO_FACTS: tuple[Any, ...] = (float("nan"), float("inf"), True, "1", None, [])
TEXTS = tuple(f"x{char}y" for char in HIDDEN)
WRONG: dict[tuple[str | int, ...], tuple[Any, ...]] = {
    ("plan_id",): (
        *TEXTS,
        *WAYS_OUT,
        *(sign for sign in SIGNS if not sign.isalnum() and sign != "a_b"),
        "",
        5,
    ),
    ("format",): (0, 2, "1", None, [], 1.5),
    ("as_of",): TIMES,
    ("valid_until",): TIMES,
    ("made_from", "history"): (*TEXTS, "x" * 200, 5, None),
    ("made_from", "files"): ({"a": "b"}, {"a": 5}, [], {"a\nb": "0" * 64}, {"a": "g" * 64}),
    ("changes",): ({}, "x", 5, None, [5], [[]]),
    ("changes", 0, "service"): (
        *(f"shop/{text}" for text in TEXTS),
        *(f"{text}/web" for text in TEXTS),
        "web",
        "/",
        "shop/",
        "/web",
        "shop/a/",
        "shop//b",
        "shop/..",
        "../web",
        "shop/x/../../y",
        "shop/ web",
        "shop/web ",
        "shop/" + "x" * 600,
        "shop/web\u0661",
        5,
        None,
        [],
    ),
    ("changes", 0, "host"): (*TEXTS, "..", ".", " a", "a ", "x" * 2000, "a\u0661", 5, None),
    ("changes", 0, "what"): ("speed", "", 5, None, "MEMORY", "memory\n"),
    ("changes", 0, "from"): (*NO_NUMBERS, -5, -0.5),
    ("changes", 0, "to"): (*NO_NUMBERS, None, 0, -1, 1024),
    ("changes", 0, "reason"): ("because", "", None, 5),
    ("changes", 0, "why"): (*TEXTS, "x" * 5000, 5, None),
    ("changes", 0, "risk"): ("none", "", None, 5),
    ("changes", 0, "order"): (-1, 10**6, 1.5, "1", True, None, 10**30),
    ("changes", 0, "command"): (*TEXTS, 5),
    ("changes", 0, "evidence"): (
        *({"peak": number} for number in NO_FACTS),
        {"a b": 1.0},
        {"": 1.0},
        {"x\ny": 1.0},
        {"{{": 1.0},
        {"x" * 100: 1.0},
        [],
        5,
    ),
}
CASES = [(place, value) for place, values in WRONG.items() for value in values]


def with_value(place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The content of a good plan with one value changed."""
    changed: Any = _copy(CONTENT)
    inside = changed
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = value
    whole: dict[str, Any] = changed
    return whole


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(part) for name, part in value.items()}
    return [_copy(part) for part in value] if isinstance(value, list) else value


def written(content: object, path: Path) -> Path:
    """The content as YAML, half surrogates as the escapes that YAML has for them."""
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_unicode = False
    with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
        yaml.dump(content, file)
    return path


@pytest.mark.parametrize(("place", "value"), CASES, ids=lambda part: ascii(part)[:60])
def test_each_wrong_field_is_refused_with_file_line_and_field(
    tmp_path: Path, place: tuple[str | int, ...], value: Any
) -> None:
    """Ids, names, hosts, times and numbers; nothing of it gets further than the reader."""
    path = written(with_value(place, value), tmp_path / "plan.yaml")
    with pytest.raises(InputError, match=r"plan\.yaml:\d+") as refused:
        read_plan(path)
    said = str(refused.value)
    assert said.isprintable(), said
    field = str([part for part in place if isinstance(part, str)][-1])
    assert field in said or "no YAML" in said, said
    assert len(said) < 2000


def test_the_line_is_that_of_the_field(tmp_path: Path) -> None:
    """A reader finds the value where the message says that it stands."""
    path = tmp_path / "plan.yaml"
    text = plan_text(WHOLE).replace("to: 100663296.0", "to: .inf")
    path.write_text(text)
    line = text[: text.index("to: .inf")].count("\n") + 1
    with pytest.raises(InputError, match=rf"plan\.yaml:{line} is no plan: changes\.0\.to"):
        read_plan(path)


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(SIGNS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(place=st.sampled_from(sorted(WRONG, key=str)), value=ANY)
def test_anything_in_any_field_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str | int, ...], value: object
) -> None:
    """No value of any type ends in another error than the one that names the file."""
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    try:
        written(with_value(place, value), path)
    except UnicodeEncodeError:  # the writer of YAML cannot say it
        return
    with suppress(InputError):
        emit_scripts(read_plan(path))


@given(
    st.binary(max_size=400)
    | st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """What is no plan at all is an error of the input, never a traceback."""
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"plan\.yaml"):
        read_plan(path)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + depth)}: &{chr(98 + depth)} [{', '.join([f'*{chr(97 + depth)}'] * 9)}]\n"
    for depth in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "[" * 900 + "]" * 900,
        "[" * 20_000,
        "{a: " * 500 + "x" + "}" * 500,
        "\n".join("  " * depth + "a:" for depth in range(400)),
        "- " * 3000 + "x",
        "a: &a\n  b: *a\n",
        "changes: &c []\nplan_id: *c\n",
        "\ta: 1\n" * 5000,
        "a:\t1\n" * 5000,
        "a: " + "9" * 100_000,
        "{" + "a: 1, " * 200_000 + "}",
        "a:\n" + "- 1\n" * 300_000,
        "--- {}\n--- {}\n",
        "a: 1\na: 2\n",
        "? [a]\n: b\n",
        "!!python/object/apply:os.system ['touch PWNED']\n",
        "<<: [1]\n",
        "%YAML x\n",
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(30)
def test_shapes_that_never_end_are_refused(tmp_path: Path, text: str) -> None:
    """Depth, aliases and size are bounded before anything is built."""
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"plan\.yaml"):
        read_plan(path)


def test_a_file_that_is_no_regular_one_is_refused(tmp_path: Path) -> None:
    """A pipe would wait for ever, a device never end, and a NUL is no name."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (16 * 2**20 + 1))
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, Path("a\0b"), tmp_path / "large"):
        with pytest.raises(InputError, match="Cannot read"):
            read_plan(path)


@pytest.mark.parametrize(
    "hosts", [("alpha", "alpha"), ("alpha", "ALPHA"), ("alpha", "alpha."), ("", "alpha"), ("a", "")]
)
def test_one_service_under_two_spellings_of_a_host_is_refused(hosts: tuple[str, str]) -> None:
    """Two values for one thing cannot both be meant, however its host is written."""
    changes = [{**CONTENT["changes"][0], "host": host} for host in hosts]
    with pytest.raises(ValueError, match="stands twice"):
        Plan.model_validate({**CONTENT, "changes": changes})


@given(service=NAMES, project=NAMES, host=NAMES, text=st.sampled_from([*SIGNS, "x\ny"]))
def test_no_name_breaks_out_of_a_script(
    tmp_path_factory: pytest.TempPathFactory, service: str, project: str, host: str, text: str
) -> None:
    """Every word reaches `docker` as it is; every other line is a comment."""
    folder = tmp_path_factory.mktemp("scripts")
    now = datetime.now(UTC)
    changes = [
        Change(f"{project}/{service}", Resource.MEMORY, 64.0 * MIB, 96.0 * MIB, Reason.REQUESTED),
        Change(f"{project}/{service}", Setting.ENVIRONMENT, None, {"A": text}, Reason.REQUESTED),
        Change(f"standalone/{service}", Resource.CPU, 1.0, 2.0, Reason.REQUESTED),
    ]
    plan = make_plan(
        changes,
        hosts={f"{project}/{service}": host},
        as_of=now,
        valid_until=now,
        made_from=MadeFrom(history="h", settings="s", code="1"),
    )
    told: list[str] = []
    for name, script in emit_scripts(plan).items():
        assert Path(name).name == name
        (folder / name).write_text(script)
        run = f"""docker() {{ printf '%s\\0' "$@" >> words; echo id; }}; . ./{shlex.quote(name)}"""
        subprocess.run(["bash", "-c", run], cwd=folder, check=True, capture_output=True)
        told += (folder / "words").read_text().split("\0")
    assert {path.name for path in folder.iterdir()} == {*emit_scripts(plan), "words"}
    assert f"label=com.docker.compose.project={project}" in told or project == "standalone"
    assert f"label=com.docker.compose.service={service}" in told or project == "standalone"


def test_scripts_with_every_sign_pass_shellcheck(tmp_path: Path) -> None:
    """One script with all the signs in names and values."""
    names = [sign for sign in SIGNS if is_name(sign)]
    plan = plan_of(*[memory(f"{name}/{name}", None, 512) for name in names])
    for name, text in emit_scripts(plan).items():
        (tmp_path / name).write_text(text)
        # it takes a name behind a filter's = for an assignment, and a quoted ~ for a home
        words = [str(require("shellcheck")), "--exclude=SC2283,SC2088", str(tmp_path / name)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", ["show", "diff", "validate", "emit", "commit", "apply"])
@pytest.mark.parametrize("value", ["x\ntouch PWNED\n#", "/../../x", "../x"])
def test_every_command_refuses_it(tmp_path: Path, command: str, value: str) -> None:
    """The reader is the same for all of them; nothing is written anywhere."""
    path = written(with_value(("plan_id",), value), tmp_path / "plan.yaml")
    words = ["apply", str(path)] if command == "apply" else ["plan", command, str(path)]
    done = CliRunner().invoke(app, [*words, *([str(path)] if command == "diff" else [])])
    assert isinstance(done.exception, InputError), done.output
    assert "plan.yaml:" in str(done.exception)
    assert [each.name for each in tmp_path.iterdir()] == ["plan.yaml"]


@given(st.text(max_size=40))
def test_a_run_never_leaves_the_journal(
    tmp_path_factory: pytest.TempPathFactory, what: str
) -> None:
    """Whatever a run is called after, its folder stands in the journal's."""
    folder = tmp_path_factory.mktemp("journal")
    name = new_run(folder, what, datetime.now(UTC))
    assert [path.name for path in folder.iterdir()] == [name]
    assert name.isascii()


def test_an_override_puts_no_variable_in(tmp_path: Path) -> None:
    """A dollar in a plan's value is a dollar, not a variable of whoever starts Compose."""
    from capacity._compose.declared import load_declared

    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web: {image: a}\n")
    change = Change("shop/web", Setting.ENVIRONMENT, None, {"A": "${HOME}-$USER"}, Reason.REQUESTED)
    text, _ = emit_override(plan_of(change), load_declared("shop", [file], tmp_path))
    assert "$${HOME}-$$USER" in text


def test_a_change_that_no_plan_could_hold_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A label of a stranger must not keep the others from their plan."""
    plan = plan_of(memory("shop/a\x1b[2K", None, 512), memory("shop/web", None, 512))
    assert [change.service for change in plan.changes] == ["shop/web"]
    assert r"shop/a\x1b[2K is left out" in caplog.text


def test_models_are_checked_when_built_in_code() -> None:
    """The reader and the library share one check."""
    with pytest.raises(ValueError, match="the service's name"):
        PlannedChange.model_validate({**CONTENT["changes"][0], "service": "shop/x\ny"})
