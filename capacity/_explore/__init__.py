"""A fleet to think with in a notebook: services by name, each with its use, forecast and limits."""

from __future__ import annotations

from capacity._explore.fleet import Fleet, FleetService, open_history

__all__ = ["Fleet", "FleetService", "open_history"]
