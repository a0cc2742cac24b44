"""Fails when work of the package has become slower beside a reference loop than it was.

    python -m benchmarks.guard [--rounds 5] [--record VERSION]

Each work and its reference, a loop of the same kind in numpy and Python that the package has no
part in, alternate in one process. What counts is the processor time of the quickest round of each:
a busy machine slows both, and adds nothing to what a process has used itself. One machine's ratio
says little of another's, by up to 2 times: so the ratios of this tree are held against those of the
commit that last recorded some, measured here as well, from the git history. A ratio that is more
than 1.5 times that one is measured once more, and is a failure if it stays there. `--record` adds
a row to `benchmarks/results/ratios.txt`; do so for a version, or when a loss was meant, and commit
it: what is committed with it is what later trees are held against.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
TREE = Path(__file__).resolve().parents[1]
RATIOS = TREE / "benchmarks" / "results" / "ratios.txt"
MOST = 1.5
ROUNDS = 5


def measure(work: Callable[[], object], reference: Callable[[], object], rounds: int) -> float:
    """Processor time of the quickest run of some work, over that of its reference."""
    work()
    reference()
    times = [(_seconds(reference), _seconds(work)) for _ in range(rounds)]
    return min(spent for _, spent in times) / min(spent for spent, _ in times)


def _seconds(run: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    run()
    return time.process_time() - began


def read_ratios(path: Path) -> dict[str, dict[str, float]]:
    """Version -> work -> ratio, in the order of the file."""
    if not path.is_file():
        return {}
    head, *rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line]
    return {
        row[0]: {
            name: float(value)
            for name, value in zip(head[1:], row[1:], strict=True)
            if value != "-"
        }
        for row in rows
    }


def ratios_text(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The table of all versions: one row each, `-` where a work was not measured yet."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"{'version':<12}{''.join(f'{name:>11}' for name in names)}"]
    for version, row in rows.items():
        cells = "".join(f"{row[name]:>11.3f}" if name in row else f"{'-':>11}" for name in names)
        lines.append(f"{version:<12}{cells}")
    return "\n".join(lines) + "\n"


def slower(measured: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """The works that take more than `MOST` times what they took beside their reference."""
    return [
        name for name, ratio in measured.items() if ratio > MOST * baseline.get(name, float("inf"))
    ]


def measure_all(rounds: int, baseline: Mapping[str, float]) -> dict[str, float]:
    """The ratio of every work; one that seems slower is measured once more, with more rounds."""
    from benchmarks.guarded_work import all_work

    found: dict[str, float] = {}
    scratch = tempfile.TemporaryDirectory(prefix="capacity-guard-")
    with scratch as folder, all_work(Path(folder)) as works:
        for work in works:
            ratio = measure(work.run, work.reference, rounds)
            if slower({work.name: ratio}, baseline):
                ratio = min(ratio, measure(work.run, work.reference, 2 * rounds))
            found[work.name] = ratio
    return found


def recorded_tree(folder: Path) -> Path | None:
    """The commit that last changed the table, laid out in a folder; None where git has no such."""
    try:
        commit = _git("log", "-1", "--format=%H", "--", str(RATIOS.relative_to(TREE))).decode()
        packed = _git("archive", commit.strip() or "no-commit")
    except (OSError, subprocess.CalledProcessError):
        return None
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    return folder


def _git(*arguments: str) -> bytes:
    asked = ["git", "-C", str(TREE), *arguments]
    return subprocess.run(asked, capture_output=True, check=True).stdout


def measured_in(tree: Path, rounds: int) -> dict[str, float]:
    """The ratios of another tree, by its own guard in a process of its own; empty where it fails.

    It ends with 1 where its table comes from a slower machine, and prints its ratios all the same.
    """
    asked = [sys.executable, "-m", "benchmarks.guard", "--rounds", str(rounds)]
    environment = {**os.environ, **THREADS, "PYTHONPATH": str(tree)}
    told = subprocess.run(
        asked, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    lines = [line.split() for line in told.stdout.splitlines() if line]
    now = next((line for line in lines if line[0] == "now"), None)
    if now is None:
        print(told.stderr, file=sys.stderr)
        return {}
    return dict(zip(lines[0][1:], map(float, now[1:]), strict=True))


def main() -> None:
    """Print the table with the new row, and end with 1 when something is slower."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--record", metavar="VERSION", help="keep the new row under this name")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.environ.update(THREADS)  # numpy reads them when it is loaded, so start again
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.guard", *sys.argv[1:]])
    rows = read_ratios(RATIOS)
    if asked.record:
        rows[asked.record] = measure_all(asked.rounds, {})
        RATIOS.write_text(ratios_text(rows), encoding="utf-8")
        print(ratios_text(rows), end="")
        return
    with tempfile.TemporaryDirectory(prefix="capacity-guard-") as folder:
        tree = recorded_tree(Path(folder))
        baseline = measured_in(tree, asked.rounds) if tree else {}
    measured = measure_all(asked.rounds, baseline)
    print(ratios_text({"then": baseline, "now": measured}), end="")
    if not baseline:
        print("No earlier tree could be measured here: nothing to compare with")
    late = slower(measured, baseline)
    for name in late:
        print(f"{name}: {measured[name] / baseline[name]:.2f} times as slow, at most {MOST:g}")
    sys.exit(1 if late else 0)


if __name__ == "__main__":
    main()
