"""Files of the corpus with one line spoilt or styled otherwise: read as Compose reads them, or
refused as it refuses them.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from capacity._compose import load_project
from capacity.errors import ComposeError
from tests.fixtures.paths import COMPOSE
from tests.integration.compose.test_stacks import VARIABLES, ours, printed

SOURCES = [  # 2.26 passes `gw_priority` over
    path
    for path in sorted((COMPOSE / "single").glob("*.yaml"))
    if b"gw_priority" not in path.read_bytes()
]
VALUES = (
    *("null", "~", "''", "[]", "{}", "0", "-1", "1.5", "'x'", "yes", "on", "true", "0x10"),
    *("1_0", "1e3", ".5", "${A}", "${B:-d}", "${C", "$$x", "*a", "&a 1", "!reset null", "|"),
    *("!override []", "1m", "10s", "[a, b]", "{a: b}", "2024-01-01", "12:30", "<<", "a: b"),
    *("@x", "`x`", "- x", "010", "0o10", ".nan", "TRUE", "!!str 1", "!!int '5'", "!!binary YQ=="),
)
BEHIND = ("  # c", "\t", "\t# c", "#c", "   ")
BETWEEN = ("", "# c", "\t", "---", "...", "      # deep")
SEEDS = 120


def spoilt(text: str, chance: random.Random) -> str:
    """The text with one line changed, or another way to break lines."""
    lines = text.split("\n")
    place = chance.randrange(len(lines))
    line = lines[place]
    name, colon, _ = line.partition(": ")
    way = chance.randrange(8)
    if way < 4 and colon:
        lines[place] = f"{name}: {chance.choice(VALUES)}"
    elif way == 4:
        lines[place] += chance.choice(BEHIND)
    elif way == 5:
        lines.insert(place, chance.choice((*BETWEEN, line)))
    elif way == 6:
        lines[place] = chance.choice((f" {line}", line.removeprefix(" ")))
    else:
        del lines[place]
    end = chance.choice(("\n", "\n", "\n", "\r\n"))
    return chance.choice(("", "", "", "\ufeff")) + end.join(lines)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_spoilt_file_is_read_or_refused_as_by_compose(seed: int, tmp_path: Path) -> None:
    """Whatever stands in the line by then."""
    chance = random.Random(seed)
    source = chance.choice(SOURCES)
    file = tmp_path / "compose.yaml"
    file.write_bytes(spoilt(source.read_bytes().decode(), chance).encode())
    said = printed("docker-compose", [file])
    if said is not None:
        assert ours([file]) == said
        return
    assert any("compose.yaml" in word for word in _told(file))


def _told(file: Path) -> tuple[str, ...]:
    """Why a file is refused, or the notes on keys that a newer Compose may know."""
    try:
        return load_project(file, environment=VARIABLES, profiles=["*"], name="stack").notes
    except ComposeError as refused:
        return (refused.message,)
