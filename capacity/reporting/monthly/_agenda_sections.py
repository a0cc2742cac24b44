"""The agenda of the month on its page, and the decisions of each owner."""

from __future__ import annotations

from capacity.reporting._analysis.owners import NO_OWNER
from capacity.reporting._html.formatting import long_table
from capacity.reporting._html.html import Column, Html, details, join, text
from capacity.reporting.monthly._agenda import TITLES, Item, by_owner, to_decide
from capacity.reporting.monthly._review import MonthlyReview

__all__ = ["agenda", "owned"]


def agenda(month: MonthlyReview) -> Html:
    """What to talk about, in the order of the page."""
    items = to_decide(month.columns, month.owners)
    open_promises = int((month.promises["state"] == "open").sum())
    undecided = sum(item.kind == TITLES["decide"] for item in items)
    owners = len({item.owner for item in items} - {NO_OWNER})
    points = [
        f"Last month: {len(month.promises)} promises, {open_promises} still open",
        f"Decide: {undecided} limits that nobody but their owners can settle",
        f"Agree on the plan: {len(items) - undecided} limits to change, of {owners} named owners",
        "What if: growth, a lost host, a smaller budget",
        "Write down who does what until when: decisions.md and decisions.csv are for your tracker",
    ]
    return join([Html(f"<li>{text(point)}</li>") for point in points], "ol")


def owned(month: MonthlyReview) -> Html:
    """Decisions of each owner, with room for who and when."""
    items = to_decide(month.columns, month.owners)
    if not items:
        return Html("<p>Nothing needs a decision.</p>")
    parts = [_of_owner(owner, list(mine)) for owner, mine in by_owner(items)]
    notes = [*month.owners.notes]
    if all(item.owner == NO_OWNER for item in items):
        notes.append(
            'Owners are in the settings: a label of containers, [owners] label = "com.example.team"'
            ', or globs, [services."shop/*"] owner = "Team Shop".'
        )
    return join([*parts, *(join([note], "p", "note") for note in notes)])


def _whole(words: str) -> Html:
    """Words that stay on one line."""
    return join([words], "span", "option")


def _of_owner(owner: str, items: list[Item]) -> Html:
    cells = [
        (
            item.service,
            _whole(item.kind),
            _whole(f"{item.resource}: {item.now} → {item.proposed}"),
            item.why,
            "________",
            "________",
        )
        for item in items
    ]
    names = ("Service", "Kind", "Limit", "Why", "Who", "When")
    shown = long_table(f"Decisions of {owner}", [Column(name) for name in names], cells)
    return details(f"{owner}: {len(items)} decisions", shown, paper="")
