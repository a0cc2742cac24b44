"""A container's counters as an Engine on another machine tells them."""

from __future__ import annotations

from capacity._collect.sample import Sample
from capacity._docker.containers import as_an_engine
from capacity._docker.engine import Engine, engine_errors
from capacity._docker.responses import StatsAnswer

__all__ = ["read_stats", "sample_of"]


def read_stats(engine: Engine, container: str, at: float) -> Sample:
    """A sample from the Engine's statistics, which cost it more than reading its files costs us.

    Raises:
        ContainerGone: it does not run any more.
        EngineError: no answer.
    """
    with engine_errors(engine.host.name, f"measure {container[:12]}"):
        stats = engine.api.stats(container, stream=False, one_shot=True)
    with as_an_engine(engine.host.name, "measures a container"):
        return sample_of(stats, at)


def sample_of(stats: StatsAnswer, at: float) -> Sample:
    """A sample from the Engine's own words; both versions of cgroups have names of their own.

    Raises:
        TypeError, ValueError, AttributeError, KeyError: no Engine says so.
    """
    memory, cpu = stats.get("memory_stats") or {}, stats.get("cpu_stats") or {}
    details = memory.get("stats") or {}
    throttling = cpu.get("throttling_data") or {}

    def bytes_of(*names: str) -> int:
        return int(next((details[name] for name in names if name in details), 0))

    return Sample(
        at,
        cpu=float((cpu.get("cpu_usage") or {}).get("total_usage", 0)) / 1e9,
        usage=int(memory.get("usage") or 0),
        rss=bytes_of("total_rss", "anon"),
        cache=bytes_of("total_cache", "file"),
        active_file=bytes_of("total_active_file", "active_file"),
        inactive_file=bytes_of("total_inactive_file", "inactive_file"),
        swap=bytes_of("total_swap", "swap"),
        periods=int(throttling.get("periods") or 0),
        throttled=int(throttling.get("throttled_periods") or 0),
    )
