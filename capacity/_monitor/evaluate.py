"""One look at everything: each source by itself, so that one that is away leaves the others' facts
fresh and its own stale.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from capacity._monitor.state import Evaluation, SourceState, now
from capacity.compliance import (
    Facts,
    PortProposal,
    Report,
    evaluate,
    load_rules,
    load_waivers,
    propose_ports,
)
from capacity.compliance._facts import collect, probes
from capacity.compliance._facts.monitoring import Delivery, Monitoring
from capacity.errors import CapacityError, NoHistory
from capacity.model import Resource

if TYPE_CHECKING:
    import pandas as pd

    from capacity.settings import Settings

__all__ = ["MonitorTargets", "evaluate_targets"]


@dataclass(frozen=True)
class MonitorTargets:
    """What the monitor is to look at.

    Attributes:
        settings: rules, waivers, engines, metrics server.
        paths: compose files or folders.
        engine: look at the Engines.
    """

    settings: Settings
    paths: tuple[Path, ...] = ()
    engine: bool = True

    @property
    def runbooks(self) -> str | None:
        """Address of the runbooks: the house's own, else the monitor's where people reach it."""
        own, here = self.settings.report.runbooks, self.settings.monitor.external_url.rstrip("/")
        return own or (f"{here}/runbooks/{{code}}" if here else None)

    @property
    def metrics(self) -> bool:
        """Whether a metrics server is named."""
        return self.settings.prometheus.url is not None


def evaluate_targets(
    watched: MonitorTargets, before: Evaluation | None, delivery: Delivery | None = None
) -> Evaluation:
    """Evaluate again; what cannot be asked now keeps the facts of before and is called stale.

    Args:
        watched: what to look at.
        before: the last evaluation.
        delivery: what became of the last probe alert.
    """
    began, at = time.monotonic(), now()
    facts = collect.with_settings(before.facts if before is not None else Facts(), watched.settings)
    sources: dict[str, SourceState] = dict(before.sources) if before is not None else {}
    tables: Mapping[Resource, pd.DataFrame] = before.tables if before is not None else {}
    notes: list[str] = []
    steps: list[tuple[str, bool, Callable[[Facts], Facts]]] = [
        (
            "files",
            bool(watched.paths),
            lambda known: replace(known, projects=collect.from_files(watched.paths).projects),
        ),
        ("engine", watched.engine, lambda known: _engines(known, watched.settings, notes)),
        ("prometheus", watched.metrics, lambda known: _history(known, watched.settings, notes)),
    ]
    for name, wanted, ask in steps:
        if not wanted:
            continue
        facts, sources[name] = _asked(facts, sources.get(name, SourceState()), ask, at)
    if delivery is not None:
        facts = replace(
            facts, monitoring=replace(facts.monitoring or Monitoring(), delivery=delivery)
        )
    facts = replace(facts, notes=tuple(notes))
    try:
        if facts.history is not None and not sources["prometheus"].error:
            tables = _limits(facts, watched.settings)
        report, moves = _evaluated(facts, watched.settings, at)
    except CapacityError as error:
        return Evaluation(
            now(), time.monotonic() - began, None, facts, (), tables, sources, _line(error)
        )
    return Evaluation(now(), time.monotonic() - began, report, facts, moves, tables, sources)


def _asked(
    facts: Facts, source: SourceState, ask: Callable[[Facts], Facts], at: datetime
) -> tuple[Facts, SourceState]:
    try:
        return ask(facts), source.after("", at)
    except CapacityError as error:
        return facts, source.after(_line(error), at)


def _engines(facts: Facts, settings: Settings, notes: list[str]) -> Facts:
    found = collect.from_engines(replace(facts, notes=()), settings.engine)
    notes += found.notes
    return replace(found, notes=())


def _history(facts: Facts, settings: Settings, notes: list[str]) -> Facts:
    from capacity import _api

    monitoring, said = probes.probe_prometheus(settings)
    notes += said
    delivered = facts.monitoring.delivery if facts.monitoring is not None else None
    facts = replace(facts, monitoring=replace(monitoring, delivery=delivered))
    try:
        return replace(facts, history=_api.open_history(settings=settings))
    except NoHistory as error:  # the rules that need it say so
        notes.append(_line(error))
        return replace(facts, history=None)


def _limits(facts: Facts, settings: Settings) -> dict[Resource, pd.DataFrame]:
    from capacity import _api

    assert facts.history is not None
    return {
        resource: _api.recommend(facts.history, resource, settings=settings).table
        for resource in Resource
    }


def _evaluated(
    facts: Facts, settings: Settings, at: datetime
) -> tuple[Report, tuple[PortProposal, ...]]:
    book = load_rules(settings.compliance.rules)
    waivers = load_waivers(settings.compliance.waivers) if settings.compliance.waivers else ()
    return evaluate(book, facts, waivers, today=at.date()), tuple(propose_ports(facts, book))


def _line(error: CapacityError) -> str:
    return " ".join(str(error).split())
