"""Several metrics servers asked one after the other, each into its own part of one archive."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

import pandas as pd

from capacity._common.history_milestones import history_milestones
from capacity._common.progress import Progress
from capacity.errors import NoHistory, SourceError
from capacity.history._archive.archive import Archive
from capacity.history._fetch.fetch import fetch
from capacity.history._fetch.first_samples import days_back, first_sample, memory_series
from capacity.history._metrics.profiles import find_profile
from capacity.history._prometheus.client import PrometheusSource
from capacity.model import Signal
from capacity.settings._load import Settings

__all__ = ["Brought", "bring"]

_log = logging.getLogger("capacity")


@dataclass(frozen=True)
class Brought:
    """What a fetch from all servers left.

    Attributes:
        sources: names in the archive, also of servers that did not answer.
        notes: what the servers warned of, and those that did not answer.
        milestones: what a history that has just begun will be enough for; empty once it is.
    """

    sources: tuple[str, ...]
    notes: tuple[str, ...]
    milestones: str = ""


def bring(
    settings: Settings,
    archive: Archive,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal],
    refresh: bool = False,
    progress: Progress | None = None,
) -> Brought:
    """Bring the archive up to date with every server of the settings; one that is down keeps none
    of the others from being asked.

    Raises:
        SourceError: no server answered.
        NoHistory: no server has metrics of containers in the window.
        StorageError: the archive cannot be written.
    """
    wanted = tuple(signals)
    servers = settings.servers() or {"": settings}  # without any, the server's client says so
    found: list[Brought] = []
    failed: dict[str, SourceError | NoHistory] = {}
    for name, its in servers.items():
        try:
            with closing(PrometheusSource(its.prometheus)) as server:
                found.append(
                    _from_one(
                        server,
                        archive,
                        its,
                        name,
                        start=start,
                        end=end,
                        signals=wanted,
                        refresh=refresh,
                        progress=progress,
                    )
                )
        except (SourceError, NoHistory) as error:
            if len(servers) == 1:
                raise
            failed[name] = error
            _log.warning("%s is left out: %s", name, error.message)
    if not found:
        raise next(iter(failed.values()))
    read = [name for each in found for name in each.sources]
    return Brought(
        tuple(name for name in servers if name) or tuple(read),
        tuple(note for each in found for note in each.notes)
        + tuple(f"{name} was not read: {error.message}" for name, error in failed.items()),
        next((each.milestones for each in found if each.milestones), "")
        if all(each.milestones for each in found)
        else "",
    )


def _from_one(
    server: PrometheusSource,
    archive: Archive,
    settings: Settings,
    name: str,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: tuple[Signal, ...],
    refresh: bool,
    progress: Progress | None,
) -> Brought:
    done = fetch(
        server,
        archive,
        settings,
        start=start,
        end=end,
        signals=signals,
        name=name,
        refresh=refresh,
        progress=progress,
    )
    if {Signal.CPU, Signal.MEMORY} <= {*done.missing}:
        hint = (
            "Scrape cAdvisor on every host, or name its metrics in [metrics]; `capacity doctor` "
            "shows what is there"
        )
        raise NoHistory(f"{server.address} has no metrics of containers in the window", hint)
    begun = _milestones(server, settings, end)
    told = (*done.warnings, begun) if begun else done.warnings
    notes = tuple(f"{name}: {note}" if name else note for note in told)
    return Brought((done.source.name,), notes, begun)


def _milestones(server: PrometheusSource, settings: Settings, end: pd.Timestamp) -> str:
    """What a server whose samples are less than a day old will be enough for."""
    at, wanted = int(end.timestamp()), settings.report.window_days
    try:
        names = server.metric_names(at - 3600, at + settings.report.step)
        profile = find_profile(names, settings.metrics, settings.prometheus.profile)
        series = memory_series(profile, settings, names)
        if series is None or days_back(server, series, at, wanted):
            return ""
        first = first_sample(server, series, at + settings.report.step)
    except SourceError:  # it has answered all else; this is a word more
        return ""
    if first is None:
        return ""
    return history_milestones(first, at, settings.report.step, wanted)
