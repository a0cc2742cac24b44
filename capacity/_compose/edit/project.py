"""Edit a service in the files of its project: each value in the file where it stands, and the
result judged on the whole project before anybody writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from capacity._common.plain_data import PlainMapping
from capacity._compose.declared import DeclaredProject, load_declared
from capacity._compose.edit.edit import Whole, edit_text, edit_together
from capacity._compose.edit.files import read_exactly
from capacity._compose.edit.limits import (
    HOMES_BY_NAME,
    SETTINGS,
    Homes,
    home_choices,
    set_paths,
    tree_of,
)
from capacity._compose.edit.lists import add_structured
from capacity._compose.edit.locate import plain_values
from capacity._compose.edit.model_check import check_edit, says_all
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._compose.load.load import reader_of
from capacity._compose.project import Project
from capacity._compose.service import Service
from capacity._compose.yaml.nodes import Mapping as MappingNode
from capacity._compose.yaml.nodes import Scalar, parse_documents, target
from capacity.errors import ChangeRefused, EditRefused

__all__ = ["edit_project", "edit_services_together", "override_bodies", "reload"]

_Part = tuple[dict[str, object], Homes]


def edit_project(
    declared: DeclaredProject,
    before: Project,
    service: str,
    wanted: Mapping[str, object],
    texts: Mapping[Path, str],
) -> dict[Path, str]:
    """Compose file -> its new text, for the files that change; none where the whole says it all.

    Args:
        declared: the project.
        before: the same with these texts, from `reload`.
        service: its name in the project.
        wanted: what to set, by the names of `edit_compose`.
        texts: file -> text that stands for what is on disk.

    Raises:
        EditRefused: no exact edit; the message names the file.
    """
    found = before.services[service]
    if says_all(found.model, wanted):
        return {}
    refused: list[EditRefused] = []
    for parts in _placements(before, found, wanted, texts):
        try:
            edited = _edited(parts, found, texts)
            after = _after(declared, service, {**texts, **edited})
            check_edit(before, after, {service: wanted})
        except EditRefused as error:
            refused.append(error)
        else:
            return edited
    raise refused[0] if refused else refuse(EditReason.UNKNOWN_SERVICE, service)


def edit_services_together(
    declared: DeclaredProject,
    before: Project,
    wanted: Mapping[str, Mapping[str, object]],
    texts: Mapping[Path, str],
) -> dict[str, dict[Path, str]]:
    """Service -> compose file -> its text with the edit of that service and those before it; one
    load, however many services there are.

    Args:
        declared: the project.
        before: the same with these texts, from `reload`.
        wanted: service -> what to set; a service stands before the bases it takes values over from.
        texts: file -> text that stands for what is on disk.

    Raises:
        EditRefused: they cannot be made at once; `edit_project` may know other ways for one of
            them, and says which is to blame.
        ChangeRefused: Compose would refuse the whole afterwards.
    """
    parts: dict[Path, dict[str, tuple[dict[str, object], Whole]]] = {}
    for name, values in wanted.items():
        found = before.services[name]
        placed = next(_placements(before, found, values, texts), None)
        if placed is None:
            raise refuse(EditReason.UNKNOWN_SERVICE, name)
        for path, (some, homes) in placed.items():
            parts.setdefault(path, {})[name] = (some, Whole(found.model, homes))
    edited: dict[str, dict[Path, str]] = {name: {} for name in wanted}
    last: dict[Path, str] = {}
    for path, services in parts.items():
        text = texts.get(path)
        steps = edit_together(
            read_exactly(path) if text is None else text,
            {name: some for name, (some, _) in services.items()},
            file=path.name,
            wholes={name: whole for name, (_, whole) in services.items()},
        )
        for name, text in steps.items():
            edited[name][path] = last[path] = text
    check_edit(before, reload(declared, {**texts, **last}), wanted)
    return edited


def reload(declared: DeclaredProject, texts: Mapping[Path, str]) -> Project:
    """The project as it is with other texts in the place of what is on disk.

    Raises:
        ChangeRefused: it cannot be loaded.
    """
    again = load_declared(declared.name, declared.files, declared.folder, declared.env_files, texts)
    if declared.missing or again.project is None:
        raise ChangeRefused(
            f"The compose files of {declared.name} cannot be read: "
            f"{declared.missing or again.missing}",
            "Correct them first",
        )
    return again.project


def override_bodies(service: Service, wanted: Mapping[str, object]) -> Iterator[PlainMapping]:
    """What a further file would say of a service to set the values, the most natural first.

    Raises:
        EditRefused: a value that the Engine would not take, or a port, which no further file can
            move.
    """
    scalars = {name: value for name, value in wanted.items() if name in SETTINGS}
    rest = {name: value for name, value in wanted.items() if name not in SETTINGS}
    for homes in home_choices(service.model, scalars, ""):
        tree = tree_of(service.name, {}, scalars, homes, service.model)
        add_structured(service.name, {}, rest, tree)
        yield plain_values(tree)


def _after(declared: DeclaredProject, service: str, texts: Mapping[Path, str]) -> Project:
    try:
        return reload(declared, texts)
    except ChangeRefused as error:
        raise refuse(EditReason.PROJECT, service, error.message) from error


def _edited(
    parts: Mapping[Path, _Part], found: Service, texts: Mapping[Path, str]
) -> dict[Path, str]:
    edited = {}
    for path, (wanted, homes) in parts.items():
        text = texts.get(path)
        text = read_exactly(path) if text is None else text
        whole = Whole(found.model, homes)
        try:
            edited[path] = edit_text(
                text, {found.name: wanted}, file=path.name, wholes={found.name: whole}
            )
        except EditRefused as error:
            raise EditRefused(
                f"{path}: {error.message}", error.hint, service=error.service, reason=error.reason
            ) from error
    return edited


def _placements(
    project: Project, service: Service, wanted: Mapping[str, object], texts: Mapping[Path, str]
) -> Iterator[dict[Path, _Part]]:
    """The ways to spread settings over the files that declare the service, the most natural
    first.
    """
    scalars = {name: value for name, value in wanted.items() if name in SETTINGS}
    roots = {path: _roots(path, texts) for path in project.sources}
    files = [path for path in project.sources if _declares(roots[path], service.name)]
    origin = service.where()
    home = Path(origin.file) if origin else None
    own = [path for path in files if path == home or path in project.files]
    at_hand = [*_standing(service, wanted), home, *reversed(own), *files]
    for file in dict.fromkeys(path for path in at_hand if path is not None and path in own):
        for homes in home_choices(service.model, scalars, _version(roots[file])):
            yield _spread(service, wanted, homes, file, own)


def _roots(path: Path, texts: Mapping[Path, str]) -> list[MappingNode]:
    nodes = map(target, parse_documents(reader_of(texts)(path), str(path)))
    return [node for node in nodes if isinstance(node, MappingNode)]


def _declares(roots: list[MappingNode], service: str) -> bool:
    found = (target(root.get("services")) for root in roots)
    return any(isinstance(node, MappingNode) and node.key(service) is not None for node in found)


def _version(roots: list[MappingNode]) -> str:
    nodes = (target(root.get("version")) for root in roots)
    return next((node.text for node in nodes if isinstance(node, Scalar)), "")


def _standing(service: Service, wanted: Mapping[str, object]) -> Iterator[Path]:
    """The files in which the present values stand."""
    for name in wanted:
        for home in HOMES_BY_NAME[name]:
            origin = service.where(home)
            if origin is not None:
                yield Path(origin.file)


def _spread(
    service: Service, wanted: Mapping[str, object], homes: Homes, file: Path, own: list[Path]
) -> dict[Path, _Part]:
    """Each value to the file where its home stands already, everything new to one file."""
    parts: dict[Path, tuple[dict[str, object], dict[str, list[tuple[str, ...]]]]] = {}
    for name, value in wanted.items():
        for path in homes.get(name, [()]):
            origin = service.where(".".join(set_paths(path)[0])) if path else None
            stands = Path(origin.file) if origin is not None else file
            values, places = parts.setdefault(stands if stands in own else file, ({}, {}))
            values[name] = value
            places.setdefault(name, []).extend([path] if path else [])
    return dict(parts)
