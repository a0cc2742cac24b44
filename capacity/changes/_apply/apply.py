"""Apply a plan: check it, change service by service, watch, roll back what went wrong. Everything
is in the journal first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from capacity._common.file_lock import owner
from capacity._common.files import digest, write_text
from capacity._common.plain_data import Plain
from capacity._common.progress import Progress, Silent
from capacity._compose.declared import declarations
from capacity._docker.engine import Engine, connect_all, survey
from capacity._docker.update import update_body
from capacity.changes._apply.lowering_check import Peaks, check_lowering, memory_now
from capacity.changes._apply.preflight import Refusal, Step, check_plan, edited_files, make_steps
from capacity.changes._apply.step import refuse_pending
from capacity.changes._apply.step_groups import RunContext, RunResult, run_steps
from capacity.changes._apply.unattended import by_itself, check_unattended
from capacity.changes._apply.windows import check_window
from capacity.changes._journal.adjustments import failure_cooldowns
from capacity.changes._journal.journal import open_journal
from capacity.changes._journal.lock import apply_lock
from capacity.changes._journal.models import Kind, RunStart
from capacity.changes._journal.runs import journal_runs, new_run, way_out
from capacity.changes._plan.file import plan_text
from capacity.changes._plan.plan import Plan, PlannedChange, is_edited
from capacity.errors import CapacityError, ChangeRefused, InputError
from capacity.settings import Settings

__all__ = [
    "ApplyPreview",
    "Clock",
    "RunResult",
    "apply_plan",
    "choose",
    "dry_run",
    "prepare_apply",
    "utc_now",
]

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class ApplyPreview:
    """What one step would send: the Engine's update bodies by container, and the compose files
    before and after.
    """

    step: Step
    bodies: dict[str, dict[str, Plain]]
    files: dict[str, tuple[str, str]]
    refused: str = ""


def choose(
    plan: Plan, settings: Settings, now: datetime, services: str = "*", *, unattended: bool = False
) -> tuple[list[PlannedChange], list[Refusal]]:
    """The changes of the services that a glob names, and those that wait: after a failure, or for a
    person.

    Raises:
        ChangeRefused: the plan's time is over, or unattended mode is off or the plan's data
            not good enough for it.
        InputError: no change fits the glob.
    """
    check_plan(plan, now)
    meant = [change for change in plan.changes if fnmatchcase(change.service, services)]
    if not meant and services != "*":
        raise InputError(
            f"No change of the plan is for {services!r}", "`capacity plan show` lists them"
        )
    held = failure_cooldowns(settings.apply.journal, now, settings.apply.cooldown_hours)
    refused = [Refusal(change, held[change.service]) for change in meant if change.service in held]
    chosen = [change for change in meant if change.service not in held]
    if unattended:
        check_unattended(plan, settings.unattended, settings.apply.journal, now)
        chosen, waiting = by_itself(plan, chosen, settings.unattended)
        refused += waiting
    return chosen, refused


def prepare_apply(
    plan: Plan,
    changes: Iterable[PlannedChange],
    connected: tuple[dict[str, Engine], dict[str, str]],
    settings: Settings,
) -> tuple[list[Step], list[Refusal]]:
    """The steps of a plan for what runs at this moment, and what must not be applied.

    Raises:
        EngineError: an Engine stops answering.
    """
    inventory = survey(*connected)
    rules = settings.apply
    projects = declarations(inventory.containers, rules.projects)
    return make_steps(changes, inventory, projects, plan, rules)


def dry_run(
    plan: Plan,
    settings: Settings,
    *,
    services: str = "*",
    unattended: bool = False,
    peaks: Peaks | None = None,
    clock: Clock = utc_now,
) -> tuple[list[ApplyPreview], list[Refusal]]:
    """Exactly what `apply_plan` would send and write now, and what it would refuse. Nothing is
    touched.

    Raises:
        ChangeRefused: the plan's time is over, or unattended mode is off.
        EngineError: no Engine answers.
    """
    chosen, refused = choose(plan, settings, clock(), services, unattended=unattended)
    with connect_all(settings.engine) as connected:
        steps, more = prepare_apply(plan, chosen, connected, settings)
        used = memory_now(steps, connected[0])
        texts: dict[Any, str] = {}
        previews = []
        for step in steps:
            bodies = {
                container.name: update_body(container, step.live, step.host)
                for container in step.containers
                if step.mode == "live"
            }
            try:
                check_lowering(step, used, settings.apply.margin, peaks)
                refuse_pending(step, connected[0][step.host.name])
                files = edited_files(step, texts)
            except CapacityError as error:
                previews.append(ApplyPreview(step, {}, {}, str(error)))
                continue
            texts |= {path: after for path, (_, after) in files.items()}
            previews.append(
                ApplyPreview(
                    step,
                    bodies,
                    {str(path): both for path, both in files.items() if both[0] != both[1]},
                )
            )
    return previews, refused + more


def apply_plan(
    plan: Plan,
    settings: Settings,
    *,
    services: str = "*",
    canary: int = 0,
    unattended: bool = False,
    peaks: Peaks | None = None,
    progress: Progress | None = None,
    clock: Clock = utc_now,
    why: str = "",
) -> RunResult:
    """Apply a plan on Engines and in compose files.

    Args:
        plan: from `read_plan`.
        settings: Engines, rules of applying, journal.
        services: only services that fit this glob.
        canary: so many services first; the rest follows when they held through the observation.
        unattended: only what the settings allow without a person.
        peaks: recent peak of a service in bytes, from the metrics server.
        progress: told of every step.
        clock: the time.
        why: what the journal says about the occasion.

    Raises:
        ChangeRefused: the plan's time is over, no maintenance window is open, or unattended mode is
            off.
        Locked: somebody else applies a plan.
        ApplyFailed: the run stopped half way; the message says how to go on or back.
        EngineError: no Engine answers.
        StorageError: no journal can be written.
    """
    now = clock()
    rules = settings.apply
    check_window(rules.windows, now)
    with apply_lock(rules.journal):
        _nothing_unfinished(settings)
        chosen, refused = choose(plan, settings, now, services, unattended=unattended)
        with connect_all(settings.engine) as connected:
            steps, more = prepare_apply(plan, chosen, connected, settings)
            run = new_run(rules.journal, plan.plan_id or "unnamed", now)
            journal = open_journal(rules.journal, run)
            with closing(journal.handle):
                text = plan_text(plan)
                write_text(journal.folder / "plan.yaml", text)
                start = RunStart(
                    who=owner(),
                    why=why,
                    plan=plan.plan_id,
                    plan_sha256=digest(text.encode()),
                    edited=is_edited(plan),
                    services=services,
                    canary=canary,
                    unattended=unattended,
                    steps=len(steps),
                )
                journal.begin(start)
                for refusal in refused + more:
                    journal.write(
                        Kind.REFUSED,
                        service=refusal.change.service,
                        host=refusal.change.host,
                        what=refusal.change.what,
                        reason=refusal.reason,
                    )
                work = RunContext(connected[0], journal, settings, peaks, progress or Silent())
                return run_steps(work, steps, refused + more, canary)


def _nothing_unfinished(settings: Settings) -> None:
    for run, entries in reversed([*journal_runs(settings.apply.journal, skip_damaged=True)]):
        hint = way_out(run, entries)
        if hint:
            raise ChangeRefused(f"The run {run} did not come to its end", hint)
