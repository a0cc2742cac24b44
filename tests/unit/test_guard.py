"""`benchmarks.guard`: what has become slower is found, and the table of versions is kept."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.guard import (
    RATIOS,
    measure,
    measured_in,
    ratios_text,
    read_ratios,
    recorded_tree,
    slower,
)
from benchmarks.guarded_work import array_loop, object_loop

NAMES = st.text("abcdefgh-", min_size=2, max_size=8)
ROWS = st.dictionaries(
    NAMES,
    st.dictionaries(NAMES, st.floats(0.01, 999).map(lambda ratio: round(ratio, 3)), min_size=1),
    min_size=1,
)


def reference() -> None:
    """A mix of both loops, long enough for the clock of processor time."""
    array_loop()
    object_loop()


def thrice() -> None:
    """The same work, slowed down."""
    for _ in range(3):
        reference()


def test_a_slowed_function_is_a_failure_and_the_same_one_is_none() -> None:
    """Three times the work is far beyond the limit, once is far below."""
    baseline = {"work": measure(reference, reference, 5)}
    assert slower({"work": measure(reference, reference, 5)}, baseline) == []
    assert slower({"work": measure(thrice, reference, 5)}, baseline) == ["work"]


def test_work_without_a_baseline_is_no_failure() -> None:
    """New work has nothing to be slower than."""
    assert slower({"new": 5.0, "old": 1.6}, {"old": 1.0}) == ["old"]


@given(ROWS)
def test_the_table_is_read_as_it_was_written(rows: dict[str, dict[str, float]]) -> None:
    """Every version and ratio, also where one version did not measure some work."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ratios.txt"
        path.write_text(ratios_text(rows), encoding="utf-8")
        assert read_ratios(path) == rows


def test_the_commit_of_the_table_is_laid_out(tmp_path: Path) -> None:
    """It holds the package and its guard, unless this is no clone."""
    tree = recorded_tree(tmp_path)
    if tree is None:
        pytest.skip("no git history here")
    assert (tree / "benchmarks" / "guard.py").is_file()
    assert read_ratios(tree / "benchmarks" / "results" / "ratios.txt") == read_ratios(RATIOS)


@pytest.mark.parametrize(
    ("script", "ratios"),
    [
        ("print('version a b')\nprint('0.1 1.0 2.0')\nprint('now 1.5 2.5')\nexit(1)", [1.5, 2.5]),
        ("raise SystemExit('no module')", []),
    ],
)
def test_another_tree_measures_itself(tmp_path: Path, script: str, ratios: list[float]) -> None:
    """Its row `now` counts, whether it ends well or not; one that cannot run has none."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "guard.py").write_text(script, encoding="utf-8")
    assert list(measured_in(tmp_path, 1).values()) == ratios


def test_the_committed_table_is_one() -> None:
    """It can be read, and is written as it stands."""
    rows = read_ratios(RATIOS)
    assert rows
    assert ratios_text(rows) == RATIOS.read_text(encoding="utf-8")
