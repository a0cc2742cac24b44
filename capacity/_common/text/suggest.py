"""Names that a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from capacity.errors import InputError

__all__ = ["closest_names", "no_such_service"]

_MOST = 3


def closest_names(name: str, known: Iterable[str]) -> list[str]:
    """At most three of the known names: those whose part behind the slash this is, then those that
    are spelt alike.
    """
    names = sorted(known)
    same = [each for each in names if each.rpartition("/")[2] == name]
    alike = get_close_matches(name, names, _MOST) + [
        each
        for each in names
        if each.rpartition("/")[2]
        in get_close_matches(name, [known.rpartition("/")[2] for known in names], 1)
    ]
    return list(dict.fromkeys([*same, *alike]))[:_MOST]


def no_such_service(name: str, known: Iterable[str]) -> InputError:
    """The error to raise for a name that no service has."""
    near = closest_names(name, known)
    hint = (
        f"Did you mean {' or '.join(near)}?" if near else "`capacity recommend` lists the services"
    )
    return InputError(f"There is no service {name!r}", hint)
