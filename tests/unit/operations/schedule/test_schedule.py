"""The schedule in its three forms, in place, and at work."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._compose import load_project
from capacity.errors import InputError, Locked, WorkError
from capacity.operations._schedule.install import (
    SystemdPlace,
    install_crontab,
    install_units,
    is_installed,
    remove_crontab,
    remove_units,
)
from capacity.operations._schedule.jobs import Job, find_job, scheduled_jobs
from capacity.operations._schedule.render import (
    BEGIN,
    END,
    Program,
    compose_service,
    crontab_block,
    systemd_units,
)
from capacity.operations._schedule.run import due_jobs, run_due, run_job
from capacity.operations._schedule.state import late_alert, read_state
from capacity.settings import ScheduleSettings, Settings
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.servers import require

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def asked(folder: Path, **more: object) -> Settings:
    """Settings whose states lie in a folder."""
    said = {"state": folder / "state", "textfile": folder / "capacity.prom", "compose": [folder]}
    return Settings(schedule=ScheduleSettings.model_validate({**said, **more}))


def jobs_of(folder: Path) -> list[Job]:
    """All jobs."""
    return scheduled_jobs(asked(folder))


class Tools:
    """Stands for crontab and systemctl: remembers what it was told."""

    def __init__(self, crontab: str | None) -> None:
        self.crontab = crontab
        self.calls: list[list[str]] = []

    def __call__(self, words: Sequence[str], text: str | None = None) -> str:
        """As the program would."""
        self.calls.append(list(words))
        if list(words) == ["crontab", "-l"]:
            if self.crontab is None:
                raise WorkError("crontab -l failed: no crontab for root", "")
            return self.crontab
        if list(words) == ["crontab", "-"]:
            self.crontab = text
        return ""


LINES = st.lists(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30), max_size=6
)


@settings(max_examples=50)
@given(LINES, st.booleans())
def test_a_crontab_keeps_all_other_lines(lines: list[str], installed: bool) -> None:
    """Installed once or again, and removed, what people wrote stays as it was."""
    before = "".join(f"{line}\n" for line in lines)
    tools = Tools(before if lines else None)
    block = crontab_block(Program(Path("/srv/x")), "UTC")
    install_crontab(block, tools)
    if installed:
        install_crontab(block, tools)
    assert tools.crontab == before + block
    assert remove_crontab(tools)
    assert tools.crontab == before
    assert not remove_crontab(tools)


@pytest.mark.parametrize("mark", [BEGIN, END])
def test_half_a_block_is_not_guessed_at(mark: str) -> None:
    """Where one mark is gone, nobody knows what is ours."""
    tools = Tools(f"0 0 * * * true\n{mark}\n")
    with pytest.raises(InputError, match="one of the two marks"):
        install_crontab("", tools)
    assert tools.crontab == f"0 0 * * * true\n{mark}\n"


def test_units_are_put_in_place_and_taken_away(tmp_path: Path) -> None:
    """With their timers started; those of jobs that were switched off go; others' units stay."""
    tools, place = Tools(""), SystemdPlace(tmp_path / "user", ("--user",))
    jobs = jobs_of(tmp_path)
    install_units(systemd_units(jobs, Program(tmp_path), "UTC"), place, tools)
    foreign = place.folder / "capacity-other.service"
    foreign.write_text("[Unit]\nDescription=another program\n")
    install_units(systemd_units(jobs[:1], Program(tmp_path), "UTC"), place, tools)
    assert sorted(path.name for path in place.folder.iterdir()) == [
        "capacity-fetch.service",
        "capacity-fetch.timer",
        "capacity-other.service",
    ]
    assert ["systemctl", "--user", "enable", "--now", "capacity-fetch.timer"] in tools.calls
    remove_units(place, tools)
    assert [path.name for path in place.folder.iterdir()] == ["capacity-other.service"]


def test_without_a_systemd_session_nothing_is_written(tmp_path: Path) -> None:
    """And the message says how to get one, or what to take instead."""

    def no_bus(words: Sequence[str], _text: str | None = None) -> str:
        raise WorkError(f"{words[0]} failed: Failed to connect to bus", "")

    place = SystemdPlace(tmp_path / "user", ("--user",))
    with pytest.raises(WorkError, match="enable-linger"):
        install_units(systemd_units(jobs_of(tmp_path), Program(tmp_path), "UTC"), place, no_bus)
    assert not place.folder.exists()


def test_the_compose_service_is_one_that_compose_loads(tmp_path: Path) -> None:
    """With limits, a health check and bounded logs of its own; it sees a settings file where there
    is one, whatever the folder is called.
    """
    config = tmp_path / "a $HOME: b" / "capacity.toml"
    for chosen in (None, config):
        text = compose_service(Program(tmp_path, config=chosen), "UTC", "capacity")
        (tmp_path / "compose.yaml").write_text(text)
        project = load_project([tmp_path / "compose.yaml"])
        assert project.services["capacity-schedule"] is not None
        mounts = project.model["services"]["capacity-schedule"]["volumes"]
        seen = [mount["source"] for mount in mounts if mount["type"] == "bind"]
        assert seen == ([str(chosen)] if chosen else [])


