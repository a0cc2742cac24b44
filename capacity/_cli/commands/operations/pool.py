"""Commands of pools: size, up, status, scale, migrate, down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.commands.operations.emergency import Yes
from capacity._cli.options import (
    AsOf,
    Config,
    Json,
    Offline,
    Sample,
    Source,
    finite,
    history_of,
    settings_of,
)
from capacity._cli.printing import print_rows, say, show_text
from capacity._common.text.counting import counted
from capacity.errors import InputError
from capacity.model import StepState

if TYPE_CHECKING:
    from capacity.operations._pools.commands import PoolStep

__all__ = ["register"]

PoolName = Annotated[str, typer.Argument(metavar="NAME", help="The pool's name.")]

pool_app = typer.Typer(help="Pools of identical containers behind leases.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (size, up, status, scale, migrate, down):
        pool_app.command()(command)
    app.add_typer(pool_app, name="pool")


def size(
    services: Annotated[
        str,
        typer.Argument(metavar="GLOB", help="The instances that stand alone, such as 'agents/*'."),
    ],
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Say how many instances a pool needs in place of services that stand alone, and why."""
    from dataclasses import asdict

    from capacity import _api
    from capacity._common.text.units import format_memory
    from capacity.operations._pools.sizing import pool_size
    from capacity.sizing import forecast_load

    settings = settings_of(config, None)
    history = history_of(settings, source, sample, offline, as_of, services, quiet=as_json)
    made = _api.forecast(history, "cpu", settings=settings)
    coming = forecast_load(made.bands)
    past = float(history.cpu[coming.index].mean().sum())
    growth = float(coming.sum()) / past if past > 0 else 1.0
    found = pool_size(history.cpu, history.memory, growth)
    if as_json:
        show_text(json.dumps(asdict(found), indent=1))
    else:
        say(f"{found.why}; the others hold {format_memory(found.freed)}.")


def up(
    name: PoolName,
    image: Annotated[str, typer.Option("--image", help="What the instances run.")],
    size: Annotated[int, typer.Option("--size", min=1, help="How many.")] = 3,
    memory: Annotated[
        str | None, typer.Option("--memory", help="Limit of each, such as 800m.")
    ] = None,
    cpus: Annotated[float | None, typer.Option("--cpus", help="Limit of each, cores.")] = None,
    network: Annotated[
        str | None, typer.Option("--network", help="none, host or a network's name.")
    ] = None,
    command: Annotated[
        str | None, typer.Option("--command", help="Instead of the image's own, as in a shell.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE, may be repeated.")
    ] = None,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Start a pool that stays until `capacity pool down`; one that stands is completed, and must be
    the same.
    """
    from capacity._common.text.units import parse_memory
    from capacity.operations import InstancePool
    from capacity.operations._pools.commands import pool_up

    settings = settings_of(config, None)
    pool = InstancePool(
        name,
        image,
        size,
        command=_words(command) if command else None,
        memory=int(parse_memory(memory)) if memory else None,
        cpus=cpus,
        environment=_variables(env or []),
        network=network,
        keep=True,
        settings=settings.engine,
    )
    _say(pool_up(settings, pool, dry_run=not yes), name, yes=yes, as_json=as_json)


def _words(command: str) -> list[str]:
    import shlex

    try:
        return shlex.split(command)
    except ValueError as error:
        said = f"--command {command!r} cannot be read: {str(error).lower()}"
        raise InputError(said, "Close it, as in a shell") from error


def _variables(said: list[str]) -> dict[str, str]:
    wrong = next((word for word in said if word.find("=") < 1), None)
    if wrong is not None:
        hint = "Write NAME=VALUE, or NAME= for an empty one"
        raise InputError(f"--env {wrong!r} is no variable with a value", hint)
    return dict(word.partition("=")[::2] for word in said)


def _say(steps: Sequence[PoolStep], name: str, *, yes: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from capacity._common.text.units import format_cores, format_memory

    rows = [asdict(step) for step in steps]
    for row in [] if as_json else rows:
        row["memory"] = format_memory(row["memory"]) if row["memory"] else "-"
        row["cpus"] = format_cores(row["cpus"]) if row["cpus"] else "-"
    title = f"Pool {name}" if yes else f"Pool {name}, dry run"
    print_rows(rows, as_json=as_json, title=title, units={"cpus": "cores"})
    if not yes:
        say("Nothing was changed; --yes does it.", err=True)
    if any(step.state == StepState.FAILED for step in steps):
        raise typer.Exit(1)


def status(name: PoolName, config: Config = None, as_json: Json = False) -> None:
    """List the instances of a pool, their health, and which are leased."""
    from capacity.operations._pools.commands import pool_states

    rows = [
        {
            "number": state.number,
            "container": state.name,
            "state": state.state,
            "health": state.health,
            "leased": state.leased,
        }
        for state in pool_states(settings_of(config, None), name)
    ]
    print_rows(rows, as_json=as_json, title=f"Pool {name}")


def scale(
    name: PoolName,
    size: Annotated[
        int, typer.Argument(metavar="SIZE", min=1, help="How many instances it is to have.")
    ],
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", min=0, callback=finite, help="Seconds to wait for leased instances."
        ),
    ] = 30.0,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a pool larger, or smaller once the instances beyond have been given back."""
    from capacity.operations._pools.commands import pool_scale

    done = pool_scale(settings_of(config, None), name, size, timeout, dry_run=not yes)
    _say(done, name, yes=yes, as_json=as_json)


def migrate(
    name: PoolName,
    containers: Annotated[
        list[str],
        typer.Argument(metavar="CONTAINER...", help="Containers of one image to replace."),
    ],
    size: Annotated[int, typer.Option("--size", min=1, help="Instances of the pool.")] = 3,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Move from containers that stand alone to a pool: the pool first, then they stop one by one;
    back if it is not healthy.
    """
    from dataclasses import asdict

    from capacity._common.text.units import format_memory
    from capacity.operations._pools.migrate import migrate as move

    settings = settings_of(config, None)

    def progress(container: str) -> None:
        if not as_json:
            say(f"stopped {container}")

    done = move(settings, name, containers, size, dry_run=not yes, progress=progress)
    if as_json:
        show_text(json.dumps(asdict(done), indent=1))
    else:
        limits = f"limits {format_memory(done.memory_before)} -> {format_memory(done.memory_after)}"
        say(f"{counted(len(done.stopped), 'container')} -> pool {name} of {done.size}; {limits}")
        for note in done.notes:
            say(note)
    say(
        "`capacity emergency undo` starts them again."
        if yes
        else "Nothing was changed; --yes does it.",
        err=True,
    )


def down(
    name: PoolName,
    yes: Yes = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also a pool that another user or machine has made.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove a pool and its containers, leased or not."""
    from capacity.operations._pools.commands import pool_down

    done = pool_down(settings_of(config, None), name, dry_run=not yes, anyway=anyway)
    _say(done, name, yes=yes, as_json=as_json)
