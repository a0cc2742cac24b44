"""What a collector remembers of containers: all it counts, and no name for ever."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._collect.cgroups import Mounts
from capacity._collect.engine_watch import EngineWatch
from capacity._collect.serve import collect
from capacity._common.container_names import identify_container
from capacity._docker.engine import Engine
from capacity._docker.host import read_host
from capacity.errors import EngineUnreachable, InputError
from capacity.history import archive_status
from capacity.history._archive.archive import Archive
from capacity.settings import load_settings, override
from tests.fixtures.fleets.engines import INFOS, VERSIONS
from tests.fixtures.paths import ROOT

NOWHERE = Mounts(Path("/proc"), {})


@dataclass
class Fleet:
    """What an Engine answers: id -> name, start and restart count of what runs."""

    running: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)

    def engine(self) -> Engine:
        """An Engine that has these containers."""
        api = SimpleNamespace(
            info=lambda: {"SystemTime": "2026-11-23T06:00:00.0Z"},
            containers=lambda: [{"Id": name} for name in self.running],
            inspect_container=self._described,
            events=lambda **_: self._events(),
            stats=lambda *_, **__: {"cpu_stats": {"cpu_usage": {"total_usage": 1}}},
        )
        kind = "debian-13-v2"
        return Engine(read_host("here", "unix://x", INFOS[kind], VERSIONS[kind]), api)

    def _described(self, identifier: str) -> dict[str, Any]:
        name, started, restarts = self.running[identifier]
        state = {"Status": "running", "StartedAt": started}
        return {"Id": identifier, "Name": name, "State": state, "RestartCount": restarts}

    def _events(self) -> Iterator[dict[str, Any]]:
        killed, self.killed = self.killed, []
        return ({"Actor": {"ID": name}, "timeNano": 1} for name in killed)


def _allocated() -> int:
    """Bytes that the package and this file hold; a measurement of coverage keeps some by thread."""
    ours = [
        tracemalloc.Filter(True, str(ROOT / "capacity" / "*")),
        tracemalloc.Filter(True, __file__),
    ]
    found = tracemalloc.take_snapshot().filter_traces(ours)
    return sum(each.size for each in found.statistics("filename"))


def test_two_thousand_lives_take_no_more_memory_than_an_hour_of_them() -> None:
    """Jobs with a new name each come and go; only the names of the last hour are remembered."""
    fleet = Fleet()
    watch = EngineWatch(fleet.engine(), NOWHERE)
    held = {}
    tracemalloc.start()
    try:
        for life in range(2_000):
            fleet.running = {f"id{life}": (f"job-{life:064}", f"at{life}", 0)}
            watch.look(15.0 * life)
            if life in {500, 1_999}:  # after two hours, and after eight
                identify_container.cache_clear()  # bounded by itself
                gc.collect()
                held[life] = _allocated()
    finally:
        tracemalloc.stop()
    name_alone = sys.getsizeof("job-" + 64 * "0")
    assert held[1_999] - held[500] < (1_999 - 500) * name_alone / 4


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 1800)), max_size=30))
def test_a_name_keeps_its_counts_over_its_lives(moves: list[tuple[bool, bool, int]]) -> None:
    """Created anew or killed, again and again within the hour: the counts of its name go on."""
    fleet = Fleet({"id0": ("web", "at0", 0)})
    watch = EngineWatch(fleet.engine(), NOWHERE)
    watch.look(0.0)
    at, lives, kills = 0.0, 0, 0
    for anew, killed, seconds in moves:
        at, lives, kills = at + seconds, lives + anew, kills + killed
        fleet.running = {f"id{lives}": ("web", f"at{lives}", 0)}
        fleet.killed = list(fleet.running) if killed else []
        (reading,) = watch.look(at).containers
        assert (reading.restarts, reading.oom_kills) == (anew, killed)
        assert (reading.all_restarts, reading.all_oom_kills) == (lives, kills)


@pytest.mark.parametrize(("away", "counted"), [(3500.0, 1), (3700.0, 0)])
def test_a_name_is_forgotten_after_an_hour(away: float, counted: int) -> None:
    """What comes back later is a new container, not one that was started again."""
    fleet = Fleet({"id0": ("web", "at0", 0)})
    watch = EngineWatch(fleet.engine(), NOWHERE)
    watch.look(0.0)
    fleet.running = {}
    watch.look(away)
    fleet.running = {"id1": ("web", "at1", 0)}
    (reading,) = watch.look(away + 15).containers
    assert reading.all_restarts == counted


def test_a_first_run_that_fails_leaves_no_source(tmp_path: Path) -> None:
    """The archive holds nothing afterwards, and says so."""
    settings = override(load_settings(), "archive__path", str(tmp_path / "archive"))
    settings = override(settings, "engine__hosts", {"here": f"unix://{tmp_path}/none.sock"})
    settings = override(settings, "collect__port", 0)
    with pytest.raises(EngineUnreachable):
        collect(settings, threading.Event(), lambda _: None)
    assert Archive(tmp_path / "archive").sources() == []
    assert archive_status(tmp_path / "archive") == ()
    with pytest.raises(InputError, match="holds nothing"):
        archive_status(tmp_path / "archive", "collected")
