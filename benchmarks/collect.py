"""What the collector costs beside cAdvisor, with many containers on one real Engine.

`python -m benchmarks.collect [CONTAINERS] [SECONDS]` needs root, Docker and what
`tools/system-packages` installs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fixtures.running.docker_engine import cadvisor
from tests.fixtures.running.fleet import fleet
from tests.fixtures.running.servers import free_port

_TICKS = os.sysconf("SC_CLK_TCK")


def cost(pid: int) -> tuple[float, float]:
    """CPU seconds of a process and of the children that it has waited for, and its MiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS, int(status[0]) / 1024


def main() -> None:
    """Print a table."""
    count, seconds = (int(word) for word in (*sys.argv[1:], *("100", "600")[len(sys.argv) - 1 :]))
    folder = Path(tempfile.mkdtemp(prefix="capacity-benchmark-"))
    with fleet(folder) as shop:
        for number in range(count):
            shop.run(f"shop-service{number}-1", labels={"com.docker.compose.service": "x"})
        port = str(free_port())
        environment = {**shop.environment(), "CAPACITY_ARCHIVE__PATH": str(folder / "archive")}
        command = [sys.executable, "-m", "capacity", "collect", "--port", port]
        ours = subprocess.Popen(command, env={**os.environ, **environment})
        dynamic = ("-allow_dynamic_housekeeping=true",)
        with cadvisor(folder / "cadvisor", shop.engine, extra_args=dynamic) as theirs:
            time.sleep(30)
            pids = {"capacity collect": ours.pid, "cAdvisor": theirs.pid}
            before = {name: cost(pid) for name, pid in pids.items()}
            time.sleep(seconds)
            print(f"{count} containers, {seconds} s\n")
            print("| collector | share of a core | MiB |\n|---|---|---|")
            for name, pid in pids.items():
                cpu, memory = cost(pid)
                share = (cpu - before[name][0]) / seconds
                print(f"| {name} | {share:.2%} | {memory:.0f} |")
        ours.terminate()
        ours.wait()


if __name__ == "__main__":
    main()
