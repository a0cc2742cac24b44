"""The version of the package, which plans, reports and the command line carry."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["VERSION"]

try:
    VERSION = version("capacity-notebooks")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0+unknown"
