"""Secrets in the environment, where every `docker inspect` shows them. Their values are never kept
nor printed.
"""

from __future__ import annotations

from collections.abc import Iterator

from capacity._common.text.secrets import looks_secret, sounds_secret
from capacity.compliance._facts.facts import DeclaredService, Facts
from capacity.compliance._rules.registry import check
from capacity.compliance._verdicts import Evidence, Verdict, failed, passed, unknown

_WANTED = "a file under /run/secrets"


@check("environment-secrets", "files", "engine")
def environment_secrets(facts: Facts, *, harmless: tuple[str, ...] = ()) -> Iterator[Verdict]:
    """No variable of the environment holds a secret, in the file or in the container; `harmless`
    names variables that only look like one.

    A value that the file leaves to a variable is known of a container alone.
    """
    for key, pair in facts.pairs:
        seen = any(live.posture is not None for live in facts.live.get(key, ()))
        yield from _declared(key, pair, harmless, seen=seen)
    for key in facts.live:
        for live in facts.live[key]:
            if live.posture is None:
                continue
            names = [name for name in live.posture.secrets if name not in harmless]
            shown = Evidence(
                value=", ".join(names) or "none", threshold=_WANTED, host=live.container.host
            )
            if names:
                text = f"{live.container.name} has secrets in its environment: {', '.join(names)}"
                yield failed(key, text, shown)
            else:
                yield passed(key, f"{live.container.name} has no secret in its environment", shown)


def _declared(
    key: str, declared: DeclaredService, harmless: tuple[str, ...], *, seen: bool
) -> Iterator[Verdict]:
    values = {
        name: value for name, value in declared.service.environment.items() if name not in harmless
    }
    found = [name for name, value in values.items() if looks_secret(name, value)]
    for name in found:
        origin = declared.where(("environment", name), "environment")
        place = Evidence.at(origin, name, _WANTED)
        yield failed(key, f"has a secret in its environment: {name}", place)
    open_ones = [name for name, value in values.items() if not value and sounds_secret(name)]
    if open_ones and not found and not seen:
        place = Evidence.at(declared.where(("environment", open_ones[0]), "environment"))
        cause = f"the files give {', '.join(open_ones)} no value; it may come from elsewhere"
        yield unknown(key, cause, place)
    elif not found:
        none = Evidence.at(declared.where("environment"), "none", _WANTED)
        yield passed(key, "has no secret in its environment", none)
