"""Run a notebook in this interpreter's own kernel, and believe it only when every cell has run.

papermill marks every cell of a killed or timed-out notebook as completed, so success here is: no
exception, and no code cell without an execution count.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capacity._common.plain_data import PlainMapping
from capacity.errors import ReportError, UsageError
from capacity.reporting._render.notebook_libraries import nbformat, papermill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

__all__ = ["parameter_names", "run_notebook"]

_LONGEST_CAUSE = 400
_SAVED_EVERY = 5.0  # seconds
_INLINE = "module://matplotlib_inline.backend_inline"


def parameter_names(notebook: Path) -> dict[str, str]:
    """Parameters of a notebook and what they mean, from its cell tagged `parameters`."""
    return {
        name: entry["help"]
        for name, entry in papermill.inspect_notebook(_literal(notebook)).items()
    }


def run_notebook(
    notebook: Path, parameters: PlainMapping, *, failed: Path, timeout: float
) -> NotebookNode:
    """The executed notebook.

    Args:
        notebook: what to run.
        parameters: values for its parameters; a name that it does not have is refused.
        failed: where a notebook that did not finish is left.
        timeout: seconds the whole run may take.

    Raises:
        UsageError: unknown parameter.
        ReportError: a cell failed, the kernel died, or the time was up; the message holds the
            cell's error on one line.
    """
    from papermill.exceptions import PapermillExecutionError

    unknown = sorted(set(parameters) - set(parameter_names(notebook)))
    if unknown:
        raise UsageError(
            f"{notebook.name} has no parameter {unknown[0]}",
            f"It has: {', '.join(parameter_names(notebook))}",
        )
    with tempfile.TemporaryDirectory(prefix="capacity-") as folder:
        output = Path(folder) / notebook.name
        kernels: list[Any] = []
        watch = _Watch(kernels, timeout)
        try:
            with _own_loop(), watch:
                papermill.execute_notebook(
                    _literal(notebook),
                    _literal(output),
                    dict(parameters),
                    engine_name=_saving_seldom(),
                    kernel_name="python3",
                    language="python",
                    progress_bar=False,
                    kernel_manager_class=_manager_class(Path(folder), kernels),
                )
            return _all_ran(output, failed)
        except BaseException as error:
            _keep(output, failed)
            if isinstance(error, PapermillExecutionError):
                raise ReportError(
                    f"{notebook.name}, cell {error.cell_index}: {_one_line(error)}", _left(failed)
                ) from error
            if watch.expired:
                raise ReportError(
                    f"{notebook.name} was not done after {timeout:g} s", "Raise report.timeout"
                ) from error
            if type(error).__name__ == "DeadKernelError":
                hint = f"Out of memory, perhaps: narrow --services. {_left(failed)}"
                raise ReportError(f"The kernel of {notebook.name} died", hint) from error
            raise


def _all_ran(output: Path, failed: Path) -> NotebookNode:
    executed: NotebookNode = nbformat.read(output, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    skipped = [cell for cell in _code_cells(executed) if cell.execution_count is None]
    if skipped:
        raise ReportError(
            f"{output.name} stopped early: {len(skipped)} cells did not run", _left(failed)
        )
    return executed


@contextmanager
def _own_loop() -> Iterator[None]:
    """Jupyter keeps an event loop a thread and never closes it; close it with the run, unless
    somebody else is running it.
    """
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    try:
        yield
    finally:
        if not loop.is_running() and not loop.is_closed():
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


def _saving_seldom() -> str:
    """Papermill's engine, registered under a name of our own, which writes the notebook every few
    seconds and at its end: papermill writes all of it twice a cell, which takes seconds where the
    outputs are large.
    """
    from papermill.engines import NBClientEngine, papermill_engines

    class SavingSeldom(NBClientEngine):  # type: ignore[misc]  # papermill has no types
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **settings: Any) -> None:
            save, last = nb_man.save, time.monotonic()

            def now_and_then(**_: Any) -> None:
                nonlocal last
                if time.monotonic() - last > _SAVED_EVERY:
                    save()
                    last = time.monotonic()

            nb_man.save = now_and_then
            try:
                super().execute_managed_notebook(nb_man, kernel_name, **settings)
            finally:
                nb_man.save = save

    papermill_engines.register("capacity", SavingSeldom)
    return "capacity"


class _Watch:
    """Kills the kernel when the time is up; whoever waits for it then hears that it died."""

    def __init__(self, kernels: list[Any], timeout: float) -> None:
        self.expired = False
        self._kernels = kernels
        self._timer = threading.Timer(timeout, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._kill()  # what an interrupt left behind; an ended kernel has no process any more

    def _expire(self) -> None:
        self.expired = True
        self._kill()

    def _kill(self) -> None:
        for kernel in self._kernels:
            pid = getattr(kernel.provisioner, "pid", None)
            if pid and kernel.provisioner.has_process:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _manager_class(folder: Path, kernels: list[Any]) -> type:
    """A kernel manager that starts this interpreter and talks over sockets in a private folder.

    A stray kernelspec named python3 must not win; TCP ports race when several start at once and are
    open to other users.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class PinnedKernelManager(AsyncKernelManager):
        def __init__(self, **settings: Any) -> None:
            place = {"ip": str(folder / "kernel"), "connection_file": str(folder / "kernel.json")}
            super().__init__(**{**settings, "transport": "ipc", **place})
            kernels.append(self)

        @property
        def kernel_spec(self) -> Any:
            return KernelSpec(**get_kernel_dict())

        async def start_kernel(self, **settings: Any) -> None:  # type: ignore[override]  # a coroutine in truth
            environment = settings.get("env") or os.environ
            # no history file in a scheduler's home; figures go into the notebook, whatever the
            # caller had set
            settings["env"] = {
                "OPENBLAS_NUM_THREADS": "1",  # small matrices: its idle threads spin on our cores
                "MALLOC_ARENA_MAX": "2",  # what one thread has freed, the others can use
                **environment,
                "IPYTHONDIR": str(folder / "ipython"),
                "MPLBACKEND": _INLINE,
            }
            # what the kernel itself says when it is interrupted or killed is no message for the
            # user
            with (folder / "kernel.log").open("wb") as log:
                await super().start_kernel(**settings, stdout=log, stderr=log)

    return PinnedKernelManager


def _literal(path: Path) -> str:
    """Papermill formats paths with the parameters: braces in a name must be doubled."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _code_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip())


def _keep(output: Path, failed: Path) -> None:
    """Leave the partial notebook where a person finds it; without space for it the error itself
    still gets out.
    """
    with suppress(OSError):
        if output.is_file():
            failed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(output, failed)


def _left(failed: Path) -> str:
    return f"The notebook as far as it came is {failed}"


def _one_line(error: Any) -> str:
    cause = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}")
    return re.sub(r"\s+", " ", cause)[:_LONGEST_CAUSE]
