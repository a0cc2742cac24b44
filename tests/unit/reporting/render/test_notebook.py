"""The notebook runner believes nothing but cells that ran."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from capacity._common.bundled import bundled
from capacity.errors import ReportError, UsageError
from capacity.reporting._render.notebook import parameter_names, run_notebook
from tests.fixtures.documents.notebooks import read_notebook, write_notebook

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # of papermill's and nbclient's own making


def notebook(folder: Path, *sources: str) -> Path:
    """A notebook with a parameters cell and these cells."""
    return write_notebook(folder / "some.ipynb", "value: int = 1  # a number", *sources)


def children() -> set[int]:
    """Processes that this one has started."""
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
    }


@pytest.mark.slow
def test_runs_with_parameters_and_leaves_no_kernel(tmp_path: Path) -> None:
    """The result holds what the cells printed, and no process stays behind."""
    before = children()
    done = run_notebook(
        notebook(tmp_path, "value * 2"), {"value": 21}, failed=tmp_path / "failed.ipynb", timeout=60
    )
    assert done.cells[-1].outputs[0].data["text/plain"] == "42"
    assert children() <= before
    assert not (tmp_path / "failed.ipynb").exists()


@pytest.mark.slow
def test_runs_in_this_interpreter(tmp_path: Path) -> None:
    """A stray kernelspec cannot send the notebook to another Python."""
    import sys

    done = run_notebook(
        notebook(tmp_path, "import sys; sys.executable"),
        {},
        failed=tmp_path / "f.ipynb",
        timeout=60,
    )
    assert done.cells[-1].outputs[0].data["text/plain"] == repr(sys.executable)


def test_refuses_unknown_parameters(tmp_path: Path) -> None:
    """A misspelt parameter is an error before anything runs."""
    with pytest.raises(UsageError, match="no parameter valeu"):
        run_notebook(notebook(tmp_path, "1"), {"valeu": 1}, failed=tmp_path / "f.ipynb", timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('line one\\nline two')", "ValueError: line one line two"),
        ("import sys; sys.exit(0)", "did not run|SystemExit"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died"),
    ],
)
def test_a_run_that_stops_early_is_a_failure(tmp_path: Path, source: str, message: str) -> None:
    """Exceptions, exits and killed kernels fail on one line and leave the partial notebook."""
    failed = tmp_path / "week" / "failed.ipynb"
    with pytest.raises(ReportError, match=message) as caught:
        run_notebook(notebook(tmp_path, source, "'never'"), {}, failed=failed, timeout=60)
    assert "\n" not in str(caught.value)
    assert failed.is_file()


@pytest.mark.slow
def test_the_whole_run_has_a_time_limit(tmp_path: Path) -> None:
    """Cells that are each short enough still end when the run's time is up."""
    began = time.monotonic()
    with pytest.raises(ReportError, match="not done after 4 s"):
        run_notebook(
            notebook(tmp_path, *["import time; time.sleep(2)"] * 10),
            {},
            failed=tmp_path / "f.ipynb",
            timeout=4,
        )
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_braces_in_paths_are_no_placeholders(tmp_path: Path) -> None:
    """Papermill formats paths; a folder called {x} must still work."""
    folder = tmp_path / "{x}"
    folder.mkdir()
    done = run_notebook(notebook(folder, "1 + 1"), {}, failed=folder / "failed.ipynb", timeout=60)
    assert done.cells[-1].outputs[0].data["text/plain"] == "2"


@pytest.mark.slow
def test_several_at_once(tmp_path: Path) -> None:
    """Four runs side by side do not fight over ports or files."""

    def run(number: int) -> str:
        folder = tmp_path / str(number)
        folder.mkdir()
        done = run_notebook(
            notebook(folder, "value"), {"value": number}, failed=folder / "f.ipynb", timeout=120
        )
        return str(done.cells[-1].outputs[0].data["text/plain"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == ["0", "1", "2", "3"]
    assert threading.active_count() < 20


@pytest.mark.parametrize("name", ["weekly_resources", "explore"])
def test_bundled_notebooks_are_clean_and_documented(name: str) -> None:
    """One parameters cell, every parameter typed and explained, no outputs, no counts, no logic."""
    path = bundled(f"notebooks/{name}.ipynb")
    content = read_notebook(path)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell for cell in code if "parameters" in cell.metadata.get("tags", [])] == code[:1]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert not [cell for cell in code if "def " in cell.source or "class " in cell.source]
    helps = parameter_names(path)
    lines = [line for line in code[0].source.splitlines() if line.strip()]
    assert len(helps) == len(lines)
    assert all(helps.values())


def test_running_notebooks_builds_no_grammar() -> None:
    """JupyterLab brings one that takes a second to build, for what no notebook has."""
    code = "import sys, capacity.reporting._render.notebook_libraries; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "jsonschema" in done.stdout.split()
    assert not {"lark", "rfc3987_syntax"} & set(done.stdout.split())


def test_without_the_grammar_two_formats_alone_are_not_checked() -> None:
    """Whoever loads our notebook libraries into a process of their own keeps the others."""
    code = "import jsonschema; print(*jsonschema.FormatChecker.checkers)"
    ours = f"import capacity.reporting._render.notebook_libraries; {code}"
    done = [
        subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True)
        for each in (code, ours)
    ]
    theirs, left = (set(each.stdout.split()) for each in done)
    assert left <= theirs
    assert theirs - left <= {"iri", "iri-reference"}
