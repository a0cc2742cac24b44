"""Agents come from a pool, not as one service each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from capacity.compliance._facts.facts import Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed


@check("agents-pooled", "files", "engine")
def agents_pooled(
    facts: Facts,
    *,
    agents: Annotated[tuple[str, ...], Field(min_length=1)] = ("*agent*", "*claude*"),
    label: str = "capacity.pool",
    most: Annotated[int, Field(ge=1)] = 1,
) -> Iterator[Verdict]:
    """Services that run one agent's image are one pool: one service with replicas, or all with the
    label of a pool.

    `agents` are globs of service names and images in lower case, `most` is how many may stand
    alone.
    """
    alone: dict[str, list[str]] = defaultdict(list)
    pooled = []
    for key in sorted({*facts.declared, *facts.live}):
        for image in sorted(facts.images(key)):
            name = key.partition("/")[2].lower()
            if not any(
                fnmatchcase(text, glob) for glob in agents for text in (name, image.lower())
            ):
                continue
            if label in facts.labels(key):
                pooled.append(key)
            else:
                alone[_repository(image)].append(key)
    for key in pooled:
        yield passed(key, "belongs to a pool")
    for image, keys in alone.items():
        for key in dict.fromkeys(keys):
            service = facts.declared.get(key)
            limit = f"{most} stand-alone service of an image"
            evidence = Evidence.at(
                service.where("image") if service else None,
                f"{len(set(keys))} services run {image}",
                limit,
            )
            if len(set(keys)) > most:
                others = ", ".join(sorted(set(keys) - {key}))
                yield failed(
                    key, f"is a stand-alone instance of {image}, as are {others}", evidence
                )
            else:
                yield passed(key, f"is the only service of {image}", evidence)


def _repository(image: str) -> str:
    """The image without tag and digest."""
    name = image.partition("@")[0]
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}"