def test_the_compose_service_is_shown_with_the_settings_of_its_folder(tmp_path: Path) -> None:
    """A file that is not there would become a folder, and stop it."""
    bare = capacity_here("schedule", "show", "--as", "compose", folder=tmp_path)
    assert "capacity.toml" not in bare.stdout
    (tmp_path / "capacity.toml").write_text('[schedule]\nzone = "Asia/Tokyo"\n')
    done = capacity_here("schedule", "show", "--as", "compose", folder=tmp_path)
    assert f'"source": "{tmp_path}/capacity.toml"' in done.stdout


def test_a_run_is_remembered_and_a_failure_keeps_its_words(tmp_path: Path) -> None:
    """Success, failure and success again; the metrics follow."""
    said, jobs = asked(tmp_path), jobs_of(tmp_path)
    job = find_job("weekly", jobs)
    good = run_job(job, jobs, said, run=lambda _: (0, "page"))
    assert good.failures == 0
    assert good.succeeded > 0
    bad = run_job(job, jobs, said, run=lambda _: (1, "the server is gone"))
    assert (bad.failures, bad.succeeded) == (1, good.succeeded)
    assert Path(bad.log).read_text() == "the server is gone"
    text = (tmp_path / "capacity.prom").read_text()
    assert f'last_success_timestamp_seconds{{job_name="weekly"}} {good.succeeded:.10g}' in text
    assert 'consecutive_failures{job_name="weekly"} 1' in text
    assert 'job_name="monthly"' not in text, "it has not run, and is not late"
    assert run_job(job, jobs, said, run=lambda _: (0, "")).failures == 0


def test_what_is_done_in_part_is_said_and_not_done_again(tmp_path: Path) -> None:
    """A page with a delivery that failed is a success with a log, not a run to repeat."""
    said, job = asked(tmp_path), find_job("weekly", jobs_of(tmp_path))
    state = run_job(job, [job], said, run=lambda _: (3, "not delivered by mail"))
    assert (state.exit_code, state.failures) == (3, 0)
    assert state.succeeded > 0
    assert Path(state.log).read_text() == "not delivered by mail"
    started = datetime.fromtimestamp(state.started, UTC)
    assert job.when.after(started, ZoneInfo("UTC")) - started > timedelta(seconds=1)
    assert due_jobs([job], said, started + timedelta(seconds=1)) == []


def test_a_job_runs_alone(tmp_path: Path) -> None:
    """A second run beside the first is refused, and another job is not."""
    said, jobs = asked(tmp_path), jobs_of(tmp_path)
    weekly, fetch = find_job("weekly", jobs), find_job("fetch", jobs)

    def beside(_: Sequence[str]) -> tuple[int, str]:
        with pytest.raises(Locked):
            run_job(weekly, jobs, said, run=lambda _: (0, ""))
        return run_job(fetch, jobs, said, run=lambda _: (0, "")).exit_code, ""

    assert run_job(weekly, jobs, said, run=beside).exit_code == 0


def test_the_real_program_is_run(tmp_path: Path) -> None:
    """Without a server a fetch fails, with its own words in the log."""
    said, jobs = asked(tmp_path), jobs_of(tmp_path)
    state = run_job(find_job("fetch", jobs), jobs, said)
    assert state.exit_code == 2
    assert "No metrics server is named" in Path(state.log).read_text()


def test_missed_runs_are_caught_up_once(tmp_path: Path) -> None:
    """What never ran or was missed is due; what ran since is not; what failed is due after an hour,
    a few times.
    """
    said, jobs = asked(tmp_path), jobs_of(tmp_path)
    assert due_jobs(jobs, said) == jobs
    for job in jobs:
        run_job(job, jobs, said, run=lambda _: (0, ""))
    assert due_jobs(jobs, said) == []
    assert due_jobs(jobs, said, datetime.now(UTC) + timedelta(days=40)) == jobs
    fetch = find_job("fetch", jobs)
    for _ in range(6):
        run_job(fetch, jobs, said, run=lambda _: (1, "no"))
        again = due_jobs([fetch], said, datetime.now(UTC) + timedelta(minutes=61))
        missed = (
            fetch.when.before(
                datetime.now(UTC) + timedelta(minutes=61), ZoneInfo("UTC")
            ).timestamp()
            > read_state(said.schedule.state, "fetch").started
        )
        failures = read_state(said.schedule.state, "fetch").failures
        assert bool(again) == (failures < 5 or missed)


