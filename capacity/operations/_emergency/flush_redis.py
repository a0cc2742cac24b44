"""Empty a Redis in an emergency: by its exact name, and for good."""

from __future__ import annotations

from collections.abc import Iterable

from capacity._docker import lifecycle
from capacity._docker.containers import Container
from capacity._docker.engine import connect_all, survey
from capacity.changes._journal.models import Kind, RunStart
from capacity.changes._journal.runs import FLUSH_RUN
from capacity.changes._result import StepResult
from capacity.errors import InputError
from capacity.model import StepState
from capacity.operations._emergency.journal import journalled_run
from capacity.settings import Settings

__all__ = ["flush"]

_FLUSH = ("redis-cli", "FLUSHALL")
_FOR_GOOD = "this cannot be undone"


def flush(settings: Settings, container: str, *, dry_run: bool = True) -> StepResult:
    """Throw away everything that a Redis holds, in all its databases. This cannot be undone.

    Args:
        settings: Engines and journal.
        container: its exact name; nothing is flushed by a pattern.
        dry_run: say what would be flushed, and touch nothing.

    Raises:
        InputError: no running container of that name, or several.
        EngineError: no Engine answers, or the command fails.
    """
    with connect_all(settings.engine) as (engines, unreachable):
        target = _running(survey(engines, unreachable).containers, container)
        if dry_run:
            return _result(target, StepState.WOULD_FLUSH, _FOR_GOOD)
        about = RunStart(container=target.name, command=tuple(_FLUSH))
        with journalled_run(
            settings, FLUSH_RUN, lock=False, service=target.key, about=about
        ) as journal:
            code, said = lifecycle.execute(engines[target.host], target.id, _FLUSH, target.name)
            # redis-cli ends with 0 also when the server refuses
            failed = bool(code) or "OK" not in said
            journal.write(
                Kind.FAILED if failed else Kind.DONE,
                service=target.key,
                host=target.host,
                said=said,
            )
    if failed:
        return _result(target, StepState.FAILED, said or f"exit code {code}")
    return _result(target, StepState.FLUSHED, _FOR_GOOD)


def _running(containers: Iterable[Container], name: str) -> Container:
    """The one that runs under exactly that name."""
    found = [container for container in containers if container.name == name and container.running]
    if len(found) != 1:
        raise InputError(
            f"{len(found)} running containers are called {name!r}",
            "`capacity inventory` lists the names",
        )
    return found[0]


def _result(target: Container, state: StepState, note: str) -> StepResult:
    return StepResult(target.key, target.host, state, note, container=target.name)
