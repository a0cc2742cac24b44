"""Docker engines: connect, take a snapshot of what runs, change it."""

from capacity._docker.containers import Container, Host, Inventory, Published
from capacity._docker.engine import snapshot

__all__ = ["Container", "Host", "Inventory", "Published", "snapshot"]
