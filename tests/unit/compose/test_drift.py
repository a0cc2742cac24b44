"""Drift of what Engines of several kinds answer: ulimits, and numbers of containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import pytest

from capacity._compose import Drift, drift
from capacity._docker.containers import Inventory, read_container
from capacity._docker.host import read_host
from capacity.model import Setting
from tests.fixtures.fleets import engines

DOCKER, PODMAN = "debian-13-v2", "podman-4-v2"
NOFILE = "services:\n  web:\n    image: a\n    ulimits: {nofile: {soft: 64, hard: 128}}\n"
LABEL = "com.docker.compose"

Limits: TypeAlias = "dict[str, tuple[int, int]]"
"""Soft and hard ulimit by the name that the Engine says."""


def answer(file: Path, number: int, ulimits: list[dict[str, Any]]) -> dict[str, Any]:
    """What an Engine says of a container of the service `web`."""
    labels = {
        f"{LABEL}.project": "shop",
        f"{LABEL}.service": "web",
        f"{LABEL}.oneoff": "False",
        f"{LABEL}.project.config_files": str(file),
        f"{LABEL}.project.working_dir": str(file.parent),
        f"{LABEL}.container-number": str(number),
    }
    return {
        "Id": str(number) * 64,
        "Name": f"/shop-web-{number}",
        "Config": {"Labels": labels, "Image": "a"},
        "HostConfig": {"Ulimits": ulimits, "RestartPolicy": {"Name": "no"}},
        "State": {"Status": "running"},
    }


def found(
    folder: Path, text: str, *, kind: str = DOCKER, many: int = 1, ulimits: Limits | None = None
) -> list[Drift]:
    """The drift of so many containers with these ulimits, by the names of the Engine."""
    file = folder / "compose.yaml"
    file.write_text(text)
    limits = [
        {"Name": name, "Soft": soft, "Hard": hard} for name, (soft, hard) in (ulimits or {}).items()
    ]
    host = read_host("here", "unix://x", engines.INFOS[kind], engines.VERSIONS[kind])
    containers = tuple(
        read_container("here", answer(file, number, limits))  # type: ignore[arg-type]
        for number in range(1, many + 1)
    )
    return drift(Inventory((host,), containers))


@pytest.mark.parametrize("name", ["nofile", "RLIMIT_NOFILE"])
def test_podman_is_asked_for_the_declared_ulimits_alone(tmp_path: Path, name: str) -> None:
    """It gives every container ulimits of its own beside them, in names of the kernel's."""
    own = {"RLIMIT_NPROC": (4194304, 4194304)}
    assert found(tmp_path, NOFILE, kind=PODMAN, ulimits={**own, name: (64, 128)}) == []
    (row,) = found(tmp_path, NOFILE, kind=PODMAN, ulimits={**own, name: (64, 64)})
    assert (row.what, row.live, row.declared) == (
        Setting.ULIMITS,
        {"nofile": "64"},
        {"nofile": "64:128"},
    )
    (row,) = found(tmp_path, NOFILE, kind=PODMAN, ulimits=own)
    assert row.live is None
    plain = NOFILE.partition("    ulimits")[0]
    assert found(tmp_path, plain, kind=PODMAN, ulimits={**own, name: (64, 64)}) == []


def test_docker_has_no_ulimit_that_nobody_declares(tmp_path: Path) -> None:
    """One more is drift there."""
    assert found(tmp_path, NOFILE, ulimits={"nofile": (64, 128)}) == []
    (row,) = found(tmp_path, NOFILE, ulimits={"nofile": (64, 128), "nproc": (9, 9)})
    assert row.live == {"nofile": "64:128", "nproc": "9"}


@pytest.mark.parametrize("said", ["scale: 2", "deploy: {replicas: 2}"])
def test_another_number_than_declared_is_drift(tmp_path: Path, said: str) -> None:
    """With the place that declares it."""
    text = f"services:\n  web:\n    image: a\n    {said}\n"
    assert found(tmp_path, text, many=2) == []
    (row,) = found(tmp_path, text, many=3)
    assert (row.what, row.live, row.declared, row.note) == (Setting.REPLICAS, 3, 2, "")
    assert row.where.startswith(f"{tmp_path / 'compose.yaml'}:4:")


def test_a_number_that_no_file_declares_is_a_note(tmp_path: Path) -> None:
    """`up --scale` by hand contradicts nothing; the next plain `up` would end it all the same."""
    text = "services:\n  web:\n    image: a\n"
    assert found(tmp_path, text) == []
    (row,) = found(tmp_path, text, many=3)
    assert (row.what, row.live, row.declared) == (Setting.REPLICAS, 3, None)
    assert "shop/web has 3 containers on here" in row.note
    assert "scale: 3" in row.note
