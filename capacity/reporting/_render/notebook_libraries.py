"""The libraries of notebooks, imported without what none of them uses here.

Where this imports jsonschema first, its format checkers pass over `iri` and `iri-reference` in the
whole process; every other format is checked, and the grammar can be imported afterwards.
"""

from __future__ import annotations

import sys

__all__ = ["nbformat", "papermill"]

# Beside JupyterLab, jsonschema builds a grammar while it is imported, in more time than the rest
# takes: for a format of addresses that no notebook's schema has.
_GRAMMAR = "rfc3987_syntax"

_absent = _GRAMMAR not in sys.modules
if _absent:
    sys.modules[_GRAMMAR] = None  # type: ignore[assignment]  # Python's word for: not installed
try:
    import nbformat
    import papermill
finally:
    if _absent:
        del sys.modules[_GRAMMAR]
