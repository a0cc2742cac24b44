"""Write docs/reference from the code: the Python API, commands, settings, signals, reasons and
errors. Run it after changing any of them.
"""

from __future__ import annotations

import ast
import inspect
import re
from enum import Enum
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from types import ModuleType
from typing import Any

import typer
from pydantic import BaseModel

from capacity import errors
from capacity._cli import app
from capacity._common.setting_values import COMPOSE_NAMES
from capacity._compose.setting_paths import SETTING_PATHS
from capacity.changes._plan.plan import FILE_ONLY, RECREATING
from capacity.history._metrics.profiles import PROFILES
from capacity.history._metrics.signals import CATALOGUE, SignalScope
from capacity.model import Reason, Signal
from capacity.settings import ServiceSettings, Settings
from capacity.settings._tables import PrometheusSettings, SourceSettings

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
PUBLIC = (
    "capacity",
    "capacity.history",
    "capacity.forecasting",
    "capacity.sizing",
    "capacity.changes",
    "capacity.compliance",
    "capacity.operations",
    "capacity.reporting",
    "capacity.reporting.compliance",
    "capacity.reporting.monthly",
    "capacity.reporting.quarterly",
    "capacity.reporting.weekly",
    "capacity.settings",
    "capacity.model",
    "capacity.errors",
)
"""The public packages and modules; a path with a part that begins with an underscore is private."""

_WIDTH = 100
_LONGEST_DEFAULT = 60


@cache
def commands() -> dict[str, Any]:
    """Full name -> command of every command, groups entered."""
    found: dict[str, Any] = {}

    def enter(command: Any, name: str) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            found[name] = command
        for part, child in sorted((inner or {}).items()):
            enter(child, f"{name} {part}")

    enter(typer.main.get_command(app), "capacity")
    return found


def settings() -> dict[str, tuple[str, str]]:
    """Dotted name -> (default, meaning) of every setting."""
    found = {}
    for table, field in Settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            for name, part in inner.model_fields.items():
                found[f"{table}.{name}"] = (_default(part.default), str(part.description))
        else:
            found[table] = (_default(field.default), str(field.description))
    for name in SourceSettings.model_fields.keys() - PrometheusSettings.model_fields.keys():
        part = SourceSettings.model_fields[name]
        found[f"sources.NAME.{name}"] = (_default(part.default), str(part.description))
    for name, part in ServiceSettings.model_fields.items():
        found[f'services."GLOB".{name}'] = (_default(part.default), str(part.description))
    return found


def _default(value: Any) -> str:
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, Path):
        return "the user's data folder"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def render_commands() -> str:
    """docs/reference/commands.md."""
    lines = [
        "# Commands",
        "",
        "Exit codes: 0 fine, 1 findings or failed work, 2 usage or input, 130 interrupted.",
        "",
    ]
    for name, command in commands().items():
        lines += [
            f"## `{name}`",
            "",
            _paragraphs(str(command.help or "")),
            "",
            "| option | meaning |",
            "|---|---|",
        ]
        lines += [
            f"| `{', '.join(part.opts)}` | {getattr(part, 'help', '') or ''} |"
            for part in command.params
        ]
        lines += [""]
    return "\n".join(lines)


def render_settings() -> str:
    """docs/reference/settings.md."""
    lines = [
        "# Settings",
        "",
        _wrapped(
            "In `capacity.toml`, in the table before the dot. A variable such as "
            "`CAPACITY_PROMETHEUS__URL` overrides the file. Paths are relative to the file. "
            "Unknown names are errors."
        ),
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {default} | {meaning} |" for name, (default, meaning) in settings().items()
    ]
    return "\n".join([*lines, ""])


def render_signals() -> str:
    """docs/reference/signals.md."""
    lines = [
        "# Signals",
        "",
        _wrapped(
            "The PromQL of each signal. `$name` of a metric is its name on your server (see "
            "`metrics` in the settings), `$containers` the selector of containers, `$window` the "
            "step or four scrapes (an hour for hourly signals), `$identity` the labels that name "
            "a container. A later query is used where the metrics of the first are missing. "
            "Replicas and re-created containers are merged by the maximum; events are added up."
        ),
        "",
    ]
    for entry in CATALOGUE.values():
        often = "hourly" if entry.hourly else "every step"
        lines += [
            f"## `{entry.signal}`",
            "",
            _wrapped(f"{entry.text}. Unit: {entry.unit}; one column a {entry.scope}; {often}."),
            "",
        ]
        for query in entry.queries:
            metrics = ", ".join(f"`{name}`" for name in query.metrics)
            lines += ["```promql", query.expression, "```", "", _wrapped(f"Needs {metrics}."), ""]
    return "\n".join([*lines, *_exporters()])


