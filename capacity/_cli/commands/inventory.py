"""The command `inventory`: what runs on the Engines, and where it is not as declared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capacity._cli.options import Config, Json, Quiet, progress_of, settings_of
from capacity._cli.printing import print_rows, say, show_text
from capacity._common.plain_data import Plain
from capacity._common.text.counting import counted

if TYPE_CHECKING:
    from capacity._compose.drift import Drift
    from capacity._docker.containers import Inventory
    from capacity.model import Setting, Value

__all__ = ["inventory"]


def inventory(
    config: Config = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Only what is in force otherwise than declared.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List what runs on the Docker Engines, with its limits, or where they differ from the compose
    files.
    """
    from capacity._compose import drift as find_drift
    from capacity._docker import snapshot

    settings = settings_of(config, None)
    found = snapshot(settings.engine, progress_of(quiet=quiet or as_json))
    if drift:
        apart = find_drift(found, settings.apply.projects)
        rows = _drift_rows((row for row in apart if not row.note), raw=as_json)
        print_rows(rows, as_json=as_json, title="Live limits against declared ones")
        for row in apart:
            if row.note:
                say(f"capacity: {row.note}", err=True)
    elif as_json:
        show_text(json.dumps(_inventory_json(found), indent=1))
    else:
        _show_inventory(found)


def _drift_rows(apart: Iterable[Drift], *, raw: bool) -> list[dict[str, object]]:
    from capacity._common.setting_values import show_value

    def shown(what: Setting, value: Value) -> Value:
        return value if raw else show_value(what, value)

    return [
        {
            "service": difference.service,
            "container": difference.container,
            "what": str(difference.what),
            "live": shown(difference.what, difference.live),
            "declared": shown(difference.what, difference.declared),
            "where": difference.where,
        }
        for difference in apart
    ]


def _show_inventory(found: Inventory) -> None:
    from capacity._common.text.units import format_cores, format_memory

    rows = [
        {
            "service": container.key,
            "host": container.host,
            "container": container.name,
            "state": f"{container.state} ({container.health})"
            if container.health
            else container.state,
            "memory": format_memory(container.memory) if container.memory else "unlimited",
            "cpus": format_cores(container.cpus) if container.cpus else "unlimited",
            "cpuset": container.cpuset or "-",
            "pids": container.pids or "unlimited",
            "restarts": container.restart_count,
            "policy": container.restart_policy,
            "killed": "for memory" if container.oom_killed else "-",
        }
        for container in found.containers
    ]
    title = f"{counted(len(rows), 'container')} on {counted(len(found.hosts), 'host')}"
    print_rows(rows, as_json=False, title=title, units={"cpus": "cores"})
    for host in found.hosts:
        if host.unlimited:
            named = f" ({host.kind})" if host.kind else ""
            say(f"capacity: {host.name}{named} cannot limit {', '.join(host.unlimited)}", err=True)
    for name, why in found.unreachable.items():
        say(f"capacity: {name} is not in this list: {why}", err=True)


def _inventory_json(found: Any) -> dict[str, Plain]:
    from dataclasses import asdict

    containers = [{"key": container.key, **asdict(container)} for container in found.containers]
    return {
        "hosts": [asdict(host) for host in found.hosts],
        "containers": containers,
        "unreachable": found.unreachable,
    }
