"""Nothing from outside reaches a terminal as something that it obeys."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity._cli.printing import VisibleFormatter, print_rows, say, say_block, show_text
from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal
from tests.fixtures.commands import capacity_here, environment
from tests.fixtures.generated.hostile import HIDDEN, SIGNS

NAMES = [f"p/{sign[:8]}{hidden}z" for sign, hidden in zip(SIGNS, HIDDEN, strict=False)]
ARCHIVED = [name for name in NAMES if name.isascii() or "\ud800" not in name]
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def obeyed(text: str) -> set[str]:
    """The characters of an output that a terminal would not just show."""
    return {char for char in text if not char.isprintable() and char not in "\n\t"}


@SHARED
@given(st.text() | st.sampled_from(NAMES))
def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Also an error, a log line, a title and a cell of a table."""
    capsys.readouterr()
    say(text)
    say(text, err=True)
    said = capsys.readouterr()
    assert said.out == said.err
    assert said.out.count("\n") == 1
    assert not obeyed(said.out)
    print_rows([{"name": text, "more": text}], as_json=False, title=text)
    print_rows([], as_json=False, title=text)
    print_rows([{"name": text}], as_json=True, title=text)
    say_block(text)
    told = capsys.readouterr()
    assert not obeyed(told.out + told.err)
    record = logging.LogRecord("capacity", logging.WARNING, "", 0, "%s", (text,), None)
    logged = VisibleFormatter("capacity: %(message)s").format(record)
    assert "\n" not in logged
    assert not obeyed(logged)


def test_a_document_is_exact_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Its format has an escaper of its own, and a file must hold what that wrote."""
    show_text("a\tb\x1b\n")
    assert capsys.readouterr().out == "a\tb\x1b\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two weeks of services whose names a terminal would obey."""
    place = tmp_path_factory.mktemp("odd")
    archive = Archive(place / "archive")
    archive.record(SourceRecord("odd", "", "import", 60, {"memory": "import", "cpu": "import"}))
    rng = np.random.default_rng(3)
    size = len(ARCHIVED)
    for day in pd.date_range("2026-11-02", "2026-11-15", tz="UTC"):
        for signal, level in ((Signal.CPU, 0.5), (Signal.MEMORY, 3e8)):
            values = level * rng.lognormal(0, 0.1, (size, 288))
            block = SeriesBlock(ARCHIVED, ["h\x1b[2K"] * size, [1] * size, values)
            archive.write("odd", signal, "import", 300, day.date(), StoredDay(block, True, ()))
    return place


WORDS = [
    ("recommend",),
    ("recommend", "--json"),
    *(("recommend", "--format", form) for form in ("csv", "markdown")),
    ("recommend", "--why", NAMES[0]),
    ("recommend", "--why", "x\x1b[2K"),
    ("inspect",),
    ("doctor",),
    ("plan", "show", "x\x1b[2K\n"),
    ("apply", "x\u202e"),
    ("rollback", "x\x1b[2K"),
    ("journal", "x\x1b[2K"),
    ("nothing\x1b[2K",),
    ("recommend", "--signal", "\x1b[2K"),
]


@pytest.mark.parametrize("words", WORDS, ids=ascii)
def test_no_command_writes_what_a_terminal_obeys(folder: Path, words: tuple[str, ...]) -> None:
    """Tables, explanations, formats and refusals of a fleet with such names."""
    more = ("--offline", "--as-of", "2026-11-16") if words[0] == "recommend" else ()
    done = capacity_here(*words, *more, folder=folder)
    assert done.stdout or done.stderr
    assert not obeyed(done.stdout + done.stderr)


def test_a_terminal_sees_no_sequence_of_a_name(folder: Path) -> None:
    """On a real one, also in Prometheus' format, which is exact elsewhere."""
    words = ("recommend", "--format", "prometheus", "--offline", "--as-of", "2026-11-16")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "capacity", *words],
        cwd=folder,
        env=environment(folder / "archive"),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as program:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65536):
                seen += part
        except OSError:  # the other side has closed
            program.wait()
    os.close(ours)
    assert b"capacity_memory_recommended_limit_bytes" in seen
    assert not obeyed(seen.decode().replace("\r\n", "\n"))


def test_a_crash_that_nobody_foresaw_is_visible() -> None:
    """The traceback of an error whose message came from outside."""
    script = (
        "import sys\nfrom capacity._cli.printing import say_crash\nsys.excepthook = say_crash\n"
        "raise ValueError('x\\x1b[2K\\u202e')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path.cwd(), capture_output=True, text=True, check=False
    )
    assert "ValueError: x\\x1b[2K" in done.stderr
    assert not obeyed(done.stderr)
