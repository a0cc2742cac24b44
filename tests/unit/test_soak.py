"""What the soak judges by: it finds lost lines and growth, and calls what is flat flat."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.checks import Growth, JournalWatch, locks_held


def lines(folder: Path, text: str) -> None:
    """Write a run's lines where a journal has them."""
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "other.jsonl").write_text(text)


def test_lines_that_are_lost_or_changed_are_found(tmp_path: Path) -> None:
    """Lines may be added, and half a line at the end may go; nothing else."""
    watch = JournalWatch()
    lines(tmp_path, "one\ntw")
    assert list(watch.faults(tmp_path)) == []
    lines(tmp_path, "one\nthree\n")
    assert list(watch.faults(tmp_path)) == []
    lines(tmp_path, "one\n")
    assert len(list(watch.faults(tmp_path))) == 1
    (tmp_path / "run" / "other.jsonl").unlink()
    assert "is gone" in next(watch.faults(tmp_path))


@pytest.mark.parametrize(
    ("bytes_a_second", "handles_a_second", "flat"), [(0, 0, True), (2e5, 0, False), (0, 1, False)]
)
def test_growth_is_told_from_noise(
    bytes_a_second: float, handles_a_second: float, *, flat: bool
) -> None:
    """Memory and handles that rise all the time are found in five minutes."""
    taken = [
        (
            float(at),
            round(100e6 + at * bytes_a_second + (at % 3) * 1e6),
            round(30 + at * handles_a_second + at % 2),
        )
        for at in range(0, 300, 5)
    ]
    ((_, judged),) = Growth({("monitor", 1): taken}).table()
    assert judged is flat


def test_a_life_that_was_short_says_nothing() -> None:
    """A process that has just begun takes memory."""
    taken = [(float(at), round(at * 1e6), at) for at in range(0, 60, 5)]
    assert list(Growth({("monitor", 1): taken}).table()) == []


def test_a_lock_that_nobody_holds_is_free(tmp_path: Path) -> None:
    """A file alone is no lock."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "lock").write_text("process 1")
    assert list(locks_held(tmp_path)) == []
