"""200 requests a second on the dashboard and on the metrics for 30 s, while 500 services are
evaluated again and again.

python benchmarks/monitor.py [--seconds 30]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

RATE, CLIENTS, SERVICES, PORT = 200, 8, 500, 10497


def main() -> None:
    """Start a monitor, ask it, print what came back."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        services = "".join(
            f"  s{number}:\n    image: app\n    ports: ['{10000 + number % 400}:80']\n"
            for number in range(SERVICES)
        )
        (Path(folder) / "compose.yaml").write_text(f"name: fleet\nservices:\n{services}")
        (Path(folder) / "capacity.toml").write_text("[monitor]\ninterval = 1\n")
        command = [
            sys.executable,
            "-m",
            "capacity",
            "monitor",
            folder,
            "--no-engine",
            "--port",
            str(PORT),
        ]
        with subprocess.Popen(command, cwd=folder) as process:
            try:
                wait()
                for path in ("/", "/metrics"):
                    report(path, seconds)
            finally:
                process.terminate()


def wait() -> None:
    """Until it is healthy."""
    for _ in range(600):
        try:
            if get(HTTPConnection("127.0.0.1", PORT, timeout=5), "/health") == 200:
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("The monitor did not come up")


def get(connection: HTTPConnection, path: str) -> int:
    """Status of one request on a kept connection."""
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def report(path: str, seconds: float) -> None:
    """Ask at the rate; print rate, failures, latency."""
    times: list[float] = []
    failures: list[str] = []

    def client(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", PORT, timeout=30)
        start = time.monotonic() + number / RATE
        for turn in range(int(seconds * RATE / CLIENTS)):
            time.sleep(max(0.0, start + turn * CLIENTS / RATE - time.monotonic()))
            began = time.monotonic()
            try:
                status = get(connection, path)
            except OSError as error:
                failures.append(str(error))
                connection = HTTPConnection("127.0.0.1", PORT, timeout=30)
                continue
            if status != 200:
                failures.append(str(status))
            times.append(time.monotonic() - began)

    began = time.monotonic()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    median, worst = np.quantile(times, [0.5, 0.99]) * 1000
    rate, latency = len(times) / took, f"median {median:.0f} ms  99 % under {worst:.0f} ms"
    print(f"{path:10} {rate:6.0f} requests/s  {len(failures)} failures  {latency}")


if __name__ == "__main__":
    main()
