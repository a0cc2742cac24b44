"""`capacity._collect.steps` and the store: looks become days that history reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._api.window import prepare_window
from capacity._collect.collector import Collector
from capacity._collect.host import HostSample
from capacity._collect.readings import HostReading, Look, Reading
from capacity._collect.sample import Sample
from capacity._collect.step_transfer import ClosedStep, read_step, store_apart, write_step
from capacity._collect.steps import COLLECTED, Steps, StepValue, step_end
from capacity._collect.store import store_step
from capacity._docker.containers import Host, read_container
from capacity._docker.responses import ContainerAnswer
from capacity.errors import StorageError
from capacity.history._archive.archive import Archive
from capacity.model import Signal
from capacity.settings import Settings

MIB = 2**20
DAY, STEP = 86_400, 300
MIDNIGHT = 20_000 * DAY
HOST = Host("here", "unix://", "dock1", 4, 8 * 2**30, "28.5", "2")


def reading(
    service: str, number: int, sample: Sample | None, *, identifier: str = "a", **more: int
) -> Reading:
    """A replica of the project `shop`."""
    attrs: ContainerAnswer = {
        "Id": f"{service}{number}{identifier}",
        "Name": f"/shop-{service}-{number}",
        "Config": {
            "Labels": {
                "com.docker.compose.project": "shop",
                "com.docker.compose.service": service,
                "com.docker.compose.container-number": str(number),
            }
        },
        "HostConfig": {"Memory": 512 * MIB, "NanoCpus": 1_500_000_000},
    }
    return Reading(read_container("here", attrs), sample, **more)


def look(at: float, *readings: Reading) -> Look:
    """One look at the host."""
    return Look(at, readings, (HostReading(HOST, HostSample(at, at / 2, MIB)),))


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 200), st.integers(0, 2**40)), min_size=2)
)
def test_cpu_is_the_mean_and_memory_the_maximum(moves: list[tuple[int, int, int]]) -> None:
    """Over looks at any distance: what was used by the time that passed, and the highest seen."""
    steps, at, cpu = Steps(), 1000.0, 0.0
    for seconds, used, memory in moves:
        at, cpu = at + seconds, cpu + used / 10
        steps.add(look(at, reading("web", 1, Sample(at, cpu=cpu, usage=memory))))
    values = steps.take()
    passed = sum(seconds for seconds, _, _ in moves[1:])
    used_in_all = sum(used for _, used, _ in moves[1:]) / 10
    assert values[Signal.CPU]["shop/web"].value == pytest.approx(used_in_all / passed)
    assert values[Signal.MEMORY]["shop/web"].value == max(memory for _, _, memory in moves)
    assert values[Signal.HOST_CPU]["here"].value == pytest.approx(0.5)
    assert values[Signal.CPU_LIMIT]["shop/web"].value == 1.5


def test_nothing_is_lost_between_two_steps() -> None:
    """What was used between the last look of a step and the first of the next is the next's."""
    steps = Steps()
    steps.add(look(0, reading("web", 1, Sample(0, cpu=0, usage=1))))
    steps.take()
    steps.add(look(15, reading("web", 1, Sample(15, cpu=3, usage=1))))
    assert steps.take()[Signal.CPU]["shop/web"].value == pytest.approx(0.2)


def test_the_worst_replica_stands_for_its_service_and_events_add_up() -> None:
    """A restart sets the counters to 0, which is no negative use."""
    steps = Steps()
    for at, busy, idle in ((0, 50.0, 5.0), (15, 57.5, 0.1), (30, 65.0, 1.6)):
        again = int(at == 15)
        steps.add(
            look(
                at,
                reading("web", 1, Sample(at, cpu=busy, usage=100, periods=10 * at, throttled=at)),
                reading("web", 2, Sample(at, cpu=idle, usage=300), restarts=again, oom_kills=again),
                reading("web", 3, None, oom_kills=again),
            )
        )
    values = steps.take()
    assert values[Signal.CPU]["shop/web"] == StepValue(0.5, frozenset({"here"}), 2)
    assert values[Signal.MEMORY]["shop/web"].value == 300
    assert values[Signal.THROTTLED]["shop/web"].value == pytest.approx(0.1)
    assert values[Signal.OOM_KILLS]["shop/web"].value == 2
    assert values[Signal.RESTARTS]["shop/web"].value == 1