def test_what_is_due_runs_once(tmp_path: Path) -> None:
    """However often it is looked for; while others run what is due, nothing is run."""
    said, jobs, ran = asked(tmp_path), jobs_of(tmp_path), list[Sequence[str]]()

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        ran.append(arguments)
        assert run_due(jobs, jobs, said, run=run) == []
        return 0, ""

    assert [job for job, _ in run_due(jobs[:1], jobs, said, run=run)] == jobs[:1]
    assert [job for job, _ in run_due(jobs, jobs, said, run=run)] == jobs[1:]
    assert run_due(jobs, jobs, said, run=run) == []
    assert ran == [job.arguments for job in jobs]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"started": 1, "more": 2}', "\x00"])
def test_a_damaged_state_counts_as_none(tmp_path: Path, damage: str) -> None:
    """The job is due then, and its state is written anew."""
    said, jobs = asked(tmp_path), jobs_of(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "weekly.json").write_text(damage)
    job = find_job("weekly", jobs)
    assert job in due_jobs(jobs, said)
    run_job(job, jobs, said, run=lambda _: (0, ""))
    assert job not in due_jobs(jobs, said)


def test_times_switch_jobs_off(tmp_path: Path) -> None:
    """An empty time, or compliance without compose files."""
    names = [job.name for job in scheduled_jobs(asked(tmp_path, weekly="", compose=[]))]
    assert names == ["fetch", "monthly", "quarterly"]


def test_a_late_job_has_an_alert(tmp_path: Path) -> None:
    """A rule a job, with the time that it may take until the next success."""
    zone = ZoneInfo("UTC")
    rules = json.loads(late_alert(jobs_of(tmp_path), zone, NOW))["groups"][0]["rules"]
    ages = {
        rule["expr"].split('"')[1]: float(rule["expr"].split("> ")[1].split()[0]) for rule in rules
    }
    assert ages["fetch"] == pytest.approx(30 * 3600)
    assert ages["weekly"] == pytest.approx(7 * 86400 + 6 * 3600)


@pytest.mark.parametrize(
    ("values", "fires"), [("0x60", False), ("_x60", True), ("-200000x60", True)]
)
def test_prometheus_fires_for_a_late_job_and_for_one_that_nothing_is_known_of(
    tmp_path: Path, values: str, fires: bool
) -> None:
    """By promtool's evaluation: a success just now, no metric, a success two days ago."""
    job = find_job("fetch", jobs_of(tmp_path))
    (tmp_path / "rules.json").write_text(late_alert([job], ZoneInfo("UTC"), NOW))
    series = 'capacity_schedule_last_success_timestamp_seconds{job_name="fetch"}'
    fired = {"exp_labels": {"severity": "warning", "job_name": "fetch"}}
    loaded = json.loads((tmp_path / "rules.json").read_text())["groups"][0]["rules"][0]
    fired["exp_annotations"] = loaded["annotations"]
    asked_for = {
        "eval_time": "30m",
        "alertname": "CapacityReportLate",
        "exp_alerts": [fired] if fires else [],
    }
    inputs = [{"series": series, "values": values}]
    tests = [{"interval": "1m", "input_series": inputs, "alert_rule_test": [asked_for]}]
    file = tmp_path / "test.json"
    file.write_text(json.dumps({"rule_files": ["rules.json"], "tests": tests}))
    done = subprocess.run(
        [require("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_status_without_a_schedule_says_how_to_install_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 until there is a crontab, or a job has begun; times are of the zone in the
    title.
    """
    (tmp_path / "capacity.toml").write_text('[schedule]\nzone = "Asia/Tokyo"\nstate = "state"\n')
    tools = Tools(None)
    monkeypatch.setattr(is_installed, "__defaults__", (tools,))
    status = ("schedule", "status")
    done = capacity_here(*status, folder=tmp_path, XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "no schedule is installed" in done.stderr
    assert "capacity schedule install --yes" in done.stderr
    assert "times in Asia/Tokyo" in done.stdout
    assert " 02:30" in done.stdout, "the nightly fetch, in local time"
    quiet = capacity_here(*status, "--quiet", folder=tmp_path, XDG_CONFIG_HOME=str(tmp_path))
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")
    install_crontab(crontab_block(Program(tmp_path), "UTC"), tools)
    assert capacity_here(*status, folder=tmp_path, XDG_CONFIG_HOME=str(tmp_path)).returncode == 0
    remove_crontab(tools)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "fetch.lock").touch()
    done = capacity_here(*status, folder=tmp_path, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_units_or_a_crontab_are_an_installed_schedule(tmp_path: Path) -> None:
    """And neither other units nor a machine without cron are."""
    place = SystemdPlace(tmp_path / "user", ("--user",))

    def no_cron(words: Sequence[str], _text: str | None = None) -> str:
        raise InputError(f"{words[0]} is not on this machine", "")

    assert not is_installed([place], no_cron)
    assert not is_installed([place], Tools("0 0 * * * true\n"))
    assert is_installed([place], Tools(crontab_block(Program(tmp_path), "UTC")))
    install_units(systemd_units(jobs_of(tmp_path), Program(tmp_path), "UTC"), place, Tools(None))
    assert is_installed([place], no_cron)
