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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from capacity._docker.containers import Container
from capacity._docker.engine import Engine, engine_errors
from capacity.changes._journal.journal import owner
from capacity.errors import InputError, StorageError
from capacity.operations._pools.leases import make_private_folder

__all__ = [
    "LOCKS",
    "OWNER",
    "ROOTS",
    "LockFolder",
    "join_lock",
    "lock_file",
    "place_of",
    "refuse_elsewhere",
]

LOCKS = "capacity.pool.locks"
OWNER = "capacity.pool.owner"
ROOTS = (Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - the folder there is used only where it is ours alone
"""Where the folder of this user's locks may be, whatever TMPDIR says; the first outlives a restart
of the machine.
"""

_SEED = "place"
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
    def labels(self) -> dict[str, str]:
        """What every instance of the pool says of them."""
        return {LOCKS: self.id, OWNER: self.owner}

    def guards(self, container: Container) -> bool:
        """Whether these are the locks of an instance."""
        return container.labels.get(LOCKS) == self.id


def place_of(name: str, engine: Engine) -> LockFolder:
    """The locks that this user has on this machine for a pool; whoever is a member of it makes
    their folder.

    They are the same whatever the address of the Engine is: it is asked who it is.

    Raises:
        StorageError: there is no folder for them.
        EngineError: no answer.
    """
    with engine_errors(engine.host.name, "tell who it is"):
        said = engine.api.info()
    which = _digest(*(str(said.get(key, "")) for key in ("ID", "Name", "DockerRootDir")))[:16]
    root, seed = _root()
    folder = root / f"{name}-{which}"
    return LockFolder(folder, _digest(seed, _machine(), which), owner().partition(" (")[0])


def lock_file(folder: Path) -> Path:
    """The file that all users of a pool hold together."""
    return folder / "users.lock"


def join_lock(folder: Path) -> Path:
    """The file that one user holds while it looks at the pool as a whole, and changes what it
    is.
    """
    return folder / "join.lock"


def refuse_elsewhere(name: str, found: Iterable[Container], place: LockFolder) -> None:
    """Refuse a pool whose locks are others: two could have a lease on one instance.

    Raises:
        InputError: it is another user's or machine's, or says nothing of its locks.
    """
    container = next((container for container in found if not place.guards(container)), None)
    if container is None:
        return
    way = f"`capacity pool down {name} --anyway` removes it"
    who = container.labels.get(OWNER) or "somebody else"
    if LOCKS not in container.labels:
        said = (
            f"{container.name} of the pool {name!r} does not say where its locks are: another "
            "version of capacity has made it"
        )
        raise InputError(said, f"{way[0].upper()}{way[1:]}; then make it again")
    said = f"The pool {name!r} is that of {who}, and its locks are not those of {place.owner} here"
    raise InputError(said, f"Use it where it was made, or take another name; {way}")


def _root() -> tuple[Path, str]:
    """The folder of this user's locks, and what it alone holds."""
    last: StorageError | None = None
    for where in (
        path for path in ROOTS if path.is_dir()
    ):  # one that is missing is not ours to make
        root = where / f"capacity-pools-{os.getuid()}"
        try:
            make_private_folder(root, "Remove it, or have its owner do that")
            return root, _seed(root / _SEED)
        except StorageError as error:
            last = error
    raise last or StorageError("There is no folder for the locks of pools", "Make /var/tmp")


def _seed(file: Path) -> str:
    """The words that make a folder what it is: written once, by whoever comes first."""
    new = file.with_name(f".{_SEED}-{secrets.token_hex(8)}")
    try:
        if not file.exists():
            new.write_text(secrets.token_hex(16), encoding="ascii")
            with suppress(FileExistsError):
                os.link(new, file)
        said = file.read_text(encoding="ascii")
        with suppress(OSError):
            os.utime(file)  # or what clears old files away would take it
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise StorageError(
            f"Cannot use {file}: {cause}", "Free the disk, or let this user write there"
        ) from error
    finally:
        new.unlink(missing_ok=True)
    if not _HEX.fullmatch(said):
        raise StorageError(f"{file} is damaged", "Remove its folder while no pool is in use")
    return said


def _machine() -> str:
    """What tells copies of a machine apart; empty where there is none, as in a container."""
    try:
        return _MACHINE.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
