"""`open_history` for people: a history whose services can be asked for by name."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity import _api, sizing
from capacity._common.text.suggest import no_such_service
from capacity._common.text.units import MIB, format_cores, format_memory
from capacity.errors import InputError
from capacity.history import History
from capacity.model import Reason, Resource, Signal
from capacity.reporting._analysis.host_limits import replicas_on
from capacity.reporting._explain.explain import Explanation, explain_service
from capacity.reporting._explain.explain_text import explanation_lines, policy_rows
from capacity.settings import Settings, load_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from capacity._common.progress import Progress

__all__ = ["Fleet", "FleetService", "Why", "open_history"]

_PRINT = {Resource.CPU: format_cores, Resource.MEMORY: format_memory}
_SCALED = {Resource.CPU: ("cpu, cores", 1.0), Resource.MEMORY: ("memory, GiB", 1024.0 * MIB)}
_COLUMNS = 2  # of small multiples


@dataclass
class _Made:
    """What was computed for a fleet once."""

    forecasts: dict[tuple[Resource, str], _api.Forecast] = field(default_factory=dict)
    limits: dict[tuple[Resource, str, float | None, str], _api.Recommendations] = field(
        default_factory=dict
    )


@dataclass(frozen=True, repr=False)
class Fleet(History):
    """A history whose services can be asked for by name: `fleet["shop/web"]`.

    All of `History` is there as well; `fleet["memory"]` is the frame of a signal.

    Attributes:
        settings: rules that limits follow.
    """

    settings: Settings = field(default_factory=load_settings)
    _made: _Made = field(default_factory=_Made, compare=False)

    def __post_init__(self) -> None:
        """A changed copy shares nothing that was computed for another fleet."""
        object.__setattr__(self, "_made", _Made())

    def __getitem__(self, name: Signal | str) -> pd.DataFrame | FleetService:  # type: ignore[override]  # also a service
        """The frame of a signal, or a service.

        Raises:
            InputError: neither is called so; with the names that are near.
        """
        if isinstance(name, Signal) or name in {str(signal) for signal in Signal}:
            return super().__getitem__(name)
        return self.service(name)

    def service(self, name: str) -> FleetService:
        """One service.

        Raises:
            InputError: there is none; with the names that are near.
        """
        if name not in self.services:
            raise no_such_service(name, self.services)
        return FleetService(self, name)

    def forecast(self, resource: Resource | str = "memory", horizon: str = "7D") -> _api.Forecast:
        """What each service will need; computed once."""
        key = (_api.resource_of(resource), horizon)
        if key not in self._made.forecasts:
            self._made.forecasts[key] = _api.forecast(self, key[0], horizon, settings=self.settings)
        return self._made.forecasts[key]

    def recommend(
        self,
        resource: Resource | str = "memory",
        *,
        horizon: str = "7D",
        risk: float | None = None,
        policy: str = "capacity",
    ) -> _api.Recommendations:
        """What each service's limit should be; computed once for the same arguments."""
        key = (_api.resource_of(resource), horizon, risk, policy)
        if key not in self._made.limits:
            self._made.limits[key] = _api.recommend(
                self,
                key[0],
                horizon=horizon,
                settings=self.settings,
                forecaster=self.forecast(key[0], horizon).model,
                policy=policy,
                risk=risk,
            )
        return self._made.limits[key]

    def what_if(self, growth: float = 1.0) -> pd.DataFrame:
        """What each host would carry if every service needed so many times what it does now.

        Args:
            growth: times the forecast peaks; 2 = doubled.

        Returns:
            host x, for `cpu, cores` and `memory, GiB`: `size`, `peaks` (sum of the median coming
            peaks of what runs, each as often as its service has replicas there), `limits` (sum of
            limits in force or proposed) and `fits` (whether the peaks do).

        Raises:
            InputError: `growth` is not above zero.
        """
        if not growth > 0:
            raise InputError(f"A growth of {growth} is not above zero", "2 doubles the need")
        parts = {}
        for resource in Resource:
            table, sizes = self.recommend(resource).table, self.whole().host_sizes(resource)
            limits = table["limit"].fillna(table["current"])
            rows = {}
            for host in _hosts_of(self.whole()):
                copies = replicas_on(self.whole(), host).reindex(table.index)
                rows[host] = {
                    "size": sizes.get(host, np.nan),
                    "peaks": float((table["peak"] * copies).sum()) * growth,
                    "limits": float((limits * copies).sum()),
                }
            part = pd.DataFrame.from_dict(rows, orient="index")
            fits = part["peaks"] <= part["size"]
            parts[_SCALED[resource][0]] = (part / _SCALED[resource][1]).round(2).assign(fits=fits)
        return pd.concat(parts, axis=1).rename_axis("host")

    def compare(
        self, services: Sequence[str], resource: Resource | str = "memory"
    ) -> Sequence[Axes]:
        """Small multiples: use and limit of several services on one time axis.

        Args:
            services: names, or globs such as `shop/*`.
            resource: `cpu` or `memory`.

        Raises:
            InputError: no service matches.
        """
        import matplotlib.pyplot as plt

        wanted = _api.resource_of(resource)
        names = [name for entry in services for name in self._matching(entry)]
        rows = -(-len(names) // _COLUMNS)
        figure, grid = plt.subplots(
            rows, _COLUMNS, sharex=True, squeeze=False, figsize=(11, 2.6 * rows)
        )
        drawn = list(grid.flat)
        for axes, name in zip(drawn, names, strict=False):
            self.service(name).plot(wanted, axes=axes)
        for axes in drawn[len(names) :]:
            axes.set_visible(False)
        figure.tight_layout()
        return drawn[: len(names)]

    def _matching(self, name: str) -> list[str]:
        found = self.select(name).services
        if not found:
            raise no_such_service(name, self.services)
        return found

    def _ipython_key_completions_(self) -> list[str]:
        return [*self.services, *map(str, Signal)]


@dataclass(frozen=True)
class FleetService:
    """One service of a fleet.

    Attributes:
        fleet: the fleet; forecasts and limits are made with all of it.
        name: `project/service`.
    """

    fleet: Fleet
    name: str

    @property
    def usage(self) -> pd.DataFrame:
        """Its use: UTC grid x `cpu` (cores) and `memory` (bytes); NaN = no sample."""
        return pd.DataFrame(
            {str(resource): self._usage(resource) for resource in Resource},
            index=self.fleet.memory.index,
        )

    @property
    def limits(self) -> pd.Series[float]:
        """The limits in force: `cpu` (cores) and `memory` (bytes); NaN = unlimited."""
        return pd.Series(
            {str(each): self.fleet.limits(each).get(self.name, float("nan")) for each in Resource}
        )

    def forecast(self, resource: Resource | str = "memory", horizon: str = "7D") -> pd.DataFrame:
        """Quantiles of its coming use: future grid x quantile, cores or bytes.

        Raises:
            InputError: it has no forecast, with the reason.
        """
        return self.fleet.forecast(resource, horizon)[self.name]

    def recommend(
        self,
        resource: Resource | str = "memory",
        *,
        horizon: str = "7D",
        risk: float | None = None,
        policy: str = "capacity",
    ) -> pd.Series:
        """What its limit should be, with the evidence: one row of `capacity.sizing.recommend`."""
        return self.fleet.recommend(resource, horizon=horizon, risk=risk, policy=policy)[self.name]

    def why(self, resource: Resource | str = "memory", *, horizon: str = "7D") -> Why:
        """The data behind its limit: peaks, events, and what other policies would have done."""
        wanted = _api.resource_of(resource)
        return Why(
            explain_service(self.fleet, self.name, wanted, self.fleet.settings, horizon=horizon)
        )

    def replay(
        self,
        resource: Resource | str = "memory",
        *,
        policies: Sequence[str] = ("capacity", "maximum", "krr"),
        risk: float = 0.02,
        first: str = "14D",
    ) -> pd.DataFrame:
        """What policies would have set in past weeks, and what became of it: one row a week and
        policy.
        """
        wanted = _api.resource_of(resource)
        usage = self.fleet.whole()[wanted.usage]
        assert isinstance(usage, pd.DataFrame)
        rows = sizing.replay(usage, signal=wanted, policies=policies, risk=(risk,), first=first)
        return rows[rows["service"] == self.name].reset_index(drop=True)

    def plot_rhythm(self, resource: Resource | str = "cpu", axes: Axes | None = None) -> Axes:
        """When it is busy: the mean of each hour of the week, UTC."""
        from capacity._common.plotting import plot_heatmap

        wanted = _api.resource_of(resource)
        usage = self._usage(wanted)
        index = pd.DatetimeIndex(usage.index)
        by_hour = pd.DataFrame({"use": usage, "day": index.day_of_week, "hour": index.hour})
        hours = by_hour.pivot_table(values="use", index="day", columns="hour", dropna=False)
        hours = hours.reindex(index=range(7), columns=range(24))
        drawn = plot_heatmap(hours, signal=wanted.usage, axes=axes)
        drawn.set_title(f"{self.name}, {wanted} by hour of the week")
        return drawn

    def slide(self, resource: Resource | str = "memory") -> Any:
        """A slider over the accepted risk that moves the limit and shows what it would have done to
        the past; a static figure where ipywidgets is not installed.
        """
        from capacity._explore.risk import RISKS, risk_slider

        wanted = _api.resource_of(resource)
        limits = {risk: self._limit_at(wanted, risk) for risk in RISKS}
        return risk_slider(self._usage(wanted), limits, wanted)

    def plot(self, resource: Resource | str = "memory", axes: Axes | None = None) -> Axes:
        """Its use, the limit in force and the one proposed."""
        from capacity._common.plotting import COLOURS, plot_usage

        wanted = _api.resource_of(resource)
        limit = float(self.limits[str(wanted)])
        drawn = plot_usage(self._usage(wanted), signal=wanted.usage, limit=limit, axes=axes)
        proposed = float(self.recommend(wanted)["limit"])
        if math.isfinite(proposed):
            drawn.axhline(proposed, label="proposed limit", color=COLOURS["second"], linestyle="--")
        drawn.set_title(f"{self.name}, {wanted}")
        drawn.legend(loc="upper left", fontsize="small")
        return drawn

    def __repr__(self) -> str:
        told = []
        for resource in Resource:
            show, row = _PRINT[resource], self.recommend(resource)
            limit = float(self.limits[str(resource)])
            now = show(limit) if math.isfinite(limit) else "no limit"
            then = f" -> {show(row['limit'])}" if math.isfinite(row["limit"]) else ""
            told.append(f"{resource} {now}{then} ({row['reason']})")
        return f"<{self.name}: {', '.join(told)}>"

    def _repr_html_(self) -> str:
        rows = []
        for resource in Resource:
            show, row = _PRINT[resource], self.recommend(resource)
            limit = float(self.limits[str(resource)])
            rows.append(
                {
                    "resource": str(resource),
                    "limit in force": show(limit) if math.isfinite(limit) else "none",
                    "proposed": show(row["limit"]) if math.isfinite(row["limit"]) else "-",
                    "highest, 14 days": show(row["observed_peak"]),
                    "coming peak, median": show(row["peak"]),
                    "why": Reason(row["reason"]).text,
                }
            )
        table = pd.DataFrame(rows).to_html(index=False, escape=True)
        return f"<p><b>{html.escape(self.name)}</b></p>{table}"

    def _limit_at(self, resource: Resource, risk: float) -> float:
        """What is proposed at a risk, or else is in force; NaN without either."""
        row = self.recommend(resource, risk=risk)
        return float(row["limit"] if math.isfinite(row["limit"]) else row["current"])

    def _usage(self, resource: Resource) -> pd.Series[float]:
        frame = self.fleet[resource.usage]
        assert isinstance(frame, pd.DataFrame)
        if self.name not in frame.columns:
            return pd.Series(float("nan"), index=frame.index, name=self.name)
        return frame[self.name]


@dataclass(frozen=True)
class Why:
    """The data behind a limit, in words."""

    explanation: Explanation

    def __repr__(self) -> str:
        policies = pd.DataFrame(policy_rows(self.explanation))
        return "\n".join(
            [*explanation_lines(self.explanation), "", policies.to_string(index=False)]
        )

    def _repr_html_(self) -> str:
        lines = "\n".join(explanation_lines(self.explanation))
        policies = pd.DataFrame(policy_rows(self.explanation)).to_html(index=False, escape=True)
        return f"<pre>{html.escape(lines)}</pre>{policies}"


def _hosts_of(history: History) -> list[str]:
    """The hosts that services are on."""
    named = {host for hosts in history.hosts.values() for host in hosts.split(",")}
    return sorted(named - {""})


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
) -> Fleet:
    """The history of a fleet over a window.

    The arguments are those of `capacity._api.open_history`.

    Returns:
        A `History` whose services can be asked for by name: `fleet["shop/web"].plot()`.

    Raises:
        UsageError, SourceError, StorageError, NoHistory: see `capacity.errors`.
    """
    settings = settings or load_settings()
    history = _api.open_history(
        source,
        as_of=as_of,
        window=window,
        services=services,
        signals=signals,
        offline=offline,
        refresh=refresh,
        settings=settings,
        progress=progress,
    )
    if history.last_sample is None:
        raise InputError(
            f"{history.source} has no samples in the window", "Give an earlier --as-of"
        )
    return Fleet(
        **{each.name: getattr(history, each.name) for each in fields(history)}, settings=settings
    )
