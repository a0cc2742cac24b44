"""Files as a reader of the report finds them: relative to the working directory where they lie
below it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

__all__ = ["as_uri", "shown"]


def shown(file: str) -> str:
    """The path from the working directory, or the whole path of what lies elsewhere."""
    return _from(file, os.getcwd())  # noqa: PTH109 - a text is faster to look up, and there are many findings


@lru_cache(maxsize=4096)
def _from(file: str, here: str) -> str:
    path = Path(file)
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


def as_uri(file: str) -> str:
    """The same as a URI reference."""
    name = shown(file)
    return Path(file).as_uri() if name.startswith("/") else quote(name)
