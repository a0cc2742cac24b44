"""Five weeks of the sample fleet: made deterministically, stored under `data/sample`, read back as
a `History`.

`capacity sample make DIR` writes it again, byte for byte. Values are rounded to 1/4096 core and 64
KiB: they compress ten times better and no report could tell the difference.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity._common.bundled import bundled
from capacity._common.files import write_text
from capacity._common.text.units import MIB
from capacity.errors import NoHistory, StorageError
from capacity.history._archive.parquet import Damaged, read_block, write_block
from capacity.history._history import History, usage_frame
from capacity.history._metrics.signals import CATALOGUE, HOUR
from capacity.history._sample.fleet import (
    FLEET,
    HOST,
    HOST_CORES,
    HOST_MEMORY,
    SampleService,
    compose_files,
)
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["SAMPLE_END", "SAMPLE_START", "load_sample", "make_sample"]

SAMPLE_START = pd.Timestamp("2026-10-19", tz="UTC")
SAMPLE_END = pd.Timestamp("2026-11-23", tz="UTC")
_STEP = 300
_SEED = 2026
_DEPLOY = pd.Timestamp("2026-11-10 10:00", tz="UTC")  # checkout 5.3
_LOOP_FROM = pd.Timestamp("2026-11-14 03:00", tz="UTC")  # webhook-relay breaks
_HOLE = (
    pd.Timestamp("2026-11-03 04:00", tz="UTC"),
    pd.Timestamp("2026-11-03 06:00", tz="UTC"),
)  # cAdvisor was down
_BORN = {
    "late": pd.Timestamp("2026-11-12 09:00", tz="UTC"),
    "new": pd.Timestamp("2026-11-22 19:00", tz="UTC"),
}
_DIED = pd.Timestamp("2026-11-18 16:00", tz="UTC")
_TARGETS = ("cadvisor/dock1:8080", "node/dock1:9100", "prometheus/localhost:9090")


def load_sample(start: pd.Timestamp | None = None, end: pd.Timestamp | None = None) -> History:
    """The sample fleet's history, or the part of it in [start, end).

    Raises:
        NoHistory: the sample has nothing in that window.
        StorageError: the bundled files are missing or damaged.
    """
    folder = bundled("data/sample/history")
    frames: dict[Signal, pd.DataFrame] = {}
    hosts: dict[str, str] = {}
    for signal, entry in CATALOGUE.items():
        if entry.optional:
            continue
        try:
            block, _ = read_block(folder / f"{signal}.parquet")
        except (FileNotFoundError, Damaged) as error:
            raise StorageError(
                f"The sample's {signal} is unreadable: {error}", "Install the package again"
            ) from error
        step = entry.step(_STEP)
        frames[signal] = usage_frame(
            block.values.T, block.names, int(SAMPLE_START.timestamp()), step
        )
        hosts.update(zip(block.names, block.hosts, strict=True))
    history = History(
        frames=frames,
        start=SAMPLE_START,
        end=SAMPLE_END,
        step=pd.Timedelta(seconds=_STEP),
        source="sample",
        hosts={service.key: hosts[service.key] for service in FLEET},
        replicas={service.key: 1 for service in FLEET},
        queries=dict.fromkeys(frames, "(made by capacity sample make)"),
        notes=(
            (
                "The sample fleet is simulated: its values come from a generator, not containers, "
                "and no Engine runs what the commands name."
            ),
        ),
    )
    start, end = max(start or SAMPLE_START, SAMPLE_START), min(end or SAMPLE_END, SAMPLE_END)
    if start >= end:
        hint = "Choose --as-of within it"
        raise NoHistory(
            f"The sample fleet covers {SAMPLE_START:%Y-%m-%d} to {SAMPLE_END:%Y-%m-%d}", hint
        )
    return history.between(start, end)


def make_sample(folder: Path) -> list[Path]:
    """Write the sample fleet into `folder`: `history/<signal>.parquet` and
    `compose/<project>/compose.yaml`.
    """
    written = []
    for signal, values in _signals().items():
        path = folder / "history" / f"{signal}.parquet"
        names = sorted(values)
        block = SeriesBlock(
            names, [HOST] * len(names), [1] * len(names), np.stack([values[name] for name in names])
        )
        step = CATALOGUE[signal].step(_STEP)
        write_block(
            path, block, {"signal": str(signal), "start": SAMPLE_START.isoformat(), "step": step}
        )
        written.append(path)
    for project, text in compose_files().items():
        path = folder / "compose" / project / "compose.yaml"
        write_text(path, text)
        written.append(path)
    return written


def _signals() -> dict[Signal, dict[str, Array]]:
    index = pd.date_range(SAMPLE_START, SAMPLE_END, freq=f"{_STEP}s", inclusive="left")
    hours = index[:: HOUR // _STEP]
    cpu, memory, throttled = {}, {}, {}
    for service in FLEET:
        demand, memory[service.key] = _demand(service, index)
        limit = service.cpu_limit or np.inf
        cpu[service.key] = np.minimum(demand, limit)
        if service.cpu_limit:  # bursts inside a period hit the cap well before the mean does
            throttled[service.key] = np.clip((demand / limit - 0.6) / 0.8, 0, 0.95)
    alive = {service.key: _alive(service, index) for service in FLEET}
    for values in (cpu, memory, throttled):
        for key in values:
            values[key] = np.where(alive[key], values[key], np.nan)
    wanted = np.nansum(list(cpu.values()), axis=0) + 0.4
    total = np.minimum(wanted, 0.985 * HOST_CORES)  # an overloaded host gives everyone less
    cpu = {key: row * total / wanted for key, row in cpu.items()}
    used = np.nansum(list(memory.values()), axis=0) + 1800 * MIB
    hourly = {
        key: np.asarray(row.reshape(len(hours), -1).any(axis=1)) for key, row in alive.items()
    }
    seen = (index < _HOLE[0]) | (index >= _HOLE[1])
    return {
        Signal.CPU: {key: _round(row, 1 / 4096) for key, row in cpu.items()},
        Signal.MEMORY: {key: _round(row, 65536) for key, row in memory.items()},
        Signal.CPU_LIMIT: _limits({s.key: s.cpu_limit for s in FLEET}, hourly),
        Signal.MEMORY_LIMIT: _limits(
            {s.key: s.memory_limit and s.memory_limit * MIB for s in FLEET}, hourly
        ),
        Signal.THROTTLED: {key: _round(row, 1 / 4096) for key, row in throttled.items()},
        Signal.OOM_KILLS: {
            s.key: np.where(hourly[s.key], _oom_kills(s, hours), np.nan) for s in FLEET
        },
        Signal.RESTARTS: {
            s.key: np.where(hourly[s.key], _restarts(s, hours), np.nan) for s in FLEET
        },
        Signal.HOST_CPU: {HOST: _round(np.where(seen, total, np.nan), 1 / 4096)},
        Signal.HOST_CORES: {HOST: np.full(len(hours), float(HOST_CORES))},
        Signal.HOST_MEMORY: {HOST: _round(np.where(seen, used, np.nan), 65536)},
        Signal.HOST_MEMORY_TOTAL: {HOST: np.full(len(hours), float(HOST_MEMORY))},
        Signal.CORE_BUSY: _cores(total.reshape(len(hours), -1).mean(axis=1)),
        Signal.UP: {name: _up(name, hours) for name in _TARGETS},
    }


def _demand(service: SampleService, index: pd.DatetimeIndex) -> tuple[Array, Array]:
    """Cores wanted and bytes used at every step, before limits and absences."""
    rng = np.random.default_rng([_SEED, zlib.crc32(service.key.encode())])
    days = np.asarray((index - SAMPLE_START) / pd.Timedelta("1D"), dtype=float)
    activity = _activity(service, index, rng)
    cpu = service.cpu * activity * np.exp(_drift(rng, len(index), 0.9, 0.1))
    cpu *= 1 + (rng.random(len(index)) < 0.002) * rng.uniform(0.2, 0.8, len(index))
    memory = (
        service.memory
        * (0.82 + 0.18 * _smooth(activity))
        * np.exp(_drift(rng, len(index), 0.995, 0.015))
    )
    after = np.asarray(index >= _DEPLOY)
    match service.shape:
        case "leak":
            memory = memory * 0.9 + 24 * days
        case "step":
            memory, cpu = memory * np.where(after, 1.9, 1), cpu * np.where(after, 1.5, 1)
        case "capped":  # fills its limit within hours, then starts again
            phase = (days * 24 / 9 + 0.3 * np.sin(days)) % 1
            memory = np.minimum(service.memory, service.memory * (0.72 + 0.34 * phase))
        case "loop":
            broken = np.asarray(index >= _LOOP_FROM)
            memory, cpu = memory * np.where(broken, 0.4, 1), cpu * np.where(broken, 2.2, 1)
        case _:
            pass
    return np.maximum(cpu, 1 / 4096), np.maximum(memory, 4) * MIB


def _activity(service: SampleService, index: pd.DatetimeIndex, rng: np.random.Generator) -> Array:
    """Share of the busy level, around 0 to 1.2, over day and week."""
    hour = np.asarray(index.hour + index.minute / 60, dtype=float)
    weekend = np.asarray(index.day_of_week >= 5)
    match service.shape:
        case "office" | "llm":
            day = 0.12 + 0.88 * _bump(hour, 8.5, 18.0)
            if service.shape == "llm":  # saturated as long as people work
                return np.asarray(np.where(weekend, 0.35, np.minimum(1.4 * day, 1.0)))
            return np.asarray(np.where(weekend, 0.14, np.minimum(day, 1.0)))
        case "evening" | "leak" | "step":
            day = 0.28 + 0.72 * _bump(hour, 16.0, 23.5) + 0.25 * _bump(hour, 9.0, 16.0)
            return np.asarray(day * np.where(weekend, 1.12, 1.0))
        case "daily" | "late" | "new" | "gone":
            return np.asarray((0.4 + 0.6 * _bump(hour, 7.0, 21.0)) * np.where(weekend, 0.85, 1.0))
        case "nightly":
            night = np.floor(np.arange(len(index)) / 288).astype(int)
            length = 1.2 + 0.9 * rng.random(night.max() + 1)[night]
            return np.asarray(0.05 + 0.95 * ((hour >= 1.5) & (hour < 1.5 + length)))
        case _:
            return np.ones(len(index))


def _bump(hour: Array, start: float, end: float) -> Array:
    """Smooth hill over part of the day."""
    inside = np.clip((hour - start) / (end - start), 0, 1)
    return np.asarray(np.sin(np.pi * inside) ** 0.7)


def _smooth(activity: Array) -> Array:
    """Memory follows load with half a day of inertia."""
    span = 144
    padded = np.concatenate([np.full(span - 1, activity[0]), activity])
    cumulated = np.cumsum(np.insert(padded, 0, 0.0))
    return np.asarray((cumulated[span:] - cumulated[:-span]) / span)


def _drift(rng: np.random.Generator, points: int, memory: float, spread: float) -> Array:
    """Stationary first-order autoregressive noise with standard deviation `spread`."""
    shocks = rng.normal(0, spread * np.sqrt(1 - memory**2), points)
    shocks[0] = rng.normal(0, spread)
    drift = np.empty(points)
    level = 0.0
    for position, shock in enumerate(shocks):
        level = memory * level + shock
        drift[position] = level
    return drift


def _alive(service: SampleService, index: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Whether the service ran and cAdvisor saw it."""
    alive = np.asarray((index < _HOLE[0]) | (index >= _HOLE[1]))
    if service.shape in _BORN:
        alive &= np.asarray(index >= _BORN[service.shape])
    if service.shape == "gone":
        alive &= np.asarray(index < _DIED)
    if service.shape == "loop":  # down for one step in four while the restart policy backs off
        alive &= np.asarray((index < _LOOP_FROM) | (np.arange(len(index)) % 4 != 0))
    return alive


