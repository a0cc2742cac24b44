"""What many containers use at this moment: asked for all at once, since an Engine answers each at
its next measurement only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from capacity._docker.containers import Container
from capacity._docker.engine import Engine, Usage, usage
from capacity.changes._apply.watch import MEASURED
from capacity.errors import ContainerGone

__all__ = ["container_usage"]


def container_usage(
    engines: Mapping[str, Engine], containers: Iterable[Container]
) -> dict[str, tuple[float, Usage]]:
    """Container id -> our clock in seconds when the Engine answered, and what it said; those that
    have gone are left out.

    Raises:
        EngineError: an Engine does not answer.
    """
    asked = list(containers)
    with ThreadPoolExecutor(max(min(len(asked), MEASURED), 1)) as pool:
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
