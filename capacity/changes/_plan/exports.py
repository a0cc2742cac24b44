"""What a plan would do, as files for people: a patch, an override file, a script and its inverse.
Nothing is touched.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from difflib import unified_diff
from pathlib import Path
from shlex import quote
from typing import Any

from capacity._common.files import file_parts
from capacity._common.printable import one_line
from capacity._common.setting_values import compose_settings, show_value
from capacity._common.units import MIB
from capacity._compose import Service
from capacity._compose.declared import DeclaredProject
from capacity._docker.update import LIVE
from capacity.changes._plan.commands import update_flags
from capacity.changes._plan.file_edits import edit_service
from capacity.changes._plan.plan import Plan, PlannedChange
from capacity.errors import CapacityError
from capacity.model import ServiceKey, Setting, Value

__all__ = ["changes_by_service", "emit_override", "emit_patch", "emit_scripts", "patch_of"]

_DEPLOY = {
    "memory": ("limits", "memory"),
    "cpus": ("limits", "cpus"),
    "pids": ("limits", "pids"),
    "memory_reservation": ("reservations", "memory"),
    "cpus_reservation": ("reservations", "cpus"),
}
_OWN = {
    "memory": "mem_limit",
    "cpus": "cpus",
    "pids": "pids_limit",
    "memory_reservation": "mem_reservation",
}


def changes_by_service(changes: Iterable[PlannedChange]) -> dict[str, list[PlannedChange]]:
    """The changes of each service, in the order of the plan."""
    found: dict[str, list[PlannedChange]] = {}
    for change in changes:
        found.setdefault(change.service, []).append(change)
    return found


def emit_patch(
    plan: Plan, projects: Mapping[str, DeclaredProject], root: Path
) -> tuple[str, dict[str, str]]:
    """A unified diff that `git apply` accepts in `root`, and the services that it could not be made
    for, with the reason.

    Args:
        plan: what to change.
        projects: what the compose files declare.
        root: the folder that the paths of the patch start from.
    """
    first: dict[Path, str] = {}
    texts: dict[Path, str] = {}
    refused: dict[str, str] = {}
    for service, changes in changes_by_service(plan.changes).items():
        try:
            edits = edit_service(_project(service, projects), service, changes, texts)
        except CapacityError as error:
            refused[service] = str(error)
            continue
        for path, (before, after) in edits.items():
            first.setdefault(path, before)
            texts[path] = after
    return "".join(
        patch_of(path, root, first[path], after) for path, after in sorted(texts.items())
    ), refused


def _project(service: str, projects: Mapping[str, DeclaredProject]) -> DeclaredProject:
    name = ServiceKey.parse(service).project
    return projects.get(name) or DeclaredProject(
        name, (), None, missing="no compose file of its project was named"
    )


def patch_of(path: Path, root: Path, before: str, after: str) -> str:
    """One file's part of a patch, byte for byte: carriage returns and a missing last line break are
    kept.
    """
    if before == after:
        return ""
    name = Path(os.path.relpath(path.resolve(), root.resolve())).as_posix()
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    lines = list(unified_diff(old, new, _quoted(f"a/{name}"), _quoted(f"b/{name}"), lineterm=""))
    head = [f"{line}\n" for line in lines[:2]]
    body = [
        line if line.endswith("\n") and not line.startswith("@@ ") else _ended(line)
        for line in lines[2:]
    ]
    return "".join([*head, *body])


def _ended(line: str) -> str:
    return f"{line}\n" if line.startswith("@@ ") else f"{line}\n\\ No newline at end of file\n"


def _quoted(name: str) -> str:
    """A file's name as git writes it in a patch."""
    if re.search(r'[\x00-\x1f"\\\x7f-\uffff]', name):
        octal = "".join(
            chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\{byte:03o}"
            for byte in name.encode()
        )
        return f'"{octal}"'
    return f"{name}\t" if " " in name else name


def emit_override(plan: Plan, declared: DeclaredProject) -> tuple[str, dict[str, str]]:
    """The text of an override file for one project, to be named last with `-f`, and what it cannot
    say, with the reason.
    """
    services: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for service, changes in changes_by_service(plan.changes).items():
        key = ServiceKey.parse(service)
        if key.project != declared.name:
            continue
        found = declared.service(key.service)
        if found is None:
            refused[service] = declared.missing or "its compose files do not declare it"
            continue
        if any(change.what is Setting.HOST_PORT for change in changes):
            refused[service] = "an override file adds ports, it cannot move one"
        said = [
            (change.what, change.before, change.after)
            for change in changes
            if change.what is not Setting.HOST_PORT
        ]
        if said:
            services[key.service] = _override(found, compose_settings(said))
    return (_yaml({"services": services}) if services else ""), refused


