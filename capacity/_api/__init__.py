"""The calls that read well in a notebook cell: `open_history`, `forecast`, `recommend`."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pandas as pd

from capacity import sizing
from capacity._api.sizing_inputs import sizing_context
from capacity._common.suggest import closest_names
from capacity._common.units import format_cores, format_memory, parse_cores, parse_memory
from capacity.errors import InputError, NoHistory, SettingsError
from capacity.forecasting import Forecaster
from capacity.history._archive import Archive
from capacity.history._fetch import fetch
from capacity.history._load import load_history
from capacity.history._prometheus.client import PrometheusSource
from capacity.history._prometheus.transport import plain_address
from capacity.history._sample.generate import SAMPLE_END, load_sample
from capacity.model import Resource, Signal
from capacity.settings import Settings, load_settings, override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from matplotlib.axes import Axes

    from capacity._common.progress import Progress
    from capacity.history import History

__all__ = [
    "SAMPLE",
    "ArchivedWindow",
    "Forecast",
    "Recommendations",
    "forecast",
    "open_history",
    "parse_length",
    "parse_time",
]
__all__ += ["predict_with", "prepare_window", "recommend", "resource_of"]

SAMPLE = "sample"


def open_history(
    source: str | None = None,
    *,
    as_of: str | pd.Timestamp | None = None,
    window: str | None = None,
    services: str | Iterable[str] | None = None,
    signals: Iterable[Signal | str] = tuple(Signal),
    offline: bool = False,
    refresh: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> History:
    """The history of a fleet over a window.

    Args:
        source: `sample`, the address of a metrics server, the name of a source in the archive, or
            None for `prometheus.url` of the settings (offline: for the only source there is).
        as_of: end of the window, UTC unless it says otherwise; default now (for the sample its
            end).
        window: length of the window such as `28D`; default from the settings.
        services: globs such as `shop/*`; default all.
        signals: which signals; default all.
        offline: use the archive alone.
        refresh: ask the server again for days that are there.
        settings: default `capacity.toml` and the environment.
        progress: told about each fetched day.

    Raises:
        UsageError, SourceError, StorageError, NoHistory: see `capacity.errors`.
    """
    settings = settings or load_settings()
    window_of = prepare_window(
        settings,
        source=source,
        as_of=as_of,
        window=window,
        signals=signals,
        offline=offline,
        refresh=refresh,
        progress=progress,
    )
    return window_of.load(settings, signals=signals, services=services)


@dataclass(frozen=True)
class ArchivedWindow:
    """A window whose history is at hand: in the archive, or in the sample.

    Attributes:
        source: `sample`, or the source's name in the archive.
        start: first moment, UTC.
        end: the moment after the last step, UTC.
        notes: what the reader should know.
    """

    source: str
    start: pd.Timestamp
    end: pd.Timestamp
    notes: tuple[str, ...] = ()

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
            history = load_history(
                archive,
                record,
                settings,
                start=self.start,
                end=self.end,
                signals=wanted,
                notes=self.notes,
            )
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
        return ArchivedWindow(SAMPLE, end - span, end)
    now = pd.Timestamp.now(tz="UTC")
    end = (end or now).floor(pd.Timedelta(seconds=settings.report.step))
    if end > now:
        hint = "Give an --as-of that has passed; mind this machine's clock"
        raise InputError(f"{end:%Y-%m-%d %H:%M} UTC is in the future", hint)
    archive = Archive(settings.archive.path)
    if offline or (source is not None and "://" not in source):
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
    return ArchivedWindow(done.source.name, end - span, end, done.warnings)


@dataclass(frozen=True)
class Forecast:
    """A forecast of one signal.

    Attributes:
        usage: the past it was made from, UTC grid x services.
        bands: future grid x (service, quantile).
        peaks: service x quantile of the maximum over the horizon; at most what the host has.
        signal: `cpu` (cores) or `memory` (bytes).
        skipped: service -> why there is no forecast.
        model: the fitted forecaster.
    """

    usage: pd.DataFrame
    bands: pd.DataFrame
    peaks: pd.DataFrame
    signal: Resource
    skipped: dict[str, str]
    model: Forecaster

    def plot(self, service: str, axes: Axes | None = None, limit: float | None = None) -> Axes:
        """Past and forecast of one service."""
        from capacity._common.plotting import plot_bands

        if service not in self.peaks.index:
            reason = self.skipped.get(service, "no such service")
            raise InputError(
                f"There is no forecast of {service}: {reason}",
                "`peaks` lists the services that have one",
            )
        past = self.usage[service]
        bands: pd.DataFrame = self.bands.xs(service, axis=1, level="service")  # type: ignore[assignment]  # a frame, level by level
        return plot_bands(past, bands, signal=self.signal.usage, limit=limit, axes=axes)

    def _repr_html_(self) -> str:
        text = _printer(self.signal)
        return (
            self.peaks.head(30).map(text).to_html(escape=True)
            + f"<p>{len(self.peaks)} services, peak quantiles</p>"
        )


@dataclass(frozen=True)
class Recommendations:
    """Proposed limits of one resource: `table` is what `capacity.sizing.recommend` returns."""

    table: pd.DataFrame
    signal: Resource

    @property
    def changes(self) -> pd.DataFrame:
        """Only the rows that propose a change."""
        return self.table[self.table["limit"].notna()]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Limits in force and proposed, side by side for each service with a proposal."""
        from capacity._common.plotting import plot_limits

        return plot_limits(self.changes, signal=self.signal.usage, axes=axes)

    def _repr_html_(self) -> str:
        text = _printer(self.signal)
        shown = self.table[["action", "reason"]].copy()
        for name in ("current", "limit", "peak_high", "observed_peak"):
            shown[name] = self.table[name].map(text)
        return shown.head(60).to_html(escape=True)


