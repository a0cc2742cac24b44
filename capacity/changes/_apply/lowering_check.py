"""Before a lowering: does what the service uses right now, and used lately, fit under the new
limit?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from capacity._common.text.units import format_memory
from capacity._docker.engine import Engine
from capacity._docker.usage import container_usage
from capacity.changes._apply.preflight import Step
from capacity.changes._plan.plan import PlannedChange, is_lowering
from capacity.errors import ChangeRefused
from capacity.model import Setting

__all__ = ["Peaks", "check_lowering", "measured_ahead", "memory_now"]

_BATCH = 16  # steps between two measurements
Peaks = Callable[[str], float | None]
"""Service -> the largest working set of the last day in bytes, None where nobody knows."""


def _lowered(step: Step) -> list[PlannedChange]:
    return [
        change
        for change in step.changes
        if change.what is Setting.MEMORY and is_lowering(change.what, change.before, change.after)
    ]


def memory_now(steps: Iterable[Step], engines: Mapping[str, Engine]) -> dict[str, int]:
    """Container id -> working set in bytes, of every running container whose memory is to be
    lowered.

    All at once, because the Engine answers only at its next measurement, up to a second later.

    Raises:
        EngineError: no answer.
    """
    wanted = [
        container
        for step in steps
        if _lowered(step)
        for container in step.containers
        if container.running
    ]
    return {name: found.memory for name, (_, found) in container_usage(engines, wanted).items()}


def measured_ahead(steps: list[Step], engines: Mapping[str, Engine]) -> Iterator[dict[str, int]]:
    """`memory_now` for one step after the other, taken a few steps ahead while others are being
    carried out.

    Raises:
        EngineError: no answer.
    """
    batches = [steps[start : start + _BATCH] for start in range(0, len(steps), _BATCH)]
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(memory_now, batches[0], engines) if batches else None
        for number, batch in enumerate(batches, start=1):
            assert coming is not None
            used = coming.result()
            coming = (
                pool.submit(memory_now, batches[number], engines) if number < len(batches) else None
            )
            yield from [used] * len(batch)


def check_lowering(
    step: Step, used: Mapping[str, int], margin: float, peaks: Peaks | None = None
) -> None:
    """Refuse to set a memory limit at or below what is used: the kernel refuses it on cgroup v1,
    and kills the service on v2.

    Args:
        step: its containers and changes.
        used: from `memory_now`, a moment ago.
        margin: share of the use that must stay free.
        peaks: what the metrics server saw lately.

    Raises:
        ChangeRefused: the limit would be too low.
    """
    for change in _lowered(step):
        assert isinstance(change.after, (int, float))
        now = max((used.get(container.id, 0) for container in step.containers), default=0)
        recent = max(now, (peaks(step.service) if peaks else None) or 0)
        if recent * (1 + margin) > change.after:
            kernel = "kills" if step.host.kills_at_lowering else "refuses"
            raise ChangeRefused(
                f"{change.label}: {format_memory(change.after)} is too low: it uses "
                f"{format_memory(now)} now and "
                f"{format_memory(recent)} at its recent peak, and {margin:.0%} must stay free "
                f"(below its use, the kernel of {step.host.name} {kernel})",
                "Raise the limit in the plan, or make a new plan",
            )
