"""Runs one stage's notebook by papermill, made strict and atomic.

papermill writes its output in place and, when a kernel dies, marks cells that never ran as completed.
Here the output goes to a temporary file, every code cell must have run, and the stage's folder takes
the place of the one before only when all of it is whole.
"""

import os
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from helpers import paths
from helpers.errors import OsemnError
from helpers.series import locks, manifests, notebook_cells, parameters, runs, stages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOTEBOOK = "notebook.ipynb"
FAILED = "failed.ipynb"


@dataclass
class ProgressMonitor:
    """What was seen of the processes that a notebook started.

    Attributes:
        peak_mb: largest resident memory of the kernel and its children together, in MB.
    """

    peak_mb: float = 0.0


def execute(
    stage: str,
    dataset: str,
    profile: str,
    overrides: "Mapping[str, Mapping[str, Any]] | None" = None,
    *,
    progress: bool = True,
    label: str = "",
) -> Path:
    """Run a stage's notebook and return the stage's folder.

    Args:
        stage: the stage's name.
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.
        overrides: `{stage: {parameter: value}}`, stronger than the profile.
        progress: whether to show papermill's bar.
        label: what stands before the bar.

    Raises:
        UsageError: a parameter is wrong; no kernel was started.
        OsemnError: a cell failed, the kernel died, or a cell did not run; the notebook as far as it got is
            kept as `failed.ipynb` in the stage's folder.
    """
    values = parameters.resolve(stage, dataset, profile, overrides)
    final = paths.stage_folder(dataset, profile, stage)
    final.parent.mkdir(parents=True, exist_ok=True)
    with locks.of_stage(final, locks.EXECUTING):
        _execute(stage, values, final, progress, label)
    return final


def _execute(stage: str, values: dict[str, Any], final: Path, progress: bool, label: str) -> None:
    working = final.with_name(f".{final.name}.executing.ipynb")
    started = time.monotonic()
    monitor = ProgressMonitor()
    try:
        with _watch_memory(monitor):
            notebook = _papermill(stage, values, working, progress, label)
        _demand_every_cell(stage, notebook)
        with locks.of_stage(final):
            _seal(stage, values, final, working, monitor, time.monotonic() - started)
    except BaseException as error:
        kept = _keep_failed(working, final)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise _explain(stage, error, kept, monitor) from error
    finally:
        working.unlink(missing_ok=True)


