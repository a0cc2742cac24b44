"""Memory limits, declared and in force."""

from __future__ import annotations

from collections.abc import Iterator

from capacity._common.text.units import format_memory
from capacity._compose.setting_paths import SETTING_PATHS
from capacity.compliance._facts.facts import Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed, unknown
from capacity.model import Resource, Setting, Signal


@check("memory-limit-declared", files=True)
def memory_limit_declared(facts: Facts) -> Iterator[Verdict]:
    """Every service of a compose file declares a memory limit."""
    for key, pair in facts.pairs:
        limit = pair.service.resources.memory
        evidence = Evidence.at(
            pair.where(*SETTING_PATHS[Setting.MEMORY]),
            format_memory(limit) if limit else "no limit",
            "any limit",
        )
        if limit:
            yield passed(key, f"declares {format_memory(limit)}", evidence)
        else:
            yield failed(key, "declares no memory limit", evidence)


@check("memory-limit-live")
def memory_limit_live(facts: Facts) -> Iterator[Verdict]:
    """Every running container has a memory limit in force: by the Engine where it was asked, else
    by history.
    """
    if facts.inventory is not None:
        yield from _engine(facts)
    elif facts.history is not None:
        yield from _history(facts)


def _engine(facts: Facts) -> Iterator[Verdict]:
    for key in facts.live:
        for container in facts.running(key):
            limit = container.container.memory
            shown = format_memory(limit) if limit else "no limit"
            look = f"docker inspect -f '{{{{.HostConfig.Memory}}}}' {container.container.name}"
            evidence = Evidence(
                value=shown, threshold="any limit", query=look, host=container.container.host
            )
            if limit:
                yield passed(key, f"{container.container.name} has {shown}", evidence)
            else:
                yield failed(
                    key, f"{container.container.name} runs without a memory limit", evidence
                )


def _history(facts: Facts) -> Iterator[Verdict]:

    history = facts.history
    assert history is not None
    known = history.knows_limits()
    running, limits = history.running(), history.limits(Resource.MEMORY)
    for key in history.services:
        if not running[key]:
            continue
        limit = float(limits[key])
        query = history.queries.get(Signal.MEMORY_LIMIT, "")
        evidence = Evidence(
            value=format_memory(limit) if limit > 0 else "no limit",
            threshold="any limit",
            query=query,
        )
        if limit > 0:
            yield passed(key, f"has {format_memory(limit)}", evidence)
        elif known:
            yield failed(key, "runs without a memory limit", evidence)
        else:
            yield unknown(key, "The source does not measure limits", evidence)
