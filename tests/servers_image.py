"""A base image without a registry: the interpreter that runs the tests, with the monitor's locked requirements installed."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from contextlib import closing
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.servers import Server, require
from tests.servers_docker import client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["python_image"]

VENV = PurePosixPath("/opt/venv")
_APPLETS = ("sh", "rm", "mkdir", "chown", "ls", "cat", "id")
_NEVER = re.compile(r"(^|/)(tests?|__pycache__|idlelib|tkinter|turtledemo|ensurepip)(/|$)|config-3\.\d+-")
_LINKED = re.compile(r"(?:=> )?(/\S+) \(0x")


def python_image(engine: Server, name: str, requirements: Path) -> str:
    """Import an image that `pip install --require-hashes -r REQUIREMENTS` has nothing to download for; return its name.

    The interpreter and its shared libraries lie where they lie on this machine, the packages in `/opt/venv`, and busybox gives
    the shell. Test suites of packages are left out.
    """
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            _fill(tar, requirements)
        file.seek(0)
        changes = [f"ENV PATH={VENV}/bin:/bin", "ENV PYTHONDONTWRITEBYTECODE=1"]
        with closing(client(engine)) as api:
            api.api.import_image_from_data(file, repository=name, tag="latest", changes=changes)
    return f"{name}:latest"


def _fill(tar: tarfile.TarFile, requirements: Path) -> None:
    known: set[PurePosixPath] = set()
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}").resolve()
    stdlib = Path(sysconfig.get_path("stdlib"))
    packages = Path(sysconfig.get_path("purelib"))
    site = PurePosixPath(VENV, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    files = {PurePosixPath(path): path for path in [python, *_tree(stdlib)]}
    files |= {site / path.relative_to(packages).as_posix(): path for path in _installed(requirements, packages)}
    files |= {
        PurePosixPath(path): path for path in _libraries([python, *(path for path in files.values() if ".so" in path.name)])
    }
    files[PurePosixPath("/bin/busybox")] = require("busybox").resolve()
    for place, path in sorted(files.items()):
        _folders(tar, place.parent, known)
        tar.add(path.resolve(), str(place), recursive=False)
    texts = {
        VENV / "pyvenv.cfg": f"home = {python.parent}\ninclude-system-site-packages = false\n",
        VENV / "bin" / "pip": f'#!/bin/sh\nexec {VENV}/bin/python -m pip "$@"\n',
        PurePosixPath("/etc/passwd"): "root:x:0:0:root:/:/bin/sh\n",
    }
    for place, text in texts.items():
        _folders(tar, place.parent, known)
        info = tarfile.TarInfo(str(place))
        info.size, info.mode = len(text), 0o755
        tar.addfile(info, io.BytesIO(text.encode()))
    links = {PurePosixPath("/bin", applet): "busybox" for applet in _APPLETS} | {VENV / "bin" / "python": str(python)}
    for place, to in links.items():
        info = tarfile.TarInfo(str(place))
        info.type, info.linkname = tarfile.SYMTYPE, to
        tar.addfile(info)
    for place, mode in (("tmp", 0o1777), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("var/lib", 0o755), ("run", 0o755)):
        info = tarfile.TarInfo(place)
        info.type, info.mode = tarfile.DIRTYPE, mode
        tar.addfile(info)


def _folders(tar: tarfile.TarFile, folder: PurePosixPath, known: set[PurePosixPath]) -> None:
    """Folders that everybody may pass, also where the machine's own are private."""
    for part in [*reversed(folder.parents), folder]:
        if part not in known and part != PurePosixPath("/"):
            info = tarfile.TarInfo(str(part))
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
            known.add(part)


def _tree(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        inside = path.relative_to(root).as_posix()
        if path.is_file() and not _NEVER.search(inside) and not inside.startswith(("site-packages/", "dist-packages/")):
            yield path


def _installed(requirements: Path, packages: Path) -> Iterator[Path]:
    """The files of the distributions that are locked, as far as this platform has them, and of pip."""
    names = re.findall(r"^([A-Za-z0-9_.-]+)==", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    for name in {*names, "pip"}:
        try:
            files = distribution(name).files or ()
        except PackageNotFoundError:  # for another platform or Python
            continue
        for entry in files:
            path = Path(str(entry.locate()))
            if path.is_file() and ".." not in entry.parts and not _NEVER.search(path.relative_to(packages).as_posix()):
                yield path


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """Shared libraries of programs and extensions outside their packages, and the loader."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in _LINKED.findall(said) if "site-packages" not in found and "dist-packages" not in found}
