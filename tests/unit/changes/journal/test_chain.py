"""A journal and its backups prove themselves: whatever is changed in them is told, not believed."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.files import digest, scratch_folder, write_atomically
from capacity.changes._journal.adjustments import failure_cooldowns, steps_since
from capacity.changes._journal.journal import LINES, Journal, open_journal, read_journal
from capacity.changes._journal.lock import apply_lock
from capacity.changes._journal.models import FileBackup, Kind, RunStart, StepIntent, intents
from capacity.changes._journal.runs import journal_runs
from capacity.errors import CapacityError, InputError, JournalLost, StorageError
from tests.fixtures.running.fleet import memory, plan_of

CHANGES = tuple(plan_of(memory("shop/web", 64, 96), memory("shop/db", 100, 200)).changes)


def made(folder: Path, run: str = "20261128T120000-x") -> Path:
    """A run of several lines with a backup; returns its folder."""
    journal = open_journal(folder, run)
    with closing(journal.handle):
        journal.begin(RunStart(who="ann", why="weekly", plan="x", steps=2))
        for step, change in enumerate(CHANGES, start=1):
            file = FileBackup(path="c", before=journal.keep(b"a: 1\n"), after=journal.keep(b"b"))
            intent = StepIntent(changes=(change,), files=(file,))
            journal.announce(step, change.service, "here", intent)
            journal.write(Kind.UPDATED, step=step, service=change.service, container="1")
            journal.write(Kind.DONE, step=step, service=change.service)
        journal.write(Kind.FINISHED, state="finished")
    return journal.folder


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a whole journal."""
    return (made(tmp_path_factory.mktemp("whole")) / LINES).read_bytes()


def read_back(folder: Path, content: bytes) -> int:
    """How many lines a journal of these bytes has; `InputError` where it is not believed."""
    place = folder / "20261128T120000-x"
    place.mkdir(exist_ok=True)
    (place / LINES).write_bytes(content)
    return len(read_journal(place))


def test_every_changed_byte_is_told(tmp_path: Path, text: bytes) -> None:
    """Each byte, also a line feed, changed in one bit; the line is named."""
    refused = 0
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= (1, 0x20, 0x80)[place % 3]
        with pytest.raises(InputError, match=rf"{LINES}:\d+ is") as told:
            read_back(tmp_path, bytes(changed))
        line = text.count(b"\n", 0, place) + 1
        said = int(str(told.value).partition(f"{LINES}:")[2].partition(" ")[0])
        assert said in {line, line + (text[place : place + 1] == b"\n")}
        refused += 1
    assert refused == len(text)


@given(data=st.data())
def test_no_line_can_be_moved_dropped_doubled_or_put_in(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, data: st.DataObject
) -> None:
    """Any other order of whole lines, also with lines of another run, ends at the first wrong one;
    only a shorter beginning looks like a run that has not gone further.
    """
    folder = tmp_path_factory.mktemp("lines")
    mine = text.splitlines(keepends=True)
    foreign = (made(folder, "other") / LINES).read_bytes().splitlines(keepends=True)
    picked = data.draw(st.lists(st.sampled_from([*mine, *foreign, b"{}\n", b"\n"]), max_size=9))
    content = b"".join(picked)
    if picked and text.startswith(content):
        assert read_back(folder, content) == len(picked)
        return
    with pytest.raises(InputError, match=LINES):
        read_back(folder, content)


def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path: Path, text: bytes) -> None:
    """At every byte: the whole lines stand, and the run goes on behind them."""
    lines = text.splitlines(keepends=True)
    for end in range(len(lines[0]), len(text)):
        whole = text.count(b"\n", 0, end)
        assert read_back(tmp_path, text[:end]) == whole
        if end % 97:
            continue
        journal = open_journal(tmp_path, "20261128T120000-x")
        with closing(journal.handle):
            journal.write(Kind.RESUMED, who="ann")
        assert len(read_journal(journal.folder)) == whole + 1


