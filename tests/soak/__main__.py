"""Work and faults by a seeded generator until the time is over; then what was found."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.report import END
from capacity.changes import Plan, write_plan
from capacity.changes._journal.runs import journal_runs, standing_steps
from tests.fixtures.running.fleet import MIB, memory, plan_of
from tests.fixtures.running.servers import wait_for
from tests.soak.checks import (
    Growth,
    JournalWatch,
    limits_differ,
    limits_in_force,
    locks_held,
    open_runs,
)
from tests.soak.world import SERVICES, World, full_disk, kill_command, world

WORK = {"apply": 6, "rollback": 3, "report": 1, "fetch": 1, "jump": 1}
FAULTS = {"none": 4, "kill": 4, "dockerd": 2, "disk": 2, "prometheus": 1, "beside": 1}
EARLY = (
    0.4  # of the time, in which collector and monitor are killed: after that they must stay flat
)
FINE = {"jump": {2}, "fetch": {0, 1}, "apply": {0, 1}}


class Soak:
    """The state of a run of faults."""

    def __init__(self, world: World, seconds: float, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.began, self.seconds = time.monotonic(), seconds
        self.journal, self.growth = JournalWatch(), Growth()
        self.injected: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.work: Counter[str] = Counter()
        self.broken: list[str] = []
        self.orphans: list[psutil.Process] = []

    @property
    def spent(self) -> float:
        """The share of the time that is over."""
        return (time.monotonic() - self.began) / self.seconds

    def go(self) -> None:
        """Work with a fault, heal, settle, check; until the time is over."""
        while self.spent < 1 and len(self.broken) < 20:
            what = self._choose(WORK)
            fault = self._choose(FAULTS)
            if fault == "beside" and self.spent > EARLY:
                fault = "none"
            code, said = self._work(what, fault)
            found = [*self._judged(what, fault, code, said), *self._settled(), *self._checked()]
            self.work[what] += 1
            self.injected[fault] += fault != "none"
            self.survived[fault] += fault != "none" and not found
            self.broken += [f"{what} with {fault}: {each}" for each in found]
            for each in found:
                print(f"BROKEN {what} with {fault}: {each}", flush=True)
            self.growth.look(self.world)

    def _choose(self, weights: dict[str, int]) -> str:
        return self.random.choices([*weights], [*weights.values()])[0]

    def _work(self, what: str, fault: str) -> tuple[int, str]:
        """Start some work, let the fault happen while it runs, and put right what the fault did."""
        words = self._words(what)
        longest = 15.0 if what == "report" else 3.0
        with ExitStack() as healing:
            process = self.world.begin(*words)
            time.sleep(self.random.uniform(0.3, longest))
            if fault == "kill":
                self.orphans += kill_command(process)
            elif fault == "dockerd":
                self.world.engine.kill()
                healing.callback(self.world.engine.restart)
            elif fault == "disk":
                healing.enter_context(full_disk(self.world.disk))
            elif fault != "none":
                beside = self.random.choice(["collector", "monitor"])
                part = self.world.parts["prometheus" if fault == "prometheus" else beside]
                part.kill()
                healing.callback(part.restart)
            self.growth.look(self.world)
            return self.world.end(process)

    def _words(self, what: str) -> list[str]:
        """The command line of some work."""
        disk = self.world.disk
        runs = [run for run, entries in journal_runs(disk / "journal") if standing_steps(entries)]
        if what == "rollback" and runs:
            return ["rollback", runs[-1], "--yes", "--quiet"]
        if what in {"apply", "rollback"}:
            write_plan(self._plan(), disk / "plan.yaml")
            return ["apply", "plan.yaml", "--yes", "--quiet"]
        now = pd.Timestamp.now(tz="UTC")
        if what == "jump":
            return ["recommend", "--as-of", (now + pd.Timedelta("3D")).isoformat()]
        if what == "fetch":
            back = pd.Timedelta(hours=self.random.choice([0, 1, 30]))
            return ["fetch", "--as-of", (now - back).isoformat(), "--window", "2D", "--quiet"]
        week = END - pd.Timedelta(days=self.random.randint(0, 12))
        options = ["--source", "bench", "--offline", "--as-of", week.isoformat(), "--quiet"]
        return ["report", "weekly", *options, "--out", str(disk / "reports")]

    def _plan(self) -> Plan:
        """Other limits for some services."""
        now = limits_in_force(self.world.disk / "journal")
        chosen = self.random.sample(SERVICES, self.random.randint(1, len(SERVICES)))
        changes = []
        for name in chosen:
            before = now[f"shop/{name}"] // MIB
            after = self.random.choice([size for size in range(48, 161, 16) if size != before])
            changes.append(memory(f"shop/{name}", before, after))
        return plan_of(*changes)

    def _judged(self, what: str, fault: str, code: int, said: str) -> Iterator[str]:
        """Without a fault work succeeds; with one it ends, and says no traceback."""
        if code == -99:
            yield "it hangs"
        if fault == "none" and code not in FINE.get(what, {0}):
            yield f"exit code {code}: {said[-300:]}"
        yield from (f"a traceback: {text[-600:]}" for text in self.world.tracebacks)
        self.world.tracebacks.clear()

    def _settled(self) -> Iterator[str]:
        """Go on with what did not come to its end, or back; one of the two must lead there."""
        journal = self.world.disk / "journal"
        for _ in range(3):
            runs = open_runs(journal)
            if not runs:
                return
            way = self.random.choice([["apply", "--resume"], ["rollback", runs[-1]]])
            code, said = self.world.run(*way, "--yes", "--quiet")
            if code not in {0, 1, 2}:
                yield f"{' '.join(way)} ended with {code}: {said[-300:]}"
        if open_runs(journal):
            yield f"{open_runs(journal)} cannot be brought to an end: {said[-300:]}"

    def _checked(self) -> Iterator[str]:
        """Everything that must hold between two works."""
        journal = self.world.disk / "journal"
        yield from self.journal.faults(journal)
        yield from locks_held(self.world.disk)
        yield from limits_differ(self.world)
        yield from self._dead()

    def _dead(self) -> Iterator[str]:
        for name, part in self.world.parts.items():
            if not psutil.pid_exists(part.pid) or psutil.Process(part.pid).status() == "zombie":
                log = self.world.disk.parent / name / f"{name}.log"
                yield f"{name} has died: {log.read_text(errors='replace')[-400:]}"
                part.restart()

    def finish(self) -> None:
        """What must hold at the end, and the table."""
        try:
            wait_for(lambda: not [each for each in self.orphans if _lives(each)], "orphans end", 60)
        except TimeoutError:
            self.broken += [f"left running: {each}" for each in self.orphans if _lives(each)]
        code, said = self.world.run(*self._words("report"))
        if code:
            self.broken.append(f"the last report ended with {code}: {said[-300:]}")
        making = self.world.disk.glob("reports/.making-*")
        left = [path for path in making if time.time() - path.stat().st_mtime > 120]
        left += self.world.disk.glob("shop/.*")
        self.broken += [f"left behind: {path}" for path in left]
        for line, flat in self.growth.table():
            print(line + ("" if flat else "  GROWS"))
            self.broken += [] if flat else [line]


def _lives(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != "zombie")


def main() -> None:
    """Run, print the faults and what they broke, and end with 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it has started ends with it
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, world(Path(folder)) as made:
        soak = Soak(made, asked.seconds, asked.seed)
        soak.go()
        soak.finish()
    print("work: " + ", ".join(f"{count} {what}" for what, count in sorted(soak.work.items())))
    for fault, count in sorted(soak.injected.items()):
        if count:
            print(f"{fault}: {count} injected, {soak.survived[fault]} survived")
    for each in soak.broken:
        print(f"BROKEN {each}")
    sys.exit(1 if soak.broken else 0)


if __name__ == "__main__":
    main()
