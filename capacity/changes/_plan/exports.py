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
from capacity._common.plain_data import Plain
from capacity._common.setting_values import show_value
from capacity._common.text.printable import one_line
from capacity._compose.declared import DeclaredProject
from capacity._compose.edit.model_check import check_edit
from capacity._compose.edit.project import override_bodies, reload
from capacity._docker.update import LIVE
from capacity.changes._plan.commands import running_containers, update_flags
from capacity.changes._plan.file_edits import edit_services, settings_of
from capacity.changes._plan.plan import Plan, PlannedChange
from capacity.errors import CapacityError, ChangeRefused, EditRefused
from capacity.model import ServiceKey, Setting, Value

__all__ = [
    "by_project",
    "changes_by_service",
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
    refused: dict[str, str] = {}
    for name, changes in by_project(plan.changes).items():
        done, left = edit_services(projects.get(name) or _unnamed(name), changes, texts)
        refused |= {service: str(error) for service, error in left.items()}
        for edits in done.values():
            for path, (before, after) in edits.items():
                first.setdefault(path, before)
                texts[path] = after
    return "".join(
        patch_of(path, root, first[path], after) for path, after in sorted(texts.items())
    ), refused


def by_project(changes: Iterable[PlannedChange]) -> dict[str, dict[str, list[PlannedChange]]]:
    """Project -> service -> its changes, in the order of the plan."""
    found: dict[str, dict[str, list[PlannedChange]]] = {}
    for service, some in changes_by_service(changes).items():
        found.setdefault(ServiceKey.parse(service).project, {})[service] = some
    return found


def _unnamed(name: str) -> DeclaredProject:
    return DeclaredProject(name, (), None, missing="no compose file of its project was named")


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
    wanted: dict[str, list[_Said]] = {}
    for service, changes in by_project(plan.changes).get(declared.name, {}).items():
        said = [(change.what, change.before, change.after) for change in changes]
        fixed = [part for part in said if part[0] is not Setting.HOST_PORT]
        if len(fixed) < len(said):
            refused[service] = "an override file adds ports, it cannot move one"
        if fixed:
            wanted[ServiceKey.parse(service).service] = fixed
    services: dict[str, Plain] = {}
    try:
        services = _bodies(declared, {}, wanted) if wanted else {}
    except CapacityError:  # one by one, to find the one to blame
        for name, fixed in wanted.items():
            try:
                services |= _bodies(declared, services, {name: fixed})
            except CapacityError as error:
                refused[f"{declared.name}/{name}"] = str(error)
    return (_yaml({"services": services}) if services else ""), refused


_Said = tuple[Setting, Value, Value]


def _bodies(
    declared: DeclaredProject, services: Mapping[str, Any], said: Mapping[str, list[_Said]]
) -> dict[str, Plain]:
    """Service -> the keys that win over what its files say, judged on the project with them and
    with what stands for other services already; tried from the most natural keys on.

    Raises:
        EditRefused: no further file can say it exactly.
        ChangeRefused: the project cannot be loaded, or does not declare the service.
    """
    file = (declared.folder or declared.files[0].parent) / OVERRIDE if declared.files else Path()
    whole = replace(declared, files=(*declared.files, file))
    before = reload(declared, {})
    if services:
        before = reload(whole, {file: _yaml({"services": services})})
    if not said.keys() <= before.services.keys():
        raise ChangeRefused("Its compose files do not declare it", "Take a new snapshot")
    wanted = {name: settings_of(before, name, parts) for name, parts in said.items()}
    ways = [override_bodies(before.services[name], values) for name, values in wanted.items()]
    refused: list[CapacityError] = []
    for bodies in zip(*ways, strict=False):
        found = dict(zip(wanted, bodies, strict=True))
        text = _yaml({"services": {**services, **found}})
        try:
            check_edit(before, reload(whole, {file: text}), wanted)
        except (EditRefused, ChangeRefused) as error:
            refused.append(error)
        else:
            return found
    raise refused[0]


def _yaml(content: dict[str, Plain]) -> str:
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
# On cgroup v2 a memory limit below what a container uses kills it: look at `docker stats` first.
set -eu

update() { # SERVICE FLAG...: update every container whose id stands on the input
  local service=$1 ids id
  shift
  ids=$(tr -s '\\n' ' ')
  if [ -z "${ids// /}" ]; then echo "no container: $service" >&2; return 1; fi
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
        f"{{ {running_containers(service)}; }} | update {quote(service)} {update_flags(limits)}"
        for (_, service), limits in together.items()
    ]
    return (
        "\n".join([*lines, *(updates or ["echo 'nothing that docker update could do' >&2"])]) + "\n"
    )
