"""What a plan would do, as files for people: a patch, an override file, a script and its inverse.
Nothing is touched.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path
from shlex import quote
from typing import Any

from capacity._common.files import file_parts
from capacity._common.printable import one_line
from capacity._common.setting_values import show_value
from capacity._compose.declared import DeclaredProject
from capacity._compose.edit.judge import check_edit
from capacity._compose.edit.project import override_bodies, reload
from capacity._compose.edit.reasons import EditReason
from capacity._docker.update import LIVE
from capacity.changes._plan.commands import update_flags
from capacity.changes._plan.file_edits import edit_service, settings_of
from capacity.changes._plan.plan import Plan, PlannedChange
from capacity.errors import CapacityError, ChangeRefused, EditRefused
from capacity.model import ServiceKey, Setting, Value

__all__ = [
    "changes_by_service",
    "each_service",
    "emit_override",
    "emit_patch",
    "emit_scripts",
    "patch_of",
]

OVERRIDE = "compose.capacity.yaml"


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

    def edit(service: str, changes: list[PlannedChange]) -> None:
        edits = edit_service(_project(service, projects), service, changes, texts)
        for path, (before, after) in edits.items():
            first.setdefault(path, before)
            texts[path] = after

    refused = each_service(changes_by_service(plan.changes), edit)
    return "".join(
        patch_of(path, root, first[path], after) for path, after in sorted(texts.items())
    ), refused


def each_service(
    changes: Mapping[str, list[PlannedChange]], edit: Callable[[str, list[PlannedChange]], None]
) -> dict[str, str]:
    """Edit one service after the other; those that could not be, with the reason.

    A service that others take values over from is tried again once another edit has succeeded:
    those others may have a value of their own by then.
    """
    refused: dict[str, str] = {}
    waiting = dict(changes)
    while waiting:
        shared = {}
        for service, wanted in waiting.items():
            try:
                edit(service, wanted)
            except CapacityError as error:
                refused[service] = str(error)
                if isinstance(error, EditRefused) and error.reason is EditReason.SHARED:
                    shared[service] = wanted
            else:
                refused.pop(service, None)
        if len(shared) == len(waiting):
            break
        waiting = shared
    return refused


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
    refused: dict[str, str] = {}
    services: dict[str, Any] = {}
    mine = {
        ServiceKey.parse(service).service: changes
        for service, changes in changes_by_service(plan.changes).items()
        if ServiceKey.parse(service).project == declared.name
    }
    for name, changes in mine.items():
        said = [(change.what, change.before, change.after) for change in changes]
        fixed = [part for part in said if part[0] is not Setting.HOST_PORT]
        service = f"{declared.name}/{name}"
        if len(fixed) < len(said):
            refused[service] = "an override file adds ports, it cannot move one"
        try:
            services |= {name: _override(declared, services, name, fixed)} if fixed else {}
        except CapacityError as error:
            refused[service] = str(error)
    return (_yaml({"services": services}) if services else ""), refused


def _override(
    declared: DeclaredProject,
    services: Mapping[str, Any],
    name: str,
    said: list[tuple[Setting, Value, Value]],
) -> dict[str, Any]:
    """The keys that win over what the service's files say, judged on the project with them.

    Raises:
        EditRefused: no further file can say it exactly.
        ChangeRefused: the project cannot be loaded, or does not declare the service.
    """
    file = (declared.folder or declared.files[0].parent) / OVERRIDE if declared.files else Path()
    whole = replace(declared, files=(*declared.files, file))
    before = reload(declared, {})
    if services:
        before = reload(whole, {file: _yaml({"services": services})})
    if name not in before.services:
        raise ChangeRefused("Its compose files do not declare it", "Take a new snapshot")
    wanted = settings_of(before, name, said)
    refused: list[CapacityError] = []
    for body in override_bodies(before.services[name], wanted):
        text = _yaml({"services": {**services, name: body}})
        try:
            check_edit(before, reload(whole, {file: text}), name, wanted)
        except (EditRefused, ChangeRefused) as error:
            refused.append(error)
        else:
            return body
    raise refused[0]


def _yaml(content: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 1000
    text = io.StringIO()
    yaml.dump(content, text)
    return (
        "# Limits from a capacity plan; name it last: docker compose -f compose.yaml -f "
        f"{OVERRIDE} up -d\n" + text.getvalue()
    )


def emit_scripts(plan: Plan, refused: Mapping[str, str] | None = None) -> dict[str, str]:
    """File name -> text of bash scripts: `apply.sh` and its inverse `revert.sh`, one pair a host
    where there are several.

    Args:
        plan: what to change.
        refused: service -> why its compose files cannot say the change, from `emit_patch`; it is
            left out.
    """
    left_out = refused or {}
    hosts = sorted({change.host for change in plan.changes})
    scripts = {}
    ends = file_parts(hosts, "elsewhere") if len(hosts) > 1 else {}
    for host in hosts or [""]:
        changes = [change for change in plan.changes if change.host == host]
        end = f"-{ends[host]}" if ends else ""
        ordered = sorted(changes, key=lambda change: change.order)
        scripts[f"apply{end}.sh"] = _script(
            plan, host, "Sets the limits", ordered, lambda change: change.after, left_out
        )
        scripts[f"revert{end}.sh"] = _script(
            plan,
            host,
            "Sets the former limits again",
            ordered[::-1],
            lambda change: change.before,
            left_out,
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


def _script(
    plan: Plan,
    host: str,
    does: str,
    changes: list[PlannedChange],
    value: Callable[[PlannedChange], Value],
    left_out: Mapping[str, str],
) -> str:
    head = _HEAD.replace("{does}", does).replace("{plan}", one_line(plan.plan_id))
    lines = [head.replace("{where}", f" of {one_line(host)}" if host else "")]
    together: dict[tuple[int, str], dict[Setting, Value]] = {}
    for change in changes:
        if change.service in left_out:
            lines.append(
                f"# left out: {one_line(change.label)}: {one_line(left_out[change.service])}"
            )
        elif change.what in LIVE:
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
