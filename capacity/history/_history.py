"""`History`: what happened, as one frame a signal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from capacity._common.text.counting import counted
from capacity.history._metrics.signals import CATALOGUE, SignalScope
from capacity.history._quality import last_seen, quality
from capacity.history._validity import DroppedSamples
from capacity.model import Resource, RestartLimit, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes

__all__ = ["History", "WholeFleet", "usage_frame"]

_HOUR = pd.Timedelta("1h")


def usage_frame(values: np.ndarray, names: list[str], start: int, step: int) -> pd.DataFrame:
    """A usage frame from an array of points x names; `start` in Unix seconds, `step` in seconds.

    Returns:
        float64 frame on a regular UTC `DatetimeIndex` (`freq` set), one column a name.
    """
    index = pd.date_range(
        pd.Timestamp(start, unit="s", tz="UTC"),
        periods=len(values),
        freq=pd.Timedelta(seconds=step),
        unit="s",
    )
    return pd.DataFrame(values, index=index, columns=pd.Index(names, dtype=object), copy=False)


@dataclass(frozen=True)
class WholeFleet:
    """What only the whole fleet tells, where a history holds a part of it.

    Attributes:
        newest: time of the newest usage sample of any service; None = there is none.
        told: signal of limits -> at which of its hours any limit was told.
        fingerprint: hash of what all of it was read from.
    """

    newest: pd.Timestamp | None
    told: Mapping[Signal, npt.NDArray[np.bool_]]
    fingerprint: str


@dataclass(frozen=True)
class History:
    """Usage of a fleet over a window.

    Attributes:
        frames: signal -> frame (UTC grid x services, hosts, cores or targets; float64; NaN = no
            sample). CPU in cores, memory
            in bytes, `throttled`, `core_busy` and `up` as shares, events as counts an hour. Hourly
            signals have an hourly grid.
        start: first moment of the window, UTC.
        end: the moment after its last step, UTC.
        step: between samples of usage.
        source: where it came from.
        hosts: service -> host, several joined by a comma.
        replicas: service -> containers that stood for it.
        uneven: service -> mean use of its busiest replica over that of all, of CPU or memory, of
            its most uneven day.
        queries: signal -> PromQL it was asked with.
        notes: what the reader should know: warnings of the server, signals it lacks.
        dropped: samples that cannot be true and are none in `frames`.
        past_peaks: resource -> highest sample of the archived days before the window, UTC days x
            services.
        measured_until: service -> newest sample of the sources that know it; of one source empty.
        only: the services to look at; None = all. Frames keep the whole fleet, since forecasts
            learn from it.
        fleet: what the whole fleet tells, where this is a part of it; None = this is all.
    """

    frames: Mapping[Signal, pd.DataFrame]
    start: pd.Timestamp
    end: pd.Timestamp
    step: pd.Timedelta
    source: str
    hosts: Mapping[str, str] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)
    uneven: Mapping[str, float] = field(default_factory=dict)
    queries: Mapping[Signal, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    dropped: tuple[DroppedSamples, ...] = ()
    past_peaks: Mapping[Resource, pd.DataFrame] = field(default_factory=dict)
    measured_until: Mapping[str, pd.Timestamp] = field(default_factory=dict)
    only: frozenset[str] | None = None
    fleet: WholeFleet | None = None

    def __getitem__(self, signal: Signal | str) -> pd.DataFrame:
        """The frame of a signal; without columns when there is no sample of it."""
        signal = Signal(signal)
        if signal in self.frames:
            frame = self.frames[signal]
            if self.only is None or CATALOGUE[signal].scope is not SignalScope.SERVICE:
                return frame
            return frame.loc[:, [name in self.only for name in frame.columns]]
        step = _HOUR if CATALOGUE[signal].hourly else self.step
        index = pd.date_range(self.start, self.end, freq=step, inclusive="left")
        return pd.DataFrame(index=index, columns=pd.Index([], dtype=object), dtype=np.float64)

    @property
    def cpu(self) -> pd.DataFrame:
        """CPU used, cores."""
        return self[Signal.CPU]

    @property
    def memory(self) -> pd.DataFrame:
        """Working set, bytes, maximum within each step."""
        return self[Signal.MEMORY]

    @property
    def services(self) -> list[str]:
        """Names of all services with CPU or memory samples, sorted."""
        return list(self._services)

    @cached_property
    def _services(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.cpu.columns) | set(self.memory.columns)))

    @cached_property
    def last_sample(self) -> pd.Timestamp | None:
        """Time of the newest usage sample of any service."""
        if self.fleet is not None:
            return self.fleet.newest
        seen = [last_seen(self[resource.usage]).max() for resource in Resource]
        known = [time for time in seen if not pd.isna(time)]
        return max(known) if known else None

    def coverage(self) -> pd.DataFrame:
        """Data quality: one row a service.

        Returns:
            columns `dropped` (samples of CPU and memory that cannot be true), `coverage` (share of
            the window's steps with a sample of both CPU and memory), `alive` (the same between its
            first and last sample), `first`, `last` (UTC), `longest_gap` (between those), `host`,
            `replicas`.
        """
        return self._coverage.copy()

    @cached_property
    def _coverage(self) -> pd.DataFrame:
        services = self.services
        known = np.zeros((len(self.memory.index), len(services)), dtype=bool)
        present = [resource.usage for resource in Resource if len(self[resource.usage].columns)]
        if present:
            known[:] = True
        for signal in present:
            known &= self[signal].reindex(columns=services).notna().to_numpy()
        dropped, used = dict.fromkeys(services, 0), {resource.usage for resource in Resource}
        for entry in self.dropped:
            if entry.name in dropped and entry.signal in used:
                dropped[entry.name] += entry.count
        return quality(known, pd.DatetimeIndex(self.memory.index), services, self.step).assign(
            dropped=list(dropped.values()),
            host=[self.hosts.get(name, "") for name in services],
            replicas=[self.replicas.get(name, 1) for name in services],
        )

    def limits(self, resource: Resource | str) -> pd.Series[float]:
        """The limit in force when each service was last seen; NaN = unlimited. Cores or bytes,
        indexed by service.

        A limit that was lifted must not linger: only the last two hours of a service's own life
        count.
        """
        resource = Resource(resource)
        frame = self[resource.limit]
        limits = frame.reindex(columns=self.services)
        last = self._last_seen
        index = pd.DatetimeIndex(limits.index)
        known = last.notna().to_numpy()
        moments = pd.DatetimeIndex(last.fillna(self.start))
        place = index.searchsorted(moments, side="right") - 1
        values, columns = limits.to_numpy(np.float64), np.arange(len(self.services))
        found = np.full(len(columns), np.nan)
        back = max(1, round(2 * _HOUR / (index[1] - index[0]))) if len(index) > 1 else 1
        for steps in range(back, -1, -1):  # from the oldest on, so that the newest known one stays
            row = place - steps
            inside = known & (row >= 0)
            inside[inside] &= index[row[inside]] >= moments[inside] - 2 * _HOUR
            seen = np.where(
                inside, values[np.where(inside, row, 0), columns] if len(values) else np.nan, np.nan
            )
            found = np.where(np.isfinite(seen), seen, found)
        return pd.Series(
            found,
            index=pd.Index(self.services, dtype=object),
            dtype=np.float64,
            name=str(resource.limit),
        )

    def host_size(self, resource: Resource | str) -> pd.Series[float]:
        """Cores or bytes that the host of each service had last (the smallest, if several); NaN =
        unknown.
        """
        sizes = self.host_sizes(resource)
        smallest = {
            service: min(
                (sizes[host] for host in self.hosts.get(service, "").split(",") if host in sizes),
                default=np.nan,
            )
            for service in self.services
        }
        return pd.Series(smallest, dtype=np.float64, name=sizes.name)

    def host_sizes(self, resource: Resource | str) -> pd.Series[float]:
        """Cores or bytes that each host had last, as far as known."""
        signal = (
            Signal.HOST_CORES if Resource(resource) is Resource.CPU else Signal.HOST_MEMORY_TOTAL
        )
        known = self[signal].ffill().tail(1)
        sizes = known.iloc[0].dropna() if len(known) else pd.Series(dtype=np.float64)
        return sizes.rename(str(signal))

    def knows_limits(self) -> bool:
        """Whether the source measures limits at all; without that, no limit seen does not mean that
        there is none.
        """
        return any(resource.limit in self.queries for resource in Resource)

    def limits_unseen(self) -> frozenset[str]:
        """Services that no whole hour has passed over yet: limits are told by the hour, so none
        seen does not mean that they have none.
        """
        first = self.coverage()["first"]
        told = (self.end - pd.Timedelta("1ns")).floor("1h")  # the end itself is not in the window
        return frozenset(map(str, first.index[first > told]))

    def limit_since(self, resource: Resource | str) -> pd.Series[pd.Timestamp]:
        """Since when each service's present limit, or that it has none, has been in force, as far
        as the window shows: the last moment at which it was otherwise, or the window's start.
        """
        limits, last = self[Resource(resource).limit], self.limits(resource)
        values = limits.to_numpy(np.float64)
        now = last.reindex(limits.columns).to_numpy()[None, :]
        unlimited = self._seen_until(Resource(resource), limits) & np.isnan(values)
        other = np.where(np.isfinite(values), values != now, unlimited & np.isfinite(now))
        newest = (
            len(values) - 1 - other[::-1].argmax(axis=0)
            if len(values)
            else np.zeros(len(limits.columns), np.intp)
        )
        moments = [
            limits.index[row] if was else self.start
            for row, was in zip(newest, other.any(axis=0), strict=True)
        ]
        return pd.Series(moments, index=limits.columns, dtype="datetime64[s, UTC]")

    def _seen_until(self, resource: Resource, limits: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Whether each service was seen in the time up to each row of limits, where any limit was
        told at all.
        """
        width = limits.index[1] - limits.index[0] if len(limits) > 1 else pd.Timedelta("1h")
        seen = self[resource.usage].notna().resample(width, closed="right", label="right").max()
        alive = seen.reindex(index=limits.index, columns=limits.columns).fillna(0).to_numpy(bool)
        return alive & self.limits_told(resource)[:, None]

    def limits_told(self, resource: Resource) -> npt.NDArray[np.bool_]:
        """At which hours of its limits any limit was told, of whichever service."""
        if self.fleet is not None and resource.limit in self.fleet.told:
            return self.fleet.told[resource.limit]
        return self[resource.limit].notna().any(axis=1).to_numpy()

    def restarts(self, days: float = 1.0) -> pd.DataFrame:
        """Restarts of each service in the last days: `total`, and `worst_hour`; NaN where none were
        counted.
        """
        events = self[Signal.RESTARTS]
        recent = events.loc[events.index >= self.end - pd.Timedelta(days=days)]
        return pd.DataFrame({"total": recent.sum(min_count=1), "worst_hour": recent.max()})

    def restarting(self, limit: RestartLimit | None = None) -> pd.DataFrame:
        """The rows of `restarts` of services in a restart loop in the last day, and of those that
        may be: `loop` is True, or None where counts by the hour cannot tell.
        """
        limit, counted = limit or RestartLimit(), self.restarts().dropna()
        verdicts = [limit.is_loop(row["total"], row["worst_hour"]) for _, row in counted.iterrows()]
        counted["loop"] = pd.Series(verdicts, index=counted.index, dtype=object)
        return counted[[loop is not False for loop in verdicts]]

    def running(self) -> pd.Series[bool]:
        """Whether each service had a sample in the last hour (or 3 steps) of the data of its
        source.
        """
        newest, last = self.last_sample, self._last_seen
        if newest is None:
            return pd.Series(False, index=self.services)
        until = [min(newest, self.measured_until.get(name, newest)) for name in self.services]
        return last >= pd.DatetimeIndex(until) - max(_HOUR, 3 * self.step)

    @cached_property
    def _last_seen(self) -> pd.Series[pd.Timestamp]:
        """Time of each service's last sample of CPU or memory."""
        seen = [last_seen(self[resource.usage]) for resource in Resource]
        return pd.concat(seen, axis=1).max(axis=1).reindex(self.services)

    def select(self, patterns: str | Iterable[str]) -> History:
        """A view of the services that match one of the globs (`shop/*`); hosts and targets stay."""
        globs = [patterns] if isinstance(patterns, str) else list(patterns)
        chosen = frozenset(
            name for name in self.services if any(fnmatchcase(name, glob) for glob in globs)
        )
        return replace(self, only=chosen)

    def whole(self) -> History:
        """The whole fleet again."""
        return replace(self, only=None)

    def between(self, start: pd.Timestamp, end: pd.Timestamp) -> History:
        """The part from `start` up to but without `end`; who had no usage in it is not in it."""
        frames = {
            signal: frame.iloc[slice(*frame.index.searchsorted([start, end]))]  # no copy
            for signal, frame in self.frames.items()
        }
        for signal in {resource.usage for resource in Resource} & frames.keys():
            used = frames[signal].notna().any().to_numpy()
            if not used.all():
                frames[signal] = frames[signal].loc[:, used]
        return replace(self, frames=frames, start=start, end=end)

    def fingerprint(self) -> str:
        """Hash of every sample, its time and its name: what a result was computed from."""
        if self.fleet is not None:
            return self.fleet.fingerprint
        digest = hashlib.sha256(repr(self.only and sorted(self.only)).encode())
        frames: dict[str, pd.DataFrame] = {str(name): self.frames[name] for name in self.frames}
        frames |= {f"past {name}": frame for name, frame in self.past_peaks.items()}
        for signal in sorted(frames):
            frame = frames[signal]
            if frame.empty:
                continue
            shape = f"{signal} {frame.index[0].isoformat()} {len(frame)} {list(frame.columns)!r}"
            digest.update(shape.encode())
            digest.update(np.ascontiguousarray(frame.to_numpy(np.float64)).data)
        return digest.hexdigest()[:16]

    def plot(
        self, service: str, axes: Axes | None = None, signal: Signal | str = Signal.MEMORY
    ) -> Axes:
        """One service's usage and limit on matplotlib axes."""
        from capacity._common.plotting import plot_usage

        signal = Signal(signal)
        limit = (
            self.limits(signal.value).get(service)
            if signal in {Signal.CPU, Signal.MEMORY}
            else None
        )
        return plot_usage(self[signal][service], signal=signal, limit=limit, axes=axes)

    def __repr__(self) -> str:
        last = self.last_sample
        return (
            f"<History {self.source}: {counted(len(self.services), 'service')}, "
            f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"
            f" every {int(self.step.total_seconds())} s, last sample {last:%Y-%m-%d %H:%M}>"
            if last is not None
            else f"<History {self.source}: empty>"
        )

    def _repr_html_(self) -> str:
        from capacity._common.text.escape import html_text

        return f"<p>{html_text(repr(self))}</p>" + self.coverage().head(20).to_html(
            escape=True, float_format="{:.3f}".format
        )