def _papermill(stage: str, values: dict[str, Any], working: Path, progress: bool, label: str) -> Any:
    """Execute the notebook; only values that differ from its defaults are injected."""
    import papermill
    from traitlets.config import Config

    defaults = notebook_cells.defaults(stage)
    injected = {name: value for name, value in values.items() if value != defaults[name]}
    os.environ[runs.EXECUTOR_VARIABLE] = stage
    # Where the run is watched (a log file), a bar that redraws itself ten times a second is noise.
    interval = 0.1 if sys.stderr.isatty() else 10.0
    bar = {"desc": label or stage, "mininterval": interval, "leave": False} if progress else False
    try:
        with tempfile.TemporaryDirectory(prefix="osemn-") as sockets:
            # Sockets in a private folder where the system has such: no open ports, and no warning about them.
            private = {"transport": "ipc", "ip": f"{sockets}/kernel"} if os.name == "posix" else {}
            return papermill.execute_notebook(
                _escaped(paths.notebook(stages.notebook_of(stage))),
                _escaped(working),
                parameters=injected,
                progress_bar=bar,
                kernel_name="python3",
                cwd=paths.project_root() / "notebooks",
                autosave_cell_every=0,
                config=Config(KernelManager=private),
                shutdown_kernel="immediate",  # all is written by then, and TensorFlow takes seconds to leave
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
    finally:
        os.environ.pop(runs.EXECUTOR_VARIABLE, None)


def _escaped(path: Path) -> str:
    """Return a path whose braces papermill takes for braces, not for parameters to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _demand_every_cell(stage: str, notebook: Any) -> None:
    """Refuse a notebook in which a code cell has no execution count."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip() and cell.get("execution_count") is None:
            raise OsemnError(
                f"{stage}: cell {number} did not run, though papermill called the notebook done:\n\n{cell.source}\n",
                "run the stage again; if it stays, open the notebook in JupyterLab and step through it",
            )


def _seal(
    stage: str, values: dict, final: Path, working: Path, monitor: ProgressMonitor, seconds: float
) -> None:
    """Add the executed notebook to the finished folder's manifest and put the folder in its place."""
    import nbformat

    partial = final.with_name(f"{final.name}.partial")
    manifest = manifests.read(partial)
    if manifest is None or manifest["stage"] != stage or manifest["parameters"] != values:
        raise OsemnError(
            f"{stage} ran to its end without finishing its run.", "the last cell must call run.finish()"
        )
    notebook = nbformat.read(working, as_version=4)
    for name in ("input_path", "output_path"):
        notebook.metadata.get("papermill", {}).pop(name, None)
    nbformat.write(notebook, partial / NOTEBOOK)
    found = manifests.faults(partial, manifest)
    if found:
        raise OsemnError(f"{stage}: {'; '.join(found)}.", "write all files before run.finish()")
    manifest["outputs"].update(manifests.describe_files(partial, [partial / NOTEBOOK]))
    manifest.update(peak_memory_mb=round(monitor.peak_mb), notebook_seconds=round(seconds, 3))
    manifests.write_json(partial / manifests.NAME, manifest)
    manifests.publish(partial, final)


def _keep_failed(working: Path, final: Path) -> Path | None:
    if not working.is_file():
        return None
    final.mkdir(parents=True, exist_ok=True)
    return working.replace(final / FAILED)


def _explain(stage: str, error: BaseException, kept: Path | None, monitor: ProgressMonitor) -> OsemnError:
    """Return the error to show for whatever ended a notebook early."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    remedy = (
        f"open {paths.shown(kept)} to see the cells before it; then run the same command again"
        if kept
        else ""
    )
    if isinstance(error, PapermillExecutionError):
        problem = (
            f"{stage} failed in cell {error.cell_index} (In [{error.exec_count}]):\n\n{_indent(error.source)}\n\n"
            f"{error.ename}: {error.evalue}"
        )
        return OsemnError(problem, remedy)
    if isinstance(error, DeadKernelError):
        free = psutil.virtual_memory().available / 1e6
        problem = (
            f"{stage}: the kernel died (peak memory {monitor.peak_mb:,.0f} MB; {free:,.0f} MB are free now)"
            f"{_cell_that_was_running(kept)}"
        )
        hint = (
            "if the peak is close to the machine's memory, lower the batch size or choose a smaller profile; "
        )
        return OsemnError(problem, hint + remedy)
    if isinstance(error, OsemnError):
        return type(error)(error.problem, "; ".join(filter(None, [error.remedy, remedy])))
    return OsemnError(f"{stage}: {type(error).__name__}: {error}", remedy)


def _cell_that_was_running(kept: Path | None) -> str:
    import nbformat

    if kept is None:
        return ""
    # papermill calls every cell of a dead kernel completed, but only those it began have a start time.
    cells = nbformat.read(kept, as_version=4).cells
    begun = [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]
    return f", in this cell:\n\n{_indent(begun[-1].source)}\n" if begun else ""


def _indent(source: str) -> str:
    return "\n".join(f"    {line}" for line in source.splitlines())


@contextmanager
def _watch_memory(monitor: ProgressMonitor, interval: float = 0.2) -> "Iterator[None]":
    """Sample the memory of this process's children until the block ends."""
    stop = threading.Event()

    def sample() -> None:
        me = psutil.Process()
        while not stop.wait(interval):
            used = 0
            for child in me.children(recursive=True):
                try:
                    used += child.memory_info().rss
                except psutil.Error:
                    continue
            monitor.peak_mb = max(monitor.peak_mb, used / 1e6)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def clock(seconds: float) -> str:
    """Return seconds as `m:ss`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
