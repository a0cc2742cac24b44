"""Edit a compose file at the place of the values: only the changed lines change, and only what was
meant changes.

Every edit is proved before it is returned: the text is parsed again and its whole model compared
with the intended one. There is more than one way to write a limit; they are tried from the most
natural to the most careful, and the first that is exact wins.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from capacity._common.plain_data import Plain, PlainMapping
from capacity._compose.edit.extends import extended, extenders
from capacity._compose.edit.limits import SETTINGS, Homes, home_choices, set_paths, tree_of
from capacity._compose.edit.lists import STRUCTURED, add_structured, line_budget
from capacity._compose.edit.locate import place_beside, place_values
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._compose.edit.splice import Splice, Style, apply_splices, column
from capacity._compose.edit.verify import (
    File,
    changed_lines,
    check_template,
    check_text,
    differing_paths,
    read,
    with_value,
)
from capacity._compose.edit.wanted import Branch, Impossible, Keyed, Leaf, ListEdit, Placing
from capacity._compose.setting_paths import at
from capacity._compose.yaml.nodes import Mapping, Node, Scalar, target
from capacity.errors import EditRefused

__all__ = ["Whole", "edit_compose", "edit_text", "edit_together"]

_Written = dict[tuple[str, ...], Plain]
_Way = Callable[[Placing, Scalar, Node, Branch, Any], Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of a service beyond one text: all that it means in its project, and where its
    settings are to be written.
    """

    model: collections.abc.Mapping[str, object]
    homes: Homes


@dataclass(frozen=True, slots=True)
class _Target:
    """A service in a text: its key, its body and what it means."""

    name: str
    key: Scalar
    body: Node
    present: PlainMapping
    in_flow: bool


def edit_compose(
    text: str,
    changes: collections.abc.Mapping[str, collections.abc.Mapping[str, object]],
    *,
    file: str | None = None,
) -> str:
    """The text of a compose file with other limits, every other line untouched.

    What can be set: `memory`, `memory_reservation`, `memswap` in bytes; `cpus`, `cpus_reservation`
    in cores; `pids` and `replicas` as numbers; `cpuset` and `restart` as text; `environment` as
    values by name; `healthcheck` as Compose's own mapping; `ulimits` as a number or `soft:hard` by
    name; `ports` as new published ports by the old ones; `depends_on` as the condition by the
    service awaited.

    Args:
        text: the file, with its own line breaks (read it with `newline=""`).
        changes: what to set, by service; whether the Engine takes them together (a limit below the
            service's reservation, say) is not judged here.
        file: its name, by which services of the text may extend others of it; any of Compose's own
            names by default.

    Returns:
        The new text. For one limit at most 4 lines differ, for memory and CPU together at most 5.

    Raises:
        EditRefused: the edit could not be made exactly; its `service` and `reason` say where and
            why.
    """
    _check_arguments(text, changes)
    return edit_text(text, changes, file=file)


def edit_text(
    text: str,
    changes: collections.abc.Mapping[str, collections.abc.Mapping[str, object]],
    *,
    file: str | None = None,
    wholes: collections.abc.Mapping[str, Whole] | None = None,
) -> str:
    """The same, for services of which more is known than this text says.

    Raises:
        EditRefused: as `edit_compose`.
    """
    check_text(text)
    parsed = read(text)
    check_template(parsed)
    intended = parsed.model
    touched: dict[str, list[tuple[str, ...]]] = {}
    for service, wanted in changes.items():
        job = _Job(service, dict(wanted), frozenset(changes), file, (wholes or {}).get(service))
        parsed, written, already = _edit_service(parsed, job)
        intended = _write(intended, service, {**already, **written})
        touched[service] = [*written]
    wrong = differing_paths(intended, parsed.model)
    if wrong:
        raise refuse(EditReason.SHARED, min(wrong))
    _check_extending(parsed.services, touched, file)
    return parsed.text


