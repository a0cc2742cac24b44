"""Empty a Redis in an emergency: by its exact name, and for good."""

from __future__ import annotations

from typing import Any

from capacity._docker import lifecycle
from capacity._docker.engine import connect_all, survey
from capacity.changes._journal.journal import Kind
from capacity.errors import InputError
from capacity.operations._emergency.journal import journalled
from capacity.operations._emergency.release import Stopped
from capacity.settings import Settings

__all__ = ["flush"]

_FLUSH = ("redis-cli", "FLUSHALL")


def flush(settings: Settings, container: str, *, dry_run: bool = True) -> Stopped:
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
        found = [one for one in survey(engines, unreachable).containers if one.name == container and one.running]
        if len(found) != 1:
            raise InputError(f"{len(found)} running containers are called {container!r}", "`capacity inventory` lists the names")
        one = found[0]
        if dry_run:
            return Stopped(one.key, one.host, one.name, "would-flush", note="this cannot be undone")
        named: dict[str, Any] = {"container": one.name, "command": list(_FLUSH)}
        with journalled(settings, "emergency-flush", lock=False, service=one.key, **named) as journal:
            code, said = lifecycle.execute(engines[one.host], one.id, _FLUSH, one.name)
            failed = bool(code) or "OK" not in said  # redis-cli ends with 0 also when the server refuses
            journal.write(Kind.FAILED if failed else Kind.DONE, service=one.key, host=one.host, said=said)
        if failed:
            return Stopped(one.key, one.host, one.name, "failed", note=said or f"exit code {code}")
        return Stopped(one.key, one.host, one.name, "flushed", note="this cannot be undone")