def _exporters() -> list[str]:
    """Which signals of containers each kind of exporter gives, and in which metrics."""
    signals = [entry.signal for entry in CATALOGUE.values() if entry.scope is SignalScope.SERVICE]
    profiles = list(PROFILES.values())
    lines = [
        "## Who measures",
        "",
        _wrapped(
            "The queries above are in cAdvisor's names. These exporters are known too, and are "
            "recognised by their CPU metric; `capacity doctor` names the one that it found, "
            "`prometheus.profile` chooses another, and `[metrics]` and `[identity]` go before "
            "both."
        ),
        "",
        f"| signal | {' | '.join(f'`{profile.name}`' for profile in profiles)} |",
        f"|---|{'---|' * len(profiles)}",
    ]
    for signal in signals:
        given = ("yes" if profile.entry(signal).queries else "-" for profile in profiles)
        lines.append(f"| `{signal}` | {' | '.join(given)} |")
    lines += ["", "| profile | measured by | CPU and memory | to know |", "|---|---|---|---|"]
    for profile in profiles:
        metrics = ", ".join(
            f"`{profile.entry(signal).queries[0].metrics[0]}`"
            for signal in (Signal.CPU, Signal.MEMORY)
        )
        lines.append(f"| `{profile.name}` | {profile.title} | {metrics} | {profile.note or '-'} |")
    return [*lines, ""]


def render_reasons() -> str:
    """docs/reference/reasons.md."""
    lines = [
        "# Reasons",
        "",
        _wrapped(
            "Why a limit should change, or why not. What to do: [runbooks](../runbooks/reasons.md)."
        ),
        "",
        "| code | meaning |",
        "|---|---|",
    ]
    lines += [f"| `{reason}` | {reason.text} |" for reason in Reason]
    tree = inspect.getdoc(errors) or ""
    lines += ["", "# Errors", "", "```", tree.partition("::")[2].strip("\n"), "```", ""]
    return "\n".join(lines)


def render_service_settings() -> str:
    """docs/reference/service-settings.md."""
    lines = [
        "# Settings of a service",
        "",
        _wrapped(
            "What a plan can set, by its name there (`what`) and in `edit_compose`, with its places "
            "in a service of a compose file. Where there are several, what the Engine is told wins "
            "and is what is edited: the first, but `cpu_quota` where no `cpus` is said. Compose "
            "refuses a project in which a key of the service and its twin below `deploy` differ; "
            "both are set. A health check is switched off by `healthcheck.disable` and by "
            "`test: [NONE]`."
        ),
        "",
        "| setting | in `edit_compose` | places | takes |",
        "|---|---|---|---|",
    ]
    for what, homes in SETTING_PATHS.items():
        takes = (
            "a new container"
            if what in RECREATING
            else "the next `docker compose up`"
            if what in FILE_ONLY
            else "nothing: it is changed live"
        )
        places = ", ".join(f"`{home}`" for home in homes)
        lines.append(f"| `{what}` | `{COMPOSE_NAMES[what]}` | {places} | {takes} |")
    return "\n".join([*lines, ""])


def render_api() -> str:
    """docs/reference/api.md."""
    lines = [
        "# Python API",
        "",
        _wrapped(
            "Every public name, by the package or module that exports it in `__all__`. A path with "
            "a part that begins with an underscore is private and may change in any version. "
            "`help(NAME)` has the arguments and the errors. "
            "[Versions and deprecations](../../CONTRIBUTING.md#versions-and-deprecations)."
        ),
    ]
    for name in PUBLIC:
        module = import_module(name)
        lines += ["", f"## `{name}`", "", _wrapped(_first_sentence(inspect.getdoc(module) or ""))]
        for exported in sorted(module.__all__, key=lambda each: (each.lower(), each)):
            lines += ["", *_entry(module, exported)]
    return "\n".join([*lines, ""])


