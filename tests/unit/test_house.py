"""The rules of the house that no linter knows: what may cross a module, how long functions are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from tests.fixtures.paths import ROOT
from tests.fixtures.running.servers import require
from tests.fixtures.session.marks import servers_of

_UNTYPED = re.compile(r"\b(dict|\w*Mapping)\[str, (typing\.)?Any\]")
_MAY_BE_UNTYPED = {
    "capacity/_compose/yaml/tree.py Map": "a document while a loader rewrites it: of any shape",
    "capacity/forecasting/_diagnostics/structure.py leak": "part of `explain`",
    "capacity/forecasting/_diagnostics/structure.py explain": "plain data, its keys documented",
    "capacity/forecasting/_forecaster.py Forecaster.get_params": "scikit-learn's signature",
    "capacity/forecasting/_forecaster.py Forecaster.explain": "plain data, its keys documented",
    "capacity/forecasting/_state.py FittedForecaster.get_params": "scikit-learn's signature",
}
_LONGEST = 40  # lines of a body
_MAY_BE_LONG = {
    "capacity/_monitor/web/json_api.py openapi": "the document that describes the interface",
    "capacity/_docker/containers.py _container": "one line a field of what the Engine answers",
    "capacity/history/_sample/generate.py _signals": "one entry a signal of the sample",
    "capacity/forecasting/_models/peak_features.py features": "one entry a feature of the model",
}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "capacity").rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def _annotations(node: ast.AST) -> Iterator[ast.expr]:
    """What a function, a field or an alias says of types."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        every = node.args
        named = (*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg)
        yield from (part.annotation for part in named if part and part.annotation)
        if node.returns:
            yield node.returns
    elif isinstance(node, ast.AnnAssign):
        yield node.annotation
        if node.value is not None and ast.unparse(node.annotation).endswith("TypeAlias"):
            yield node.value
    elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.Subscript, ast.BinOp)):
        yield node.value


def _visible(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """What others can see of a module, and its aliases, which what they see may be made of."""
    for node in module.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield ast.unparse(node).partition(" = ")[0].partition(":")[0], node
        elif isinstance(node, ast.ClassDef):
            yield from ((node.name, base_or) for base_or in _bases(node))
            for member in node.body:
                name = getattr(member, "name", "")
                if not name.startswith("_") or name == "__init__":
                    yield f"{node.name}.{name}" if name else node.name, member
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node


def _bases(node: ast.ClassDef) -> Iterator[ast.AST]:
    """The bases of a class, as the annotations of a field."""
    for base in node.bases:
        yield ast.AnnAssign(target=ast.Name("base"), annotation=base, value=None, simple=1)


def _untyped(path: str, module: ast.Module) -> set[str]:
    return {
        f"{path} {name}"
        for name, node in _visible(module)
        for annotation in _annotations(node)
        if _UNTYPED.search(
            annotation.value
            if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
            else ast.unparse(annotation)
        )
    }


def test_no_mapping_of_anything_crosses_a_module() -> None:
    """A record is a dataclass or a TypedDict, plain data is `Plain`; the exceptions have reasons,
    and none is listed that is no longer one.
    """
    found = {name for path, module in _modules() for name in _untyped(path, module)}
    assert found == _MAY_BE_UNTYPED.keys()


def test_a_mapping_of_anything_is_seen() -> None:
    """As an argument, a result, a field, an alias and a base; what is private may have one."""
    text = """
Alias = tuple[dict[str, Any], int]
class Base(dict[str, Any]):
    field: Mapping[str, Any]
    def method(self, *, part: dict[str, Any] | None = None): ...
    def _own(self, part: dict[str, Any]): ...
def function() -> list[collections.abc.Mapping[str, Any]]: ...
def _own() -> dict[str, Any]: ...
def typed(some: dict[str, int]) -> Any: ...
"""
    assert _untyped("", ast.parse(text)) == {" Alias", " Base", " Base.method", " function"}


def _bodies(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Functions, methods and inner ones, with the lines of their bodies without the docstring."""
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield node.name, lines


def test_functions_are_short() -> None:
    """At most 40 lines; tables of data have reasons to be longer, and none is listed in vain."""
    long = {
        f"{path} {name}"
        for path, module in _modules()
        for name, lines in _bodies(module)
        if lines > _LONGEST
    }
    assert long == _MAY_BE_LONG.keys()


def test_a_long_function_is_seen() -> None:
    """Without its docstring, and also inside another."""
    text = 'def outer():\n    """Says."""\n    def inner():\n' + "        call()\n" * 41
    assert dict(_bodies(ast.parse(text))) == {"outer": 42, "inner": 41}


def _runs(program: str) -> None:
    require(program)


def test_what_runs_another_program_is_marked() -> None:
    """By its code, also where the name of the program is a parameter."""
    item: Any = SimpleNamespace(function=lambda: _runs("docker-compose"))
    assert servers_of(item) == {"program"}
    item = SimpleNamespace(function=_bodies)
    assert servers_of(item) == set()
