"""The steps of a run in their groups: each step done, each group watched, what goes wrong taken
back.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from capacity._common.progress import Progress
from capacity._docker.engine import Engine
from capacity._docker.usage import MEASURED_AT_ONCE
from capacity.changes._apply.lowering_check import Peaks, check_lowering, measured_ahead
from capacity.changes._apply.observation import WatchedStep, begin_watch, watch_steps
from capacity.changes._apply.preflight import Refusal, Step, canary_groups
from capacity.changes._apply.step import perform_step
from capacity.changes._journal.adjustments import steps_since
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Entry, IntentEntry, Kind
from capacity.changes._journal.runs import journal_runs, still_stopped
from capacity.changes._result import StepResult
from capacity.changes._rollback.undo import undo_step
from capacity.errors import ApplyFailed, CapacityError, ChangeRefused, EngineError, StorageError
from capacity.model import StepState
from capacity.settings import Settings

__all__ = ["RunContext", "RunResult", "run_steps", "stopped", "stopped_by"]


@dataclass(frozen=True)
class RunResult:
    """How a run ended: `finished`, or `failed` when some step was; every change is in one of the
    two lists.
    """

    run: str
    state: str
    outcomes: list[StepResult] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class RunContext:
    """What every part of a run needs: open Engines, the journal, the settings."""

    engines: dict[str, Engine]
    journal: Journal
    settings: Settings
    peaks: Peaks | None
    progress: Progress


def run_steps(
    work: RunContext,
    steps: list[Step],
    refused: list[Refusal],
    canary: int,
    earlier: Iterable[Entry] = (),
) -> RunResult:
    """The steps in groups, each watched; stops after a canary that failed.

    Raises:
        ApplyFailed: an Engine or the journal's disk is gone.
    """
    groups = canary_groups(steps, canary)
    outcomes: list[StepResult] = []
    work.progress.start("changes", len(steps))
    try:
        pending = list(earlier)
        for number, group in enumerate(groups):
            good = _group(work, group, pending, outcomes)
            pending = []
            if not good and number == 0 and len(groups) > 1:
                left = [
                    Refusal(change, "the canary failed")
                    for step in groups[1]
                    for change in step.changes
                ]
                return _end(work, outcomes, refused + left)
        if pending:
            _observe(work, pending, outcomes)
        return _end(work, outcomes, refused)
    except (EngineError, StorageError) as error:
        raise stopped(work.journal.run, error) from error
    finally:
        work.progress.finish()


def stopped(run: str, error: CapacityError) -> ApplyFailed:
    """What to raise when a run cannot go on."""
    hint = (
        "When that is fixed, `capacity apply --resume --yes` goes on and `capacity rollback "
        f"{run} --yes` goes back"
    )
    return ApplyFailed(f"The run {run} stopped half way: {error.message}", hint)


def _group(
    work: RunContext, steps: list[Step], pending: list[Entry], outcomes: list[StepResult]
) -> bool:
    intents = list(pending)
    good = True
    left = _allowed(work.settings, len(steps))
    used = measured_ahead(steps, work.engines)
    for position, (step, now) in enumerate(zip(steps, used, strict=True)):
        if position >= left:
            reason = (
                f"{work.settings.apply.most_per_hour} services an hour are allowed, and they are "
                "used up"
            )
            work.journal.write(
                Kind.REFUSED,
                step=step.number,
                service=step.service,
                host=step.host.name,
                reason=reason,
            )
            outcomes.append(
                StepResult(
                    step.service, step.host.name, StepState.REFUSED, reason, step=step.number
                )
            )
            continue
        outcome = _one(work, step, now)
        outcomes.append(outcome)
        good &= outcome.state == StepState.DONE
        intents += [outcome.entry] if outcome.entry and outcome.state == StepState.DONE else []
        work.progress.advance(step.service)
    return _observe(work, intents, outcomes) and good


def _one(work: RunContext, step: Step, used: dict[str, int]) -> StepResult:
    engine = work.engines[step.host.name]
    try:
        check_lowering(step, used, work.settings.apply.margin, work.peaks)
    except ChangeRefused as error:
        work.journal.write(
            Kind.REFUSED,
            step=step.number,
            service=step.service,
            host=step.host.name,
            reason=str(error),
        )
        return StepResult(
            step.service, step.host.name, StepState.REFUSED, str(error), step=step.number
        )
    return perform_step(step, engine, work.journal)


def _allowed(settings: Settings, wanted: int) -> int:
    most = settings.apply.most_per_hour
    return wanted if most is None else max(most - steps_since(settings.apply.journal, hours=1), 0)


def _observe(work: RunContext, intents: list[Entry], outcomes: list[StepResult]) -> bool:
    """Watch what was changed; what goes wrong is rolled back at once."""
    bad: list[WatchedStep] = []

    def failed(watched: WatchedStep, reason: str) -> None:
        bad.append(watched)
        intent = watched.intent
        ended_by = stopped_by(work, intent)
        reason += f"; the run {ended_by} stopped it, and it stays so" * bool(ended_by)
        work.journal.write(
            Kind.BAD, step=intent.step, service=intent.service, host=intent.host, reason=reason
        )
        left = undo_step(intent, watched.engine, work.journal, again=not ended_by)
        reason = "; ".join([reason, *left])
        for index, outcome in enumerate(outcomes):
            if outcome.step == intent.step:
                outcomes[index] = replace(outcome, state=StepState.FAILED, reason=reason)

    target, seconds = work.settings.sizing.throttle_target, work.settings.apply.observe
    with ThreadPoolExecutor(
        max(min(len(intents), MEASURED_AT_ONCE), 1)
    ) as pool:  # each waits for the Engine's next measurement
        watched = list(
            pool.map(
                lambda intent: begin_watch(intent, work.engines[intent.host], target, seconds),
                intents,
            )
        )
    for verdict in watch_steps(watched, seconds, failed):
        work.journal.write(
            Kind.VERIFIED,
            step=verdict.intent.step,
            service=verdict.intent.service,
            host=verdict.intent.host,
        )
    return not bad


def stopped_by(work: RunContext, intent: IntentEntry) -> str:
    """The emergency that stopped a container of a step on purpose meanwhile; empty where none
    did.
    """
    mine = {before.id for before in intent.detail.containers}
    runs = journal_runs(work.journal.folder.parent, skip_damaged=True)
    return next(
        (
            run
            for run, entries in runs
            if any(entry.detail.id in mine for entry in still_stopped(entries))
        ),
        "",
    )


def _end(work: RunContext, outcomes: list[StepResult], refused: list[Refusal]) -> RunResult:
    state = (
        "failed" if any(outcome.state == StepState.FAILED for outcome in outcomes) else "finished"
    )
    work.journal.write(Kind.FINISHED, state=state)
    return RunResult(work.journal.run, state, outcomes, refused)
