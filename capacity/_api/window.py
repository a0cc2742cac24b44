"""A window of history, brought into the archive as far as it is not there."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

import pandas as pd

from capacity._api.arguments import parse_time
from capacity._api.servers import bring
from capacity._common.history_milestones import history_milestones
from capacity._common.progress import Progress
from capacity._common.text.addresses import with_scheme
from capacity._common.text.lengths_of_time import parse_length
from capacity._common.text.printable import visible
from capacity._common.text.suggest import closest_names
from capacity.errors import InputError, NoHistory, SettingsError
from capacity.history._archive.archive import Archive
from capacity.history._archive.records import SourceRecord, plain_address
from capacity.history._history import History
from capacity.history._load import load_history
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._sample.generate import SAMPLE_END, SAMPLE_START, load_sample
from capacity.model import Signal
from capacity.settings._load import COLLECTED, Settings, override

__all__ = [
    "SAMPLE",
    "ArchivedWindow",
    "good_until",
    "no_service_matches",
    "prepare_window",
    "warn_of_unknown_services",
]

_log = logging.getLogger("capacity")

SAMPLE = "sample"
_AGELESS = pd.Timedelta("36500D")


@dataclass(frozen=True)
class ArchivedWindow:
    """A window whose history is at hand: in the archive, or in the sample.

    Attributes:
        source: `sample`, or the source's name in the archive; several are joined by commas.
        start: first moment, UTC.
        end: the moment after the last step, UTC.
        notes: what the reader should know.
        milestones: what a history that has just begun will be enough for, and when; else empty.
    """

    source: str
    start: pd.Timestamp
    end: pd.Timestamp
    notes: tuple[str, ...] = ()
    milestones: str = ""

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
            names = self.source.split(",")
            records, absent = _records(archive, names, settings)
            wanted = [Signal(signal) for signal in signals]
            try:
                history = load_history(
                    archive,
                    records,
                    settings,
                    start=self.start,
                    end=self.end,
                    signals=wanted,
                    notes=(*self.notes, *absent),
                )
            except NoHistory as error:
                raise NoHistory(error.message, self.milestones or error.hint) from error
            if settings.sources.keys() & names:  # runs are compared by it, so no address is in it
                history = replace(history, source=", ".join(names))
        if not services:
            warn_of_unknown_services(settings, history.services)
            return history
        chosen = history.select(services)
        if not chosen.services:
            raise no_service_matches(services, history.services)
        return chosen


def warn_of_unknown_services(settings: Settings, names: list[str]) -> None:
    """Warn of tables of the settings for services that there are none of: what they ask for, such
    as never to lower a limit, holds for nobody.
    """
    for glob in settings.services:
        if not any(fnmatchcase(name, glob) for name in names):
            near = closest_names(glob, names)
            hint = f"; did you mean {' or '.join(map(visible, near))}?" if near else ""
            _log.warning("the settings of services %s are of no service%s", visible(glob), hint)


def no_service_matches(services: str | Iterable[str], names: list[str]) -> InputError:
    """What to say of globs that fit none of these names."""
    near = closest_names(services, names) if isinstance(services, str) else []
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"Names are such as {', '.join(names[:3])}"
    )
    return InputError(f"No service matches {services!r}", hint)


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
    chosen = None if source is None or offline else settings.only(source)
    if chosen is not None:
        settings, source = chosen, None
    # with no server to ask, what was imported or collected is what there is
    alone = source is None and not settings.servers() and bool(archive.sources())
    if offline or alone or (source is not None and "://" not in source):
        return _from_archive(archive, source, settings, end - span, end)
    if source is not None:
        settings = _with_address(settings, source)
    brought = bring(
        settings,
        archive,
        start=end - span,
        end=end,
        signals=[Signal(signal) for signal in signals],
        refresh=refresh,
        progress=progress,
    )
    name = ",".join(brought.sources)
    return ArchivedWindow(name, end - span, end, brought.notes, brought.milestones)


def _from_archive(
    archive: Archive, source: str | None, settings: Settings, start: pd.Timestamp, end: pd.Timestamp
) -> ArchivedWindow:
    """A window of what is there."""
    names = _archived(archive, source, settings)
    begun = _milestones(archive, settings, end) if names == [COLLECTED] else ""
    return ArchivedWindow(",".join(names), start, end, (begun,) if begun else (), begun)


def _milestones(archive: Archive, settings: Settings, end: pd.Timestamp) -> str:
    """What a collector's samples of less than a day will be enough for; other archives do not grow
    by themselves.
    """
    record = archive.source(COLLECTED)
    query = record.queries.get(str(Signal.MEMORY)) if record is not None else None
    if query is None:
        return ""
    step = CATALOGUE[Signal.MEMORY].step(settings.report.step)
    before = end - pd.Timedelta(days=2)
    first = archive.begins(COLLECTED, Signal.MEMORY, query, step, after=before)
    if first is None or first <= (end - pd.Timedelta(days=1)).timestamp():
        return ""
    wanted = settings.report.window_days
    return history_milestones(first, end.timestamp(), settings.report.step, wanted)


def _archived(archive: Archive, source: str | None, settings: Settings) -> list[str]:
    """The names of the sources that are meant: those given, else those of the settings, else the
    only one.

    Raises:
        InputError: the archive holds none of them, or does not hold one that was named.
    """
    if source is not None:
        wanted = [source] if "://" in source else source.split(",")
        known = (name if name in settings.sources else archive.find(name).name for name in wanted)
        return list(dict.fromkeys(known))
    if settings.prometheus.url is not None:
        return [archive.find(plain_address(str(settings.prometheus.url))).name]
    if settings.sources:
        return [*settings.sources]
    # what this machine collects is its history, whatever server was once asked besides
    return [COLLECTED if archive.source(COLLECTED) is not None else archive.find(None).name]


def _records(
    archive: Archive, names: list[str], settings: Settings
) -> tuple[list[SourceRecord], tuple[str, ...]]:
    """The sources of those names, and what to say of the settings' that were never fetched.

    Raises:
        InputError: the archive holds none of them, or does not hold one of another name.
    """
    absent = [name for name in names if name in settings.sources and not archive.source(name)]
    held = [archive.find(name) for name in names if name not in absent]
    if not held:
        archive.find(absent[0])
    return held, tuple(f"{name} was never fetched: what it measures is missing." for name in absent)


def _with_address(settings: Settings, address: str) -> Settings:
    try:
        return override(settings, "prometheus__url", address)
    except SettingsError as error:
        raise InputError(f"{address!r} is no address", "Write it as http://host:9090") from error


def good_until(history: History, horizon: str | pd.Timedelta) -> datetime:
    """Until when a plan that was made from a history holds, UTC: for its horizon; the sample does
    not age, so that its plans can be tried on any day.
    """
    ahead = _AGELESS if history.source == SAMPLE else pd.Timedelta(horizon)
    return (history.end + ahead).to_pydatetime()
