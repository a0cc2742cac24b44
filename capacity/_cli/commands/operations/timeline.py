"""`capacity timeline`: the list of what to fix, kept between runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capacity._cli.commands.operations.restarts import loops_of
from capacity._cli.options import (
    AsOf,
    Config,
    Offline,
    Quiet,
    Sample,
    Source,
    history_of,
    one_source,
    progress_of,
    settings_of,
)
from capacity._cli.printing import say, show_text
from capacity.errors import InputError, NoHistory

if TYPE_CHECKING:
    import pandas as pd

    from capacity.model import Resource
    from capacity.operations._timeline.observations import Observation
    from capacity.settings import Settings

__all__ = ["timeline"]


def timeline(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Compose files or folders with them; default none.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="The file that keeps it; default the settings', none with --sample."
        ),
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Look at what runs on the Engines of the settings too.")
    ] = False,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Keep the list of what to fix on day 1, on days 2 and 3 and in the week; prints it as
    Markdown. Exit code 2 when a compose project cannot be loaded; what it had stays in the list.
    """
    from capacity.operations._timeline.file import read_timeline, write_timeline
    from capacity.operations._timeline.markdown import to_markdown
    from capacity.operations._timeline.timeline import merge_items

    settings = settings_of(config, None)
    named = one_source(source, sample=sample, offline=offline)
    history = (
        history_of(settings, source, sample, offline, as_of, None, quiet=quiet)
        if named is not None or offline
        else None
    )
    if not paths and not engine and history is None:
        raise InputError("Nothing to look at is named", "Name compose files, --engine or --source")
    seen = _look(paths or [], settings, history, engine=engine, quiet=quiet)
    place = file or (
        None if named == "sample" else settings.operations.timeline
    )  # the sample is nobody's fleet
    before = read_timeline(place) if place else []
    items = merge_items(before, seen.items, looked=seen.kinds, sources=seen.sources)
    if place:
        write_timeline(place, items)
    if not quiet:
        show_text(to_markdown(items, settings.report.runbooks))
    for project in seen.unread:
        say(f"capacity: {project.text}", err=True)
    if seen.unread:
        raise typer.Exit(2)


def _look(
    paths: list[Path], settings: Settings, history: Any, *, engine: bool, quiet: bool
) -> Observation:
    """What is to be fixed now, and what was looked at for it."""
    from dataclasses import replace

    from capacity.compliance import Targets, collect_facts, load_rules
    from capacity.operations._timeline.observations import observe

    targets = Targets(
        paths=paths, engine=engine, history=(lambda: history) if history is not None else None
    )
    rules = load_rules(settings.compliance.rules)
    facts = collect_facts(targets, settings, rules, progress=progress_of(quiet=quiet))
    loops, silent = loops_of(settings, None, None, history) if engine else (None, [])
    seen = observe(facts, rules, settings, loops=loops, tables=_tables(history, settings))
    if silent:  # what is not seen there may be there all the same
        say("Nothing is marked as done while a host does not answer.", err=True)
        return replace(seen, kinds=frozenset())
    return seen


def _tables(history: Any, settings: Settings) -> dict[Resource, pd.DataFrame]:
    """Recommendations by resource, as far as the history knows it."""
    from capacity import _api
    from capacity.model import Resource

    found = {}
    for resource in Resource if history is not None else ():
        try:
            found[resource] = _api.recommend(history, resource, settings=settings).table
        except NoHistory as error:
            say(f"capacity: {resource} is not in the list: {error}", err=True)
    return found