@given(st.lists(st.dictionaries(st.integers(1, 4), st.integers(0, 3)), min_size=1))
def test_a_container_made_anew_is_the_same_replica(looks: list[dict[int, int]]) -> None:
    """However often the containers of a step were replaced."""
    steps = Steps()
    for index, lives in enumerate(looks):
        at = 15.0 * index
        sample = Sample(at, cpu=at, usage=1)
        steps.add(
            look(
                at,
                *(
                    reading("web", number, sample, identifier=f"-{life}")
                    for number, life in lives.items()
                ),
            )
        )
    seen = {number for lives in looks for number in lives}
    memory = steps.take().get(Signal.MEMORY, {})
    assert {name: value.replicas for name, value in memory.items()} == (
        {"shop/web": len(seen)} if seen else {}
    )


@given(st.integers(0, 10**9), st.sampled_from([60, 300, 3600]))
def test_a_moment_on_the_grid_ends_its_step(at: int, step: int) -> None:
    """As everywhere in history: a sample speaks of the step before it."""
    end = step_end(at, step)
    assert end % step == 0
    assert end - step < at <= end


def closed(end: int, **values: float) -> ClosedStep:
    """A step in which the web had these values."""
    rows = {
        Signal(name): {"shop/web": StepValue(value, frozenset({"here"}), 1)}
        for name, value in values.items()
    }
    return ClosedStep(end, STEP, 15, rows)


