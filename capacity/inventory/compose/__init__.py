"""Compose files as Compose v2 reads them, every value with its place."""

from capacity.inventory.compose.nodes import Origin
from capacity.inventory.compose.project import Project, find_files, load_project
from capacity.inventory.compose.service import Healthcheck, Port, Resources, Service, Volume

__all__ = ["Healthcheck", "Origin", "Port", "Project", "Resources", "Service", "Volume", "find_files", "load_project"]