def edit_together(
    text: str,
    changes: collections.abc.Mapping[str, collections.abc.Mapping[str, object]],
    *,
    file: str,
    wholes: collections.abc.Mapping[str, Whole],
) -> dict[str, str]:
    """Service -> the text with its edit and those before it; each in the most natural way, and
    proved once for all.

    Raises:
        EditRefused: they cannot be made so; one by one, and in other ways, they may.
    """
    check_text(text)
    parsed = read(text)
    check_template(parsed)
    intended = parsed.model
    splices: list[Splice] = []
    ends: dict[str, int] = {}
    touched: dict[str, list[tuple[str, ...]]] = {}
    lines = 0
    for service, wanted in changes.items():
        found = _find(parsed, service)
        whole = wholes[service]
        tree = _tree(service, wanted, found.present, whole.homes, whole.model)
        budget = line_budget(dict(wanted), found.present)
        attempt = Placing(text, _style(parsed, found), budget, in_flow=found.in_flow)
        written = _placed(attempt, place_values, found, tree) if tree else {}
        intended = _write(intended, service, written)
        touched[service] = [*written]
        if attempt.copied or _meet(splices, attempt.splices):
            raise refuse(EditReason.NOT_EXACT, service)
        splices += attempt.splices
        ends[service] = len(splices)
        lines += attempt.lines
    after = read(apply_splices(text, splices))
    wrong = differing_paths(intended, after.model)
    if wrong or changed_lines(text, after.text) > lines:
        raise refuse(EditReason.NOT_EXACT, min(wrong, default=""))
    _check_extending(after.services, touched, file)
    return {service: apply_splices(text, splices[:end]) for service, end in ends.items()}


def _meet(splices: list[Splice], more: list[Splice]) -> bool:
    """Whether two edits write at one place."""
    return any(
        old.start == new.start or (old.start < new.end and new.start < old.end)
        for new in more
        for old in splices
    )


def _check_arguments(text: Any, changes: Any) -> None:
    if not isinstance(text, str):
        raise refuse(EditReason.INVALID, detail=f"a text is needed, not {type(text).__name__}")
    if not isinstance(changes, collections.abc.Mapping):
        raise refuse(EditReason.BAD_VALUE, detail="the changes must be a mapping of services")
    for service, wanted in changes.items():
        if not isinstance(wanted, collections.abc.Mapping):
            raise refuse(
                EditReason.BAD_VALUE, str(service), f"{wanted!r} is no mapping of what to set"
            )


def _check_extending(
    services: PlainMapping, touched: dict[str, list[tuple[str, ...]]], file: str | None
) -> None:
    """Refuse when a service of the file extends an edited one and would take the new value over."""
    for base, paths in touched.items():
        for name in extenders(services, base, file):
            if any(at(services[name], *path) is None for path in paths):
                raise refuse(EditReason.SHARED, base, f"{name} extends it")


def _write(model: PlainMapping, service: str, written: _Written) -> PlainMapping:
    for path, value in written.items():
        model = with_value(model, ("services", service, *path), value)
    return model


@dataclass(frozen=True, slots=True)
class _Job:
    """What to set on one service, beside which others, in a file of which name."""

    service: str
    wanted: collections.abc.Mapping[str, object]
    others: frozenset[str]
    file: str | None
    whole: Whole | None


def _edit_service(file: File, job: _Job) -> tuple[File, _Written, _Written]:
    """The file with the edit, what was written, and what stood there already."""
    service, wanted = job.service, job.wanted
    found = _find(file, service)
    unknown = set(wanted) - SETTINGS - STRUCTURED
    if unknown:
        raise refuse(EditReason.UNKNOWN_CHANGE, service, min(unknown))
    lines = line_budget(wanted, found.present)
    scalars = {name: value for name, value in wanted.items() if name in SETTINGS}
    refused: list[EditRefused] = []
    second: list[tuple[File, _Written]] = []
    whole = job.whole.model if job.whole else extended(file.services, service, job.file)
    choices = home_choices(whole, scalars, file.model.get("version"))
    for homes in [job.whole.homes] if job.whole else choices:
        tree = _tree(service, wanted, found.present, homes, whole)
        if not tree:
            standing = [
                path for part in homes.values() for home in part for path in set_paths(home)
            ]
            return file, {}, _standing(found.present, standing, wanted)
        for way, at_start in ((place_values, False), (place_values, True), (place_beside, True)):
            attempt = Placing(
                file.text, _style(file, found), lines, at_start, in_flow=found.in_flow
            )
            try:
                edited, written = _attempt(attempt, way, found, file.model, tree, job.others)
            except EditRefused as error:
                refused.append(error)
                continue
            if not attempt.copied:
                return edited, written, {}
            second.append((edited, written))
    if second:
        return (*second[0], {})
    raise refused[0]


