"""Throw broken input at every parser for some time, and print what became of it:
`python -m tools.fuzz SECONDS [NAME...]`.

A parser may take an input or refuse it with an error of the library's own tree. Anything else is a
crash, more than five seconds a hang; both end with exit code 1 and leave the input in a file.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from capacity._compose import load_project
from capacity.changes import read_plan
from capacity.changes._journal.journal import read_journal
from capacity.compliance._rules.rules import read_rules
from capacity.compliance._waivers import read_waivers
from capacity.errors import CapacityError
from capacity.history._prometheus.parse import parse_matrix
from capacity.operations._restarts.causes import load_causes
from capacity.operations._timeline.file import read_timeline
from capacity.settings import load_settings

ROOT = Path(__file__).parent.parent
HANGS = 5  # seconds
ANSWER = (
    b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"name":"a","id":"/b"},'
    b'"values":[[0,"1"],[300,"2.5"],[600,"NaN"]]},{"metric":{},"values":[]}]},"warnings":["x"]}'
)
SETTINGS = (
    b'[prometheus]\nurl = "http://a:1"\nread_timeout = 3\n[sizing]\nheadroom = 0.1\n[archive]\n'
    b'path = "x"\n[services."shop/*"]\nmax_cores = 2\n[engine.hosts]\na = "tcp://b:1"\n'
)
WAIVERS = b"waivers:\n- {rule: CAP001, service: '*', reason: r, owner: o, expires: 2026-12-01}\n"
CAUSES = b"causes:\n- {cause: own, pattern: 'no .* file', example: no such file, fix: manual}\n"
TOKENS = (
    b"\x00", b"\n", b"\t", b"\x1b[2K", b"\xff\xfe", b"\xe2\x80\xae", b"[" * 400, b"{a: " * 200,
    b"&a [*a]", b"*a", b"<<: ", b"!!str ", b"'", b'"', b"\\ud800", b".inf", b"NaN", b"1e999",
    b"9" * 400, b"-1", b"0", b"../../x", b"${X:-${Y}}", b"$(x)", b"{{", b"\xd9\xa1", b"true", b"~",
    b"? ", b"- - - ", b"|2\n", b">", b"%YAML 9\n", b"---\n", b"...\n", b"2026-99-99", b"null",
)  # fmt: skip


def targets(folder: Path) -> dict[str, tuple[list[bytes], Callable[[bytes], object]]]:
    """Parser by name: good inputs to begin with, and a call with one."""

    def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)

        def call(content: bytes) -> object:
            path.write_bytes(content)
            return read(path)

        return call

    def text(read: Callable[[str, str], object]) -> Callable[[bytes], object]:
        return lambda content: read(content.decode("utf-8", "replace"), "file")

    versions = ROOT / "tests/fixtures/versions"
    journals = [path.read_bytes() for path in versions.glob("*/journal/*/journal.jsonl")]
    plans = [path.read_bytes() for path in versions.glob("*/plans/*.yaml")]
    composed = [
        path.read_bytes() for path in (ROOT / "tests/fixtures/compose/single").glob("*.yaml")
    ]
    return {
        "plan": (plans, in_file("plan.yaml", read_plan)),
        "journal": (
            journals,
            in_file("run/journal.jsonl", lambda path: read_journal(path.parent)),
        ),
        "compose": (composed, in_file("compose.yaml", load_project)),
        "answer": (
            [ANSWER],
            lambda content: parse_matrix(content, start=0, step=300, points=12),
        ),
        "rules": ([(ROOT / "data/rules.md").read_bytes()], text(read_rules)),
        "waivers": ([WAIVERS], text(read_waivers)),
        "settings": ([SETTINGS], in_file("capacity.toml", load_settings)),
        "timeline": (
            [path.read_bytes() for path in versions.glob("*/monitor/timeline.yaml")],
            in_file("timeline.yaml", read_timeline),
        ),
        "causes": ([CAUSES], in_file("causes.yaml", load_causes)),
    }


@st.composite
def broken(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A good input with a few parts cut, doubled, moved, or replaced by what breaks parsers."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted(draw(st.integers(0, len(content))) for _ in range(2))
        end = draw(st.sampled_from([start, start + 1, min(end, start + 40), end]))
        part = draw(st.sampled_from([b"", content[start:end] * 2, *TOKENS]) | st.binary(max_size=8))
        content = content[:start] + part + content[end:]
    return content


class _Hung(BaseException):
    """A case took too long; no parser catches it."""


def _hang(_: int, __: FrameType | None) -> None:
    raise _Hung


def fuzz(
    name: str, seeds: list[bytes], call: Callable[[bytes], object], until: float
) -> Counter[str]:
    """What became of the cases of one parser until a time (of `time.monotonic`)."""
    found: Counter[str] = Counter()

    @settings(
        max_examples=200,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(broken(seeds))
    def case(content: bytes) -> None:
        if time.monotonic() > until:
            return
        signal.setitimer(signal.ITIMER_REAL, HANGS)
        try:
            with redirect_stderr(StringIO()):
                call(content)
            found["accepted"] += 1
        except CapacityError:
            found["refused"] += 1
        except _Hung:
            found["hung"] += 1
            _keep(name, "hung", content)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            found[f"crashed ({type(error).__name__})"] += 1
            _keep(name, type(error).__name__, content)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    while time.monotonic() < until:
        case()
    return found


def _keep(name: str, what: str, content: bytes) -> None:
    """Leave an input for whoever looks into it."""
    folder = ROOT / "build" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-{what}").write_bytes(content)


def main() -> int:
    """All parsers for an equal part of the time."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    signal.signal(signal.SIGALRM, _hang)
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        known = targets(Path(folder))
        chosen = {name: known[name] for name in sys.argv[2:] or known}
        print("| parser | tried | accepted | refused | crashed | hung |")  # noqa: T201 - its output
        print("|---|---:|---:|---:|---:|---:|")  # noqa: T201
        for name, (seeds, call) in chosen.items():
            found = fuzz(name, seeds, call, time.monotonic() + seconds / len(chosen))
            crashed = sum(count for what, count in found.items() if what.startswith("crashed"))
            faults += crashed + found["hung"]
            cells = (found.total(), found["accepted"], found["refused"], crashed, found["hung"])
            print(f"| {name} | {' | '.join(map(str, cells))} |", flush=True)  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
