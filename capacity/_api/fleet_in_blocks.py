"""Limits of a fleet of any size: a few passes over blocks of services, and between them what the
whole fleet must know, reduced from small summaries.

The answer has the same bytes whatever the size of the blocks, their order and who works on them,
and those of `recommend` on the whole history.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from capacity._api.arguments import resource_of
from capacity._api.block_passes import (
    SIGNALS,
    Block,
    Decided,
    Known,
    Pooled,
    Prepared,
    Run,
    Seen,
    count_again,
    highest,
    look,
    prepare,
    replay,
)
from capacity._api.results import Recommendations
from capacity._api.runners import Runner, open_runner
from capacity._api.sizing_inputs import risk_for, service_rules
from capacity._api.window import (
    SAMPLE,
    ArchivedWindow,
    no_service_matches,
    warn_of_unknown_services,
)
from capacity._common.files import storage_error
from capacity._common.progress import Progress, Silent
from capacity._common.text.lengths_of_time import in_days, parse_length
from capacity.errors import InputError, NoHistory
from capacity.forecasting._fitting import pooled_losses
from capacity.forecasting._models.conformal import Spread, pooled_offsets
from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._models.global_model import LEAST_HOURS
from capacity.forecasting._models.peak_distribution import PeakDistribution
from capacity.forecasting._models.peak_model import PeakModel
from capacity.forecasting._models.pooled_quantiles import Bins, Tally
from capacity.forecasting._peak_forecast import PeakForecast, predicted_peaks
from capacity.forecasting._quantiles import Floats
from capacity.history import History
from capacity.history._archive.archive import Archive
from capacity.history._archive.records import SourceRecord
from capacity.history._data_quality import judged
from capacity.history._history import WholeFleet
from capacity.history._load import ArchivedFleet, look_through, services_lately
from capacity.history._validity import DroppedSamples, dropped_notes
from capacity.model import Resource, Signal
from capacity.settings import Settings
from capacity.settings._tables import SourceSettings
from capacity.sizing import PEAK_QUANTILES, Context
from capacity.sizing._decisions.observed import Observed, join
from capacity.sizing._decisions.recommend import check_asked, decide, with_replay
from capacity.sizing._policies.capacity import recent_samples
from capacity.sizing._usage.throttling import thinned_by

__all__ = ["recommend_in_blocks", "wants_blocks"]

T = TypeVar("T")
R = TypeVar("R")
_LEVELS: Floats = np.array(PEAK_QUANTILES)
# tables of the settings that workers need; no other may hold a secret that travels
_RULES = (
    *("archive", "sizing", "report", "forecast", "types", "services", "identity"),
    *("operations", "metrics", "compute"),
)
_LONGEST = pd.Timedelta(hours=LEAST_HOURS)  # from here on a model is taught by all services at once


@dataclass(frozen=True)
class _Passes:
    """Runs a pass over all blocks, and tells how far it is."""

    run: Runner
    progress: Progress

    def as_they_come(
        self, what: str, work: Callable[[T], R], tasks: Sequence[T]
    ) -> Iterator[tuple[int, R]]:
        """Position and answer of each task: what is added up need not be held for all blocks."""
        self.progress.start(what, len(tasks))
        try:
            for done, answer in enumerate(self.run(work, tasks), start=1):
                yield answer
                self.progress.advance(f"{done} of {len(tasks)} blocks")
        finally:
            self.progress.finish()

    def over(self, what: str, work: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """The answers, in the order of the tasks."""
        found = dict(self.as_they_come(what, work, tasks))
        return [found[number] for number in range(len(tasks))]


def wants_blocks(window: ArchivedWindow, settings: Settings) -> bool:
    """Whether a fleet is sized in blocks: a scheduler is named, or it is larger than a block."""
    if window.source == SAMPLE or window.end - window.start >= _LONGEST:
        return False
    if settings.compute.scheduler is not None:
        return True
    archive = Archive(settings.archive.path)
    known = [archive.source(name) for name in window.source.split(",")]
    records = [record for record in known if record is not None]
    return services_lately(archive, records, settings, window.end) > settings.compute.block


def recommend_in_blocks(
    window: ArchivedWindow,
    signal: Resource | str = Resource.MEMORY,
    *,
    settings: Settings,
    horizon: str = "7D",
    risk: float | None = None,
    budget: float | None = None,
    services: str | None = None,
    runner: Runner | None = None,
    progress: Progress | None = None,
) -> Recommendations:
    """Limits of every service of a window, block by block.

    Args:
        window: whose days are in the archive.
        signal: `cpu` or `memory`.
        settings: `compute` says how large blocks are and who works on them; rules of sizing.
        horizon: how far ahead the limits must hold.
        risk: accepted share of services whose peak passes its limit; default from the settings.
        budget: what all limits may add up to, cores or bytes; not with `services`.
        services: glob of those to show; limits are chosen together all the same.
        runner: who works on the blocks; default as the settings say.
        progress: told about each block.

    Returns:
        What `recommend` returns; its history has no frames.

    Raises:
        InputError: impossible `risk` or `budget`, the window is one that cannot be learned from in
            blocks, no service matches, or a scheduler is named and Dask is not installed.
        NoHistory: there is no usage in the window.
        WorkError: the scheduler does not answer, or its workers run another version.
    """
    resource = resource_of(signal)
    parse_length(horizon)
    _check_blocks(window, budget, services)
    compute, archive = settings.compute, Archive(settings.archive.path)
    records = [archive.find(name) for name in window.source.split(",")]
    fleet = look_through(
        archive, records, settings, start=window.start, end=window.end, signals=SIGNALS
    )
    risk = risk if risk is not None else risk_for(settings, resource)
    check_asked(risk, "capacity", budget, resource)
    chosen = nullcontext(runner) if runner else open_runner(compute.scheduler, compute.workers)
    with chosen as workers, _folder(archive.path) as folder:
        sources = tuple(record.name for record in records)
        run = Run(
            settings=_without_secrets(settings),
            sources=sources,
            start=window.start,
            end=window.end,
            resource=resource,
            horizon=horizon,
            folder=folder,
            budgeted=budget is not None,
        )
        passes = _Passes(workers, progress or Silent())
        decided = _decide(passes, _blocks(run, fleet), fleet, risk, budget)
    table = decided.table
    names = list(map(str, table.index))
    if services is None:
        warn_of_unknown_services(settings, names)
    else:
        table = table.loc[_chosen(services, names)]
    history = _without_samples(window, records, settings, fleet, decided)
    quality = judged(decided.coverage.loc[table.index], history.last_sample, window.end)
    return Recommendations(table, resource, history, horizon, settings, quality)


def _check_blocks(window: ArchivedWindow, budget: float | None, services: str | None) -> None:
    """Refuse what only a fleet as a whole can be asked for."""
    if window.end - window.start >= _LONGEST:
        raise InputError(
            "Windows of five weeks and more are learned from as a whole, not in blocks",
            "Set report.window_days to 34 at most",
        )
    if budget is not None and services is not None:
        raise InputError(
            "A budget for some services is shared out over them as a whole, not in blocks",
            "Leave out services, or open the history of those and call recommend",
        )


def _without_samples(
    window: ArchivedWindow,
    records: Sequence[SourceRecord],
    settings: Settings,
    fleet: ArchivedFleet,
    decided: _FleetDecided,
) -> History:
    """What a plan and a reader need of the history."""
    known, dropped = decided.known, decided.dropped
    return History(
        {},
        window.start,
        window.end,
        pd.Timedelta(seconds=settings.report.step),
        " + ".join(record.url or record.name for record in records),
        hosts={name: host for part in known for name, host in part.first.hosts.items()},
        replicas=decided.replicas,
        notes=(*window.notes, *fleet.notes, *dropped_notes(dropped)),
        dropped=dropped,
        fleet=known[0].fleet,
    )


def _chosen(services: str, names: list[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name, services)]
    if not found:
        raise no_service_matches(services, names)
    return found


@dataclass(frozen=True)
class _FleetDecided:
    """What all passes over the blocks have found.

    Attributes:
        table: what `recommend` returns, of all services.
        known: what was known of each block.
        dropped: samples that cannot be true.
        replicas: service -> containers that stand for it.
        coverage: how each service is covered, see `coverage_of_running`.
    """

    table: pd.DataFrame
    known: list[Known]
    dropped: tuple[DroppedSamples, ...]
    replicas: Mapping[str, int]
    coverage: pd.DataFrame


def _decide(
    passes: _Passes,
    blocks: list[Block],
    fleet: ArchivedFleet,
    risk: float,
    budget: float | None,
) -> _FleetDecided:
    """All passes over the blocks."""
    run = blocks[0].run if blocks else None
    first = passes.over("Learning from blocks of services", prepare, blocks)
    known = _known(blocks, first, fleet)
    if run is None or not known:
        raise NoHistory(
            "The archive has no CPU or memory samples of containers in this window",
            "`capacity doctor` shows which metrics and labels are there",
        )
    seen, offsets = _looked_at(passes, known)
    forecast = _forecast(passes, known, offsets, run)
    observed = join([each.observed for each in seen])
    observed = replace(observed, days=forecast.days_of(observed.table.index))
    most = pd.concat([each.first.most for each in known]).reindex(observed.table.index)
    context = _context([each.context for each in seen], run.settings, observed)
    table = decide(observed, forecast, run.resource, context, most, risk, budget=budget)
    sizes = np.cumsum([len(each.observed.table) for each in seen])[:-1]
    rows = np.split(np.arange(len(table)), sizes)
    decided = [
        Decided(each.block, table.iloc[at][["limit", "current", "p95"]])
        for each, at in zip(known, rows, strict=True)
    ]
    replayed = passes.over("Replaying limits", replay, decided)
    # every block has read the sizes of all hosts
    dropped = dict.fromkeys(entry for each in seen for entry in each.dropped)
    whole = with_replay(table, pd.concat(replayed))
    coverage = pd.concat([each.coverage for each in seen])
    return _FleetDecided(whole, known, tuple(dropped), context.replicas, coverage)


def _known(
    blocks: list[Block], first: Sequence[Prepared | None], fleet: ArchivedFleet
) -> list[Known]:
    """Blocks with usage, each with what the first pass over all has shown."""
    there = [(b, p) for b, p in zip(blocks, first, strict=True) if p is not None]
    if not there:
        return []
    newest = [part.newest for _, part in there if part.newest is not None]
    told: dict[Signal, np.ndarray] = {}
    for _, part in there:
        for signal, hours in part.told.items():
            told[signal] = told[signal] | hours if signal in told else hours
    whole = WholeFleet(max(newest, default=None), told, fleet.fingerprint)
    losses = pooled_losses(part.losses for _, part in there if part.losses)
    run = blocks[0].run
    step = run.settings.report.step
    points = len(pd.date_range(run.start, run.end, freq=f"{step}s", inclusive="left"))
    counted = sum(part.counted for _, part in there)
    thinned = thinned_by(recent_samples(points, step), counted)
    days = max((len(part.days) for _, part in there if part.days is not None), default=0)
    return [Known(block, part, whole, losses, days, thinned) for block, part in there]


def _looked_at(passes: _Passes, known: list[Known]) -> tuple[list[Seen], Floats]:
    """What was seen of every block, and how far past forecasts of the fleet have missed."""
    seen: dict[int, Seen] = {}

    def spreads() -> Iterator[Spread]:
        for number, part in passes.as_they_come("Looking at services", look, known):
            seen[number] = replace(part, spread=None)
            if part.spread is not None:
                yield part.spread

    def again(bins: Bins) -> Iterator[Tally]:
        tasks = [Pooled(each.block, bins=bins) for each in known if each.first.days is not None]
        for _, tally in passes.as_they_come("Calibrating", count_again, tasks):
            yield tally

    offsets = pooled_offsets(spreads(), again, _LEVELS)
    return [seen[number] for number in range(len(known))], offsets


def _forecast(passes: _Passes, known: list[Known], offsets: Floats, run: Run) -> PeakForecast:
    """The peaks of the fleet, once every block was learned from."""
    learned = [each for each in known if each.first.days is not None]
    tasks = [Pooled(each.block, offsets=offsets) for each in learned]
    bands = [np.zeros((0, len(_LEVELS))), *passes.over("Forecasting", highest, tasks)]
    services = pd.Index([name for each in learned for name in each.first.forecast], dtype=object)
    parts = [each.first.days for each in learned if each.first.days is not None]
    days = np.concatenate(parts or [np.zeros((0, 0, len(STATS)))], axis=1)
    sizes = pd.concat([each.first.most for each in learned] or [pd.Series(dtype=np.float64)])
    most = sizes.reindex(services).to_numpy(np.float64)
    ahead = int(np.ceil(in_days(run.horizon)))
    peaks: PeakDistribution = PeakModel.load().predict(days, ahead).within(most)
    predicted = predicted_peaks(services, PEAK_QUANTILES, peaks, np.concatenate(bands), most)
    skipped = {name: why for each in learned for name, why in each.first.skipped.items()}
    return PeakForecast(services, skipped, days, peaks, predicted)


def _context(parts: list[Context], settings: Settings, observed: Observed) -> Context:
    """What is known of every service, from what is known of those of each block."""
    running = [part.running for part in parts if part.running is not None]
    since = [part.limit_since for part in parts if part.limit_since is not None]
    return replace(
        parts[0],
        running=pd.concat(running),
        limit_since=pd.concat(since),
        unstable=frozenset(name for part in parts for name in part.unstable),
        limits_unseen=frozenset(name for part in parts for name in part.limits_unseen),
        replicas={name: count for part in parts for name, count in part.replicas.items()},
        rules=service_rules(settings, map(str, observed.table.index)),
    )


def _blocks(run: Run, fleet: ArchivedFleet) -> list[Block]:
    size, names = run.settings.compute.block, fleet.services
    starts = range(0, len(names), size)
    return [
        Block(
            run,
            number,
            part := names[at : at + size],
            {name: fleet.measured_until[name] for name in part if name in fleet.measured_until},
        )
        for number, at in enumerate(starts)
    ]


@contextmanager
def _folder(archive: Path) -> Iterator[Path]:
    """A folder beside the archive's sources, which every worker that reads these can reach."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".blocks-", dir=archive))
    except OSError as error:
        raise storage_error(archive, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_secrets(settings: Settings) -> Settings:
    """What workers need of the settings: how to read the archive, and rules."""
    bare = Settings.model_construct()
    sources = {name: SourceSettings(host=each.host) for name, each in settings.sources.items()}
    kept = {name: getattr(settings, name) for name in _RULES}
    return bare.model_copy(update={"sources": sources, **kept})
