"""What is done to one block of services, in this process or on another machine.

A run makes a few passes over all blocks. Between two of them small summaries of every block are
reduced to what each must know of the whole fleet; what only the block itself needs again lies in
the run's folder. A pass over a block can be repeated at any time, and says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity._api.sizing_inputs import forecaster_for, service_rules, sizing_context
from capacity._common.text.lengths_of_time import in_days
from capacity.errors import NoHistory
from capacity.forecasting._block_files import (
    read_blend,
    read_candidates,
    write_blend,
    write_candidates,
)
from capacity.forecasting._fitting import blend_chunk, calibrated, chunk_losses
from capacity.forecasting._models.conformal import Spread
from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._models.pooled_quantiles import Bins, Tally
from capacity.forecasting._models.weights import LossSums
from capacity.forecasting._peak_forecast import highest_of_band
from capacity.forecasting._quantiles import Floats
from capacity.history import History
from capacity.history._archive.archive import Archive
from capacity.history._data_quality import coverage_of_running
from capacity.history._history import WholeFleet
from capacity.history._load import load_history
from capacity.history._validity import DroppedSamples
from capacity.model import Resource, Signal
from capacity.settings import Settings
from capacity.sizing import PEAK_QUANTILES, Context
from capacity.sizing._decisions.fleet import counted_hours
from capacity.sizing._decisions.observed import Observed, observe
from capacity.sizing._decisions.recommend import replay_limits
from capacity.sizing._usage.frames import checked
from capacity.sizing._usage.throttling import counted_services

__all__ = [
    "SIGNALS",
    "Block",
    "Decided",
    "Known",
    "Pooled",
    "Prepared",
    "Run",
    "Seen",
    "count_again",
    "highest",
    "look",
    "prepare",
    "replay",
]

SIGNALS = (
    *(Signal.CPU, Signal.MEMORY, Signal.MEMORY_RSS, Signal.MEMORY_SWAP),
    *(Signal.CPU_LIMIT, Signal.MEMORY_LIMIT, Signal.HOST_CORES, Signal.HOST_MEMORY_TOTAL),
    *(Signal.THROTTLED, Signal.MEMORY_STALLED, Signal.OOM_KILLS, Signal.RESTARTS),
)
"""What limits are made from."""
_SIZES = (Signal.HOST_CORES, Signal.HOST_MEMORY_TOTAL)
_FIRST = (
    *(Signal.CPU, Signal.MEMORY, Signal.CPU_LIMIT, Signal.MEMORY_LIMIT, Signal.THROTTLED),
    *_SIZES,
)
_LEVELS: Floats = np.array(PEAK_QUANTILES)


@dataclass(frozen=True)
class Run:
    """What all blocks of a run share.

    Attributes:
        settings: without secrets; the archive's path must be that of every worker.
        sources: names in the archive.
        start: first moment of the window, UTC.
        end: the moment after its last step, UTC.
        resource: which limit.
        horizon: how far ahead limits must hold.
        folder: what blocks need again, on every worker.
        budgeted: limits share a budget, so recent samples are needed for all services at once.
    """

    settings: Settings
    sources: tuple[str, ...]
    start: pd.Timestamp
    end: pd.Timestamp
    resource: Resource
    horizon: str
    folder: Path
    budgeted: bool = False


@dataclass(frozen=True)
class Block:
    """Some services of a run.

    Attributes:
        run: that it belongs to.
        number: among the run's blocks.
        services: names, sorted.
        measured_until: service -> newest sample of the sources that know it; of one source empty.
    """

    run: Run
    number: int
    services: tuple[str, ...]
    measured_until: Mapping[str, pd.Timestamp]


@dataclass(frozen=True)
class Prepared:
    """What the first pass tells of a block.

    Attributes:
        services: with usage of any kind.
        forecast: those that can be forecast.
        skipped: service -> why it cannot.
        days: days x forecast services x `STATS`.
        losses: sums of the candidates' losses.
        newest: time of the newest usage sample.
        told: signal of limits -> at which hours any limit was told.
        counted: services whose limit and throttled periods are known.
        most: what the host of each service has; NaN = unknown.
        hosts: service -> host.
    """

    services: tuple[str, ...]
    forecast: tuple[str, ...]
    skipped: Mapping[str, str]
    days: Floats | None
    losses: list[LossSums]
    newest: pd.Timestamp | None
    told: Mapping[Signal, NDArray[np.bool_]]
    counted: int
    most: pd.Series[float]
    hosts: Mapping[str, str]


@dataclass(frozen=True)
class Known:
    """A block, and what the first pass over all of them has shown.

    Attributes:
        block: of services.
        first: what the first pass told of it.
        fleet: what only the whole fleet tells.
        losses: of the fleet, for each origin calibrated on and the end.
        days: that summaries of the fleet have.
        thinned: see `thinned_by`.
    """

    block: Block
    first: Prepared
    fleet: WholeFleet
    losses: list[Floats]
    days: int
    thinned: int


@dataclass(frozen=True)
class Seen:
    """What the second pass tells of a block.

    Attributes:
        observed: of each service.
        context: house rules, and what is known by service; no frames.
        spread: of the misses of past forecasts; None where nothing can be forecast.
        dropped: samples of its services, and of hosts, that cannot be true.
        coverage: what tells whether the data is good enough to act on.
    """

    observed: Observed
    context: Context
    spread: Spread | None
    dropped: tuple[DroppedSamples, ...]
    coverage: pd.DataFrame


@dataclass(frozen=True)
class Pooled:
    """A block, and bins (third pass) or offsets (fourth) of the misses of the fleet."""

    block: Block
    bins: Bins | None = None
    offsets: Floats | None = None


@dataclass(frozen=True)
class Decided:
    """A block, and the limits to replay: one row a service with `limit`, `current` and `p95`."""

    block: Block
    table: pd.DataFrame


def prepare(block: Block) -> Prepared | None:
    """First pass: what can be learned without the other blocks; None where there is no usage."""
    try:
        history = _history(block, _FIRST)
    except NoHistory:
        return None
    run = block.run
    settings, resource = run.settings, run.resource
    usage = _counted(history, run)
    columns = history[resource.usage].columns
    part = forecaster_for(settings, history, resource).prepare(usage[columns])
    names = tuple(map(str, columns[part.kept]))
    if part.prepared is not None:
        write_candidates(_file(block, "candidates"), part.prepared)
    limited = [each for each in Resource if len(history[each.limit].columns)]
    return Prepared(
        tuple(history.services),
        names,
        part.skipped,
        None if part.days is None else part.days.transpose(1, 0, 2),
        [] if part.prepared is None else chunk_losses(part.prepared),
        history.last_sample,
        {each.limit: history.limits_told(each) for each in limited},
        len(counted_services(usage.columns, history.limits(resource), history[Signal.THROTTLED])),
        history.host_size(resource),
        {name: history.hosts.get(name, "") for name in history.services},
    )


def look(known: Known) -> Seen:
    """Second pass: blend the candidates as the fleet's losses say, and look at every service."""
    block, first = known.block, known.first
    spread = None
    if first.days is not None:
        chunk = read_candidates(_file(block, "candidates"))
        blend = blend_chunk(chunk, known.losses, _LEVELS)
        write_blend(_file(block, "blend"), blend, chunk.scaled)
        spread = blend.misses.upper()
    history = replace(_history(block, SIGNALS), fleet=known.fleet)
    run = block.run
    life = _life(history, run, history.services)
    context = sizing_context(history, run.resource, run.settings)
    usage, context = counted_hours(life, run.resource, context)
    where = pd.Index(first.forecast, dtype=object).get_indexer(usage.columns)
    observed = observe(
        usage,
        life,
        run.resource,
        context,
        history.limits(run.resource),
        _days(first.days, known.days, where),
        horizon=in_days(run.horizon),
        thinned=known.thinned,
        keep_recent=run.budgeted,
    )
    # the days are known already, from the first pass
    observed = replace(observed, days=observed.days[:0])
    coverage = coverage_of_running(history)
    return Seen(observed, _without_frames(context), spread, history.dropped, coverage)


