"""What is built is whole: the wheel alone, in an empty environment, renders the sample's report."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.paths import ROOT

INSIDE = (
    "capacity/_bundled/notebooks/weekly_resources.ipynb",
    "capacity/_bundled/notebooks/explore.ipynb",
    "capacity/_bundled/data/sample/history/cpu.parquet",
    "capacity/_bundled/data/sample/compose/ai/compose.yaml",
    "capacity/reporting/templates/page/index.html.j2",
    "capacity/reporting/templates/page/page.css",
    "capacity/py.typed",
)


def test_the_wheel_holds_notebooks_templates_and_sample(distributions: Path) -> None:
    """Everything that is read at run time is inside, also when the wheel comes from the sdist."""
    (wheel,) = distributions.glob("*.whl")
    assert set(INSIDE) <= set(zipfile.ZipFile(wheel).namelist())
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "notebooks/weekly_resources.ipynb",
        "data/sample/history/cpu.parquet",
        "LICENSE",
        "CHANGELOG.md",
    } <= names
    assert not [name for name in names if name.startswith(("reports/", "tests/", ".venv"))]


@pytest.mark.timeout(600)
def test_the_wheel_works_in_an_empty_environment(distributions: Path, tmp_path: Path) -> None:
    """Installed without the source tree and without the developers' tools, it renders the sample's
    report.
    """
    (wheel,) = distributions.glob("*.whl")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CAPACITY_", "PYTHON", "VIRTUAL"))
    }
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    subprocess.run(
        [*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt")],
        check=True,
        env=environment,
    )
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, env=environment)
    command = [str(tmp_path / "venv" / "bin" / "capacity"), "report", "weekly", "--sample"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip())
    assert page == tmp_path / "reports" / "2026-W48" / "weekly-resources.html"
    assert "ai/ollama" in page.read_text()
    assert (
        subprocess.run(
            [str(python), "-m", "pip", "check"], check=True, capture_output=True
        ).returncode
        == 0
    )


def test_the_locked_requirements_are_those_of_the_project() -> None:
    """Every dependency is locked with a hash, and no index or machine is named."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements" / "runtime.txt").read_text()
    for dependency in project["dependencies"]:
        assert f"\n{dependency.partition('>')[0].replace('.', '-')}==" in "\n" + locked
    for text in (locked, (ROOT / "requirements" / "dev.txt").read_text()):
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "--index" not in text