def test_a_day_is_final_when_every_step_is_there(tmp_path: Path) -> None:
    """The step that ends at midnight is the first of the new day, as with a server."""
    archive = Archive(tmp_path)
    for index in range(DAY // STEP):
        day = archive.read(COLLECTED, Signal.CPU, "collected", STEP, _day())
        assert day is None or not day.final
        store_step(tmp_path, closed(MIDNIGHT + index * STEP, cpu=index / 100))
    day = archive.read(COLLECTED, Signal.CPU, "collected", STEP, _day())
    assert day is not None
    assert day.final
    assert day.block.values[0] == pytest.approx(np.arange(DAY // STEP) / 100)


def test_events_of_an_hour_add_up_and_maxima_are_compared(tmp_path: Path) -> None:
    """Hourly signals get their hour step by step, also over a restart of the collector; a service
    that comes later has no samples before.
    """
    for index, (killed, most) in enumerate([(1, 512.0), (0, 256.0), (2, 512.0)]):
        end = MIDNIGHT + 3600 + (index + 1) * STEP
        store_step(tmp_path, closed(end, oom_kills=killed, memory_limit=most))
    late = {Signal.OOM_KILLS: {"shop/db": StepValue(4, frozenset({"there"}), 1)}}
    store_step(tmp_path, replace(closed(MIDNIGHT + 3 * 3600), values=late))
    archive = Archive(tmp_path)
    kills = archive.read(COLLECTED, Signal.OOM_KILLS, "collected", 3600, _day())
    limit = archive.read(COLLECTED, Signal.MEMORY_LIMIT, "collected", 3600, _day())
    assert kills is not None
    assert limit is not None
    assert kills.block.names == ["shop/db", "shop/web"]
    assert kills.block.values[1, 2] == 3
    assert kills.block.values[0, 3] == 4
    assert np.isnan(kills.block.values[0, :3]).all()
    assert limit.block.values[0, 2] == 512


@given(
    st.dictionaries(
        st.sampled_from(list(Signal)),
        st.dictionaries(
            st.text(max_size=9),
            st.builds(
                StepValue,
                st.floats(0, 1e15),
                st.frozensets(st.text(max_size=4)),
                st.integers(0, 99),
            ),
        ),
    )
)
def test_a_step_is_handed_over_unchanged(values: dict[Signal, dict[str, StepValue]]) -> None:
    """Whatever services are called."""
    step = ClosedStep(600, 300, 15, values)
    assert read_step(write_step(Path("/tmp/a"), step)) == (Path("/tmp/a"), step)


def test_a_step_that_cannot_be_stored_says_why(tmp_path: Path) -> None:
    """The process that stores it tells the one that collects."""
    (tmp_path / "file").write_text("")
    step = closed(MIDNIGHT, cpu=1.0)
    left = store_apart(tmp_path / "file", step)
    assert left is not None
    assert "file" in left.error.message
    assert left.rest == step


def test_what_was_stored_of_a_step_does_not_wait(tmp_path: Path) -> None:
    """A disk that fills between two signals: the first is there, the second is what is left, and
    is stored once there is room.
    """
    step = closed(MIDNIGHT, cpu=1.0, restarts=2.0)
    assert store_apart(tmp_path, step) is None
    (folder,) = (tmp_path / COLLECTED).glob("restarts-*")
    for day in folder.iterdir():
        day.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    left = store_apart(tmp_path, step)
    assert left is not None
    assert [*left.rest.values] == [Signal.RESTARTS]
    folder.unlink()
    assert store_apart(tmp_path, left.rest) is None


def test_steps_wait_while_the_disk_is_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector of an archive that was written before goes on, and stores all steps later; one
    that never could ends.
    """
    archive = tmp_path / "archive"
    settings = Settings(archive={"path": archive}, report={"step": 60}, collect={"interval": 15})
    collector = Collector(settings)
    times = [float(MIDNIGHT + second) for second in range(15, 300, 15)]
    for at in times[:8]:
        collector.take(looked(at), at)
    archive.rename(tmp_path / "aside")
    archive.write_text("in the way")
    for at in times[8:16]:
        collector.take(looked(at), at)
    assert "wait to be stored" in caplog.text
    archive.unlink()
    (tmp_path / "aside").rename(archive)
    collector.close()
    window = prepare_window(settings, as_of=pd.Timestamp(MIDNIGHT + 300, unit="s", tz="UTC"))
    found = window.load(settings)["memory"]["shop/web"].dropna()
    assert len(found) == 4  # steps of a minute
    later = Collector(settings)  # of an archive that was written before
    shutil.rmtree(archive)
    stuck = Collector(settings)
    archive.write_text("in the way")
    for at in times[:8]:
        later.take(looked(at), at)
    stuck.take(looked(times[0]), times[0])
    with pytest.raises(StorageError):
        stuck.close()


def looked(at: float) -> list[Look]:
    """One look at one container."""
    return [look(at, reading("web", 1, Sample(at, cpu=at, usage=MIB)))]


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20
    )
)
def test_pressure_is_the_share_of_time_that_was_waited(
    moves: list[tuple[int, float, float]],
) -> None:
    """Counters of seconds become shares, as a rate of Prometheus would; without them there is no
    signal.
    """
    steps, at, memory, cpu = Steps(), 0.0, 0.0, 0.0
    first = {"memory_stalled": 0.0, "cpu_waiting": 0.0}
    steps.add(look(0, reading("web", 1, Sample(0, cpu=0, usage=1, pressure=first))))
    for seconds, stalled, waited in moves:
        at, memory, cpu = at + seconds, memory + seconds * stalled, cpu + seconds * waited
        now = {"memory_stalled": memory, "cpu_waiting": cpu}
        steps.add(look(at, reading("web", 1, Sample(at, cpu=at, usage=1, pressure=now))))
    values = steps.take()
    assert values[Signal.MEMORY_STALLED]["shop/web"].value == pytest.approx(memory / at)
    assert values[Signal.CPU_WAITING]["shop/web"].value == pytest.approx(cpu / at)
    assert Signal.MEMORY_WAITING not in values


def test_a_source_is_known_once_its_first_step_is_stored(tmp_path: Path) -> None:
    """A step that cannot be written leaves no source behind that has no day."""
    archive = Archive(tmp_path)
    store_step(tmp_path / "else", closed(MIDNIGHT, cpu=1.0))
    (folder,) = (tmp_path / "else" / COLLECTED).glob("cpu-*")
    (tmp_path / COLLECTED).mkdir()
    (tmp_path / COLLECTED / folder.name).write_text("in the way")
    with pytest.raises(StorageError):
        store_step(tmp_path, closed(MIDNIGHT, cpu=1.0))
    assert archive.sources() == []
    (tmp_path / COLLECTED / folder.name).unlink()
    store_step(tmp_path, closed(MIDNIGHT, cpu=1.0))
    assert [source.name for source in archive.sources()] == [COLLECTED]


def _day() -> date:
    return datetime.fromtimestamp(MIDNIGHT, UTC).date()


def test_without_a_server_the_archive_is_read(tmp_path: Path) -> None:
    """The first page after `capacity collect` needs no word of where the history is."""
    now = int(time.time()) // STEP * STEP
    for back in range(12, 0, -1):
        store_step(tmp_path, closed(now - back * STEP, cpu=0.5, memory=2.0 * MIB))
    settings = Settings(archive={"path": tmp_path})
    window = prepare_window(settings)
    history = window.load(settings)
    assert window.source == COLLECTED
    assert history.services == ["shop/web"]
    assert set(history["cpu"]["shop/web"].dropna()) == {0.5}


def test_the_collector_loads_no_pandas() -> None:
    """It runs beside every Engine, and is a third as large without; what stores is a process of
    its own.
    """
    code = "import sys, capacity._collect.serve; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
