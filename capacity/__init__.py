"""What each Docker/Compose service will need next week, and what its limits should be.

In a notebook::

    from capacity import open_history, forecast, recommend

    history = open_history("sample")
    recommend(history)
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capacity._api import forecast, open_history, recommend

__all__ = ["__version__", "forecast", "open_history", "recommend"]

try:
    __version__ = version("capacity-notebooks")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Load the public calls on first use: `capacity --help` must not wait for pandas."""
    if name in {"forecast", "open_history", "recommend"}:
        from capacity import _api

        return getattr(_api, name)
    raise AttributeError(f"module 'capacity' has no attribute {name!r}")
