"""Timers and crontabs as the real programs read them: odd paths, and days when clocks change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.operations._schedule.jobs import Job, scheduled_jobs
from capacity.operations._schedule.recurrence import parse_recurrence
from capacity.operations._schedule.render import Program, crontab_block, systemd_units
from capacity.operations._schedule.run import due_jobs
from capacity.operations._schedule.state import JobState, write_state
from capacity.settings import Settings
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.servers import require

CHANGES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
]
ODD = ["with space", "per%cent", "dol$lar", 'quo"te', "it's", "back\\s", "$HOME %h `id`"]


def jobs_at(when: str, folder: Path) -> tuple[list[Job], Settings]:
    """Fetch alone, at a time, and the settings that say so."""
    other = dict.fromkeys(["weekly", "monthly", "quarterly", "compliance"], "")
    said = {"fetch": when, "state": str(folder / "state"), **other}
    settings = Settings.model_validate({"schedule": said})
    return scheduled_jobs(settings), settings


def elapses(calendar: str, base: datetime, many: int) -> list[datetime]:
    """When a timer elapses next, as systemd says."""
    done = subprocess.run(
        [
            require("systemd-analyze"),
            "calendar",
            f"--iterations={many}",
            f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC",
            calendar,
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )
    found = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", done.stdout, re.MULTILINE)
    return sorted({datetime.fromisoformat(text).replace(tzinfo=UTC) for text in found})


@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize("clock", ["00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "23:59"])
def test_a_timer_runs_once_a_day_when_clocks_change(
    tmp_path: Path, zone: str, change: str, clock: str
) -> None:
    """Neither twice nor never, as systemd itself reads the timer; and when `status` says."""
    place = ZoneInfo(zone)
    (job,), settings = jobs_at(f"daily {clock}", tmp_path)
    base = datetime.fromisoformat(f"{change}T12:00").replace(tzinfo=place) - timedelta(days=3)
    unit = systemd_units([job], Program(tmp_path), zone)
    lines = re.findall("OnCalendar=(.*)", unit["capacity-fetch.timer"])
    asks = "--due" in unit["capacity-fetch.service"]
    settings = settings.model_copy(
        update={"schedule": settings.schedule.model_copy(update={"zone": zone})}
    )
    last, ran = base, []
    for moment in sorted({at for line in lines for at in elapses(line, base, 6)}):
        write_state(settings.schedule.state, job.name, JobState(last.timestamp(), 60.0))
        if not asks or due_jobs([job], settings, moment):
            ran.append(moment)
            last = moment + timedelta(seconds=30)
    days = [moment.astimezone(place).date() for moment in ran]
    assert len(days) == len(set(days))
    assert [(day - days[0]).days for day in days[:6]] == list(range(6))
    assert ran[0] == job.when.after(base, place)
    assert all(job.when.after(first, place) == then for first, then in pairwise(ran))


@given(
    st.sampled_from([zone for zone, _ in CHANGES] + ["Australia/Lord_Howe", "America/Santiago"]),
    st.times().map(lambda at: f"{at:%H:%M}"),
    st.datetimes(datetime(2024, 1, 1), datetime(2038, 1, 1)),  # noqa: DTZ001 - made UTC below
)
def test_every_due_time_is_one_of_the_timers(zone: str, clock: str, moment: datetime) -> None:
    """Whatever the day, the local clock shows one of the timer's times when the job is due."""
    when, place = parse_recurrence(f"daily {clock}"), ZoneInfo(zone)
    local = when.after(moment.replace(tzinfo=UTC), place).astimezone(place)
    assert any(f" {local:%H:%M}:00 " in line for line in when.on_calendar(place))


def complaints(folder: Path, *units: str) -> list[str]:
    """What systemd has against units of a user in a folder."""
    done = subprocess.run(
        [require("systemd-analyze"), "verify", "--user", *(str(folder / unit) for unit in units)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},  # without one it looks at nothing
    )
    return [line for line in done.stderr.splitlines() if "capacity-" in line]


@pytest.mark.parametrize("name", ODD)
def test_systemd_finds_the_program_in_any_folder(tmp_path: Path, name: str) -> None:
    """Folder, settings file and interpreter with marks that mean something to systemd."""
    place = tmp_path / name
    place.mkdir()
    python = place / "python3"
    python.symlink_to(sys.executable)
    jobs, _ = jobs_at("daily 02:30", tmp_path)
    units = systemd_units(jobs, Program(place, python, place / "capacity.toml"), "Europe/Berlin")
    for unit, text in units.items():
        (tmp_path / unit).write_text(text)
    assert complaints(tmp_path, *units) == []
    python.unlink()
    if units["capacity-fetch.service"].count("/usr/bin/env"):
        return
    assert "is not executable" in complaints(tmp_path, *units)[0]


@pytest.mark.parametrize("name", ["plain", *ODD])
def test_cron_runs_the_command_in_any_folder(tmp_path: Path, name: str) -> None:
    """As cron does: an escaped percent sign is one, the rest goes to sh; words arrive whole."""
    place = tmp_path / name
    place.mkdir()
    python = place / "python3"
    python.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\nprintenv CAPACITY_X || true\n')
    python.chmod(0o755)
    block = crontab_block(Program(place, python, place / "capacity.toml"), "Europe/Berlin")
    (line,) = [line for line in block.splitlines() if not line.startswith("#")]
    fields = line.split(" ", 5)
    assert fields[:5] == ["*/5", "*", "*", "*", "*"]
    assert not re.search(r"(?<!\\)%", fields[5])
    command = ["/bin/sh", "-c", fields[5].replace("\\%", "%")]
    words = ["-m", "capacity", "schedule", "run", "--due", "--config", f"{place}/capacity.toml"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(place), *words]
    (place / "capacity.env").write_text("CAPACITY_X='a secret'\n")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(place), *words, "a secret"]


@pytest.mark.parametrize("name", ["plain", *ODD])
def test_a_real_crontab_takes_the_block(tmp_path: Path, name: str) -> None:
    """Debian's cron, which knows no `CRON_TZ` and refuses an empty value."""
    file = tmp_path / "crontab"
    file.write_text(crontab_block(Program(tmp_path / name), "America/New_York"))
    done = subprocess.run(
        [require("crontab"), "-n", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_paths_of_the_settings_start_from_the_folder_of_the_install(
    tmp_path: Path,
) -> None:
    """The units name folder and settings file from the root, so relative paths mean the same."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "capacity.toml").write_text(
        '[schedule]\nreports = "out"\ncompose = ["compose"]\n'
    )
    shown = capacity_here(
        "schedule", "show", "--config", "conf/capacity.toml", folder=tmp_path
    ).stdout
    folders = set(re.findall("WorkingDirectory=(.*)", shown))
    assert folders == {str(tmp_path)}
    starts = re.findall("ExecStart=(.*)", shown)
    assert len(starts) == 5
    for start in starts:
        words = re.findall('"([^"]*)"', start)
        assert Path(words[0]).is_absolute()
        assert words[words.index("--config") + 1] == f"{tmp_path}/conf/capacity.toml"
