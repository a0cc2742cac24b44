"""How long it takes to look at containers and to change them, on a private Docker Engine:
`python benchmarks/apply.py`.

Needs root and what `tools/system-packages` installs. The containers sleep; what is measured is our
work and the Engine's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from capacity._compose import drift
from capacity._docker import snapshot
from capacity.changes import apply_plan, dry_run, rollback
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, Fleet, cpus, fleet, memory, plan_of, project

SERVICES = 50
CONTAINERS = 500


def main() -> None:
    """Print one line a measurement."""
    with tempfile.TemporaryDirectory() as folder, fleet(Path(folder)) as made:
        names = [f"s{number:02}" for number in range(SERVICES)]
        made.up(project(**dict.fromkeys(names, "mem_limit: 64m; cpus: 0.5")))
        settings = made.settings(observe=10)
        lower = plan_of(
            *(memory(f"shop/{name}", 64, 48) for name in names),
            *(cpus(f"shop/{name}", 0.5, 0.3) for name in names),
        )
        upper = plan_of(*(memory(f"shop/{name}", 64, 96) for name in names))
        say(f"dry run, {SERVICES} services", lambda: dry_run(upper, settings))
        raised = say(
            f"apply and verify {SERVICES} raises, 10 s observation",
            lambda: apply_plan(upper, settings),
        )
        say("roll them back", lambda: rollback(raised.run, settings))
        lowered = say(
            f"apply and verify {SERVICES} lowers of memory and CPU, 10 s observation",
            lambda: apply_plan(lower, settings),
        )
        say("roll them back", lambda: rollback(lowered.run, settings))
        say("drift", lambda: drift(snapshot(settings.engine)))
        create(made, CONTAINERS - SERVICES)
        say(f"snapshot of {CONTAINERS} containers", lambda: snapshot(settings.engine))


def create(made: Fleet, number: int) -> None:
    """Containers that never start: the Engine describes them all the same."""
    with closing(client(made.engine)) as api, ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda n: api.containers.create(
                    IMAGE, ["sleep", "1"], name=f"more-{n}", network_mode="none"
                ),
                range(number),
            )
        )


def say(what: str, work: Callable[[], Any]) -> Any:
    """Do it and print how long it took."""
    began = time.perf_counter()
    result = work()
    state = getattr(result, "state", "")
    print(f"{what:70} {time.perf_counter() - began:6.2f} s {state}", flush=True)
    return result


if __name__ == "__main__":
    main()
