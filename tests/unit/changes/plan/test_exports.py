"""What a plan leaves for people: patches that git takes, overrides that Compose takes, scripts that
shellcheck passes.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._compose import DeclaredProject, load_project
from capacity._compose.declared import load_declared
from capacity.changes import (
    EditReason,
    EditRefused,
    LimitForecast,
    alert_rules,
    emit_override,
    emit_patch,
    emit_scripts,
    limit_forecasts,
)
from capacity.changes._plan.file_edits import edit_service
from capacity.model import Change, Reason, Resource, Setting
from capacity.settings import Settings
from tests.fixtures.paths import COMPOSE
from tests.fixtures.running.fleet import MIB, cpus, memory, other, plan_of, project
from tests.fixtures.running.servers import require

CORPUS = sorted((COMPOSE / "single").glob("*.yaml"))


def declared(file: Path) -> DeclaredProject:
    """The project of one file; without a project where it cannot be read alone."""
    return load_declared("shop", [file], file.parent)


def repository(folder: Path) -> None:
    """A git repository with everything in the folder committed."""
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["config", "user.name", "Tester"],
        ["config", "user.email", "tester@example.org"],
        ["config", "core.autocrlf", "false"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "start"],
    ):
        subprocess.run(["git", "-C", str(folder), *words], check=True)


@pytest.mark.parametrize(
    ("lines", "change", "reason"),
    [
        ("mem_reservation: 1g", memory("shop/web", None, 512), EditReason.BELOW_RESERVATION),
        ("extends: base", memory("shop/web", None, 512), EditReason.BELOW_RESERVATION),
        (
            "mem_limit: 64m",
            other("shop/web", Setting.MEMORY_SWAP, None, 32 * MIB),
            EditReason.ABOVE_SWAP,
        ),
        ("cpus: 1\n    cpu_quota: 50000", cpus("shop/web", None, 2), EditReason.CPU_QUOTA),
        (
            "",
            other("shop/web", Setting.DEPENDS_ON, None, {"nobody": "service_healthy"}),
            EditReason.BAD_VALUE,
        ),
        (
            "",
            other("shop/base", Setting.DEPENDS_ON, None, {"front": "service_healthy"}),
            EditReason.BAD_VALUE,
        ),
        (
            "ports: ['80:80', '81:81']",
            other("shop/web", Setting.HOST_PORT, 80, 81),
            EditReason.BAD_VALUE,
        ),
    ],
)
def test_what_the_engine_would_refuse_together_is_not_written(
    tmp_path: Path, lines: str, change: Change, reason: EditReason
) -> None:
    """Each value is good by itself, and Compose takes the file; the next start would fail."""
    file = tmp_path / "compose.yaml"
    file.write_text(
        f"services:\n  base: {{image: a, mem_reservation: 4g}}\n"
        "  front: {image: a, depends_on: [base]}\n"
        f"  web:\n    image: a\n    {lines}\n"
    )
    with pytest.raises(EditRefused) as refused:
        edit_service(declared(file), change.service, plan_of(change).changes)
    assert refused.value.reason is reason


def test_git_applies_the_patch_of_every_style(tmp_path: Path) -> None:
    """For each file of the corpus that can be edited, `git apply` makes exactly the edited text,
    whatever its line ends.
    """
    made = 0
    repository(_with_one_file(tmp_path))
    for source in CORPUS:
        text = source.read_bytes().decode()
        file = tmp_path / "with space é" / source.name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text.encode())
        found = declared(file)
        if found.project is None:
            continue
        key = f"{found.name}/{min(found.project.services)}"
        plan = plan_of(memory(key, None, 777))
        patch, refused = emit_patch(plan, {found.name: found}, tmp_path)
        if refused:
            continue
        after = edit_service(found, key, plan.changes)[file][1]
        (tmp_path / "limits.patch").write_bytes(patch.encode())
        done = subprocess.run(
            ["git", "-C", str(tmp_path), "apply", "limits.patch"], capture_output=True, check=False
        )
        assert done.returncode == 0, (source.name, done.stderr, patch)
        assert file.read_bytes() == after.encode(), source.name
        made += 1
    assert made > 40


def _with_one_file(folder: Path) -> Path:
    (folder / "readme").write_text("x\n")
    return folder


def test_an_override_means_what_the_plan_says(tmp_path: Path) -> None:
    """Compose accepts both files together, and the limits are those of the plan, whichever keys the
    first file uses.
    """
    file = tmp_path / "compose.yaml"
    deploy = "deploy:;  resources:;    limits:;      memory: 64m"
    file.write_text(
        project(old="mem_limit: 64m; cpus: 0.5", new=deploy, bare="").replace(
            "network_mode: none", "network_mode: host"
        )
    )
    changes = [
        memory("shop/old", 64, 96),
        cpus("shop/old", 0.5, 1.5),
        memory("shop/new", 64, 96),
        cpus("shop/new", None, 0.25),
    ]
    changes += [
        memory("shop/bare", None, 128),
        other("shop/bare", Setting.RESTART_POLICY, None, "on-failure:3"),
    ]
    found = DeclaredProject("shop", (file,), tmp_path, load_project(file, name="shop"))
    text, refused = emit_override(plan_of(*changes), found)
    assert refused == {}
    over = tmp_path / "compose.capacity.yaml"
    over.write_text(text)
    words = [
        str(require("docker-compose")),
        "--file",
        str(file),
        "--file",
        str(over),
        "config",
        "--format",
        "json",
    ]
    services = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["services"]
    assert (services["old"]["mem_limit"], services["old"]["cpus"]) == (str(96 * MIB), 1.5)
    assert services["new"]["deploy"]["resources"]["limits"] == {
        "memory": str(96 * MIB),
        "cpus": 0.25,
    }
    assert services["bare"]["restart"] == "on-failure:3"
    both = load_project([file, over], name="shop").services
    assert {name: service.resources.memory for name, service in both.items()} == {
        "old": 96 * MIB,
        "new": 96 * MIB,
        "bare": 128 * MIB,
    }


def test_scripts_pass_shellcheck(tmp_path: Path) -> None:
    """Names with quotes, dollars and spaces too; a change that no `docker update` can do is a
    comment.
    """
    changes = [
        memory("shop/web", None, 512),
        cpus("shop/web", None, 1.5),
        memory("standalone/odd 'name' $(x)", 64, 96),
        other("shop/we`b", Setting.CPUSET, None, "0-1"),
        other("shop/web", Setting.ENVIRONMENT, None, {"A": "x\ny"}),
    ]
    scripts = emit_scripts(plan_of(*changes))
    assert set(scripts) == {"apply.sh", "revert.sh"}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            [require("shellcheck"), tmp_path / name], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "set -eu" in text
    assert "--cpus 1.5 --memory 512m --memory-swap 1024m" in scripts["apply.sh"]
    assert "--memory 64m --memory-swap 128m" in scripts["revert.sh"]


@given(hosts=st.sets(st.text("aA-_:/.1 ", min_size=0, max_size=4), min_size=2, max_size=6))
def test_each_host_has_scripts_of_its_own(hosts: set[str]) -> None:
    """Also where names differ only in case or in signs that files cannot have."""
    plan = plan_of(*[memory(f"shop/web{number}", None, 512) for number in range(len(hosts))])
    placed = zip(plan.changes, sorted(hosts), strict=True)
    changes = tuple(change.model_copy(update={"host": host}) for change, host in placed)
    scripts = emit_scripts(plan.model_copy(update={"changes": changes}))
    assert len({name.lower() for name in scripts}) == 2 * len(hosts)


def test_an_empty_plan_makes_scripts_that_do_nothing(tmp_path: Path) -> None:
    """They are valid, too, and say that there is nothing to do."""
    for text in emit_scripts(plan_of()).values():
        script = tmp_path / "x.sh"
        script.write_text(text)
        subprocess.run([require("shellcheck"), script], check=True)
        done = subprocess.run(["bash", script], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "nothing that docker update could do\n")


def test_promtool_accepts_the_alert_rules(tmp_path: Path) -> None:
    """Time to the limit, risk and use above the forecast, for odd names too."""
    plan = plan_of(
        Change(
            "shop/web",
            Resource.MEMORY,
            64.0 * MIB,
            96.0 * MIB,
            Reason.BREACH_EXPECTED,
            {"peak_high": 7e7, "breach_now": 0.3},
        ),
        Change(
            'shop/we"b\\',
            Resource.CPU,
            1.0,
            2.0,
            Reason.THROTTLED,
            {"peak_high": 1.5, "breach_now": 0.01},
        ),
    )
    outlooks = [
        *limit_forecasts(plan),
        LimitForecast("standalone/x y", Resource.MEMORY, 64.0 * MIB, 5e7, plan.valid_until, None),
    ]
    file = tmp_path / "alerts.yml"
    file.write_text(alert_rules(outlooks, Settings(), valid_until=plan.valid_until))
    done = subprocess.run(
        [require("promtool"), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 rules found" in done.stdout
    empty = tmp_path / "empty.yml"
    empty.write_text(alert_rules([], Settings(), valid_until=plan.valid_until))
    subprocess.run([require("promtool"), "check", "rules", empty], check=True, capture_output=True)


def test_alerts_accept_what_sizing_accepts() -> None:
    """The risk of a service is that of its class; the last of the globs that names one counts."""
    rules = {"shop/*": {"risk_class": "critical"}, "shop/jobs": {"risk_class": "batch"}}
    chosen = Settings.model_validate({"services": {**rules, "*": {"min_cores": 0.1}}})
    until = datetime(2026, 12, 1, tzinfo=UTC)
    outlooks = [
        LimitForecast(f"{name}", Resource.MEMORY, 64.0 * MIB, None, None, breach)
        for name, breach in (("shop/web", 0.015), ("shop/jobs", 0.05), ("lab/web", 0.019))
    ]
    text = alert_rules(outlooks, chosen, valid_until=until)
    assert text.count("CapacityBreachRisk") == 1
    assert "shop/web" in text
    assert "accepted are 0.5%" in text


@pytest.mark.parametrize("project_name", ["other"])
def test_a_project_without_files_is_left_out(tmp_path: Path, project_name: str) -> None:
    """The patch is empty, and the service is named with the reason."""
    patch, refused = emit_patch(plan_of(memory(f"{project_name}/web", 64, 96)), {}, tmp_path)
    assert patch == ""
    assert "no compose file" in refused["other/web"]
