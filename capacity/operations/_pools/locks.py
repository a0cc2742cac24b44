"""Where the locks of a pool are, and the labels that tell of it on every instance: who does not see
them may not lease.

A lock is a file of this machine and user. Whoever uses the same Engine as another user, from
another machine or from a container has other files; so an instance says which locks guard it, and
only who has these may hand it out.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from capacity._common.file_lock import owner
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, engine_errors
from capacity.errors import InputError, StorageError
from capacity.operations._pools.leases import exclusive, make_private_folder, note, noted

__all__ = ["LOCKS", "OWNER", "ROOTS", "LockFolder", "place_of", "refuse_elsewhere"]

LOCKS = "capacity.pool.locks"
OWNER = "capacity.pool.owner"
ROOTS = (Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - the folder there is used only where it is ours alone
"""Where the folder of this user's locks may be, whatever TMPDIR says; the first outlives a restart
of the machine.
"""

_MACHINE = Path("/etc/machine-id")
_HEX = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class LockFolder:
    """The locks of one pool.

    Attributes:
        folder: where their files are.
        id: the same for all who see these very files, and for nobody else.
        owner: `user@host`, for people.
    """

    folder: Path
    id: str
    owner: str

    @property
    def users(self) -> Path:
        """The file that all users of the pool hold together."""
        return self.folder / "users.lock"

    @property
    def join(self) -> Path:
        """The file that one user holds while it changes what the pool is."""
        return self.folder / "join.lock"

    @property
    def labels(self) -> dict[str, str]:
        """What every instance of the pool says of its locks."""
        return {LOCKS: self.id, OWNER: self.owner}

    def guards(self, container: Container) -> bool:
        """Whether these are the locks of an instance."""
        return container.labels.get(LOCKS) == self.id


def place_of(name: str, engine: Engine) -> LockFolder:
    """The locks that this user has on this machine for a pool, whatever the address of the Engine;
    whoever is a member of the pool makes their folder.

    Raises:
        StorageError: there is no folder for them.
        EngineError: no answer.
    """
    with engine_errors(engine.host.name, "tell who it is"):
        said = engine.api.info()
    which = _digest(*(str(said.get(key, "")) for key in ("ID", "Name", "DockerRootDir")))[:16]
    root, seed = _root()
    # copies of a machine have the same files, and another id; a container may have none
    machine = _MACHINE.read_text(encoding="utf-8").strip() if _MACHINE.is_file() else ""
    who = owner().partition(" (")[0]
    return LockFolder(root / f"{name}-{which}", _digest(seed, machine, which), who)


def refuse_elsewhere(name: str, found: Iterable[Container], place: LockFolder) -> None:
    """Refuse a pool whose locks are others: two could have a lease on one instance.

    Raises:
        InputError: it is another user's or machine's, or says nothing of its locks.
    """
    container = next((container for container in found if not place.guards(container)), None)
    if container is None:
        return
    way = f"`capacity pool down {name} --anyway` removes it"
    if LOCKS not in container.labels:
        said = (
            f"{container.name} of the pool {name!r} does not say where its locks are: another "
            "version of capacity has made it"
        )
        raise InputError(said, f"{way}; then make it again")
    who = container.labels.get(OWNER) or "somebody else"
    said = f"The pool {name!r} is that of {who}, and its locks are not those of {place.owner} here"
    raise InputError(said, f"Use it where it was made, or take another name; {way}")


def _root() -> tuple[Path, str]:
    """The folder of this user's locks, and the random text that it alone holds."""
    last = StorageError("There is no folder for the locks of pools", "Make /var/tmp")
    for root in (path / f"capacity-pools-{os.getuid()}" for path in ROOTS if path.is_dir()):
        try:
            make_private_folder(root, "Remove it, or have its owner do that")
            return root, _seed(root / "place")
        except StorageError as error:
            last = error
    raise last


def _seed(file: Path) -> str:
    """The random text of a folder, written once by whoever comes first."""
    with exclusive(file) as handle:
        assert handle is not None  # it waits
        if not noted(handle):
            note(handle, secrets.token_hex(16))
        os.utime(handle)  # or what clears old files away would take it
        seed = noted(handle)
    if not _HEX.fullmatch(seed):
        hint = "Free the disk, or remove that folder while no pool is in use"
        raise StorageError(f"{file} is damaged", hint)
    return seed


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
