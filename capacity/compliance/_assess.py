"""Collect facts from every source and judge them: the one way that command, report, monitor and
timeline share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from capacity.compliance._evaluate import Report, evaluate
from capacity.compliance._facts import collect
from capacity.compliance._facts.facts import Facts
from capacity.compliance._facts.monitoring import Monitoring
from capacity.compliance._port_proposals import PortProposal, propose_ports
from capacity.compliance._rules.rules import Rule
from capacity.compliance._waivers import load_waivers
from capacity.errors import CapacityError, NoHistory

if TYPE_CHECKING:
    from capacity._common.progress import Progress
    from capacity.history import History
    from capacity.settings import Settings

__all__ = ["Assessment", "Outcome", "Targets", "assess", "collect_facts", "restart_window"]


Outcome: TypeAlias = "Callable[[str, CapacityError | None], None]"
"""Told for each source by name whether it answered (None) or why not."""


@dataclass(frozen=True)
class Targets:
    """What to look at.

    Attributes:
        paths: compose files or folders; empty = no files.
        engine: the engines of the settings.
        snapshot: a file that `docker inspect` has recorded, instead of engines.
        monitoring: ask the metrics server of the settings about itself.
        delivery: give Alertmanager a probe alert.
        history: opens the history; None = none. NoHistory is a note, not an error.
    """

    paths: Sequence[str | Path] = ()
    engine: bool = False
    snapshot: Path | None = None
    monitoring: bool = False
    delivery: bool = False
    history: Callable[[], History] | None = None


@dataclass(frozen=True)
class Assessment:
    """A report on facts, and free ports for services whose ports conflict."""

    facts: Facts
    report: Report
    port_proposals: tuple[PortProposal, ...]


def restart_window(rules: Sequence[Rule], settings: Settings) -> int:
    """Minutes within which restarts are counted, by the rule book or else by the settings: what
    every source is asked for.
    """
    asked = (rule.parameters.get("minutes") for rule in rules if rule.check == "restart-loop")
    known = (minutes for minutes in asked if isinstance(minutes, (int, float)))
    return int(next(known, 0) or max(settings.operations.window_minutes, 1))


def collect_facts(
    targets: Targets,
    settings: Settings,
    rules: Sequence[Rule],
    *,
    previous: Facts | None = None,
    outcome: Outcome | None = None,
    progress: Progress | None = None,
) -> Facts:
    """Ask every source that is wanted.

    Args:
        targets: the sources.
        settings: engines, metrics server, Alertmanager, types of services, cores.
        rules: the rule book; its restart-loop rule says which window sources are asked for.
        previous: what is known from before; a source that does not answer leaves it as it was.
        outcome: told about each source; None = the first that fails ends the collection.
        progress: told about each container.

    Raises:
        CapacityError: a source failed, and nobody is told about outcomes.
    """
    window = restart_window(rules, settings)
    facts = collect.with_settings(replace(previous or Facts(), notes=()), settings)
    steps: list[tuple[str, bool, Callable[[Facts], Facts]]] = [
        ("files", bool(targets.paths), partial(_files, targets=targets)),
        ("snapshot", targets.snapshot is not None, partial(_snapshot, targets=targets)),
        (
            "engine",
            targets.engine,
            lambda known: collect.from_engines(known, settings.engine, progress, minutes=window),
        ),
        (
            "prometheus",
            targets.monitoring,
            lambda known: _monitoring(known, settings, window),
        ),
        ("history", targets.history is not None, partial(_history, targets=targets)),
        ("alertmanager", targets.delivery, partial(_delivery, settings=settings)),
    ]
    for name, wanted, ask in steps:
        if not wanted:
            continue
        try:
            facts = ask(facts)
        except CapacityError as error:
            if outcome is None:
                raise
            outcome(name, error)
        else:
            if outcome is not None:
                outcome(name, None)
    return facts


def assess(
    facts: Facts,
    settings: Settings,
    rules: Sequence[Rule],
    *,
    today: date,
    waivers: Path | None = None,
) -> Assessment:
    """Evaluate a rule book on facts, and propose free ports.

    Args:
        facts: from `collect_facts`.
        settings: say where the waivers are, unless `waivers` names another file.
        rules: from `load_rules`.
        today: UTC; waivers end by it.
        waivers: file with the waivers.

    Raises:
        InputError: the waivers cannot be read.
    """
    file = waivers or settings.compliance.waivers
    report = evaluate(rules, facts, load_waivers(file) if file else (), today=today)
    return Assessment(facts, report, tuple(propose_ports(facts, rules)))


def _files(facts: Facts, targets: Targets) -> Facts:
    found = collect.from_files(targets.paths)
    return replace(
        facts,
        projects=found.projects,
        unread=found.unread,
        notes=(*facts.notes, *found.notes),
    )


def _snapshot(facts: Facts, targets: Targets) -> Facts:
    assert targets.snapshot is not None
    return collect.from_snapshot(facts, targets.snapshot)


def _monitoring(facts: Facts, settings: Settings, window: int) -> Facts:
    """What the metrics server says of itself; what is known of alert delivery stays."""
    from capacity.compliance._facts import probes

    monitoring, notes = probes.probe_prometheus(settings, minutes=window)
    delivery = facts.monitoring.delivery if facts.monitoring is not None else None
    return replace(
        facts, monitoring=replace(monitoring, delivery=delivery), notes=(*facts.notes, *notes)
    )


def _history(facts: Facts, targets: Targets) -> Facts:
    assert targets.history is not None
    try:
        history = targets.history()
    except NoHistory as error:  # the rules that need it say so
        return replace(facts, history=None, notes=(*facts.notes, str(error)))
    return replace(facts, history=history, notes=(*facts.notes, *history.notes))


def _delivery(facts: Facts, settings: Settings) -> Facts:
    from capacity.compliance._facts import probes

    chosen = settings.compliance
    delivery = probes.probe_delivery(str(chosen.alertmanager), chosen.receiver, chosen.wait)
    return replace(facts, monitoring=replace(facts.monitoring or Monitoring(), delivery=delivery))