def count_again(pooled: Pooled) -> Tally:
    """Third pass: where the misses lie within the bins that the fleet's quantiles are in."""
    assert pooled.bins is not None
    return read_blend(_file(pooled.block, "blend"))[0].misses.lower(pooled.bins)


def highest(pooled: Pooled) -> Floats:
    """Fourth pass: the highest quantiles of the calibrated forecast, services x quantiles."""
    assert pooled.offsets is not None
    blend, centre, spread = read_blend(_file(pooled.block, "blend"))
    forecast = calibrated(blend, pooled.offsets, _LEVELS).forecast
    return highest_of_band(forecast, centre, spread, in_days(pooled.block.run.horizon) * 24)


def replay(decided: Decided) -> pd.DataFrame:
    """Last pass: what the limits would have done to the window."""
    run = decided.block.run
    try:
        history = _history(decided.block, (run.resource.usage, *_SIZES))
    except NoHistory:  # of this resource alone: what else there is has the time grid
        history = _history(decided.block, _FIRST)
    return replay_limits(_counted(history, run, decided.table.index), decided.table)


def _history(block: Block, signals: Iterable[Signal]) -> History:
    run, archive = block.run, Archive(block.run.settings.archive.path)
    history = load_history(
        archive,
        [archive.find(name) for name in run.sources],
        run.settings,
        start=run.start,
        end=run.end,
        signals=signals,
        only=frozenset(block.services),
    )
    return replace(history, measured_until=block.measured_until)


def _life(history: History, run: Run, services: Iterable[str]) -> pd.DataFrame:
    """Usage of these services in all hours."""
    return checked(history[run.resource.usage].reindex(columns=list(services)))


def _counted(history: History, run: Run, services: Iterable[str] | None = None) -> pd.DataFrame:
    """Usage of these services, or all, in the hours that count."""
    names = history.services if services is None else list(services)
    rules = service_rules(run.settings, names)
    return counted_hours(_life(history, run, names), run.resource, Context(rules=rules))[0]


def _days(days: Floats | None, count: int, where: NDArray[np.intp]) -> Floats:
    """Daily summaries of services at these places; NaN at -1."""
    out = np.full((count, len(where), len(STATS)), np.nan)
    if days is not None:
        out[:, where >= 0] = days[:, where[where >= 0]]
    return out


def _without_frames(context: Context) -> Context:
    return replace(
        context,
        throttled=None,
        oom_kills=None,
        memory_stalled=None,
        restarts=None,
        rss=None,
        past_peaks=None,
        uneven=None,
    )


def _file(block: Block, what: str) -> Path:
    return block.run.folder / f"{block.number:06d}-{what}.npz"
