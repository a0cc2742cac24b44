"""Compose files as Compose v2 reads them, every value with its place."""

from capacity._compose.declared import DeclaredProject, declarations
from capacity._compose.drift import Drift, drift
from capacity._compose.project import Project, files_of_dotenv, find_files, load_project
from capacity._compose.service import Healthcheck, Port, Resources, Service, Volume
from capacity._compose.yaml.nodes import Origin

__all__ = [
    "DeclaredProject",
    "Drift",
    "Healthcheck",
    "Origin",
    "Port",
    "Project",
    "Resources",
    "Service",
    "Volume",
    "declarations",
    "drift",
    "files_of_dotenv",
    "find_files",
    "load_project",
]
