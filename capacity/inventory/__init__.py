"""What is declared: compose files, read as Compose v2 reads them."""

from capacity.inventory.compose import Healthcheck, Origin, Port, Project, Resources, Service, Volume, find_files, load_project

__all__ = ["Healthcheck", "Origin", "Port", "Project", "Resources", "Service", "Volume", "find_files", "load_project"]
