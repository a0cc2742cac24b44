"""One look at everything: each source by itself, so that one that is away leaves the others' facts
fresh and its own stale.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from capacity._monitor.state import Evaluation, SourceState, now
from capacity.compliance import (
    Facts,
    PortProposal,
    Report,
    Targets,
    assess,
    collect_facts,
    load_rules,
)
from capacity.compliance._facts.monitoring import Delivery, Monitoring
from capacity.errors import CapacityError
from capacity.history._archive.archive import Archive
from capacity.model import Resource

if TYPE_CHECKING:
    import pandas as pd

    from capacity.compliance import Rule
    from capacity.settings import Settings

__all__ = ["MonitorTargets", "evaluate_targets"]


@dataclass(frozen=True)
class MonitorTargets:
    """What the monitor is to look at.

    Attributes:
        settings: rules, waivers, engines, metrics server.
        paths: compose files or folders.
        engine: look at the Engines.
        collect: sample them into the archive too.
    """

    settings: Settings
    paths: tuple[Path, ...] = ()
    engine: bool = True
    collect: bool = False

    @property
    def runbooks(self) -> str | None:
        """Address of the runbooks: your own, else the monitor's where people reach it."""
        own, here = self.settings.report.runbooks, self.settings.monitor.external_url.rstrip("/")
        return own or (f"{here}/runbooks/{{code}}" if here else None)

    @property
    def metrics(self) -> bool:
        """Whether a metrics server is named."""
        return bool(self.settings.servers())

    @property
    def history(self) -> str:
        """Where history comes from: `prometheus`, `archive` where this very process collects for
        want of a metrics server, or empty.
        """
        if self.metrics:
            return "prometheus"
        return "archive" if self.collect and Archive(self.settings.archive.path).sources() else ""


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
    facts = before.facts if before is not None else Facts()
    sources: dict[str, SourceState] = dict(before.sources) if before is not None else {}
    tables: Mapping[Resource, pd.DataFrame] = before.tables if before is not None else {}
    report: Report | None = None
    moves: tuple[PortProposal, ...] = ()
    error = ""
    try:
        rules = load_rules(watched.settings.compliance.rules)
        facts = _collected(watched, rules, facts, sources, at)
        if delivery is not None:
            facts = replace(
                facts, monitoring=replace(facts.monitoring or Monitoring(), delivery=delivery)
            )
        measured = sources.get(watched.history)
        if facts.history is not None and measured is not None and not measured.error:
            tables = _limits(facts, watched.settings)
        assessed = assess(facts, watched.settings, rules, today=at.date())
        report, moves = assessed.report, assessed.port_proposals
    except CapacityError as failure:
        error = _line(failure)
    return Evaluation(now(), time.monotonic() - began, report, facts, moves, tables, sources, error)


def _collected(
    watched: MonitorTargets,
    rules: Sequence[Rule],
    facts: Facts,
    sources: dict[str, SourceState],
    at: datetime,
) -> Facts:
    """Every source asked again; `sources` says which answered."""
    from capacity import _api

    failed: dict[str, str] = {}

    def outcome(name: str, error: CapacityError | None) -> None:
        source = watched.history if name == "history" else name
        failed[source] = failed.get(source, "") or (_line(error) if error is not None else "")

    targets = Targets(
        paths=watched.paths,
        engine=watched.engine,
        monitoring=watched.metrics,
        history=(lambda: _api.open_history(settings=watched.settings)) if watched.history else None,
    )
    found = collect_facts(targets, watched.settings, rules, previous=facts, outcome=outcome)
    for name, error in failed.items():
        sources[name] = sources.get(name, SourceState()).after(error, at)
    return found


def _limits(facts: Facts, settings: Settings) -> dict[Resource, pd.DataFrame]:
    from capacity import _api

    assert facts.history is not None
    return {
        resource: _api.recommend(facts.history, resource, settings=settings).table
        for resource in Resource
    }


def _line(error: CapacityError) -> str:
    return " ".join(str(error).split())
