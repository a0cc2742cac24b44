"""The parts of the weekly page, each a function of the review: what to show and in which words,
nothing computed anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity._common.plotting import plot_heatmap, plot_stack
from capacity._common.runbooks import runbook_url
from capacity._common.text.counting import counted
from capacity._common.text.units import count_cores, format_memory
from capacity.model import Action, Reason, Resource, Signal
from capacity.reporting._analysis.host_limits import limit_sums
from capacity.reporting._html.figures import figure
from capacity.reporting._html.formatting import (
    AMOUNT,
    NAMES,
    PRINT,
    length,
    long_table,
    pairs,
    table_rows,
)
from capacity.reporting._html.html import Column, Html, badge, code, details, join, table, text
from capacity.reporting._render.files import EVERY_LIMIT
from capacity.reporting.weekly._sections.summary import freed, summary

if TYPE_CHECKING:
    from capacity.reporting.weekly._decisions import Decision
    from capacity.reporting.weekly._review import WeeklyReview

__all__ = ["decisions", "fleet", "header", "heatmap", "oversized", "undersized", "unlimited"]

_PAGE = "weekly-resources.html"
_LEVELS = {"good": "good", "fair": "warn", "poor": "bad"}


def header(week: WeeklyReview) -> Html:
    """Fleet, window, coverage, and whether the data is good enough."""
    history = week.history
    quality = history.coverage()
    running = int(history.running().sum())
    facts = [
        (
            "Fleet",
            f"{counted(len(history.services), 'service')}, {running} running, on {_hosts(week)}",
        ),
        *([("Only", week.services)] if week.services else []),
        (
            "Window",
            (
                f"{history.start:%d %b %Y %H:%M} to {history.end:%d %b %Y %H:%M} UTC, every "
                f"{length(history.step)}"
            ),
        ),
        ("Source", history.source),
        (
            "Coverage",
            f"{quality['alive'].median():.1%} of the samples of a typical service while it lived",
        ),
    ]
    verdict = {
        "good": "Data good enough",
        "fair": "Use with care",
        "poor": "Not good enough to act on",
    }[week.verdict.level]
    reasons = "; ".join(week.verdict.reasons) or "complete, fresh and long enough"
    return Html(
        f"<h1>Weekly resources <span>{text(week.name)}</span></h1>"
        f"<p>{badge(verdict, _LEVELS[week.verdict.level])} "
        f"{text(reasons[:1].upper() + reasons[1:])}.</p>"
        f'{summary(week)}<dl class="facts">{pairs(facts)}</dl>'
        f"{_links(week)}" + "".join(f'<p class="note">{text(note)}</p>' for note in history.notes)
    )


def decisions(week: WeeklyReview) -> Html:
    """What to decide this week, the most urgent first."""
    if not week.decisions:
        return Html("<p>Nothing needs a decision: every limit fits what is expected.</p>")
    cards = []
    for number, decision in enumerate(week.decisions, 1):
        facts = pairs([("Why", decision.why), ("Effect", decision.effect)])
        cards.append(
            f'<li class="{decision.level}"><h3><span class="rank">{number}</span> '
            f"{text(decision.service)}"
            f" {badge(decision.by, decision.level)}</h3>"
            f'<p class="what">{text(decision.what)}</p><dl>{facts}</dl>'
            f"{_action(week, decision)}</li>"
        )
    return Html(f'<ol class="decisions">{"".join(cards)}</ol>')


def _action(week: WeeklyReview, decision: Decision) -> Html:
    """How to do it: the dry run of the plan first, by hand below, and where to read on. Where the
    data is not good enough to act on, what is needed first, and nothing that acts.
    """
    own = week.settings.report.runbooks
    page = runbook_url(decision.code, own)
    # the project's own pages lie outside: a page that asks nothing of any network only names them
    name = f'<a href="{text(page)}">{text(decision.code)}</a>' if own else text(decision.code)
    more = f"<p>Runbook: {name}</p>" if page else ""
    if not decision.apply:
        return Html(f"{code(decision.command)}{more}")
    if week.verdict.needed:
        return Html(
            f"<p>Not to be applied yet. Needed first: {text('; '.join(week.verdict.needed))}. A "
            f"dry run, from the folder of this page:</p>{code(decision.apply)}{more}"
        )
    by_hand = details("By hand", code(decision.command))
    return Html(
        '<p>Dry run, from the folder of this page; with <code class="option">--yes</code> it is '
        f"done, and can be rolled back:</p>{code(decision.apply)}{by_hand}{more}"
    )


def _links(week: WeeklyReview) -> Html:
    """To what lies beside the page."""
    targets = [("Plan", "plan.yaml"), ("Alert rules", "alerts.yml")]
    if week.previous is not None:
        name = week.previous.folder.name
        targets.append((f"Last report, {name}", f"../{name}/{_PAGE}"))
    targets.append(("All reports", "../index.html"))
    listed = " · ".join(f'<a href="{text(to)}">{text(name)}</a>' for name, to in targets)
    return Html(f'<p class="links">{listed}</p>')


def fleet(week: WeeklyReview) -> Html:
    """Fleet total against the hosts and the sum of limits."""
    history = week.history
    rows = []
    for host in sorted(
        history[Signal.HOST_MEMORY_TOTAL].columns.union(history[Signal.HOST_CORES].columns)
    ):
        rows += [(host, *_host_row(week, str(host), resource)) for resource in Resource]
    columns = [
        Column("Host"),
        Column("Resource"),
        Column("Size", number=True, unit=AMOUNT),
        Column("Used, p95", number=True, unit=AMOUNT),
        Column(
            "Used, peak",
            number=True,
            unit=AMOUNT,
            help="Of the whole host, with what runs outside of containers; the charts below add up "
            "containers alone",
        ),
        Column("Limits in force", number=True, unit=AMOUNT),
        Column(
            "Over 90%",
            number=True,
            help="Share of the window in which more than nine tenths of the host were used",
        ),
        Column("Unlimited", number=True, unit="services", help="Running services without a limit"),
        Column("Limits/size", number=True, help="Sum of the limits in force over the host's size"),
        Column(
            "Proposed/size",
            number=True,
            help="The same once all proposals are applied; over 100 % is overcommitted",
        ),
    ]
    known = (
        table("Hosts: use, size and what the limits add up to", columns, rows)
        if rows
        else Html("<p>No host metrics.</p>")
    )
    return join([known, *(_stack(week, resource) for resource in Resource)])


_OVERSIZED = [
    Column("Service"),
    Column("Resource"),
    *(
        Column(name, number=True, unit=AMOUNT)
        for name in ("Limit", "p95", "p99", "Recent peak", "Proposed", "Frees")
    ),
    Column(
        "Breach risk", number=True, help="Chance that next week's peak passes the proposed limit"
    ),
    Column("Confidence", number=True, help="How much of two weeks of samples there is"),
]


def oversized(week: WeeklyReview) -> Html:
    """Limits far above the need, with what a lower one frees."""
    rows = week.proposals(Action.LOWER)
    reclaimed = {resource: freed(rows, resource, week.history.replicas) for resource in Resource}
    if rows.empty:
        return Html("<p>No limit is far above its need.</p>")
    rows = rows.assign(share=(rows["current"] - rows["limit"]) / rows["current"]).sort_values(
        "share", ascending=False
    )
    total = (
        f"Together {count_cores(reclaimed[Resource.CPU])} and "
        f"{format_memory(reclaimed[Resource.MEMORY])} reclaimable."
    )
    cells = [
        (
            str(service),
            NAMES[resource],
            *(
                PRINT[resource](row[name])
                for name in ("current", "p95", "p99", "observed_peak", "limit")
            ),
            PRINT[resource](row["current"] - row["limit"]),
            f"{row['breach_after']:.0%}",
            f"{row['confidence']:.0%}",
        )
        for service, resource, row in table_rows(rows)
    ]
    said = "Limits that could be lower, the largest share first"
    return long_table(said, _OVERSIZED, cells, total, file=EVERY_LIMIT)


def undersized(week: WeeklyReview) -> Html:
    """Limits that are too low: about to be reached, throttling, or killing."""
    rows = pd.concat([week.proposals(Action.RAISE), week.without(Reason.CENSORED)])
    if rows.empty:
        return Html("<p>No service is short of CPU or memory.</p>")
    cells = [
        (
            str(service),
            NAMES[resource],
            PRINT[resource](row["current"]),
            PRINT[resource](row["observed_peak"]),
            f"{row['throttled']:.0%}" if resource is Resource.CPU else "-",
            f"{row['oom_kills']:.0f}" if resource is Resource.MEMORY else "-",
            f"{row['breach_now']:.0%}" if np.isfinite(row["breach_now"]) else "-",
            PRINT[resource](row["limit"]),
            Reason(row["reason"]).text,
        )
        for service, resource, row in table_rows(rows)
    ]
    columns = [
        Column("Service"),
        Column("Resource"),
        *(Column(name, number=True, unit=AMOUNT) for name in ("Limit", "Recent peak")),
        Column("Throttled", number=True, help="Share of throttled periods, 95th percentile"),
        Column("OOM kills", number=True, unit="in the window"),
        Column(
            "Breach risk",
            number=True,
            help="Chance that next week's peak passes the limit in force",
        ),
        Column("Proposed", number=True, unit=AMOUNT),
        Column("Why"),
    ]
    return long_table("Limits that hold a service back", columns, cells, file=EVERY_LIMIT)


def _none_unlimited(week: WeeklyReview) -> Html:
    waiting = week.without(Reason.NOT_ENOUGH_HISTORY)["current"].isna().sum()
    if waiting:
        return Html(f"<p>Missing limits, with too little history to propose any: {waiting}.</p>")
    return Html("<p>Every running service has its limits.</p>")


def unlimited(week: WeeklyReview) -> Html:
    """Services without a limit and the one proposed."""
    rows = week.proposals(Action.SET)
    rows = rows[rows["current"].isna()]
    if rows.empty:
        return _none_unlimited(week)
    sizes = {resource: week.history.host_size(resource) for resource in Resource}
    weight = [
        row["observed_peak"] / sizes[resource].get(service, np.nan)
        for service, resource, row in table_rows(rows)
    ]
    rows = rows.assign(weight=weight).sort_values("weight", ascending=False, na_position="last")
    cells = [
        (
            str(service),
            NAMES[resource],
            *(
                PRINT[resource](row[name])
                for name in ("p95", "observed_peak", "peak_high", "limit")
            ),
            f"{row['breach_after']:.0%}",
        )
        for service, resource, row in table_rows(rows)
    ]
    columns = [
        Column("Service"),
        Column("Resource"),
        *(
            Column(name, number=True, unit=AMOUNT)
            for name in ("p95", "Recent peak", "Forecast peak, high", "Proposed")
        ),
        Column("Breach risk", number=True),
    ]
    known = (
        "Services without a limit"
        if week.history.knows_limits()
        else "The source does not say which limits are in force"
    )
    return long_table(
        f"{known}, the largest share of their host first", columns, cells, file=EVERY_LIMIT
    )


def heatmap(week: WeeklyReview) -> Html:
    """When the fleet is busy."""
    usage = week.history.cpu.sum(axis=1, min_count=1)
    index = pd.DatetimeIndex(usage.index)
    hours = (
        usage.groupby([index.day_of_week, index.hour])  # noqa: PD010 - a week as a table
        .mean()
        .unstack()
        .reindex(index=range(7), columns=range(24))
    )
    if hours.isna().to_numpy().all():
        return Html("<p>No CPU samples.</p>")
    day, hour = np.unravel_index(np.nanargmax(hours.to_numpy()), hours.shape)
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    busiest = (
        f"{names[day]} {hour:02d}:00 UTC with {count_cores(float(hours.to_numpy()[day, hour]))} on "
        "average"
    )
    return figure(
        lambda axes: plot_heatmap(hours, signal=Signal.CPU, axes=axes),
        alt=f"Mean CPU of the fleet by hour of the week; busiest on {busiest}.",
        caption=f"Mean CPU of all services together. Busiest: {busiest}.",
    )


def _stack(week: WeeklyReview, resource: Resource) -> Html:
    """The largest services and the rest, stacked, against the hosts' size."""
    usage = week.history[resource.usage]
    if usage.empty:
        return Html(f"<p>No {NAMES[resource]} samples.</p>")
    largest = list(usage.mean().sort_values(ascending=False).index[:5])
    parts = usage[largest].copy()
    parts["all others"] = usage.drop(columns=largest).sum(axis=1)
    signal = Signal.HOST_CORES if resource is Resource.CPU else Signal.HOST_MEMORY_TOTAL
    sizes = week.history[signal].max()
    total = float(sizes.sum()) if len(sizes) else None
    top = PRINT[resource](float(usage.sum(axis=1).max()))
    of = f" of {PRINT[resource](total)}" if total else ""
    return figure(
        lambda axes: plot_stack(parts, signal=resource.usage, total=total, axes=axes),
        alt=f"Stacked {NAMES[resource]} of the fleet over the window, at most {top}{of}; largest: "
        f"{', '.join(largest)}.",
        caption=f"Fleet {NAMES[resource]}, all containers together: at most {top}{of}; the dashed "
        "line is what the hosts have.",
        size=(9, 3.2),
    )


def _host_row(week: WeeklyReview, host: str, resource: Resource) -> tuple[str, ...]:
    history, show = week.history, PRINT[resource]
    size_signal = Signal.HOST_CORES if resource is Resource.CPU else Signal.HOST_MEMORY_TOTAL
    use_signal = Signal.HOST_CPU if resource is Resource.CPU else Signal.HOST_MEMORY
    size = float(history[size_signal][host].max()) if host in history[size_signal] else np.nan
    used = history[use_signal][host] if host in history[use_signal] else pd.Series(dtype=float)
    sums = limit_sums(history, week.tables[resource], host)
    return (
        NAMES[resource],
        show(size),
        show(float(used.quantile(0.95))),
        show(float(used.max())),
        show(sums.in_force),
        f"{(used > 0.9 * size).sum() / max(used.notna().sum(), 1):.0%}"
        if np.isfinite(size)
        else "-",
        str(sums.unlimited),
        *(f"{part / size:.0%}" if np.isfinite(size) else "-" for part in sums[:2]),
    )


def _hosts(week: WeeklyReview) -> str:
    names = sorted(
        {host for hosts in week.history.hosts.values() for host in hosts.split(",") if host}
    )
    return names[0] if len(names) == 1 else f"{len(names)} hosts"
