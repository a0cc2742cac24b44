"""Go on with a run that a crash, a full disk or a lost Engine interrupted; or say what that would
do.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from capacity._common.file_lock import owner
from capacity._common.files import digest
from capacity._common.progress import Progress, Silent
from capacity._common.setting_values import show_value
from capacity._compose.declared import declarations
from capacity._compose.edit.files import read_bytes
from capacity._docker.containers import Inventory
from capacity._docker.engine import Engine, connect_all, survey
from capacity._docker.update import LIVE
from capacity.changes._apply.apply import Clock, choose, utc_now
from capacity.changes._apply.lowering_check import Peaks
from capacity.changes._apply.preflight import Refusal, Step, make_steps
from capacity.changes._apply.step import redo_step
from capacity.changes._apply.step_groups import (
    RunContext,
    RunResult,
    run_steps,
    stopped,
    stopped_by,
)
from capacity.changes._journal.journal import open_journal, read_journal
from capacity.changes._journal.lock import apply_lock
from capacity.changes._journal.models import Entry, IntentEntry, Kind, intents, run_start
from capacity.changes._journal.runs import find_run, journal_runs
from capacity.changes._plan.file import read_plan
from capacity.changes._plan.plan import Plan, PlannedChange
from capacity.changes._result import StepResult
from capacity.changes._rollback.undo import undo_step
from capacity.errors import EngineError, EngineUnreachable, InputError, StorageError
from capacity.model import StepState
from capacity.settings import Settings

__all__ = ["ResumePreview", "remaining_changes", "resume", "resume_preview"]


def resume(
    settings: Settings,
    run: str = "",
    *,
    peaks: Peaks | None = None,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> RunResult:
    """Go on with a run that did not come to its end, from the very move it was at.

    Args:
        settings: as for `apply_plan`.
        run: its name or the beginning of it; default the last unfinished one.
        peaks: recent peak of a service.
        progress: told of every step.
        clock: the time.

    Raises:
        InputError: there is none to go on with.
        ApplyFailed: it stopped again.
        EngineError: no Engine answers.
    """
    rules = settings.apply
    with apply_lock(rules.journal):
        name = find_run(rules.journal, run) if run else _unfinished(settings)
        journal = open_journal(rules.journal, name)
        with closing(journal.handle), connect_all(settings.engine) as connected:
            entries = journal.entries()
            _goes_on(name, entries)
            plan = _plan_of(journal.folder, entries)
            journal.check_backups(intents(entries))
            work = RunContext(connected[0], journal, settings, peaks, progress or Silent())
            journal.write(Kind.RESUMED, who=owner())
            try:
                done, outcomes = _recover(work, entries)
            except (EngineError, StorageError) as error:
                raise stopped(name, error) from error
            steps, refused = _left(plan, entries, connected, settings, clock)
            result = run_steps(work, steps, refused, run_start(entries).canary, done)
            return replace(result, outcomes=outcomes + result.outcomes)


@dataclass(frozen=True)
class ResumePreview:
    """One thing that going on with a run would do: `state` is would-finish, would-take-back,
    would-apply or refused.
    """

    service: str
    host: str
    change: str
    state: StepState
    why: str = ""


def resume_preview(
    settings: Settings, run: str = "", *, clock: Clock = utc_now
) -> tuple[str, list[ResumePreview]]:
    """The run that `resume` would go on with, and what that would do; nothing is touched.

    Args:
        settings: as for `apply_plan`.
        run: its name or the beginning of it; default the last unfinished one.
        clock: the time.

    Raises:
        InputError: there is none to go on with.
        EngineError: no Engine answers.
    """
    folder = settings.apply.journal
    name = find_run(folder, run) if run else _unfinished(settings)
    entries = read_journal(folder / name)
    _goes_on(name, entries)
    begun = [preview for intent in intents(entries) for preview in _begun(intent, entries)]
    with connect_all(settings.engine) as connected:
        plan = _plan_of(folder / name, entries)
        steps, refused = _left(plan, entries, connected, settings, clock)
    coming = [
        ResumePreview(step.service, step.host.name, _shown(change), StepState.WOULD_APPLY)
        for step in steps
        for change in step.changes
    ]
    never = [
        ResumePreview(
            refusal.change.service,
            refusal.change.host or "",
            _shown(refusal.change),
            StepState.REFUSED,
            refusal.reason,
        )
        for refusal in refused
    ]
    return name, [*begun, *coming, *never]


def _plan_of(place: Path, entries: list[Entry]) -> Plan:
    """The plan that a run was begun with.

    Raises:
        InputError: it cannot be read, or is not that one any more.
    """
    path = place / "plan.yaml"
    plan = read_plan(path)
    expected = run_start(entries).plan_sha256
    if expected and digest(read_bytes(path)) != expected:
        raise InputError(
            f"{path} has changed since the run {place.name} began",
            f"`capacity rollback {place.name} --yes` rolls back what was done",
        )
    return plan


def _begun(intent: IntentEntry, entries: list[Entry]) -> list[ResumePreview]:
    """What would become of a step that was begun; nothing where it is done."""
    stage = _stage(intent, entries)
    if stage == "done":
        return []
    state = StepState.WOULD_TAKE_BACK if stage == "back" else StepState.WOULD_FINISH
    return [
        ResumePreview(intent.service, intent.host, _shown(change), state)
        for change in intent.detail.changes
    ]


def _shown(change: PlannedChange) -> str:
    before, after = (show_value(change.what, value) for value in (change.before, change.after))
    return f"{change.what} {before} -> {after}"


def _goes_on(name: str, entries: list[Entry]) -> None:
    """Refuse a run that is over, or on its rollback."""
    if not entries:
        raise InputError(f"The run {name} has no line", "`capacity journal` lists the others")
    if entries[-1].kind is Kind.FINISHED:
        raise InputError(f"The run {name} came to its end", "`capacity journal` shows its outcome")
    if any(entry.kind is Kind.ROLLBACK for entry in entries):
        raise InputError(
            f"The run {name} was being rolled back", f"Go on with `capacity rollback {name} --yes`"
        )


def _left(
    plan: Plan,
    entries: list[Entry],
    connected: tuple[dict[str, Engine], dict[str, str]],
    settings: Settings,
    clock: Clock,
) -> tuple[list[Step], list[Refusal]]:
    """The steps that were not begun, the rest of one that a canary began, and what is refused by
    now.
    """
    started = run_start(entries)
    chosen, refused = choose(
        plan, settings, clock(), started.services, unattended=started.unattended
    )
    inventory = survey(*connected)
    projects = declarations(inventory.containers, settings.apply.projects)
    first = max((entry.step or 0 for entry in entries), default=0)
    steps: list[Step] = []
    for changes, known in remaining_changes(chosen, entries, inventory):
        more, other = make_steps(changes, known, projects, plan, settings.apply)
        steps += more
        refused += other
    return [
        replace(step, number=first + number) for number, step in enumerate(steps, start=1)
    ], refused


def remaining_changes(
    chosen: list[PlannedChange], entries: list[Entry], inventory: Inventory
) -> list[tuple[list[PlannedChange], Inventory]]:
    """What of a plan no step has begun, each with the containers that it still is for: first what
    was begun on others of them.

    A limit is set on containers, which a canary may have parted; all else on a service of a host.
    """
    seen = [(entry, change) for entry in intents(entries) for change in entry.detail.changes]
    begun = {change.key for _, change in seen}
    hosts = {(change.key, entry.host) for entry, change in seen}
    ids = {(change.key, before.id) for entry, change in seen for before in entry.detail.containers}
    groups: dict[frozenset[str], list[PlannedChange]] = {}
    for change in chosen:
        targets = inventory.of(change.service, change.host)
        covered = frozenset(
            container.id
            for container in targets
            if (change.key, container.id) in ids
            or (change.what not in LIVE and (change.key, container.host) in hosts)
        )
        if change.key not in begun or len(covered) < len(targets):
            groups.setdefault(covered, []).append(change)
    return [
        (changes, _without(inventory, covered))
        for covered, changes in sorted(groups.items(), key=lambda group: not group[0])
    ]


def _without(inventory: Inventory, ids: frozenset[str]) -> Inventory:
    left = (container for container in inventory.containers if container.id not in ids)
    return replace(inventory, containers=tuple(left))


def _stage(intent: IntentEntry, entries: list[Entry]) -> str:
    """Where a step was when its run was interrupted: `done`, or on the way `forward` or `back`."""
    kinds = {entry.kind for entry in entries if entry.step == intent.step}
    if kinds & {Kind.UNDONE, Kind.VERIFIED}:
        return "done"
    return "back" if kinds & {Kind.FAILED, Kind.BAD, Kind.UNDOING} else "forward"


def _unfinished(settings: Settings) -> str:
    found = journal_runs(settings.apply.journal, skip_damaged=True)
    runs = [
        run
        for run, entries in found
        if entries[-1].kind is not Kind.FINISHED and run_start(entries).plan is not None
    ]
    if not runs:
        raise InputError("Every run came to its end", "`capacity journal` lists them")
    return runs[-1]


def _recover(work: RunContext, entries: list[Entry]) -> tuple[list[Entry], list[StepResult]]:
    """Finish the steps that a crash interrupted: forward where nothing had failed, else back."""
    watched: list[Entry] = []
    outcomes: list[StepResult] = []
    for intent in [entry for entry in entries if entry.kind is Kind.INTENT]:
        kinds = [entry.kind for entry in entries if entry.step == intent.step]
        stage = _stage(intent, entries)
        engine = work.engines.get(intent.host)
        if engine is None and stage != "done":
            raise EngineUnreachable(f"{intent.host} does not answer", "See that its Engine runs")
        if stage == "done":
            state = StepState.FAILED if Kind.UNDONE in kinds else StepState.DONE
            outcomes.append(
                StepResult(intent.service, intent.host, state, step=intent.step or 0, entry=intent)
            )
        elif stage == "back" and engine is not None:
            undo_step(intent, engine, work.journal, again=not stopped_by(work, intent))
            outcomes.append(
                StepResult(
                    intent.service,
                    intent.host,
                    StepState.FAILED,
                    "rolled back",
                    step=intent.step or 0,
                    entry=intent,
                )
            )
        elif engine is not None:
            outcome = redo_step(intent, engine, work.journal) if Kind.DONE not in kinds else None
            if outcome is None or outcome.state == StepState.DONE:
                watched.append(intent)
            outcomes.append(
                outcome
                or StepResult(
                    intent.service, intent.host, StepState.DONE, step=intent.step or 0, entry=intent
                )
            )
    return watched, outcomes
