"""What containers use at this moment: many are asked at once, since an engine answers each only at
its next measurement.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from capacity._docker.containers import Container, as_an_engine
from capacity._docker.engine import Engine, engine_errors
from capacity._docker.responses import StatsAnswer
from capacity.errors import ContainerGone

__all__ = ["MEASURED_AT_ONCE", "Usage", "container_usage", "usage"]

MEASURED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container uses now: working set in bytes, CPU seconds since its start, its CPU periods
    and the throttled ones.
    """

    memory: int
    cpu_seconds: float
    periods: int
    throttled: int


def usage(engine: Engine, container: str) -> Usage:
    """What a running container uses at this moment; the working set is use without the file cache
    that can be dropped.

    Raises:
        EngineError: no such container, or no answer.
    """
    with engine_errors(engine.host.name, f"measure {container}"):
        stats = engine.api.stats(container, stream=False, one_shot=True)
    with as_an_engine(engine.host.name, "measures a container"):
        return _read(stats)


def _read(stats: StatsAnswer) -> Usage:
    memory, cpu = stats.get("memory_stats") or {}, stats.get("cpu_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    throttling = cpu.get("throttling_data") or {}
    return Usage(
        memory=max((memory.get("usage") or 0) - cache, 0),
        cpu_seconds=(cpu.get("cpu_usage") or {}).get("total_usage", 0) / 1e9,
        periods=int(throttling.get("periods") or 0),
        throttled=int(throttling.get("throttled_periods") or 0),
    )


def container_usage(
    engines: Mapping[str, Engine], containers: Iterable[Container]
) -> dict[str, tuple[float, Usage]]:
    """Container id -> our clock in seconds when the Engine answered, and what it said; those that
    have gone are left out.

    Raises:
        EngineError: an Engine does not answer.
    """
    asked = list(containers)
    with ThreadPoolExecutor(max(min(len(asked), MEASURED_AT_ONCE), 1)) as pool:
        answers = pool.map(lambda container: _measured(engines[container.host], container), asked)
        return {
            container.id: answer
            for container, answer in zip(asked, answers, strict=True)
            if answer is not None
        }


def _measured(engine: Engine, container: Container) -> tuple[float, Usage] | None:
    try:
        found = usage(engine, container.id)
    except ContainerGone:
        return None
    return time.monotonic(), found
