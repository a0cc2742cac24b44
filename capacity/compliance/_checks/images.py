"""Images that say which version they are."""

from __future__ import annotations

from collections.abc import Iterator

from capacity.compliance._facts.facts import Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed

_MOVING = (
    *("latest", "nightly", "edge", "main", "master", "dev", "develop"),
    *("stable", "release", "current", "rolling", "mainline", "lts"),
    *("beta", "canary", "unstable", "testing", "snapshot"),
    *("alpine", "slim"),  # a base alone: that of the latest version
)


@check("image-tag", "files", "engine")
def image_tag(facts: Facts, *, moving: tuple[str, ...] = _MOVING) -> Iterator[Verdict]:
    """Every image has a tag that does not move, or a digest; an image that is built here needs
    neither. A variant without a number, such as `stable-alpine`, moves with its tag.
    """
    built = {key for key, pair in facts.pairs if pair.service.model.get("build") is not None}
    for key, pair in facts.pairs:
        image = pair.service.image
        if key in built:
            yield passed(key, "is built from its own files", Evidence.at(pair.where("build")))
            continue
        yield _judged(
            key,
            image or "",
            moving,
            Evidence.at(pair.where("image"), image or "no image", "a tag or a digest"),
        )
    for key in [key for key in facts.live if key not in built]:
        for live in facts.live[key]:
            name, image = live.container.name, live.container.image
            look = f"docker inspect -f '{{{{.Config.Image}}}}' {name}"
            shown = Evidence(
                value=image, threshold="a tag or a digest", query=look, host=live.container.host
            )
            yield _judged(key, image, moving, shown)


def _judged(key: str, image: str, moving: tuple[str, ...], evidence: Evidence) -> Verdict:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if digest:
        return passed(key, "is pinned by its digest", evidence)
    if not tag or image.startswith("sha256:"):
        return failed(key, f"runs {image or 'no image'} without a tag", evidence)
    if _moves(tag, moving):
        return failed(key, f"runs {image}, a tag that moves", evidence)
    return passed(key, f"runs {image}", evidence)


def _moves(tag: str, moving: tuple[str, ...]) -> bool:
    """Whether it is one of these tags, or a variant of one that has no number to stay at."""
    head, _, variant = tag.partition("-")
    return tag in moving or (head in moving and not any(map(str.isdigit, variant)))