def _entry(module: ModuleType, name: str) -> list[str]:
    """Heading, signature and meaning of one exported name."""
    value = getattr(module, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return [
            f"### `{name}`",
            "",
            _wrapped(_said_of_constant(module, name) or "A type for annotations."),
        ]
    lines = [f"### `{name}`", ""]
    if inspect.isclass(value) and issubclass(value, Enum):
        members = ", ".join(f"`{member.name}`" for member in value)
        return [
            *lines,
            _wrapped(_first_sentence(inspect.getdoc(value) or "")),
            "",
            _wrapped(members),
        ]
    if not (inspect.isclass(value) and issubclass(value, BaseException | BaseModel)):
        lines += ["```python", *_signature(name, value), "```", ""]
    lines.append(_wrapped(_first_sentence(inspect.getdoc(value) or "")))
    if inspect.isclass(value) and issubclass(value, BaseModel) and value is not Settings:
        fields = ", ".join(f"`{field}`" for field in value.model_fields)
        lines += ["", _wrapped(f"Fields: {fields}.")]
    if inspect.isclass(value) and value.__module__.startswith("capacity"):
        methods = _methods(value)
        lines += ["", *methods] if methods else []
    return lines


def _methods(value: type) -> list[str]:
    """The public methods and properties that a class itself defines."""
    found = []
    for name, member in vars(value).items():
        inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
        said = _first_sentence(inspect.getdoc(inner) or "")
        if not name.startswith("_") and inspect.isroutine(inner) and said:
            called = f"`{name}`" if isinstance(member, property) else f"`{name}()`"
            found.append(fill(f"- {called}: {said}", _WIDTH, subsequent_indent="  "))
    return found


def _signature(name: str, value: Any) -> list[str]:
    """The call as Python, on one line where it fits; the same on every machine."""
    signature = inspect.signature(value)
    parts, marked = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not marked:
            parts.append("*")
        marked |= parameter.kind in {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL}
        parts.append(_parameter(parameter))
    returned = signature.return_annotation
    end = (
        ")" if inspect.isclass(value) or returned is inspect.Signature.empty else f") -> {returned}"
    )
    line = f"{name}({', '.join(parts)}{end}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"{name}(", *[f"    {part}," for part in parts], end]


def _parameter(parameter: inspect.Parameter) -> str:
    variadic = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    stars = "*" * (variadic.index(parameter.kind) + 1) if parameter.kind in variadic else ""
    annotated = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    if parameter.default is parameter.empty:
        return f"{stars}{parameter.name}{annotated}"
    return f"{parameter.name}{annotated}{' = ' if annotated else '='}{_value(parameter.default)}"


def _value(value: Any) -> str:
    """A default as a reader would write it; `...` where it is made anew or is no literal."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if inspect.isroutine(value):
        return str(value.__name__)
    if isinstance(value, tuple):
        inner = ", ".join(map(_value, value))
        shown = f"({inner},)" if len(value) == 1 else f"({inner})"
        return shown if len(shown) < _LONGEST_DEFAULT else "..."
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value) if value is None or isinstance(value, int | float) else "..."


def _said_of_constant(module: ModuleType, name: str) -> str:
    """The string under the assignment of a constant, wherever its package has it; or the value."""
    for file in sorted(Path(str(module.__file__)).parent.rglob("*.py")):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for statement, after in pairwise(body):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            named = any(isinstance(each, ast.Name) and each.id == name for each in targets)
            said = getattr(getattr(after, "value", None), "value", None)
            if named and isinstance(after, ast.Expr) and isinstance(said, str):
                return _first_sentence(inspect.cleandoc(said))
    value = getattr(module, name)
    if isinstance(value, dict):
        return ", ".join(f"`{key}`" for key in value) + "."
    if isinstance(value, tuple) and all(hasattr(part, "name") for part in value):
        return ", ".join(f"`{part.name}`" for part in value) + "."
    if name == "__version__":
        return "The version that is installed."
    shown = str(value)
    return f"`{shown}`" if (len(shown) < _WIDTH and name.isupper()) or "|" in shown else ""


def _first_sentence(text: str) -> str:
    first = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", first, maxsplit=1)[0]


def _paragraphs(text: str) -> str:
    return "\n\n".join(_wrapped(part) for part in text.strip().split("\n\n"))


def _wrapped(text: str) -> str:
    return fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


PAGES = {
    "api.md": render_api,
    "commands.md": render_commands,
    "settings.md": render_settings,
    "signals.md": render_signals,
    "reasons.md": render_reasons,
    "service-settings.md": render_service_settings,
}


if __name__ == "__main__":
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for page, render in PAGES.items():
        (REFERENCE / page).write_text(render(), encoding="utf-8")
