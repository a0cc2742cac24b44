"""`capacity recommend` on fleets larger than a block, and what goes with a scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.commands import capacity_here
from tests.fixtures.fleets.archived_fleets import END, archived_fleet

ASKED = ("recommend", "--offline", "--as-of", END.isoformat())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an archive and settings that read it."""
    settings = archived_fleet(tmp_path / "archive", services=13)
    report = f"step = {settings.report.step}\nwindow_days = {settings.report.window_days}"
    (tmp_path / "capacity.toml").write_text(f"[report]\n{report}\n")
    return tmp_path


@pytest.mark.parametrize("more", [("--format", "csv"), ("--services", "shop1/*", "--json")])
def test_a_fleet_larger_than_a_block_is_printed_as_one_that_is_not(
    folder: Path, more: tuple[str, ...]
) -> None:
    """The same text, and the same plan."""
    shown = []
    for size in ("4", "1000"):
        plan = folder / f"plan{size}.yaml"
        done = capacity_here(
            *ASKED, *more, "--out", str(plan), folder=folder, CAPACITY_COMPUTE__BLOCK=size
        )
        assert done.returncode == 0, done.stderr
        changes = plan.read_text().partition("changes:")[2]
        assert changes
        shown.append((done.stdout, changes))
    assert shown[0] == shown[1]


SOME = ("--budget", "64g", "--services", "shop1/*")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--scheduler", "nowhere"), 2, "no address of a scheduler"),
        (("--scheduler", "tcp://user:secret@host:1"), 2, "no address of a scheduler"),
        (("--scheduler", "tcp://127.0.0.1:1", *SOME), 2, "plain recommendations"),
        (("--scheduler", "tcp://127.0.0.1:1", "--policy", "krr"), 2, "plain recommendations"),
    ],
)
def test_what_a_scheduler_cannot_do_is_refused(
    folder: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """In one line, before anything is read."""
    done = capacity_here(*ASKED, *arguments, folder=folder)
    assert done.returncode == code
    assert said in done.stderr
