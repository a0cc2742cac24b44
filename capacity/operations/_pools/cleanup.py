"""The end of a pool: its containers go, by hand, or by the watcher that outlives a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from capacity._docker import lifecycle
from capacity._docker.containers import Container
from capacity._docker.engine import Engine
from capacity.changes._journal.models import Kind
from capacity.errors import EngineError
from capacity.operations._pools.containers import instances_of, stands
from capacity.operations._pools.journal import Book
from capacity.operations._pools.locks import LOCKS, LockFolder, lock_file
from capacity.settings import EngineSettings

__all__ = ["leave_pool", "remove_instance", "start_watcher"]


def start_watcher(
    place: LockFolder, name: str, settings: EngineSettings, journal: Path | None
) -> subprocess.Popen[bytes]:
    """A process that outlives this one: when its input ends, it removes the pool unless somebody
    else still uses it.

    Whoever has given its lock back writes a byte before that end, so that it need not wait for that
    lock.
    """
    files = {key: getattr(settings, key) for key in ("ca_file", "client_cert", "client_key")}
    there = settings.model_copy(
        update={key: file.absolute() for key, file in files.items() if file is not None}
    )
    words = [
        str(lock_file(place.folder)),
        name,
        place.id,
        str(journal or ""),
        there.model_dump_json(),
    ]
    command = [sys.executable, "-m", "capacity.operations._pools.watcher", *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")  # noqa: S603 - words, no shell


def leave_pool(engine: Engine, name: str, locks: str, book: Book) -> bool:
    """Remove the containers of a pool that nobody uses any more, unless it was made to stay;
    whether it was not.

    Args:
        engine: where.
        name: of the pool.
        locks: the id of the locks that we hold; what others guard is left alone.
        book: told first.
    """
    found = instances_of(engine, name)
    if stands(found):
        return False
    for container in (container for container in found if container.labels.get(LOCKS) == locks):
        try:
            remove_instance(engine, book, container)
        except EngineError as error:  # the others go all the same
            book.write(
                Kind.FAILED,
                service=container.key,
                host=container.host,
                container=container.name,
                id=container.id,
                reason=error.message,
            )
    return True


def remove_instance(engine: Engine, book: Book, container: Container) -> None:
    """Remove an instance, said before and after.

    Raises:
        EngineError: refused, or no answer.
    """
    named: dict[str, Any] = {
        "service": container.key,
        "host": container.host,
        "container": container.name,
        "id": container.id,
    }
    book.write(
        Kind.REMOVING, **named, image=container.image, memory=container.memory, cpus=container.cpus
    )
    lifecycle.remove(engine, container.id, container.name)
    book.write(Kind.REMOVED, **named)
