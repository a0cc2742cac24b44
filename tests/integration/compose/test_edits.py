"""Edits of whole projects against the real Compose: before and after, what it would start differs
in the change alone.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from capacity._compose.declared import load_declared
from capacity.changes._plan.file_edits import edit_service
from capacity.errors import EditRefused
from capacity.model import Change
from tests.fixtures.generated.compose_projects import Files, projects, wanted_changes, write
from tests.fixtures.running.compose import config
from tests.fixtures.running.fleet import plan_of
from tests.unit.compose.test_edit_project import check


def printed(files: list[Path]) -> dict[str, Any] | None:
    """The services of the project `shop` as Compose prints them; None where it refuses it."""
    named = [word for file in files for word in ("-f", str(file))]
    done = config("docker-compose", ["-p", "shop", *named], files[0].parent, {})
    text = done.stdout.replace("$$", "$")
    return dict(json.loads(text)["services"]) if done.returncode == 0 else None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(files=projects(), changes=wanted_changes())
def test_compose_sees_the_change_alone(files: Files, changes: list[Change]) -> None:
    """What we load Compose loads, and what we edit it loads as intended."""
    with tempfile.TemporaryDirectory() as name:
        paths = write(files, Path(name))
        declared = load_declared("shop", paths, Path(name))
        before = printed(paths)
        assert (before is None) == (declared.project is None), declared.missing
        if before is None:
            return
        try:
            edited = edit_service(declared, "shop/web", plan_of(*changes).changes)
        except EditRefused:
            return
        for path, (_, after) in edited.items():
            path.write_text(after)
        now = printed(paths)
        assert now is not None
        check(before, now, changes)
