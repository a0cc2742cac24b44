"""Cores: evenly used, and each service on those of its category."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from capacity.compliance._facts.facts import Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed, unknown
from capacity.errors import InputError
from capacity.model import Resource, Signal


@check("cores-balanced", "history")
def cores_balanced(
    facts: Facts,
    *,
    imbalance: Annotated[float, Field(gt=0)] | None = None,
    idle: Annotated[float, Field(ge=0, lt=1)] | None = None,
    days: Annotated[float, Field(gt=0)] = 7.0,
) -> Iterator[Verdict]:
    """The cores of each host are about equally busy: standard deviation over mean of their busy
    shares; an idle host is fine.
    """
    history = facts.history
    if history is None:
        return
    import pandas as pd

    from capacity.sizing._placement import IDLE, MOST_UNEVEN, is_even
    from capacity.sizing._placement import imbalance as imbalance_of

    most = MOST_UNEVEN if imbalance is None else imbalance
    least = IDLE if idle is None else idle
    busy = history[Signal.CORE_BUSY]
    recent = busy.loc[busy.index >= history.end - pd.Timedelta(days=days)].mean().dropna()
    query = history.queries.get(Signal.CORE_BUSY, "")
    hosts = sorted({str(name).rpartition("/")[0] for name in busy.columns})
    for host in hosts:
        cores = recent[[str(name).rpartition("/")[0] == host for name in recent.index]]
        evidence = Evidence(
            threshold=f"imbalance {most:g}",
            window=f"the last {days:g} days",
            query=query,
            host=host,
        )
        if len(cores) < 2:
            yield unknown(host, f"{len(cores)} cores are measured", evidence)
            continue
        index = imbalance_of(cores.to_numpy(dtype=float))
        text = (
            f"imbalance {index:.2f}: cores {cores.min():.0%} to {cores.max():.0%} busy, "
            f"{cores.mean():.0%} on average"
        )
        shown = Evidence(text, evidence.threshold, evidence.window, query, host=host)
        yield (
            passed(host, f"uses its cores evenly, {text}", shown)
            if is_even(index, float(cores.max()), most, least)
            else failed(host, f"uses its cores unevenly, {text}", shown)
        )


@check("cpu-pinning", "files", "engine", "history")
def cpu_pinning(
    facts: Facts,
    *,
    infrastructure: str | None = None,
    critical: str | None = None,
    standard: str | None = None,
) -> Iterator[Verdict]:
    """Every service is pinned to cores of its category; on hosts with fewer than four cores nothing
    is asked.

    The parameters are the cores of each category, such as `0-3,8`; by default those of the
    settings' `[placement]`, else a quarter, a quarter and the rest. Types of the settings'
    `[types]` tell the category.
    """
    own = {"infrastructure": infrastructure, "critical": critical, "standard": standard}
    wanted = {category: cores or facts.cores.get(category) for category, cores in own.items()}
    for key in sorted({*facts.declared, *facts.live}):
        service = facts.declared.get(key)
        cpusets = {container.container.cpuset for container in facts.running(key)} or {
            (service.service.cpuset if service else "") or ""
        }
        where = service.where("cpuset") if service else None
        for cpuset in sorted(cpusets):
            yield _pinned(facts, key, cpuset, wanted, Evidence.at(where, cpuset or "not pinned"))


def _pinned(
    facts: Facts, key: str, cpuset: str, wanted: dict[str, str | None], evidence: Evidence
) -> Verdict:
    if _host_cores(facts, key) is None and not any(
        wanted.values()
    ):  # files alone: a hook must not wait for heavy imports
        how = f"is pinned to {cpuset}" if cpuset else "is not pinned, which small hosts do not ask"
        return unknown(key, f"{how}; the number of its host's cores is not known", evidence)
    from capacity._common.text.units import parse_cpuset
    from capacity.sizing._placement import format_cores_list
    from capacity.sizing._service_types import type_of, types_with

    category = type_of(key, types_with(facts.types)).category
    allowed = _allowed(facts, key, category, wanted)
    if allowed is None and cpuset:
        return unknown(
            key, f"is pinned to {cpuset}; the number of its host's cores is not known", evidence
        )
    named = format_cores_list(allowed) if allowed else f"the cores of {category} services"
    shown = Evidence(evidence.value, named, file=evidence.file, line=evidence.line)
    if allowed == ():
        return passed(key, "runs on a host with too few cores to divide", shown)
    if not cpuset:
        return failed(key, f"is not pinned; {category} services belong on {named}", shown)
    try:
        strays = sorted({*parse_cpuset(cpuset)} - {*(allowed or ())})
    except InputError as error:
        return failed(key, f"has a cpuset that says nothing: {error.message}", shown)
    if strays:
        return failed(key, f"is pinned to {cpuset}; {category} services belong on {named}", shown)
    return passed(key, f"is pinned to {cpuset}", shown)


def _allowed(
    facts: Facts, key: str, category: str, wanted: dict[str, str | None]
) -> tuple[int, ...] | None:
    """The cores of a category on the service's host; nothing on a host too small to divide, None
    where its size is unknown.
    """
    from capacity._common.text.units import parse_cpuset
    from capacity.sizing._placement import core_ranges

    if (own := wanted[category]) is not None:
        return parse_cpuset(own)
    cores = _host_cores(facts, key)
    if cores is None:
        return None
    return core_ranges(cores)[category] if cores >= 4 else ()


def _host_cores(facts: Facts, key: str) -> int | None:

    sizes = (
        [facts.inventory.host(container.container.host).cores for container in facts.running(key)]
        if facts.inventory
        else []
    )
    if not sizes and facts.inventory and facts.inventory.hosts:
        sizes = [host.cores for host in facts.inventory.hosts]
    if not sizes and facts.history is not None and key in facts.history.services:
        known = facts.history.host_size(Resource.CPU).dropna()
        sizes = [int(known[key])] if key in known.index else []
    return min((size for size in sizes if size > 0), default=None)
