"""What runs and what is declared: Docker Engines, and compose files read as Compose v2 reads them."""

from capacity.inventory.compose import Healthcheck, Origin, Port, Project, Resources, Service, Volume, find_files, load_project
from capacity.inventory.containers import Container, Host, Inventory, Published
from capacity.inventory.declared import Declared, declarations
from capacity.inventory.drift import Drift, drift
from capacity.inventory.engine import snapshot

__all__ = [
    "Container",
    "Declared",
    "Drift",
    "Healthcheck",
    "Host",
    "Inventory",
    "Origin",
    "Port",
    "Project",
    "Published",
    "Resources",
    "Service",
    "Volume",
    "declarations",
    "drift",
    "find_files",
    "load_project",
    "snapshot",
]
