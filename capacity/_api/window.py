"""A window of history, brought into the archive as far as it is not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from capacity._api.arguments import parse_length, parse_time
from capacity._common.addresses import with_scheme
from capacity._common.first_days import first_days
from capacity._common.progress import Progress
from capacity._common.text.suggest import closest_names
from capacity.errors import InputError, NoHistory, SettingsError, SourceError
from capacity.history._archive.archive import Archive, plain_address
from capacity.history._fetch.fetch import fetch
from capacity.history._fetch.first_samples import days_back, first_sample, memory_series
from capacity.history._history import History
from capacity.history._load import load_history
from capacity.history._metrics.profiles import find_profile
from capacity.history._prometheus.client import PrometheusSource
from capacity.history._sample.generate import SAMPLE_END, SAMPLE_START, load_sample
from capacity.model import Signal
from capacity.settings._load import Settings, override

__all__ = ["SAMPLE", "ArchivedWindow", "prepare_window"]

SAMPLE = "sample"


@dataclass(frozen=True)
class ArchivedWindow:
    """A window whose history is at hand: in the archive, or in the sample.

    Attributes:
        source: `sample`, or the source's name in the archive.
        start: first moment, UTC.
        end: the moment after the last step, UTC.
        notes: what the reader should know.
        first_days: what a history that has just begun will be enough for, and when; else empty.
    """

    source: str
    start: pd.Timestamp
    end: pd.Timestamp
    notes: tuple[str, ...] = ()
    first_days: str = ""

    def load(
        self,
        settings: Settings,
        *,
        signals: Iterable[Signal | str] = tuple(Signal),
        services: str | Iterable[str] | None = None,
    ) -> History:
        """The history of this window.

        Raises:
            NoHistory: there are no samples in it.
            InputError: no service matches `services`.
        """
        if self.source == SAMPLE:
            history = load_sample(self.start, self.end)
        else:
            archive = Archive(settings.archive.path)
            record = archive.find(self.source)
            wanted = [Signal(signal) for signal in signals]
            try:
                history = load_history(
                    archive,
                    record,
                    settings,
                    start=self.start,
                    end=self.end,
                    signals=wanted,
                    notes=self.notes,
                )
            except NoHistory as error:
                raise NoHistory(error.message, self.first_days or error.hint) from error
        if not services:
            return history
        chosen = history.select(services)
        if not chosen.services:
            near = closest_names(services, history.services) if isinstance(services, str) else []
            hint = (
                f"Did you mean {' or '.join(near)}?"
                if near
                else f"Names are such as {', '.join(history.services[:3])}"
            )
            raise InputError(f"No service matches {services!r}", hint)
        return chosen


def prepare_window(
    settings: Settings,
    *,
    source: str | None = None,
    as_of: str | pd.Timestamp | None = None,
    window: str | None = None,
    signals: Iterable[Signal | str] = tuple(Signal),
    offline: bool = False,
    refresh: bool = False,
    progress: Progress | None = None,
) -> ArchivedWindow:
    """Bring the history of a window into the archive, as far as it is not there; arguments as of
    `open_history`.
    """
    span = parse_length(window or f"{settings.report.window_days}D")
    end = parse_time(as_of) if as_of is not None else None
    if source == SAMPLE:
        end = end or SAMPLE_END
        if end > SAMPLE_END:
            raise InputError(
                f"{end:%Y-%m-%d %H:%M} UTC is beyond the sample fleet, which ends at "
                f"{SAMPLE_END:%Y-%m-%d %H:%M}",
                f"Give an --as-of from {SAMPLE_START:%Y-%m-%d} to {SAMPLE_END:%Y-%m-%d}",
            )
        return ArchivedWindow(SAMPLE, end - span, end)
    now = pd.Timestamp.now(tz="UTC")
    end = (end or now).floor(pd.Timedelta(seconds=settings.report.step))
    if end > now:
        hint = "Give an --as-of that has passed; mind this machine's clock"
        raise InputError(f"{end:%Y-%m-%d %H:%M} UTC is in the future", hint)
    archive = Archive(settings.archive.path)
    source = None if source is None else with_scheme(source)
    # with no server to ask, what was imported or collected is what there is
    alone = source is None and settings.prometheus.url is None and bool(archive.sources())
    if offline or alone or (source is not None and "://" not in source):
        return ArchivedWindow(archive.find(source or _configured(settings)).name, end - span, end)
    if source is not None:
        settings = _with_address(settings, source)
    server = PrometheusSource(settings.prometheus)
    wanted = [Signal(signal) for signal in signals]
    done = fetch(
        server,
        archive,
        settings,
        start=end - span,
        end=end,
        signals=wanted,
        refresh=refresh,
        progress=progress,
    )
    if {Signal.CPU, Signal.MEMORY} <= {*done.missing}:
        hint = (
            "Scrape cAdvisor on every host, or name its metrics in [metrics]; `capacity doctor` "
            "shows what is there"
        )
        raise NoHistory(f"{server.address} has no metrics of containers in the window", hint)
    begun = _first_days(server, settings, end)
    notes = (*done.warnings, begun) if begun else done.warnings
    return ArchivedWindow(done.source.name, end - span, end, notes, begun)


def _first_days(server: PrometheusSource, settings: Settings, end: pd.Timestamp) -> str:
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
    return first_days(first, at, settings.report.step, wanted)


def _configured(settings: Settings) -> str | None:
    return plain_address(str(settings.prometheus.url)) if settings.prometheus.url else None


def _with_address(settings: Settings, address: str) -> Settings:
    try:
        return override(settings, "prometheus__url", address)
    except SettingsError as error:
        raise InputError(f"{address!r} is no address", "Write it as http://host:9090") from error
