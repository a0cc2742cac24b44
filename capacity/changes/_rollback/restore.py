"""New containers as the old ones were: limits that only the Engine knew, what did not run, and what
nobody can bring back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from capacity._compose import Service
from capacity._docker import lifecycle
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, engine_errors, inspect
from capacity._docker.update import not_in_force, send_update, update_body
from capacity.changes._journal.models import ContainerBefore, IntentEntry
from capacity.changes._rollback.containers import current_containers, pair_replicas
from capacity.errors import ContainerGone
from capacity.model import Setting, Value

__all__ = ["IDLE", "pending_edits", "restore_limits", "stop_idle"]

IDLE = frozenset({"created", "exited"})
"""States of a container that neither runs nor is about to."""

_MEMORY = (Setting.MEMORY, Setting.MEMORY_SWAP)


def restore_limits(intent: IntentEntry, engine: Engine, but: Collection[Setting] = ()) -> list[str]:
    """Put limits in force again that a step's containers had before Compose made new ones from the
    files.

    Args:
        intent: the step.
        engine: where it runs.
        but: what the step itself changes.

    Returns:
        what the Engine did not take, one sentence each.

    Raises:
        EngineError: refused, or no answer.
        ChangeRefused: the service has no container any more.
    """
    left = []
    besides = {*but, *(_MEMORY if {*but} & {*_MEMORY} else ())}  # memory and swap go together
    for now, was in _pairs(intent, engine):
        before = {
            Setting(what): value
            for what, value in was.before.items()
            if Setting(what) not in besides
        }
        other = not_in_force(now, before, engine.host)
        if not other:
            continue
        both = _MEMORY if {*other} & {*_MEMORY} else ()
        wanted: dict[Setting, Value] = {
            what: before[what] for what in dict.fromkeys((*other, *both))
        }
        send_update(engine, now, update_body(now, wanted, engine.host))
        missing = not_in_force(inspect(engine, now.id), wanted, engine.host)
        left += (
            [f"{now.name}: the Engine did not set {', '.join(missing)} as before"]
            if missing
            else []
        )
    return left


def stop_idle(intent: IntentEntry, engine: Engine) -> None:
    """Stop what runs now and did not run before a step.

    Raises:
        EngineError: refused, or no answer.
        ChangeRefused: the service has no container any more.
    """
    for now, was in _pairs(intent, engine):
        if was.seen.state in IDLE and (now.running or now.state == "restarting"):
            lifecycle.stop(engine, now.id, now.name)


def _pairs(intent: IntentEntry, engine: Engine) -> list[tuple[Container, ContainerBefore]]:
    paired = pair_replicas(intent.detail.containers, current_containers(intent, engine))
    return [(now, was) for was, now in paired if now is not None]


def pending_edits(engine: Engine, container: Container, service: Service) -> list[str]:
    """What the compose files say otherwise than a container was made: a new container would bring
    it along.

    Looked at are image, command, entrypoint, user, working folder and environment; limits can
    change on a container that runs.

    Raises:
        EngineError: no answer.
    """
    try:
        with engine_errors(engine.host.name, f"inspect {container.name}"):
            attrs = engine.api.inspect_container(container.id)
            image = engine.api.inspect_image(attrs["Image"]).get("Config") or {}
    except ContainerGone:  # meanwhile, or its image was removed
        return []
    made, model = attrs["Config"], service.model
    command = None if model.get("entrypoint") is not None else image.get("Cmd")
    wanted = {
        "image": (service.image, made.get("Image")),
        "entrypoint": (model.get("entrypoint", image.get("Entrypoint")), made.get("Entrypoint")),
        "command": (model.get("command", command), made.get("Cmd")),
        "user": (service.user or image.get("User"), made.get("User")),
        "working_dir": (
            model.get("working_dir") or image.get("WorkingDir"),
            made.get("WorkingDir"),
        ),
    }
    apart = [
        name
        for name, (said, has) in wanted.items()
        if not (name == "image" and said is None) and _plain(said) != _plain(has)
    ]
    return apart + [f"environment {name}" for name in _variables(service, made, image)]


def _variables(service: Service, made: Mapping[str, Any], image: Mapping[str, Any]) -> list[str]:
    own, base = (
        dict(text.partition("=")[::2] for text in config.get("Env") or ())
        for config in (made, image)
    )
    said = base | {
        name: _plain(value) for name, value in service.environment.items() if value is not None
    }
    return sorted(name for name in said.keys() | own.keys() if said.get(name) != own.get(name))


def _plain(value: Any) -> Any:
    """As the Engine has it: Compose prints a dollar twice, and nothing is as good as empty."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value] or ""
    return "" if value is None else str(value).replace("$$", "$")
