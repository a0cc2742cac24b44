"""Write a CycloneDX bill of materials, and look the locked packages up in the database of known
vulnerabilities: `python -m tools.audit`.

The bill is made of the installed packages and needs no network. Where the index does not answer,
that is said and nothing fails: a build must not depend on it. A known vulnerability fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / ".tools" / "audit"
BILL = ROOT / "build" / "bill-of-materials.cdx.json"
LOCKED = ("runtime", "monitor")
PACKAGES = ("pip-audit==2.10.1", "cyclonedx-bom==7.5.0")
_PATIENCE = 300  # seconds


def main() -> int:
    """Bill and audit; 1 where a vulnerability is known."""
    if not _installed():
        print("not audited: no index gave pip-audit and cyclonedx-bom")  # noqa: T201 - its output
        return 0
    _bill()
    return max(_audit(ROOT / "requirements" / f"{name}.txt") for name in LOCKED)


def _installed() -> bool:
    """Whether both tools are there; they live in a place of their own, and judge ours."""
    if not (TOOLS / "bin" / "pip-audit").exists():
        venv.create(TOOLS, with_pip=True)
    done = _run(str(TOOLS / "bin" / "pip"), "install", "--quiet", *PACKAGES)
    return done is not None and done.returncode == 0


def _bill() -> None:
    BILL.parent.mkdir(exist_ok=True)
    words = ("environment", sys.executable, "--pyproject", str(ROOT / "pyproject.toml"))
    more = ("--output-reproducible", "--output-format", "JSON", "--output-file", str(BILL))
    done = _run(str(TOOLS / "bin" / "cyclonedx-py"), *words, *more)
    if done is None or done.returncode:
        raise SystemExit(f"no bill of materials: {done.stderr if done else 'it took too long'}")
    parts = json.loads(BILL.read_text(encoding="utf-8"))["components"]
    print(f"{BILL.relative_to(ROOT)}: {len(parts)} components")  # noqa: T201


def _audit(file: Path) -> int:
    words = ("--requirement", str(file), "--disable-pip", "--require-hashes", "--format", "json")
    done = _run(str(TOOLS / "bin" / "pip-audit"), "--progress-spinner", "off", *words)
    try:
        found = json.loads(done.stdout if done else "")["dependencies"]
    except (ValueError, KeyError, TypeError):
        why = done.stderr.strip().splitlines()[-1:] if done else ["it took too long"]
        print(f"{file.name}: not audited, the index did not answer: {' '.join(why)[:200]}")  # noqa: T201
        return 0
    bad = [(part["name"], part["version"], part["vulns"]) for part in found if part.get("vulns")]
    for name, version, vulnerabilities in bad:
        print(f"{name} {version}: {', '.join(each['id'] for each in vulnerabilities)}")  # noqa: T201
    print(f"{file.name}: {len(found)} packages, {len(bad)} with known vulnerabilities")  # noqa: T201
    return 1 if bad else 0


def _run(*words: str) -> subprocess.CompletedProcess[str] | None:
    """A program's end; None where it did not come to one in time."""
    try:
        return subprocess.run(  # noqa: S603 - words, no shell
            words, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    sys.exit(main())
