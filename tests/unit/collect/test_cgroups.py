"""`capacity._collect.cgroups` on trees as both versions of the kernel's interface have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._collect.cgroups import Mounts, find_mounts, reader_of
from capacity._collect.sample import Sample

CONTAINER = "c0ffee" * 10 + "c0ff"
PID = 4711
COUNTS = st.integers(0, 2**50)
SCOPES = st.sampled_from(
    [
        f"/docker/{CONTAINER}",
        f"/system.slice/docker-{CONTAINER}.scope",
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{CONTAINER}.scope",
        f"/machine.slice/libpod-{CONTAINER}.scope",
        f"/my/own/parent/{CONTAINER}",
    ]
)
BELOW = st.sampled_from(["", "/init.scope", "/container"])


def write(folder: Path, files: dict[str, str]) -> None:
    """Files of a cgroup."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def process(root: Path, cgroups: str, mounts: str) -> Mounts:
    """A /proc with one container's process, and this process' mounts."""
    write(root / "proc" / str(PID), {"cgroup": cgroups})
    write(root / "proc" / "self", {"mountinfo": mounts})
    return find_mounts(root / "proc")


def v2_files(numbers: Sample) -> dict[str, str]:
    """The files of version 2 that say these numbers."""
    stat = {
        "anon": numbers.rss,
        "file": numbers.cache,
        "inactive_file": numbers.inactive_file,
        "active_file": numbers.active_file,
    }
    return {
        "memory.stat": "".join(f"{name} {value}\n" for name, value in stat.items()),
        "memory.current": f"{numbers.usage}\n",
        "memory.swap.current": f"{numbers.swap}\n",
        "memory.events": f"low 0\nhigh 3\nmax 7\noom 2\noom_kill {numbers.oom_kills}\n",
        "cpu.stat": f"usage_usec {round(numbers.cpu * 1e6)}\nnr_periods {numbers.periods}\n"
        f"nr_throttled {numbers.throttled}\n",
    }


def v1_files(numbers: Sample) -> dict[str, dict[str, str]]:
    """The files of version 1 by controller."""
    stat = {
        "cache": 0,
        "total_rss": numbers.rss,
        "total_cache": numbers.cache,
        "total_inactive_file": numbers.inactive_file,
        "total_active_file": numbers.active_file,
        "total_swap": numbers.swap,
    }
    return {
        "memory": {
            "memory.stat": "".join(f"{name} {value}\n" for name, value in stat.items()),
            "memory.usage_in_bytes": f"{numbers.usage}\n",
            "memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {numbers.oom_kills}",
        },
        "cpu": {"cpu.stat": f"nr_periods {numbers.periods}\nnr_throttled {numbers.throttled}\n"},
        "cpuacct": {"cpuacct.usage": f"{round(numbers.cpu * 1e9)}\n"},
    }


SAMPLES = st.builds(
    Sample,
    at=st.just(1.0),
    cpu=st.integers(0, 10**9).map(lambda micros: micros / 1e6),
    usage=COUNTS,
    rss=COUNTS,
    cache=COUNTS,
    active_file=COUNTS,
    inactive_file=COUNTS,
    swap=COUNTS,
    periods=COUNTS,
    throttled=COUNTS,
    oom_kills=COUNTS,
)


@given(SAMPLES, SCOPES, BELOW)
def test_version_2_reads_what_the_kernel_says(
    tmp_path_factory: pytest.TempPathFactory, numbers: Sample, scope: str, below: str
) -> None:
    """Whatever the driver calls the cgroup, and wherever its first process has moved in it."""
    root = tmp_path_factory.mktemp("v2")
    mounts = process(
        root, f"0::{scope}{below}\n", f"30 20 0:26 / {root}/fs rw - cgroup2 cgroup2 rw\n"
    )
    write(root / "fs" / scope[1:], v2_files(numbers))
    reader = reader_of(mounts, PID, CONTAINER)
    assert mounts.version == 2
    assert reader is not None
    assert reader(1.0) == numbers


@given(SAMPLES, SCOPES, st.booleans())
def test_version_1_reads_what_the_kernel_says(
    tmp_path_factory: pytest.TempPathFactory, numbers: Sample, scope: str, joined: bool
) -> None:
    """Its controllers lie in several mounts, and some have two of them; the unified tree that a
    hybrid machine has beside them is left alone.
    """
    root = tmp_path_factory.mktemp("v1")
    places = {"memory": "memory", "cpu": "cpu,cpuacct" if joined else "cpu"}
    places["cpuacct"] = places["cpu"] if joined else "cpuacct"
    lines = {
        f"31 20 0:27 / {root}/fs/{folder} rw - cgroup cgroup rw,{folder}\n"
        for folder in places.values()
    }
    unified = f"30 20 0:26 / {root}/fs/unified rw - cgroup2 cgroup2 rw\n"
    cgroups = "".join(f"3:{folder}:{scope}\n" for folder in sorted(set(places.values())))
    mounts = process(root, f"{cgroups}0::{scope}\n", unified + "".join(sorted(lines)))
    for controller, files in v1_files(numbers).items():
        write(root / "fs" / places[controller] / scope[1:], files)
    reader = reader_of(mounts, PID, CONTAINER)
    assert mounts.version == 1
    assert reader is not None
    assert reader(1.0) == numbers


def test_pressure_is_read_where_the_kernel_accounts_it(tmp_path: Path) -> None:
    """Seconds that some or all tasks waited; swap and pressure may be switched off."""
    scope = tmp_path / "fs" / "docker" / CONTAINER
    mounts = process(
        tmp_path,
        f"0::/docker/{CONTAINER}\n",
        f"30 20 0:26 / {tmp_path}/fs rw - cgroup2 cgroup2 rw\n",
    )
    files = v2_files(Sample(1.0, cpu=1.0, usage=5))
    del files["memory.swap.current"]
    files["memory.pressure"] = (
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n"
    )
    files["cpu.pressure"] = "some avg10=1.00 avg60=0.00 avg300=0.00 total=7000000\n"
    write(scope, files)
    reader = reader_of(mounts, PID, CONTAINER)
    assert reader is not None
    sample = reader(1.0)
    assert sample.swap == 0
    assert sample.pressure == {"memory_waiting": 2.5, "memory_stalled": 1.0, "cpu_waiting": 7.0}


def test_a_part_of_the_tree_may_be_mounted(tmp_path: Path) -> None:
    """In a container that sees the host's processes, the mount begins below the root."""
    mounts = process(
        tmp_path,
        f"0::/lxc/box/docker/{CONTAINER}\n",
        f"30 20 0:26 /lxc/box {tmp_path}/fs rw - cgroup2 cgroup2 rw\n",
    )
    write(tmp_path / "fs" / "docker" / CONTAINER, v2_files(Sample(1.0, cpu=1.0, usage=5)))
    reader = reader_of(mounts, PID, CONTAINER)
    assert reader is not None
    assert reader(1.0).usage == 5


@pytest.mark.parametrize("cgroups", ["", "0::/\n", "0::/user.slice\n", "nonsense\n", "0::"])
def test_a_process_that_is_not_the_containers_is_not_read(tmp_path: Path, cgroups: str) -> None:
    """The process of that number on this machine is another's, where the Engine is elsewhere."""
    mounts = process(tmp_path, cgroups, f"30 20 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    assert reader_of(mounts, PID, CONTAINER) is None
    assert reader_of(mounts, PID + 1, CONTAINER) is None


def test_a_machine_without_cgroups_has_no_mounts(tmp_path: Path) -> None:
    """Such as a Mac: everything is asked of the Engine then."""
    assert find_mounts(tmp_path).places == {}
