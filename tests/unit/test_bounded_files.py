"""Files from strangers near their bounds are read or refused by their size, not by its square."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from capacity._compose import load_project
from capacity.changes._journal.journal import read_journal
from capacity.errors import CapacityError
from capacity.operations._restarts.causes import load_causes
from capacity.operations._timeline.file import read_timeline
from capacity.reporting.quarterly._register import read_register
from capacity.settings import load_settings

READERS: dict[str, Callable[[Path], object]] = {
    "compose.yaml": load_project,
    "capacity.toml": load_settings,
    "journal.jsonl": lambda path: read_journal(path.parent),
    "timeline.yaml": read_timeline,
    "causes.yaml": load_causes,
    "risks.yaml": read_register,
}
SHAPES: dict[tuple[str, str], Callable[[int], str]] = {
    ("compose.yaml", "braces"): lambda size: f"services: {{a: {{image: '{'${A:-' * size}'}}}}",
    ("compose.yaml", "closed"): lambda size: (
        f"services: {{a: {{image: '{'${A:-' * size}{'}' * size}'}}}}"
    ),
    ("capacity.toml", "dots"): lambda size: f"a{'.a' * size} = 1\n",
    ("capacity.toml", "table"): lambda size: f"[a{'.a' * size}]\n",
    ("capacity.toml", "inline"): lambda size: f"x = {{a{'.a' * size} = 1}}\n",
    ("journal.jsonl", "lines"): lambda size: "x\n" * size * 10,
    ("timeline.yaml", "items"): lambda size: "items:\n" + "- 1\n" * size,
    ("causes.yaml", "items"): lambda size: "causes:\n" + "- 1\n" * size,
    ("risks.yaml", "items"): lambda size: "risks:\n" + "- 1\n" * size,
}


def seconds(name: str, text: str, folder: Path) -> float:
    """The processor time that a file takes to be read or refused."""
    (folder / name).write_text(text)
    start = time.process_time()
    with suppress(CapacityError):
        READERS[name](folder / name)
    return time.process_time() - start


@pytest.mark.parametrize("case", SHAPES, ids=" ".join)
@pytest.mark.timeout(120)
def test_ten_times_the_size_takes_no_hundred_times_the_time(
    tmp_path: Path, case: tuple[str, str]
) -> None:
    """The square of a size is what hangs a monitor."""
    seconds(case[0], SHAPES[case](10), tmp_path)  # what is imported at the first call
    small = seconds(case[0], SHAPES[case](4_000), tmp_path)
    large = seconds(case[0], SHAPES[case](40_000), tmp_path)
    assert large < 30 * small + 0.5  # half a second is what all of it may take


def test_the_longest_chain_of_services_is_followed(tmp_path: Path) -> None:
    """Each waits for the next; Python's stack would end at a thousand."""
    path = tmp_path / "compose.yaml"
    chain = "".join(f"  s{n}: {{image: a, depends_on: [s{n + 1}]}}\n" for n in range(1500))
    path.write_text(f"services:\n{chain}  s1500: {{image: a}}\n")
    assert len(load_project(path).services) == 1501
    path.write_text(f"services:\n{chain}  s1500: {{image: a, depends_on: [s1499]}}\n")
    with pytest.raises(CapacityError, match=r"cycle detected: s1499 -> s1500 -> s1499"):
        load_project(path)


def test_a_list_of_people_is_not_read_without_end(tmp_path: Path) -> None:
    """What is larger than anybody writes is refused after its first part."""
    most = {"timeline.yaml": 1_000_000, "causes.yaml": 200_000, "risks.yaml": 300_000}
    for name, entries in most.items():
        (tmp_path / name).write_text("a:\n" + "- 1\n" * entries)
        with pytest.raises(CapacityError, match="more values than can be read"):
            READERS[name](tmp_path / name)
