"""What the calls answer with: tables that show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from capacity._api.window import good_until
from capacity._common.text.suggest import closest_names, no_such_service
from capacity._common.text.units import format_cores, format_memory
from capacity._common.version import VERSION
from capacity.changes import MadeFrom, Plan, make_plan, write_plan
from capacity.errors import InputError
from capacity.forecasting import Forecaster
from capacity.history import History
from capacity.history._data_quality import DataQuality, data_quality
from capacity.model import Resource
from capacity.settings import Settings
from capacity.sizing import changes_from

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Forecast", "Recommendations"]

_SHOWN = 60  # rows of a table in a notebook
_SHOWN_QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, repr=False)
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

    def __getitem__(self, service: str) -> pd.DataFrame:
        """The band of one service: future grid x quantile.

        Raises:
            InputError: it has none, with the reason.
        """
        self._known(service)
        bands: pd.DataFrame = self.bands.xs(service, axis=1, level="service")  # type: ignore[assignment]  # a frame, level by level
        return bands

    def plot(self, service: str, axes: Axes | None = None, limit: float | None = None) -> Axes:
        """Past and forecast of one service.

        Raises:
            InputError: it has none, with the reason.
        """
        from capacity._common.plotting import plot_bands

        bands = self[service]
        past = self.usage[service]
        drawn = plot_bands(past, bands, signal=self.signal.usage, limit=limit, axes=axes)
        drawn.set_title(f"{service}, {self.signal}: past and forecast")
        drawn.legend(loc="upper left", fontsize="small")
        return drawn

    def __repr__(self) -> str:
        last = f" to {self.bands.index[-1]:%Y-%m-%d %H:%M} UTC" if len(self.bands) else ""
        return (
            f"<Forecast {self.signal}: {len(self.peaks)} services{last}, {len(self.skipped)} "
            "without one>"
        )

    def _repr_html_(self) -> str:
        text = _printer(self.signal)
        shown = self.peaks[[level for level in _SHOWN_QUANTILES if level in self.peaks.columns]]
        shown = shown.rename(columns=lambda level: f"peak, {level:.0%}")
        return (
            shown.head(_SHOWN // 2).map(text).to_html(escape=True)
            + f"<p>{len(self.peaks)} services, quantiles of the peak</p>"
        )

    def _ipython_key_completions_(self) -> list[str]:
        return [str(name) for name in self.peaks.index]

    def _known(self, service: str) -> None:
        if service not in self.peaks.index:
            known = map(str, [*self.peaks.index, *self.skipped])
            reason = self.skipped.get(service, "there is no such service")
            near = [] if service in self.skipped else closest_names(service, known)
            raise InputError(
                f"There is no forecast of {service}: {reason}",
                f"Did you mean {' or '.join(near)}?"
                if near
                else "`peaks` lists the services that have one",
            )


@dataclass(frozen=True, repr=False)
class Recommendations:
    """Proposed limits of one resource.

    Attributes:
        table: what `capacity.sizing.recommend` returns.
        signal: `cpu` (cores) or `memory` (bytes).
        history: what they were made from.
        horizon: how far ahead the limits must hold.
        settings: what else decided.
        quality: whether the data is good enough to act on; None = the history's samples tell.
    """

    table: pd.DataFrame
    signal: Resource
    history: History
    horizon: str
    settings: Settings
    quality: DataQuality | None = None

    def __getitem__(self, service: str) -> pd.Series:
        """The row of one service.

        Raises:
            InputError: there is no such service.
        """
        if service not in self.table.index:
            raise no_such_service(service, map(str, self.table.index))
        row: pd.Series = self.table.loc[service]  # type: ignore[assignment]  # names are unique
        return row

    @property
    def changes(self) -> pd.DataFrame:
        """Only the rows that propose a change."""
        return self.table[self.table["limit"].notna()]

    def to_plan(self, path: str | Path) -> Plan:
        """Write the proposed changes as a plan, for `capacity apply PLAN`.

        Args:
            path: of the file, such as `plan.yaml`.

        Raises:
            StorageError: it cannot be written.
        """
        history = self.history
        plan = make_plan(
            changes_from(self.table, self.signal),
            hosts=dict(history.hosts),
            as_of=history.end.to_pydatetime(),
            valid_until=good_until(history, self.horizon),
            made_from=MadeFrom(
                history=history.fingerprint(),
                settings=self.settings.fingerprint(),
                code=VERSION,
                warning=self.data_quality.warning,
            ),
        )
        write_plan(plan, Path(path))
        return plan

    @property
    def data_quality(self) -> DataQuality:
        """Whether the data is good enough to act on, as the weekly report says it."""
        return self.quality or data_quality(self.history)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Limits in force and proposed, side by side for each service with a proposal."""
        from capacity._common.plotting import plot_limits

        return plot_limits(self.changes, signal=self.signal.usage, axes=axes)

    def __repr__(self) -> str:
        counts = self.table["action"].value_counts().sort_index()
        told = ", ".join(f"{count} {action}" for action, count in counts.items())
        return f"<Recommendations {self.signal}: {len(self.table)} services: {told or 'none'}>"

    def _repr_html_(self) -> str:
        text = _printer(self.signal)
        shown = self.table[["action", "reason"]].copy()
        for name in ("current", "limit", "peak_high", "observed_peak"):
            shown[name] = self.table[name].map(text)
        return shown.head(_SHOWN).to_html(escape=True)

    def _ipython_key_completions_(self) -> list[str]:
        return [str(name) for name in self.table.index]


def _printer(resource: Resource) -> Callable[[float], str]:
    return format_cores if resource is Resource.CPU else format_memory
