"""Use of the CPU that a service is allocated, and whether it is allocated any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from capacity._common.text.units import count_cores
from capacity._compose.setting_paths import SETTING_PATHS
from capacity.compliance._facts.facts import Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed, unknown
from capacity.model import Resource, Setting, Signal

if TYPE_CHECKING:
    import pandas as pd

    from capacity.history import History

Share = Annotated[float, Field(gt=0, lt=1)]


@check("cpu-share", "history")
def cpu_share(
    facts: Facts,
    *,
    share: Share = 0.8,
    percentile: Annotated[float, Field(ge=50, lt=100)] = 95.0,
    least_samples: Annotated[int, Field(ge=1)] = 12,
) -> Iterator[Verdict]:
    """No service uses more than a share of its allocated CPU: its limit, or all cores of its host
    where it has none.
    """
    history = facts.history
    if history is None:
        return
    usage, running = history.cpu, history.running()
    limits = _limits(facts, history)
    allocated = limits.fillna(history.host_size(Resource.CPU))
    names = [name for name in usage.columns if running.get(name, False)]
    high = usage[names].quantile(percentile / 100)
    samples = usage[names].count()
    above = (usage[names] > share * allocated.reindex(names)).sum()
    window = f"{history.start:%Y-%m-%d %H:%M} to {history.end:%Y-%m-%d %H:%M} UTC"
    for name in names:
        whole, count = float(allocated[name]), int(samples[name])
        evidence = Evidence(window=window, query=history.queries.get(Signal.CPU, ""))
        if count < least_samples or not whole > 0:
            cause = (
                "neither limit nor host size is known"
                if count >= least_samples
                else f"{count} samples are too few"
            )
            yield unknown(name, cause, evidence)
            continue
        minutes = float(above[name]) * history.step.total_seconds() / 60
        used = f"{float(high[name]) / whole:.0%}"
        of = (
            count_cores(whole)
            if limits[name] > 0
            else f"its host's {count_cores(whole)}, having no limit"
        )
        shown = replace(
            evidence,
            value=f"p{percentile:g} {used} of {of}, {minutes:.0f} min above {share:.0%}",
            threshold=f"{share:.0%}",
        )
        verdict = failed if float(high[name]) > share * whole else passed
        yield verdict(name, f"uses {used} (p{percentile:g}) of {of}", shown)


def _limits(facts: Facts, history: History) -> pd.Series[float]:
    """Cores each service may use: the limit in force, else the declared one; NaN without any."""
    allocated = history.limits(Resource.CPU)
    for key in allocated.index:
        live = [container.container.cpus for container in facts.limited(key)]
        if live:
            known = [cpus for cpus in live if cpus]
            allocated[key] = min(known) if len(known) == len(live) else float("nan")
        elif (
            not allocated[key] > 0
            and key in facts.declared
            and facts.declared[key].service.resources.cpus
        ):
            allocated[key] = facts.declared[key].service.resources.cpus
    return allocated


@check("cpu-limit", "files", "engine")
def cpu_limit(facts: Facts) -> Iterator[Verdict]:
    """Every service has a CPU limit, declared and in force."""
    for key, pair in facts.pairs:
        limit = pair.service.resources.cpus
        evidence = Evidence.at(
            pair.where(*SETTING_PATHS[Setting.CPUS]),
            count_cores(limit) if limit else "no limit",
            "any limit",
        )
        yield (
            passed(key, f"declares {count_cores(limit)}", evidence)
            if limit
            else failed(key, "declares no CPU limit", evidence)
        )
    for key in facts.live:
        for live in facts.limited(key):
            limit = live.container.cpus
            look = f"docker inspect -f '{{{{.HostConfig.NanoCpus}}}}' {live.container.name}"
            shown = Evidence(
                value=count_cores(limit) if limit else "no limit",
                threshold="any limit",
                query=look,
                host=live.container.host,
            )
            if limit:
                yield passed(key, f"{live.container.name} has {count_cores(limit)}", shown)
            else:
                yield failed(key, f"{live.container.name} runs without a CPU limit", shown)
