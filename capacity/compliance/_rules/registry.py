"""Which checks there are: the built-in ones, and others' through the entry-point group
`capacity.checks`.

A check is a function `(facts, *, parameter=default, ...) -> verdicts`. Its keyword parameters, with
their annotations and defaults, are what a rule may set; `Annotated[float, Field(gt=0, lt=1)]` says
what is possible.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias, TypeVar, get_type_hints

from capacity._common.plain_data import PlainMapping
from capacity.compliance._verdicts import Verdict
from capacity.errors import InputError

__all__ = [
    "GROUP",
    "Check",
    "Source",
    "check",
    "checks",
    "find_check",
    "parameters_of",
    "read_parameters",
    "reads_files",
    "sources_of",
]

GROUP = "capacity.checks"
Check = Callable[..., Iterable[Verdict]]
Source: TypeAlias = Literal["files", "engine", "history", "prometheus", "alertmanager"]
"""What facts come from; `prometheus` is what the metrics server says of itself."""
_F = TypeVar("_F", bound=Check)
_built_in: dict[str, Check] = {}
_sources: dict[str, tuple[Source, ...]] = {}


def check(name: str, *sources: Source) -> Callable[[_F], _F]:
    """Register a function of this package as the check of that name, with what it looks at, any of
    which may be enough.
    """

    def register(function: _F) -> _F:
        _built_in[name], _sources[name] = function, sources
        return function

    return register


def sources_of(name: str) -> tuple[Source, ...]:
    """What a check looks at; nothing is known of others' checks."""
    return _sources.get(name, ())


def reads_files(name: str) -> bool:
    """Whether a check looks at what compose files declare."""
    return "files" in sources_of(name)


def checks() -> Mapping[str, Check]:
    """The built-in checks, by name."""
    from capacity.compliance import _checks as folder

    for module in iter_modules(folder.__path__):
        import_module(f"{folder.__name__}.{module.name}")
    return dict(sorted(_built_in.items()))


def find_check(name: str) -> Check:
    """The check of a name.

    Raises:
        InputError: there is none, two installed packages bring one, or it cannot be loaded.
    """
    known = checks()
    if name in known:
        return known[name]
    from importlib.metadata import entry_points

    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if len(found) != 1:
        cause = f"stands for {' and '.join(sorted(found))}" if found else "is no check"
        raise InputError(
            f"{name!r} {cause}",
            f"Use one of {', '.join(known)}, or an entry point of the group {GROUP}",
        )
    (point,) = found.values()
    try:
        loaded = point.load()
    except Exception as error:  # others' code may fail in any way
        raise InputError(
            f"The check {name!r} cannot be loaded from {point.value}: {error!r}", "Install it again"
        ) from error
    if not callable(loaded):
        raise InputError(
            f"The check {name!r} from {point.value} is no function", "Correct its package"
        )
    return loaded  # type: ignore[no-any-return]  # what it gives is looked at when it runs


def parameters_of(function: Check) -> dict[str, object]:
    """Parameter -> default of a check."""
    return {
        name: part.default
        for name, part in inspect.signature(function).parameters.items()
        if part.kind is inspect.Parameter.KEYWORD_ONLY
    }


def read_parameters(function: Check, values: PlainMapping) -> dict[str, object]:
    """The values a rule gives, checked against the function's annotations.

    Raises:
        ValueError: unknown parameter, wrong kind, out of its range; the text says which.
    """
    from pydantic import ValidationError

    known = parameters_of(function)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(
            f"knows no parameter {unknown[0]!r}, only {', '.join(known) or 'none at all'}"
        )
    try:
        # JSON's strictness is right for YAML: a list may be a tuple and 1 a float, but "1" is no
        # number and true is none
        model = _model(function).model_validate_json(json.dumps(values), strict=True)
    except (ValidationError, TypeError) as error:
        first = (
            error.errors(include_url=False)[0]
            if isinstance(error, ValidationError)
            else {"loc": (), "msg": str(error)}
        )
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return {name: getattr(model, name) for name in values}


def _kind(function: Check, name: str) -> Any:
    """The annotation of one parameter; those of others, such as `facts`, may be there for a type
    checker alone.
    """
    annotation = inspect.signature(function).parameters[name].annotation
    if annotation is inspect.Parameter.empty:
        raise ValueError(f"the parameter {name} has no annotation to check its value against")
    alone = SimpleNamespace(__annotations__={name: annotation})
    try:
        return get_type_hints(
            alone, globalns=getattr(function, "__globals__", {}), include_extras=True
        )[name]
    except Exception as error:  # whatever stands in an annotation is evaluated
        raise ValueError(
            f"the annotation of the parameter {name} cannot be read: {error}"
        ) from error


@cache
def _model(function: Check) -> Any:
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {
        name: (_kind(function, name), default) for name, default in parameters_of(function).items()
    }
    return create_model(
        "Parameters", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields
    )