def forecast(
    history: History,
    signal: Resource | str = Resource.MEMORY,
    horizon: str = "7D",
    every: str | None = "1h",
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """What each service will need.

    Args:
        history: from `open_history`.
        signal: `cpu` or `memory`.
        horizon: how far ahead.
        every: thin the future grid to these steps; None = the history's own.
        settings: holidays, and what is known of single services; default `capacity.toml` and the
            environment.
        progress: told about each part of the fleet.
    """
    resource = resource_of(signal)
    model = _forecaster(settings or load_settings(), history, resource, progress)
    usage = history[resource.usage]
    peaks = model.predict_peak(horizon)
    shown = [name for name in peaks.index if name in usage.columns]
    bands = model.predict(horizon, every=every)
    bands = bands if len(shown) == len(peaks) else bands.loc[:, shown]
    skipped = {name: why for name, why in model.skipped_.items() if name in usage.columns}
    return Forecast(usage, bands, peaks.loc[shown], resource, skipped, model)


def predict_with(
    folder: Path, signal: Resource | str, horizon: str = "7D", services: str | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Peak quantiles (service x quantile) and skipped services of the model that
    `capacity forecast --train` kept in `folder`.

    Raises:
        InputError: no model of this signal there, or an old, foreign or damaged one; it is refused
            by name. Or no service matches `services`.
    """
    model = Forecaster.load(folder / resource_of(signal).value)
    peaks = model.predict_peak(horizon)
    if services:
        known = [*map(str, peaks.index), *map(str, model.skipped_)]
        if not any(fnmatchcase(name, services) for name in known):
            raise InputError(
                f"No service of this model matches {services!r}",
                f"Names are such as {', '.join(known[:3])}",
            )
        peaks = peaks[[fnmatchcase(str(name), services) for name in peaks.index]]
    return peaks, dict(model.skipped_)


def _forecaster(
    settings: Settings, history: History, resource: Resource, progress: Progress | None = None
) -> Forecaster:
    """A fitted forecaster that knows what people know about services and the calendar, and the size
    of hosts.
    """
    fleet = history.whole()
    usage = fleet[resource.usage]
    sizes = fleet.host_size(resource).dropna()
    ignore, change_points, exclude = [], [], []
    for name in map(str, usage.columns):
        for glob, known in settings.services.items():
            if fnmatchcase(name, glob):
                ignore += [(name, start, end) for start, end in known.ignore]
                change_points += [(name, when) for when in known.change_points]
                exclude += [name] if known.exclude else []
    return Forecaster(
        quantiles=sizing.PEAK_QUANTILES,
        ignore=tuple(ignore),
        change_points=tuple(change_points),
        holidays=tuple(settings.forecast.holidays),
        exclude=tuple(exclude),
        ceiling=tuple((str(name), float(size)) for name, size in sizes.items()),
    ).fit(usage, progress=progress)


def recommend(
    history: History,
    signal: Resource | str = Resource.MEMORY,
    *,
    horizon: str = "7D",
    settings: Settings | None = None,
    forecaster: Forecaster | None = None,
    policy: str = "capacity",
    risk: float | None = None,
    budget: float | None = None,
) -> Recommendations:
    """What each service's limit should be, with all that the history knows: limits in force,
    throttling, kills, host size.

    Args:
        history: from `open_history`.
        signal: `cpu` or `memory`.
        horizon: how far ahead the limits must hold.
        settings: rules of the settings; default `capacity.toml` and the environment.
        forecaster: one fitted on this history.
        policy: name in `capacity.sizing.POLICIES`.
        risk: accepted share of services whose peak passes its limit; default from the settings.
        budget: what all limits may add up to, cores or bytes.
    """
    settings = settings or load_settings()
    resource = resource_of(signal)
    rules = settings.sizing
    forecaster = forecaster or _forecaster(settings, history, resource)
    # limits are chosen together, so a choice of services is made after; only a budget is that of
    # the chosen ones
    fleet = history if budget is not None else history.whole()
    table = sizing.recommend(
        fleet[resource.usage].reindex(columns=fleet.services),
        signal=resource,
        current=fleet.limits(resource),
        ceiling=fleet.host_size(resource),
        horizon=horizon,
        risk=risk
        if risk is not None
        else rules.risk
        if resource is Resource.MEMORY
        else rules.cpu_risk,
        policy=policy,
        budget=budget,
        context=sizing_context(fleet, resource, settings, forecaster),
    ).loc[history.services]
    return Recommendations(table, resource)


def parse_time(text: str | pd.Timestamp) -> pd.Timestamp:
    """A moment in UTC; text without a zone is UTC.

    Raises:
        InputError: not a time.
    """
    try:
        time = pd.Timestamp(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no time", "Write it as 2026-11-23 or 2026-11-23T06:00"
        ) from error
    if pd.isna(time):
        raise InputError(f"{text!r} is no time", "Write it as 2026-11-23 or 2026-11-23T06:00")
    return time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")


def parse_length(text: str) -> pd.Timedelta:
    """A length of time such as `28D` or `36h`.

    Raises:
        InputError: not a length, or not longer than nothing.
    """
    try:
        length = pd.Timedelta(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no length of time", "Write it as 28D or 36h") from error
    if not length > pd.Timedelta(0):
        raise InputError(f"{text!r} is no length of time above zero", "Write it as 28D or 36h")
    return length


def parse_amount(text: str | None, signal: Resource | str) -> float | None:
    """An amount of a resource: `64g` as Docker writes memory, a number of cores for cpu; None stays
    None.

    Raises:
        InputError: not an amount.
    """
    if text is None:
        return None
    if resource_of(signal) is Resource.MEMORY:
        return float(parse_memory(text))
    return parse_cores(text)


def resource_of(signal: Resource | str) -> Resource:
    """A resource by name; InputError where it is neither."""
    try:
        return Resource(signal)
    except ValueError as error:
        raise InputError(
            f"{signal!r} is neither cpu nor memory", "Only these two are forecast and limited"
        ) from error


def _configured(settings: Settings) -> str | None:
    return plain_address(str(settings.prometheus.url)) if settings.prometheus.url else None


def _with_address(settings: Settings, address: str) -> Settings:
    try:
        return override(settings, "prometheus__url", address)
    except SettingsError as error:
        raise InputError(f"{address!r} is no address", "Write it as http://host:9090") from error


def _printer(resource: Resource) -> Callable[[float], str]:
    return format_cores if resource is Resource.CPU else format_memory
