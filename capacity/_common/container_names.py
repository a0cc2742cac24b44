"""Which service a container is: by its labels, or by the name that Compose or Swarm gave it."""

from __future__ import annotations

import re
from functools import lru_cache

from capacity._common.text.escape import re2_literal
from capacity.model import ServiceKey

__all__ = ["exported_label", "identify_container", "name_pattern"]

_RENAMED = re.compile(
    r"[0-9a-f]{12}_([^_]+_.+_\d+)"
)  # Compose 1 renames so what it is about to replace
_COMPOSE_PROJECT = re.compile(r"com([._])docker[._]compose[._]project$")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")
_SWARM_TASK = re.compile(r"(?:([^_]+)_)?(.+)\.(\d+|[a-z0-9]{25})\.[a-z0-9]{25}")
_ONE_OFF = re.compile(r"([^_]+)_(.+)_run_[0-9a-f]{12}|([^-]+)-(.+)-run-[0-9a-f]{12}")
_COMPOSE_NAME = re.compile(r"([^_]+)_(.+)_(\d+)|([^-]+)-(.+)-(\d+)")


@lru_cache(maxsize=65_536)  # every day brings the same containers
def identify_container(
    name: str, project: str = "", service: str = "", number: str = ""
) -> tuple[ServiceKey, str]:
    """Service and replica of a container: Compose labels first, then the container's name.

    Compose names containers `project-service-1` (`project_service_1` before v2); that is read back
    where there are no labels, and so are Swarm's `stack_service.1.<id>`, names that Compose gave a
    prefix while it replaced a container, and one-off runs, which are the service `web-run`. No
    random part becomes one of a service's name. Any other name is a service of its own in the
    project `standalone`.

    Args:
        name: the container's, without a slash.
        project: value of the label; empty = none, and so for the others.
        service: value of the label.
        number: value of the label with the replica's number.
    """
    if service:
        return ServiceKey(project or ServiceKey.STANDALONE, service), number or name
    if match := _RENAMED.fullmatch(name):
        name = match[1]
    if match := _SWARM_TASK.fullmatch(name):
        return ServiceKey(match[1] or ServiceKey.STANDALONE, match[2]), match[3]
    if match := _ONE_OFF.fullmatch(name):
        return ServiceKey(match[1] or match[3], f"{match[2] or match[4]}-run"), "run"
    if match := _COMPOSE_NAME.fullmatch(name):
        project, service, number = match.group(1, 2, 3) if match.group(1) else match.group(4, 5, 6)
        return ServiceKey(project, service), number
    return ServiceKey(ServiceKey.STANDALONE, name), name


def name_pattern(key: ServiceKey) -> str:
    """Regular expression (of Prometheus and of Python) for the whole names of a service's
    containers, where there are no labels: what `identify_container` reads as this service.
    """
    project, service = re2_literal(key.project), re2_literal(key.service)
    if key.project == ServiceKey.STANDALONE:
        project, plain = "", service
    else:
        plain = f"([0-9a-f]{{12}}_)?{project}_{service}_[0-9]+|{project}-{service}-[0-9]+"
        project += "_"
    names = [plain, rf"{project}{service}[.]([0-9]+|[a-z0-9]{{25}})[.][a-z0-9]{{25}}"]
    if project and key.service.endswith("-run"):
        once, random = re2_literal(key.service.removesuffix("-run")), "[0-9a-f]{12}"
        names += [f"{project}{once}_run_{random}|{project[:-1]}-{once}-run-{random}"]
    return "|".join(names)


def exported_label(label: str, project: str) -> str:
    """What an exporter calls a container's label.

    Args:
        label: as the container has it, such as `com.example.team`.
        project: what that exporter calls the label of the Compose project.
    """
    found = _COMPOSE_PROJECT.search(project)
    if found is None:
        return _NOT_IN_NAMES.sub("_", label)
    return project[: found.start()] + (label if found[1] == "." else _NOT_IN_NAMES.sub("_", label))
