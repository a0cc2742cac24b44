"""The chance of passing its limit that is accepted for a service."""

from __future__ import annotations

from fnmatch import fnmatchcase

from capacity.model import Resource
from capacity.settings import Settings

__all__ = ["accepted_risk", "raised_above"]


def accepted_risk(
    service: str, resource: Resource, settings: Settings, risk: float | None = None
) -> float:
    """As sizing accepts it: the risk asked for, or the settings' of the resource, times that of its
    risk class.
    """
    from capacity.sizing._context import risk_of_class  # pandas, which applying does not need

    if risk is None:
        risk = settings.sizing.risk if resource is Resource.MEMORY else settings.sizing.cpu_risk
    classes = [
        rule.risk_class
        for glob, rule in settings.services.items()
        if fnmatchcase(service, glob) and "risk_class" in rule.model_fields_set
    ]
    return risk_of_class(risk, classes[-1] if classes else "standard")


def raised_above(service: str, resource: Resource, settings: Settings) -> float:
    """The chance from which sizing raises a limit in force for that alone, at least."""
    from capacity.sizing._context import raised_above as of_risk

    return of_risk(accepted_risk(service, resource, settings))
