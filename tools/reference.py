"""Write docs/reference from the code: commands, settings, signals, reasons and errors. Run it after
changing any of them.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from capacity import errors
from capacity._cli import app
from capacity.history._signals import CATALOGUE
from capacity.model import Reason
from capacity.settings import ServiceSettings, Settings

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


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
            str(command.help or "").strip(),
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
        (
            "In `capacity.toml`, in the table before the dot. A variable such as "
            "`CAPACITY_PROMETHEUS__URL` overrides the file. Paths are"
        ),
        "relative to the file. Unknown names are errors.",
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
        (
            "How each signal is asked for. `$name` of a metric is its name on your server (see "
            "`metrics` in the settings), `$containers`"
        ),
        (
            "the selector of containers, `$window` the step or four scrapes (an hour for hourly "
            "signals), `$identity` the labels that name"
        ),
        (
            "a container. A later query is used where the metrics of the first are missing. "
            "Replicas "
            "and re-created containers are merged"
        ),
        "by the maximum (events are added up).",
        "",
    ]
    for entry in CATALOGUE.values():
        often = "hourly" if entry.hourly else "every step"
        lines += [
            f"## `{entry.signal}`",
            "",
            f"{entry.text}. Unit: {entry.unit}; one column a {entry.scope}; {often}.",
            "",
        ]
        for query in entry.queries:
            metrics = ", ".join(f"`{name}`" for name in query.metrics)
            lines += ["```promql", query.expression, "```", "", f"Needs {metrics}.", ""]
    return "\n".join(lines)


def render_reasons() -> str:
    """docs/reference/reasons.md."""
    lines = [
        "# Reasons",
        "",
        "Why a limit should change, or why not.",
        "",
        "| code | meaning |",
        "|---|---|",
    ]
    lines += [f"| `{reason}` | {reason.text} |" for reason in Reason]
    tree = inspect.getdoc(errors) or ""
    lines += ["", "# Errors", "", "```", tree.partition("::")[2].strip("\n"), "```", ""]
    return "\n".join(lines)


PAGES = {
    "commands.md": render_commands,
    "settings.md": render_settings,
    "signals.md": render_signals,
    "reasons.md": render_reasons,
}


if __name__ == "__main__":
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for page, render in PAGES.items():
        (REFERENCE / page).write_text(render(), encoding="utf-8")
