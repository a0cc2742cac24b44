"""What each Docker/Compose service will need next week, and what its limits should be.

In a notebook::

    from capacity import open_history, forecast, recommend

    fleet = open_history("sample")
    recommend(fleet)
    fleet["ai/ollama"].plot("cpu")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capacity._common.version import VERSION

if TYPE_CHECKING:
    from capacity._api import forecast, recommend
    from capacity._explore import open_history

__all__ = ["__version__", "forecast", "open_history", "recommend"]

__version__ = VERSION


def __getattr__(name: str) -> Any:
    """Load the public calls on first use: `capacity --help` must not wait for pandas."""
    if name == "open_history":
        from capacity._explore import open_history

        return open_history
    if name in {"forecast", "recommend"}:
        from capacity import _api

        return getattr(_api, name)
    raise AttributeError(f"module 'capacity' has no attribute {name!r}")
