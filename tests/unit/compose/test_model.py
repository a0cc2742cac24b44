"""`capacity._compose.render.model` and the models of files: the types say what is there."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from hypothesis import given
from hypothesis import strategies as st

from capacity._common.plain_data import Plain
from capacity._compose import load_project
from capacity._compose.edit.verify import same, with_value
from capacity._compose.render.model import ProjectModel
from capacity._compose.setting_paths import at
from capacity.errors import ComposeError
from tests.fixtures.paths import COMPOSE

_NAMES = st.sampled_from("abc")
_MODELS = st.dictionaries(
    _NAMES,
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda below: st.lists(below, max_size=2) | st.dictionaries(_NAMES, below, max_size=3),
        max_leaves=8,
    ),
)


def _misfits(value: object, wanted: Any, path: str = "") -> list[str]:
    """The places at which a value is of another type than said."""
    if is_typeddict(wanted):
        hints = get_type_hints(wanted)
        items = value.items() if isinstance(value, Mapping) else [("no mapping", value)]
        return [
            misfit
            for name, item in items
            if name in hints
            for misfit in _misfits(item, hints[name], f"{path}.{name}")
        ]
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in {Union, UnionType}:
        ways = [_misfits(value, way, path) for way in arguments]
        return [] if not all(ways) else ways[0]
    if origin is dict and isinstance(value, dict):
        return [
            misfit
            for name, item in value.items()
            for misfit in _misfits(item, arguments[1], f"{path}.{name}")
        ]
    if origin is list and isinstance(value, list):
        return [misfit for item in value for misfit in _misfits(item, arguments[0], f"{path}[]")]
    kind = origin or wanted
    fits = isinstance(value, (int, float) if kind is float else kind) and (
        kind in {bool, object} or not isinstance(value, bool)
    )
    return [] if fits else [f"{path}: {value!r} is no {wanted}"]


def test_every_file_renders_to_the_types_that_are_said() -> None:
    """What each file of the corpus means has the types of `ProjectModel`."""
    loaded = 0
    for file in sorted(COMPOSE.rglob("*.y*ml")):
        try:
            model = load_project(file, environment={}, profiles=["*"]).model
        except ComposeError:
            continue
        loaded += 1
        assert _misfits(model, ProjectModel) == [], file
    assert loaded > 80


def test_a_wrong_type_is_seen() -> None:
    """The comparison itself finds a text where a number is said, at any depth."""
    wrong = {"services": {"a": {"deploy": {"replicas": "2"}, "command": 7}}}
    assert [found.partition(":")[0] for found in _misfits(wrong, ProjectModel)] == [
        ".services.a.deploy.replicas",
        ".services.a.command",
    ]
    assert _misfits(None, NoneType | int) == []


@given(_MODELS, st.lists(_NAMES, min_size=1, max_size=4), st.integers())
def test_another_value_leaves_the_former_model(
    model: dict[str, Plain], path: list[str], value: int
) -> None:
    """The value stands at the path, all beside it stays, and nothing of the former changes."""
    before = deepcopy(model)
    after = with_value(model, path, value)
    assert model == before
    assert at(after, *path) == value
    first, *rest = path
    assert all(same(after[name], model[name]) for name in model if name != first)
    if rest and isinstance(below := model.get(first), dict):
        assert same(after[first], with_value(below, rest, value))
