"""What `capacity plan` says of a plan beside its rows."""

from __future__ import annotations

import json
from pathlib import Path

from capacity.changes import write_plan
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.fleet import plan_of


def test_a_plan_of_too_little_data_says_so_wherever_it_is_looked_at(tmp_path: Path) -> None:
    """On the error stream, so that the rows stay rows; a good plan says nothing."""
    for warning in ("Not good enough to act on: no samples", ""):
        write_plan(plan_of(warning=warning), tmp_path / "plan.yaml")
        done = capacity_here("plan", "show", "plan.yaml", "--json", folder=tmp_path)
        assert json.loads(done.stdout) == []
        assert done.stderr == (f"capacity: {warning}.\n" if warning else "")
