"""A private Engine for a module's tests, empty for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.running.compose import SHORT_LIVED
from tests.fixtures.running.fleet import Fleet, fleet, in_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Engine for the module."""
    with fleet(tmp_path_factory.mktemp("fleet")) as made:
        yield made


@pytest.fixture
def shop(whole: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """An empty Engine and a folder of the test's own."""
    made = in_folder(whole, tmp_path)
    for name, value in {"PATH": made.environment()["PATH"], **SHORT_LIVED}.items():
        monkeypatch.setenv(name, value)
    yield made
    made.clear()
