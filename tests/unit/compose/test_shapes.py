"""Values of any shape at any key: a project or a ComposeError with its place, never anything
else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity._compose import load_project
from capacity._compose.check.schema import ROOT, SchemaNode
from capacity._compose.render.shell_words import split_words
from capacity.errors import ComposeError

assert ROOT.keys is not None
SERVICE = ROOT.keys["services"].values
assert SERVICE is not None
assert SERVICE.keys is not None
KEYS = sorted(SERVICE.keys)
SECTIONS = ["configs", "include", "networks", "secrets", "services", "volumes"]
TEXTS = [
    "",
    "a",
    "a=b",
    "a:b",
    "1",
    "1g",
    "5s",
    "/x:/y",
    "./x",
    "~/x",
    "${U}",
    "80:80",
    "all",
    "service:b",
    "yes",
    "C:\\x:/y",
    "a && b",
]
NAMES = st.sampled_from(
    [
        "a",
        "b",
        "x-a",
        "source",
        "target",
        "type",
        "path",
        "service",
        "file",
        "driver",
        "count",
        "subnet",
    ]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from([0, 1, -1, 1.5, 10**20]), st.sampled_from(TEXTS)
)


def _deeper(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(below, max_size=2) | st.dictionaries(NAMES, below, max_size=2)


ANY = st.recursive(SCALARS, _deeper, max_leaves=6)


def _fitting(shape: SchemaNode) -> st.SearchStrategy[Any]:
    """Values that the schema allows at a place, so that what comes behind the schema meets them."""
    found: list[st.SearchStrategy[Any]] = []
    if shape.kinds:
        found.append(st.sampled_from(sorted(shape.choices)) if shape.choices else SCALARS)
    if shape.items is not None:
        found.append(st.lists(_fitting(shape.items), max_size=2))
    if shape.values is not None:
        found.append(st.dictionaries(NAMES, _fitting(shape.values), max_size=2))
    if shape.keys is not None:
        required = {name: _fitting(shape.keys[name]) for name in shape.required}
        others = {
            name: _fitting(below) for name, below in shape.keys.items() if name not in required
        }
        found.append(st.fixed_dictionaries(required, optional=others))
    return st.one_of(found)


FITTING = {name: _fitting(shape) for name, shape in SERVICE.keys.items()}


def _loads_or_refuses(folder: Path, *models: dict[str, Any]) -> bool:
    files = []
    for number, model in enumerate(models):
        files.append(folder / f"compose{number}.yaml")
        files[-1].write_text(json.dumps(model))
    refusal = _refusal(
        lambda: load_project(files, environment={"HOME": "/home/somebody"}, name="shapes")
    )
    return refusal is None or bool(refusal.hint and str(folder) in refusal.message)


def _refusal(action: Callable[[], Any]) -> ComposeError | None:
    try:
        action()
    except ComposeError as error:
        return error
    return None


def _declaring(service: dict[str, Any]) -> dict[str, Any]:
    return {
        "services": {"a": {"image": "a", **service}, "b": {"image": "b"}},
        "volumes": {"a": None},
        "networks": {"a": None},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples; each writes its files anew."""
    return tmp_path_factory.mktemp("shapes")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_value_at_a_key_of_a_service(folder: Path, data: st.DataObject) -> None:
    """Also when a second file lays another value on it."""
    key = data.draw(st.sampled_from(KEYS))
    values = data.draw(st.lists(ANY | FITTING[key], min_size=1, max_size=2))
    assert _loads_or_refuses(folder, *(_declaring({key: value}) for value in values))


@settings(max_examples=60)
@given(st.sampled_from(SECTIONS), st.lists(ANY, min_size=1, max_size=2))
def test_any_value_at_a_section(folder: Path, section: str, values: list[Any]) -> None:
    """Also when a second file lays another value on it."""
    assert _loads_or_refuses(folder, *({**_declaring({}), section: value} for value in values))


@given(st.text(alphabet="ab2 \n'\"`$()\\&|;<>", max_size=12))
def test_any_command_line(text: str) -> None:
    """Words, or a ComposeError."""
    refusal = _refusal(lambda: split_words(text))
    assert refusal is None or refusal.hint