def _tree(
    service: str,
    wanted: collections.abc.Mapping[str, object],
    present: PlainMapping,
    homes: Homes,
    whole: collections.abc.Mapping[str, object],
) -> Branch:
    """What is to be written below a service."""
    scalars = {name: value for name, value in wanted.items() if name in SETTINGS}
    structured = {name: value for name, value in wanted.items() if name in STRUCTURED}
    tree = tree_of(service, present, scalars, homes, whole)
    add_structured(service, present, structured, tree)
    return tree


def _standing(
    present: PlainMapping,
    paths: list[tuple[str, ...]],
    wanted: collections.abc.Mapping[str, object],
) -> _Written:
    """What of the wanted a service says already: an edit before this one may have brought it by an
    anchor.
    """
    every = [*paths, *((name,) for name in wanted if name in STRUCTURED)]
    return {path: value for path in every if (value := at(present, *path)) is not None}


def _find(file: File, service: str) -> _Target:
    services = target(file.root.get("services"))
    key, body = (
        (services.key(service), services.get(service))
        if isinstance(services, Mapping)
        else (None, None)
    )
    if key is None or body is None:
        raise refuse(EditReason.UNKNOWN_SERVICE, service)
    present = file.services.get(service)
    if present is not None and not isinstance(present, dict):
        raise refuse(EditReason.SHAPE, service, f"services.{service}")
    return _Target(
        service, key, body, present or {}, isinstance(services, Mapping) and services.flow
    )


def _attempt(
    attempt: Placing,
    way: _Way,
    found: _Target,
    model: PlainMapping,
    tree: Branch,
    others: frozenset[str],
) -> tuple[File, _Written]:
    """One way to write it, proved.

    Raises:
        EditRefused: it cannot be written this way, or would mean something else.
    """
    written = _placed(attempt, way, found, tree)
    try:
        edited = read(apply_splices(attempt.text, attempt.splices))
    except EditRefused as error:
        raise refuse(EditReason.NOT_EXACT, found.name) from error
    expected = _write(model, found.name, written)
    wrong = differing_paths(expected, edited.model)
    if found.name not in wrong and wrong - others:
        raise refuse(EditReason.SHARED, found.name, ", ".join(sorted(wrong)))
    if found.name in wrong or changed_lines(attempt.text, edited.text) > attempt.lines:
        raise refuse(EditReason.NOT_EXACT, found.name)
    return edited, written


def _placed(attempt: Placing, way: _Way, found: _Target, tree: Branch) -> _Written:
    try:
        result = way(attempt, found.key, found.body, tree, found.present)
    except Impossible:
        raise refuse(EditReason.SHAPE, found.name) from None
    return {path: at(result, *path) for path in _paths(tree)}


def _paths(tree: Branch) -> Iterator[tuple[str, ...]]:
    for name, item in tree.items():
        if isinstance(item, (Keyed, Leaf, ListEdit)):
            yield (name,)
        else:
            yield from ((name, *path) for path in _paths(item))


def _style(file: File, found: _Target) -> Style:
    """Spaces a level as in this service, else as in this file; the quotes of a file that is all
    flow.
    """
    text, root = file.text, file.root
    first = root.entries[0][0]
    quote = first.style if root.flow and isinstance(first, Scalar) else ""
    body = target(found.body)
    if isinstance(found.body, Mapping) and isinstance(body, Mapping) and not body.flow:
        return Style(_step(text, found.key, body), quote)
    services = target(root.get("services"))
    key = root.key("services")
    return Style(
        _step(text, key, services)
        if key and isinstance(services, Mapping) and not services.flow
        else 2,
        quote,
    )


def _step(text: str, key: Scalar, body: Mapping) -> int:
    return (
        max(column(text, body.entries[0][0].start) - column(text, key.start), 1)
        if body.entries
        else 2
    )