@pytest.mark.parametrize("content", [b"", b'{"time', b"\n"])
def test_a_journal_without_a_line_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Nothing is known of the run: that is said, by its name and beside the others."""
    made(tmp_path, "good")
    with pytest.raises(InputError, match=LINES):
        read_back(tmp_path, content)
    assert [run for run, _ in journal_runs(tmp_path, skip_damaged=True)] == ["good"]
    assert "20261128T120000-x is left out" in caplog.text


def test_a_journal_that_lost_its_sums_is_told(tmp_path: Path, text: bytes) -> None:
    """Without them it would look like one of the first schema, which its first line denies."""
    bare = re.sub(rb',"sum":"[0-9a-f]{64}"', b"", text)
    with pytest.raises(InputError, match="has lost its checksum"):
        read_back(tmp_path, bare)


def test_a_damaged_run_blocks_only_itself(tmp_path: Path) -> None:
    """What looks over all runs goes on; nothing can be added to the damaged one."""
    place = made(tmp_path)
    changed = (place / LINES).read_bytes().replace(b"shop/web", b"shop/wib", 1)
    (place / LINES).write_bytes(changed)
    made(tmp_path, "good")
    assert failure_cooldowns(tmp_path, datetime.now(UTC)) == {}
    assert steps_since(tmp_path, hours=1) == 2
    journal = open_journal(tmp_path, place.name)
    with closing(journal.handle), pytest.raises(JournalLost, match="is not as it was written"):
        journal.write(Kind.RESUMED, who="ann")
    assert (place / LINES).read_bytes() == changed


def test_two_hands_at_one_run_keep_one_chain(tmp_path: Path) -> None:
    """Who finds the file longer than it left it goes on from there."""
    first, second = (open_journal(tmp_path, "run") for _ in range(2))
    with closing(first.handle), closing(second.handle):
        first.begin(RunStart(who="ann"))
        for journal in (second, first, first, second, first):
            journal.write(Kind.DONE, step=1)
    assert len(read_journal(first.folder)) == 6


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_changed_backup_is_not_used(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, other: bytes
) -> None:
    """Also before any step of the rollback begins; keeping the same again mends it."""
    journal = open_journal(tmp_path_factory.mktemp("backup"), "run")
    with closing(journal.handle):
        name = journal.keep(content)
        assert journal.kept(name) == content
        file = journal.folder / "files" / name
        file.write_bytes(other)
        journal.begin(RunStart())
        files = (FileBackup(path="c", before=name, after=name),)
        journal.announce(1, "shop/web", "here", StepIntent(files=files))
        if other != content:
            for use in (lambda: journal.kept(name), lambda: _check(journal)):
                with pytest.raises(StorageError, match=f"{name} .* has changed since"):
                    use()
        assert journal.keep(content) == name
        assert journal.kept(name) == content
        file.unlink()
        with pytest.raises(StorageError, match="cannot be read"):
            _check(journal)


def _check(journal: Journal) -> None:
    journal.check_backups(intents(journal.entries()))


@pytest.mark.parametrize("name", ["../journal.jsonl", "/etc/passwd", "", "A" * 64, "0" * 63, "a\0"])
def test_a_backup_has_no_other_name(tmp_path: Path, name: str) -> None:
    """A journal from elsewhere cannot read another file as a backup."""
    journal = open_journal(tmp_path, "run")
    with closing(journal.handle), pytest.raises(StorageError, match="no name of a backup"):
        journal.kept(name)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a disk that is full there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_at_any_byte_ends_in_the_way_out(tmp_path: Path, text: bytes) -> None:
    """Each byte count of a whole run: what was written stands, the message says how to go on, and
    closing the journal, its lock and its temporary files adds nothing to it.
    """
    ends = 0
    for size in [*range(0, len(text), 11), len(text) - 1]:
        folder = tmp_path / str(size)
        with at_most(size), pytest.raises(CapacityError) as told, apply_lock(folder):
            made(folder)
        assert told.value.hint
        place = folder / "20261128T120000-x"
        lines = (place / LINES).read_bytes() if (place / LINES).exists() else b""
        assert text[:0] == lines or lines.endswith(b"\n")
        if lines:
            assert len(read_journal(place)) == lines.count(b"\n")
            ends += 1
        assert not [*folder.rglob("*.tmp")]
        with apply_lock(folder):
            made(folder, "next")
    assert ends > 20


@given(st.binary(max_size=60), st.integers(0, 59))
def test_a_file_is_written_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, size: int
) -> None:
    """With the disk full at any byte the old content stays, and nothing is left beside it."""
    path = tmp_path_factory.mktemp("whole") / "file"
    path.write_bytes(b"old")
    with at_most(size):
        try:
            write_atomically(path, content)
        except StorageError:
            assert len(content) > size
    assert digest(path.read_bytes()) == digest(content if len(content) <= size else b"old")
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_no_room_for_temporary_files_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git index, an override and a socket need some; without it there is one line."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="no room for temporary files"), scratch_folder():
        pass
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        (folder / "x").touch()
    assert not [*tmp_path.iterdir()]
