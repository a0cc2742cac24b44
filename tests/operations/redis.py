"""An image with a real Redis: this machine's server and client with the libraries that they load, over busybox."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path

from tests.servers import require
from tests.servers_docker import Engine, busybox_image, client

_PROGRAMS = ("redis-server", "redis-cli")


def redis_image(engine: Engine) -> str:
    """Import the image, once for an Engine; its name."""
    name = "redis-local:latest"
    with closing(client(engine)) as api:
        if any(name in image.tags for image in api.images.list()):
            return name
        base = busybox_image(engine, "redis-base")
        made = api.containers.create(base, ["true"], network_mode="none")
        made.put_archive("/", _archive())
        made.commit("redis-local", "latest")
        made.remove()
    return name


def _archive() -> bytes:
    """The programs in /bin, and each library under the path by which it is looked for."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        libraries: set[Path] = set()
        for program in _PROGRAMS:
            file = require(program).resolve()
            tar.add(file, f"bin/{program}")
            said = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout
            libraries |= {Path(place) for place in re.findall(r"(/\S+) \(0x", said)}
        for library in sorted(libraries):
            tar.add(library.resolve(), str(library).lstrip("/"))
    return content.getvalue()
