"""`capacity check`: your rules on compose files, containers, history and monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.options import (
    AsOf,
    Config,
    Offline,
    Sample,
    Source,
    one_source,
    progress_of,
    settings_of,
)
from capacity._cli.printing import show_text
from capacity.errors import CapacityError, InputError

if TYPE_CHECKING:
    from capacity.compliance import Assessment, Rule, Severity, Targets
    from capacity.history import History
    from capacity.settings import Settings

__all__ = ["register"]

_FORMS = ("table", "json", "sarif", "junit", "markdown")
_NEVER = "never"
_DATA_ERROR = 2


@dataclass(frozen=True)
class _Asked:
    """What the options name."""

    paths: list[Path]
    engine: bool
    snapshot: Path | None
    source: str | None
    history: bool
    delivery: bool
    offline: bool
    as_of: str | None
    quiet: bool

    @property
    def files(self) -> list[Path]:
        """The paths to look at; without any the sample's, or this folder where nothing else is
        named.
        """
        from capacity._common.bundled import bundled

        if self.paths:
            return self.paths
        if self.source == "sample":
            return [bundled("data/sample/compose")]
        return [] if self.engine or self.snapshot or self.history else [Path()]

    def targets(self, settings: Settings) -> Targets:
        """The sources that are named.

        Raises:
            InputError: two of them say what runs.
        """
        from capacity.compliance import Targets

        if self.engine and self.snapshot is not None:
            raise InputError("--engine and --snapshot both say what runs", "Leave one of them out")
        live = not self.offline and (self.source is None or "://" in self.source)
        return Targets(
            paths=self.files,
            engine=self.engine,
            snapshot=self.snapshot,
            monitoring=self.history and live,
            delivery=self.delivery
            or (self.history and settings.compliance.alertmanager is not None),
            history=partial(self._open_history, settings) if self.history else None,
        )

    def _open_history(self, settings: Settings) -> History:
        from capacity import _api

        return _api.open_history(
            self.source,
            as_of=self.as_of,
            offline=self.offline,
            settings=settings,
            progress=progress_of(quiet=self.quiet),
        )


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Compose files or folders with them; default this folder where nothing else is "
            "named."
        ),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--rules",
            help="Rule book, may be repeated; `house` is the one that comes with capacity.",
        ),
    ] = None,
    waivers: Annotated[
        Path | None, typer.Option("--waivers", help="File with the waivers.")
    ] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on", help="End with 1 from this severity: critical, high, medium, low, never."
        ),
    ] = "high",
    form: Annotated[
        str, typer.Option("--format", help="table, json, sarif, junit or markdown.")
    ] = "table",
    engine: Annotated[
        bool,
        typer.Option(
            "--engine",
            help="Look at what runs on the Engines of the settings, beside PATHS that are named.",
        ),
    ] = False,
    snapshot: Annotated[
        Path | None,
        typer.Option("--snapshot", help="Look at what `docker inspect` has recorded in this file."),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Ask the metrics server of the settings too.")
    ] = False,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    alertmanager: Annotated[
        str | None, typer.Option("--alertmanager", help="Address of Alertmanager.")
    ] = None,
    receiver: Annotated[
        str | None,
        typer.Option(
            "--receiver",
            help="Await a probe alert at this host:port, where a route of Alertmanager leads.",
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the score for the trend over the weeks.")
    ] = False,
    config: Config = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            help="No table, only the exit code; what --format asks for otherwise is printed all "
            "the same.",
        ),
    ] = False,
) -> None:
    """Check your rules: exit 0 clean, 1 findings at or above the threshold, 2 usage or
    data error or a project that cannot be loaded, 3 both.
    """
    from capacity.compliance import load_rules

    try:
        threshold = _threshold(fail_on)
        if form not in _FORMS:
            raise InputError(f"There is no format {form!r}", f"Use one of {', '.join(_FORMS)}")
        named = one_source(source, sample=sample, offline=offline)
        settings = _settings(config, named, alertmanager, receiver)
        asked = _Asked(
            paths=paths or [],
            engine=engine,
            snapshot=snapshot,
            source=named,
            history=history or offline or named is not None,
            delivery=alertmanager is not None,
            offline=offline,
            as_of=as_of,
            quiet=quiet or form != "table",
        )
        book = load_rules(rules or settings.compliance.rules)
        assessed = _assessed(asked, settings, book, waivers)
        report = assessed.report
        if record:
            from capacity.compliance import _trend

            _trend.record(report, settings.compliance.record, datetime.now(UTC))
    except (
        CapacityError
    ) as error:  # 1 says that there are findings, and whatever keeps us from knowing is not that
        error.exit_code = _DATA_ERROR
        raise
    if form != "table" or not quiet:
        _show(assessed, form, settings.report.runbooks)
    broken = threshold is not None and bool(report.failing(threshold))
    code = broken + (_DATA_ERROR if report.unread else 0)
    if code:
        raise typer.Exit(code)


def _threshold(text: str) -> Severity | None:
    from capacity.compliance import Severity

    if text not in {*Severity, _NEVER}:
        raise InputError(
            f"There is no severity {text!r}", f"Use one of {', '.join(Severity)} or {_NEVER}"
        )
    return None if text == _NEVER else Severity(text)


def _settings(
    config: Path | None, source: str | None, alertmanager: str | None, receiver: str | None
) -> Settings:
    from capacity.settings import override

    settings = settings_of(config, source if source and "://" in source else None)
    for name, value in (("alertmanager", alertmanager), ("receiver", receiver)):
        settings = (
            override(settings, f"compliance__{name}", value) if value is not None else settings
        )
    if receiver is not None and settings.compliance.alertmanager is None:
        raise InputError(
            "--receiver awaits an alert that nobody sends", "Name an --alertmanager too"
        )
    return settings


def _assessed(
    asked: _Asked, settings: Settings, rules: Sequence[Rule], waivers: Path | None
) -> Assessment:
    from capacity.compliance import Status, assess, collect_facts

    facts = collect_facts(
        asked.targets(settings), settings, rules, progress=progress_of(quiet=asked.quiet)
    )
    assessed = assess(facts, settings, rules, today=datetime.now(UTC).date(), waivers=waivers)
    if assessed.report.score is None and not assessed.report.counts[Status.WAIVED]:
        if assessed.report.unread:
            raise InputError(
                assessed.report.unread[0].reason, "Nothing else could be evaluated; correct it"
            )
        raise InputError(
            "No rule could be evaluated on what was named",
            "Name compose files with services, --engine or --source",
        )
    return assessed


def _show(assessed: Assessment, form: str, runbooks: str | None) -> None:
    from capacity._cli.commands import check_table
    from capacity.compliance import _formats

    report, moves = assessed.report, assessed.port_proposals
    if form == "table":
        check_table.show(report, assessed.facts, moves)
    elif form == "json":
        show_text(_formats.as_json(report, moves, runbooks))
    elif form == "sarif":
        show_text(_formats.as_sarif(report, runbooks))
    else:
        render = {"junit": _formats.as_junit, "markdown": _formats.as_markdown}[form]
        show_text(render(report))


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(check)
