"""Secrets in the environment, where every `docker inspect` shows them. Their values are never kept
nor printed.
"""

from __future__ import annotations

from collections.abc import Iterator

from capacity._common.secrets import looks_secret
from capacity.compliance._facts.facts import DeclaredService, Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed

_WANTED = "a file under /run/secrets"


@check("environment-secrets", files=True)
def environment_secrets(facts: Facts, *, harmless: tuple[str, ...] = ()) -> Iterator[Verdict]:
    """No variable of the environment holds a secret; `harmless` names variables that only look like
    one.
    """
    for key, pair in facts.pairs:
        yield from _declared(key, pair, harmless)
    for key in [key for key in facts.live if key not in facts.declared]:
        for live in facts.live[key]:
            if live.posture is None:
                continue
            names = [name for name in live.posture.secrets if name not in harmless]
            shown = Evidence(
                value=", ".join(names) or "none", threshold=_WANTED, host=live.container.host
            )
            if names:
                yield failed(
                    key,
                    f"{live.container.name} has secrets in its environment: {', '.join(names)}",
                    shown,
                )
            else:
                yield passed(key, f"{live.container.name} has no secret in its environment", shown)


def _declared(key: str, declared: DeclaredService, harmless: tuple[str, ...]) -> Iterator[Verdict]:
    found = [
        name
        for name, value in declared.service.environment.items()
        if name not in harmless and looks_secret(name, value)
    ]
    for name in found:
        place = Evidence.at(declared.where(f"environment.{name}", "environment"), name, _WANTED)
        yield failed(key, f"has a secret in its environment: {name}", place)
    if not found:
        yield passed(
            key,
            "has no secret in its environment",
            Evidence.at(declared.where("environment"), "none", _WANTED),
        )
