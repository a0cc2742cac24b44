"""Where the files that come with the package are: in the wheel's bundle, or beside the package in a
source tree.
"""

from __future__ import annotations

from pathlib import Path

from capacity.errors import StorageError

__all__ = ["bundled"]

_PACKAGE = Path(__file__).resolve().parents[1]


def bundled(name: str) -> Path:
    """Path of a bundled file or folder such as `notebooks/weekly_resources.ipynb` or `data`.

    Raises:
        StorageError: the installation lacks it.
    """
    for root in (_PACKAGE / "_bundled", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise StorageError(
        f"{name} is missing from this installation of capacity", "Install the package again"
    )
