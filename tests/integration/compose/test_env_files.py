"""Env files of any text, as `.env` and as the `env_file` of a service: read or refused as Compose
reads or refuses them.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.integration.compose.test_written import ours, printed, put

FILES = 150
PARTS = (
    *(
        "a",
        "$B",
        "${B}",
        "${B:-d}",
        "${NO:-x}",
        "'",
        '"',
        "\\n",
        "\\t",
        "\\\\",
        "\\'",
        '\\"',
        "\\$",
    ),
    *("$$", " ", "#", " #c", "=", ":", "\t", "\u00e9", "{}", "[1]", "\\", "\\x", "\\012", "\\0101"),
    *("$", "${", "}", "${B:?e}", "${NO?e}", "`", "\\u0041", "\\8", "\\0"),
)
NAMES = (
    *("A=", "A =", "A= ", " A=", "export A=", "export  A=", "A:", "A: ", "A", "export A", "A=="),
    *("\tA=", "A\t=", "A.B=", "1A=", "A-B=", "A B=", "=", "#A="),
)
OTHERS = ("B=bee", "C='c $B'", 'D="d $B"', "E=$A")
WEB = "services:\n  web:\n    image: a\n"
SHOWN = "".join(f'      R{name}: "${{{name}-unset}}"\n' for name in "ABCDE")


def line(chance: random.Random) -> str:
    """A name and a value, perhaps quoted, perhaps with something behind."""
    value = "".join(chance.choice(PARTS) for _ in range(chance.randrange(5)))
    if chance.random() < 0.35:
        quote = chance.choice("'\"")
        value = quote + value + quote + chance.choice(("", "", " ", " # c", "#c", " x"))
    return chance.choice(NAMES if chance.random() < 0.4 else ("A=",)) + value


@pytest.mark.parametrize("seed", range(FILES))
def test_an_env_file_is_read_or_refused_as_by_compose(seed: int, tmp_path: Path) -> None:
    """One line of any text between others."""
    chance = random.Random(seed)
    lines = [line(chance), *(chance.choice(OTHERS) for _ in range(chance.randrange(3)))]
    chance.shuffle(lines)
    text = chance.choice(("\n", "\n", "\r\n")).join(lines) + chance.choice(("\n", ""))
    if chance.random() < 0.5:
        put({".env": text, "compose.yaml": f"{WEB}    environment:\n{SHOWN}"}, tmp_path)
    else:
        put({"any.env": text, "compose.yaml": f"{WEB}    env_file: any.env\n"}, tmp_path)
    assert ours(tmp_path, [], {}) == printed(tmp_path, [], {})
