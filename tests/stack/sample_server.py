"""The sample fleet as cAdvisor and node_exporter would have exported it, for a real metrics server."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from capacity.history import History
from capacity.model import Signal

__all__ = ["exported"]

_HOST = "dock1"
_PERIODS = 3000  # scheduler periods in a step of five minutes


def exported(history: History) -> Iterator[str]:
    """OpenMetrics text, one a block of two hours: raw counters and gauges whose rates and maxima are the history again."""
    step = int(history.step.total_seconds())
    times = (history.cpu.index.astype("int64") // 10 ** history_digits(history.cpu.index)).to_numpy()
    series: dict[str, np.ndarray] = {}
    for number, service in enumerate(history.services):
        labels = _labels(service, number)
        cpu = history.cpu[service].to_numpy()
        alive = np.isfinite(cpu)
        series[f'container_cpu_usage_seconds_total{{{labels},cpu="total"}}'] = np.where(
            alive, np.cumsum(np.nan_to_num(cpu)) * step, np.nan
        )
        series[f"container_memory_working_set_bytes{{{labels}}}"] = history.memory[service].to_numpy()
        for signal, name, factor in (
            (Signal.MEMORY_LIMIT, "container_spec_memory_limit_bytes", 1.0),
            (Signal.CPU_LIMIT, "container_spec_cpu_quota", 100_000.0),
        ):
            limit = history[signal].get(service)
            known = (
                limit.reindex(history.cpu.index, method="ffill").to_numpy() if limit is not None else np.full(len(times), np.nan)
            )
            unlimited = 0.0 if signal is Signal.MEMORY_LIMIT else np.nan  # how cAdvisor says it
            series[f"{name}{{{labels}}}"] = np.where(alive, np.where(np.isfinite(known), known * factor, unlimited), np.nan)
        series[f"container_spec_cpu_period{{{labels}}}"] = np.where(alive, 100_000.0, np.nan)
        if service in history[Signal.THROTTLED]:
            share = np.nan_to_num(history[Signal.THROTTLED][service].to_numpy())
            periods = np.where(alive, np.arange(1, len(times) + 1) * _PERIODS, np.nan)
            series[f"container_cpu_cfs_periods_total{{{labels}}}"] = periods
            series[f"container_cpu_cfs_throttled_periods_total{{{labels}}}"] = np.where(
                alive, np.cumsum(share) * _PERIODS, np.nan
            )
    node = f'instance="{_HOST}:9100",job="node"'
    series[f"node_memory_MemTotal_bytes{{{node}}}"] = np.full(len(times), 48.0 * 1024**3)
    series[f"node_memory_MemAvailable_bytes{{{node}}}"] = 48.0 * 1024**3 - history[Signal.HOST_MEMORY][_HOST].to_numpy()
    for core in range(12):
        busy = history[Signal.CORE_BUSY][f"{_HOST}/{core}"].reindex(history.cpu.index, method="ffill").to_numpy()
        for mode, share in (("idle", 1 - busy), ("user", busy)):
            series[f'node_cpu_seconds_total{{{node},cpu="{core}",mode="{mode}"}}'] = np.cumsum(np.nan_to_num(share)) * step
    block = 7200 // step
    for start in range(0, len(times), block):
        part = slice(start, start + block)
        lines = [
            f"{name} {value!r} {time}"
            for name, values in sorted(series.items())
            for value, time in zip(values[part].tolist(), times[part].tolist(), strict=True)
            if value == value  # noqa: PLR0124 - NaN is no sample
        ]
        yield "\n".join([*lines, "# EOF\n"])


def history_digits(index: pd.Index) -> int:
    """Decimal places of a datetime index's unit."""
    return {"s": 0, "ms": 3, "us": 6, "ns": 9}[pd.DatetimeIndex(index).unit]


def _labels(service: str, number: int) -> str:
    project, name = service.split("/")
    compose = "container_label_com_docker_compose_"
    return (
        f'id="/docker/{number:064x}",name="{project}-{name}-1",image="{name}",instance="{_HOST}:8080",job="cadvisor",'
        f'{compose}project="{project}",{compose}service="{name}",{compose}container_number="1"'
    )
