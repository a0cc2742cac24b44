"""Services with several containers that no file speaks of: replacing them keeps their number, there
and back.
"""

from __future__ import annotations

import subprocess

from capacity._docker import snapshot
from capacity.changes import apply_plan, rollback, write_plan
from capacity.model import Setting
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.fleet import Fleet, other, plan_of, project
from tests.fixtures.running.servers import require


def scaled(shop: Fleet, number: int) -> None:
    """Give the service so many containers, as people do by hand."""
    words = [
        str(require("docker-compose")),
        "--project-name",
        "shop",
        "up",
        "--detach",
        "--no-recreate",
        "--scale",
        f"web={number}",
    ]
    subprocess.run(
        words, cwd=shop.folder / "shop", env=shop.environment(), capture_output=True, check=True
    )


def variables(shop: Fleet) -> list[bool]:
    """Of each running container whether it has the variable."""
    return [
        "MODE" in container.environment
        for container in snapshot(shop.settings().engine).of("shop/web")
        if container.running
    ]


def test_a_scaled_service_keeps_its_number(shop: Fleet) -> None:
    """Two stay two when a variable takes new containers; the rollback keeps the three that somebody
    made of them since.
    """
    shop.up(project(web="mem_limit: 64m"))
    scaled(shop, 2)
    plan = plan_of(other("shop/web", Setting.ENVIRONMENT, None, {"MODE": "fast"}))
    write_plan(plan, shop.folder / "plan.yaml")
    said = capacity_here("apply", "plan.yaml", folder=shop.folder, **shop.environment())
    assert "docker compose up --detach --no-deps --scale web=2 web\n" in said.stdout
    done = apply_plan(plan, shop.settings())
    assert ([outcome.reason for outcome in done.outcomes], variables(shop)) == ([""], [True] * 2)
    scaled(shop, 3)
    assert [result.state for result in rollback(done.run, shop.settings())] == ["undone"]
    assert variables(shop) == [False] * 3
