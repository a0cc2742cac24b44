"""What is built is whole: the wheel alone, in an empty environment, renders the sample's report."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

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


def test_the_wheel_works_in_an_empty_environment(distributions: Path, tmp_path: Path) -> None:
    """With what is locked for it, without the source tree and the developers' tools, it renders the
    sample's report.
    """
    (wheel,) = distributions.glob("*.whl")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CAPACITY_", "PYTHON", "VIRTUAL"))
    }
    python = locked_environment(tmp_path / "venv", "runtime.txt")
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", str(wheel)], check=True, env=environment)
    command = [str(python.with_name("capacity")), "report", "weekly", "--sample"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip())
    assert page == tmp_path / "reports" / "2026-W48" / "weekly-resources.html"
    assert "ai/ollama" in page.read_text()
    subprocess.run([*pip, "check"], check=True, capture_output=True, env=environment)


def locked(name: str) -> dict[Requirement, set[str]]:
    """The requirements that a file locks for this Python and platform, with their hashes."""
    found: dict[Requirement, set[str]] = {}
    hashes: set[str] = set()
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        said = line.strip().removesuffix("\\").strip()
        if said.startswith("--hash="):
            hashes.add(said)
        else:
            requirement, hashes = Requirement(said), set()
            if requirement.marker is None or requirement.marker.evaluate():
                requirement.marker = None
                found[requirement] = hashes
    return found


def locked_environment(folder: Path, name: str) -> Path:
    """An environment of pip and what a file locks, linked to what this one has installed from the
    developers' lock with the same hashes; its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    installed = Path(sysconfig.get_path("purelib"))
    packages = folder / installed.relative_to(sys.prefix)
    for requirement in [*locked(name), Requirement("pip")]:
        found = distribution(requirement.name)
        assert found.version in requirement.specifier
        for file in found.files or ():
            place = Path(os.path.normpath(packages / file))
            if not place.is_relative_to(folder / "bin"):  # they name this environment's Python
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(os.path.normpath(installed / file))
    return folder / "bin" / "python"


def test_what_is_locked_for_users_is_locked_for_developers() -> None:
    """The same versions with the same hashes: who has installed one lock has tried the other."""
    developers = locked("dev.txt").items()
    for name in ("runtime.txt", "monitor.txt"):
        assert locked(name).items() <= developers


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