def _limits(
    limits: dict[str, float | None], alive: dict[str, NDArray[np.bool_]]
) -> dict[str, Array]:
    return {key: np.where(alive[key], limit, np.nan) for key, limit in limits.items() if limit}


def _oom_kills(service: SampleService, hours: pd.DatetimeIndex) -> Array:
    if service.shape != "capped":
        return np.zeros(len(hours))
    return np.asarray((np.arange(len(hours)) % 9 == 8) & np.asarray(hours >= _DEPLOY), dtype=float)


def _restarts(service: SampleService, hours: pd.DatetimeIndex) -> Array:
    if service.shape == "loop":
        return np.where(hours >= _LOOP_FROM, 3.0, 0.0)
    if service.shape == "step":
        return np.where(hours == _DEPLOY, 1.0, 0.0)
    return _oom_kills(service, hours)


def _cores(total: Array) -> dict[str, Array]:
    """Without affinity the first cores take most of the load."""
    weights = np.linspace(1.9, 0.25, HOST_CORES)
    busy = total[:, None] * weights / weights.sum()
    return {
        f"{HOST}/{core}": _round(np.minimum(busy[:, core], 0.99), 1 / 4096)
        for core in range(HOST_CORES)
    }


def _up(name: str, hours: pd.DatetimeIndex) -> Array:
    down = (
        np.asarray((hours >= _HOLE[0]) & (hours < _HOLE[1]))
        if name.startswith("cadvisor/")
        else np.zeros(len(hours))
    )
    return np.asarray(1.0 - down)


def _round(values: Array, unit: float) -> Array:
    return np.round(values / unit) * unit
