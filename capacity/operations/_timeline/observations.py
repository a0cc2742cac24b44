"""What is to be fixed now, and where it was seen: only who looks there again may say that it is
gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from capacity.compliance import assess
from capacity.compliance._facts.facts import Facts, UnreadProject
from capacity.operations._timeline.timeline import (
    TimelineItem,
    evaluated_rules,
    from_loops,
    from_recommendations,
    from_report,
)

if TYPE_CHECKING:
    import pandas as pd

    from capacity.compliance import Report, Rule
    from capacity.model import Resource
    from capacity.operations._restarts.loops import RestartLoop
    from capacity.settings import Settings

__all__ = ["Observation", "observe"]


@dataclass(frozen=True)
class Observation:
    """What one run has seen.

    Attributes:
        items: what is to be fixed; each with the sources that show it.
        kinds: of items that were looked for; others are neither there nor gone.
        sources: what was looked at: `compose PROJECT`, `engine HOST`, `metrics SOURCE`.
        unread: compose projects that could not be looked at.
    """

    items: tuple[TimelineItem, ...]
    kinds: frozenset[str]
    sources: frozenset[str]
    unread: tuple[UnreadProject, ...] = ()


def observe(
    facts: Facts,
    rules: Sequence[Rule],
    settings: Settings,
    *,
    loops: Iterable[RestartLoop] | None = None,
    tables: Mapping[Resource, pd.DataFrame] | None = None,
) -> Observation:
    """Broken rules, restart loops and limits in danger.

    Each source is judged by itself too: what it shows alone is seen there, and what only all of
    them show together is gone once all of them have been looked at again.

    Args:
        facts: from `collect_facts`.
        rules: from `load_rules`.
        settings: say where the waivers are.
        loops: from `find_restart_loops`; None = not looked for.
        tables: of `capacity.sizing.recommend`; a resource that is not there was not looked for.

    Raises:
        InputError: the waivers cannot be read.
    """
    today = datetime.now(UTC).date()

    def report_on(part: Facts) -> Report:
        return assess(part, settings, rules, today=today).report

    whole, parts = report_on(facts), _parts(facts)
    sources = frozenset(name for names, _ in parts for name in names)
    alone = (
        [(names, {item.id for item in from_report(report_on(part))}) for names, part in parts]
        if len(parts) > 1
        else []
    )
    items = []
    for item in from_report(whole):
        showing = frozenset(name for names, ids in alone if item.id in ids for name in names)
        items.append(replace(item, sources=tuple(sorted(showing or sources))))
    kinds = evaluated_rules(whole)
    if loops is not None:
        items += from_loops(loops)
        kinds.add("restart-loop")
    for resource, table in (tables or {}).items():
        metrics = tuple(name for name in sources if name.startswith("metrics "))
        items += [
            replace(recommendation, sources=metrics)
            for recommendation in from_recommendations(table, resource)
        ]
        kinds.add(f"{resource}-risk")
    return Observation(tuple(items), frozenset(kinds), sources, facts.unread)


def _parts(facts: Facts) -> list[tuple[tuple[str, ...], Facts]]:
    """What can be looked at by itself, and what that is called."""
    common = Facts(types=facts.types, cores=facts.cores, at=facts.at)
    names = list(dict.fromkeys(project.name for project in facts.projects))
    found: list[tuple[tuple[str, ...], Facts]] = [
        (
            (f"compose {name}",),
            replace(
                common,
                projects=tuple(declared for declared in facts.projects if declared.name == name),
            ),
        )
        for name in names
    ]
    if facts.inventory is not None:
        engines = tuple(f"engine {host.name}" for host in facts.inventory.hosts)
        found.append(
            (
                engines,
                replace(
                    common,
                    inventory=facts.inventory,
                    postures=facts.postures,
                    ends=facts.ends,
                    notes=facts.notes,
                ),
            )
        )
    if facts.history is not None:
        found.append(((f"metrics {facts.history.source}",), replace(common, history=facts.history)))
    return found
