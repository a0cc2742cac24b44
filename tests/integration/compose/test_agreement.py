"""Our loader against `docker compose config` of the real Compose v2, on every file of the corpus:
of Debian's 2.26, and of 2.40, the newest that can be had.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capacity._compose import load_project
from capacity.errors import ComposeError
from tests.fixtures.paths import COMPOSE
from tests.fixtures.running.compose import config

SINGLE = sorted((COMPOSE / "single").glob("*.yaml"))
REFUSED = sorted((COMPOSE / "refused").glob("*.yaml"))
NEWER = sorted((COMPOSE / "newer").glob("*.yaml"))
PROJECTS = sorted(path for path in (COMPOSE / "projects").iterdir() if path.is_dir())
VARIABLES = {
    "HOME": "/home/somebody",
    "BRACED": "braced",
    "EMPTY": "",
    "PLAIN": "plain",
    "B": "from the environment",
}


@dataclass(frozen=True)
class Answer:
    """What Compose said: its model, or why not."""

    model: Any
    error: str


NEWEST = "docker-compose-newest"
OTHERWISE = {
    "empty_mappings",
    "env_files",
    "texts_as_other_kinds",
    "unquoted_dates",
    "windows_paths",
}
"""What 2.40 refuses, or reads otherwise than 2.26, which we follow there."""


def _asked(program: str, every: list[Path]) -> dict[Path, Answer]:
    """Ask Compose once for everything, several files at a time."""

    def ask(path: Path) -> Answer:
        files = [] if path.is_dir() else ["-p", "corpus", "-f", str(path)]
        home = path if path.is_dir() else path.parent
        done = config(program, ["--profile", "*", *files], home, VARIABLES)
        return Answer(
            _single_dollars(json.loads(done.stdout)) if done.returncode == 0 else None, done.stderr
        )

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(every, pool.map(ask, every), strict=True))


@pytest.fixture(scope="module")
def compose() -> dict[Path, Answer]:
    """What 2.26 says."""
    return _asked("docker-compose", [*SINGLE, *REFUSED, *PROJECTS])


@pytest.fixture(scope="module")
def newest() -> dict[Path, Answer]:
    """What 2.40 says."""
    return _asked(NEWEST, [*SINGLE, *REFUSED, *PROJECTS, *NEWER])


def _as_of(model: Any, *, older: bool) -> Any:
    """Our model as a version prints it: 2.26 passes `gw_priority` over, 2.40 writes modes of
    secrets and configs in octal.
    """
    for service in model["services"].values():
        for network in (service.get("networks") or {}).values():
            if older and network:
                network.pop("gw_priority", None)
        mounts = [*service.get("secrets", []), *service.get("configs", [])]
        for mount in mounts if not older else ():
            if "mode" in mount:
                mount["mode"] = f"{mount['mode']:04o}"
    return model


def _single_dollars(value: Any) -> Any:
    """Compose prints every dollar sign twice, so that its output may be read in again."""
    if isinstance(value, dict):
        return {_single_dollars(name): _single_dollars(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_single_dollars(item) for item in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def _ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HOME", VARIABLES["HOME"])
    name = None if path.is_dir() else "corpus"
    project = load_project(path, environment=VARIABLES, profiles=["*"], name=name)
    return json.loads(json.dumps(project.model))


def test_the_corpus_is_large_enough() -> None:
    """At least 60 files that Compose accepts, and what it refuses beside them."""
    assert len(SINGLE) + len(PROJECTS) >= 60
    assert len(REFUSED) >= 30


@pytest.mark.parametrize("path", [*SINGLE, *PROJECTS], ids=lambda path: path.stem)
def test_the_model_is_composes(
    path: Path, compose: dict[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, values and types agree in every service, network, volume, secret and config."""
    assert compose[path].model is not None, compose[path].error
    assert _as_of(_ours(path, monkeypatch), older=True) == compose[path].model


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_what_compose_refuses_is_refused(
    path: Path, compose: dict[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both refuse, and our error names the file or the thing, and the next step."""
    assert compose[path].model is None
    with pytest.raises(ComposeError) as refused:
        _ours(path, monkeypatch)
    assert refused.value.hint
    assert path.name in refused.value.message


@pytest.mark.parametrize("path", [*SINGLE, *PROJECTS, *NEWER], ids=lambda path: path.stem)
def test_the_model_is_that_of_the_newest_compose(
    path: Path, newest: dict[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newer keys too; where it reads a file otherwise than 2.26, that is written down here."""
    ours = _as_of(_ours(path, monkeypatch), older=False)
    assert (ours == newest[path].model) == (path.stem not in OTHERWISE), newest[path].error


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_what_the_newest_compose_refuses_is_refused(
    path: Path, newest: dict[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that it takes by now is in this folder."""
    assert newest[path].model is None
    with pytest.raises(ComposeError):
        _ours(path, monkeypatch)
