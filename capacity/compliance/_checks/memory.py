"""Memory limits, declared and in force."""

from __future__ import annotations

from collections.abc import Iterator

from capacity._common.setting_values import LEAST_MEMORY
from capacity._common.text.units import format_memory
from capacity._compose import Resources
from capacity._compose.setting_paths import SETTING_PATHS
from capacity.compliance._facts.facts import Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed, unknown
from capacity.model import Resource, Setting, Signal


@check("memory-limit-declared", "files")
def memory_limit_declared(facts: Facts) -> Iterator[Verdict]:
    """Every service of a compose file declares a memory limit, and one that the Engine takes."""
    for key, pair in facts.pairs:
        resources = pair.service.resources
        limit = resources.memory
        refused, cause = _refused(resources) if limit else (Setting.MEMORY, "")
        evidence = Evidence.at(
            pair.where(*SETTING_PATHS[refused]),
            format_memory(limit) if limit else "no limit",
            "a limit that the Engine takes",
        )
        if not limit:
            yield failed(key, "declares no memory limit", evidence, ("no-limit",))
        elif cause:
            said = f"declares a limit that the Engine refuses: {cause}"
            yield failed(key, said, evidence, (str(refused),))
        else:
            yield passed(key, f"declares {format_memory(limit)}", evidence)


def _refused(resources: Resources) -> tuple[Setting, str]:
    """The setting that makes the Engine refuse the memory of a container, and why; no text where it
    takes it.
    """
    declared = {
        Setting.MEMORY: resources.memory,
        Setting.RESERVATION: resources.memory_reservation,
        Setting.MEMORY_SWAP: resources.memory_swap,
    }
    bytes_of = {what: size for what, size in declared.items() if size is not None and size > 0}
    for what, size in bytes_of.items():
        if size < LEAST_MEMORY and what is not Setting.MEMORY_SWAP:
            cause = f"{what} of {format_memory(size)} is below {format_memory(LEAST_MEMORY)}"
            return what, f"{cause}; a number without a unit is bytes, write 512m for 512 MiB"
    limit = bytes_of.get(Setting.MEMORY, 0)
    if (size := bytes_of.get(Setting.RESERVATION, 0)) > limit:
        cause = f"the reservation of {format_memory(size)} is above the limit"
        return Setting.RESERVATION, f"{cause} of {format_memory(limit)}"
    if limit > (size := bytes_of.get(Setting.MEMORY_SWAP, limit)):
        cause = f"memswap_limit, memory and swap together, of {format_memory(size)} is below"
        return Setting.MEMORY_SWAP, f"{cause} the memory limit of {format_memory(limit)}"
    return Setting.MEMORY, ""


@check("memory-limit-live", "engine", "history")
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
        for container in facts.limited(key):
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
    known, unseen = history.knows_limits(), history.limits_unseen()
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
        elif known and key in unseen:
            yield unknown(key, "It runs for less than an hour: no limit was told yet", evidence)
        elif known:
            yield failed(key, "runs without a memory limit", evidence)
        else:
            yield unknown(key, "The source does not measure limits", evidence)