def _override(service: Service, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that win over what the service's files say; where those use the service's own keys,
    so does this.
    """
    own = any(service.where(key) is not None for key in ("mem_limit", "cpus", "pids_limit"))
    deploy = service.where("deploy.resources.limits") is not None
    said: dict[str, Any] = {}
    for name, value in wanted.items():
        shown = _shown(name, value)
        if name not in _DEPLOY or (own and name in _OWN):
            said[_OWN.get(name, {"memswap": "memswap_limit"}.get(name, name))] = shown
        if name in _DEPLOY and (deploy or not own or name not in _OWN):
            part, key = _DEPLOY[name]
            said.setdefault("deploy", {}).setdefault("resources", {}).setdefault(part, {})[key] = (
                shown
            )
    return said


def _literal(value: Any) -> Any:
    """The value as Compose reads it back: a dollar is no variable of whoever runs it."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {name: _literal(part) for name, part in value.items()}
    return [_literal(part) for part in value] if isinstance(value, (list, tuple)) else value


def _shown(name: str, value: Any) -> Any:
    if name == "depends_on":
        return {other: {"condition": condition} for other, condition in value.items()}
    if name in {"memory", "memswap", "memory_reservation"}:
        return value if value == -1 else f"{value // MIB}m" if value % MIB == 0 else f"{value}b"
    return f"{value:g}" if name in {"cpus", "cpus_reservation"} else _literal(value)


def _yaml(content: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 1000
    text = io.StringIO()
    yaml.dump(content, text)
    return (
        "# Limits from a capacity plan; name it last: docker compose -f compose.yaml -f "
        "compose.capacity.yaml up -d\n" + text.getvalue()
    )


def emit_scripts(plan: Plan) -> dict[str, str]:
    """File name -> text of bash scripts: `apply.sh` and its inverse `revert.sh`, one pair a host
    where there are several.
    """
    hosts = sorted({change.host for change in plan.changes})
    scripts = {}
    ends = file_parts(hosts, "elsewhere") if len(hosts) > 1 else {}
    for host in hosts or [""]:
        changes = [change for change in plan.changes if change.host == host]
        end = f"-{ends[host]}" if ends else ""
        ordered = sorted(changes, key=lambda change: change.order)
        scripts[f"apply{end}.sh"] = _script(
            plan, host, "Sets the limits", ordered, lambda change: change.after
        )
        scripts[f"revert{end}.sh"] = _script(
            plan, host, "Sets the former limits again", ordered[::-1], lambda change: change.before
        )
    return scripts


_HEAD = """\
#!/usr/bin/env bash
# shellcheck disable=SC2016,SC1003  # a name is one word as it stands, whatever signs it has
# {does} of plan {plan} on the running containers{where}.
# The compose files are not touched: the next `docker compose up` undoes this.
set -eu

update() { # FILTER... -- FLAG...: update every container that the filters find
  local filters=() ids id
  while [ "$1" != -- ]; do filters+=(--filter "$1"); shift; done
  shift
  ids=$(docker ps --quiet "${filters[@]}")
  if [ -z "$ids" ]; then echo "no container: ${filters[*]}" >&2; return 1; fi
  for id in $ids; do docker update "$@" "$id"; done
}
"""


def _script(plan: Plan, host: str, does: str, changes: list[PlannedChange], value: Any) -> str:
    head = _HEAD.replace("{does}", does).replace("{plan}", one_line(plan.plan_id))
    lines = [head.replace("{where}", f" of {one_line(host)}" if host else "")]
    together: dict[tuple[int, str], dict[Setting, Value]] = {}
    for change in changes:
        if change.what in LIVE:
            together.setdefault((change.order, change.service), {})[change.what] = value(change)
        else:
            lines.append(
                f"# by hand: {one_line(change.label)}: "
                f"{one_line(show_value(change.what, value(change)))}"
            )
    updates = [
        f"update {_filters(service)} -- {update_flags(limits)}"
        for (_, service), limits in together.items()
    ]
    return (
        "\n".join([*lines, *(updates or ["echo 'nothing that docker update could do' >&2"])]) + "\n"
    )


def _filters(service: str) -> str:
    key = ServiceKey.parse(service)
    if key.project == ServiceKey.STANDALONE:
        return quote(f"name=^/{re.escape(key.service)}$")
    return " ".join(
        quote(f"label=com.docker.compose.{name}={value}")
        for name, value in (("project", key.project), ("service", key.service))
    )
