"""A Swarm service on a real Engine: named by its stack, and never changed live."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
from docker.types import Resources

from capacity._docker.engine import snapshot
from capacity.changes._apply.preflight import make_steps
from capacity.settings import ApplySettings
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, MIB, Fleet, memory, plan_of
from tests.fixtures.running.servers import wait_for


@pytest.fixture
def swarm(shop: Fleet) -> Iterator[Fleet]:
    """An Engine that is a swarm of one, with the service `web` of the stack `shop`."""
    stack = {"com.docker.stack.namespace": "shop"}
    with closing(client(shop.engine)) as api:
        api.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:0")
        try:
            service = api.services.create(
                IMAGE,
                ["sleep", "600"],
                name="shop_web",
                networks=["host"],
                labels=stack,
                container_labels=stack,
                resources=Resources(mem_limit=128 * MIB),
            )
            wait_for(api.containers.list, "the task")
            yield shop
            service.remove()
            wait_for(lambda: not api.containers.list(), "the end of the task")
        finally:
            api.swarm.leave(force=True)


def test_a_task_is_refused_with_the_command_that_does_it(swarm: Fleet) -> None:
    """What the refusal says to run gives the limit, to a task that Swarm made anew."""
    inventory = snapshot(swarm.settings().engine)
    (task,) = inventory.of("shop/web")
    assert (task.key, task.replica, task.memory) == ("shop/web", 1, 128 * MIB)
    plan = plan_of(memory("shop/web", 128, 64))
    steps, refused = make_steps(plan.changes, inventory, {}, plan, ApplySettings(live_only=True))
    assert steps == []
    command = re.search("`(docker service update .*)`", refused[0].reason)
    assert command is not None
    subprocess.run(
        [*command[1].split(), "--detach"],
        env=swarm.environment(),
        check=True,
        capture_output=True,
    )

    def limits() -> set[int | None]:
        return {
            found.memory
            for found in snapshot(swarm.settings().engine).of("shop/web")
            if found.running
        }

    wait_for(lambda: limits() == {64 * MIB}, "a task with the new limit")
