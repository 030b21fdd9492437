"""Runs one stage's notebook with papermill, strictly and atomically.

papermill writes its output in place and, when a kernel dies, marks cells that never ran as completed. Here the output
goes to a temporary file, every code cell must have run, and the stage's folder is replaced only by a complete one.
"""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

import psutil

from helpers import paths
from helpers.errors import OsemnError
from helpers.series import isolation, locks, manifests, notebook_cells, processes
from helpers.series.resolve import EXECUTOR_VARIABLE, ResolvedStage, resolve


@dataclass
class MemoryPeak:
    """The largest resident memory of a kernel and its children together, in MB."""

    mb: float = 0.0


def execute(
    stage: str,
    dataset: str,
    profile: str,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    progress: bool = True,
    label: str = "",
) -> Path:
    """Run a stage's notebook and return the stage's folder.

    Args:
        stage: the stage's name.
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.
        overrides: `{stage: {parameter: value}}`; they override the profile.
        progress: whether to show papermill's progress bar, if this is a terminal.
        label: the text before the bar.

    Raises:
        UsageError: a parameter is wrong; no kernel was started.
        OsemnError: too few files may be open; or a cell failed, the kernel died, or a cell did not run: the notebook, as
            far as it ran, is saved as `failed.ipynb` in the stage's folder.
    """
    resolved = resolve(stage, dataset, profile, overrides)
    processes.allow_open_files()
    final = resolved.folder
    final.parent.mkdir(parents=True, exist_ok=True)
    working = final.with_name(f".{final.name}.executing.ipynb")
    with locks.of_stage(final, locks.EXECUTING), _watch_memory() as peak:
        started = time.monotonic()
        try:
            notebook = _papermill(resolved, working, progress, label)
            _demand_every_cell(stage, notebook)
            with locks.of_stage(final):
                _publish(resolved, working, peak, time.monotonic() - started)
        except BaseException as error:
            failed = _save_failed(working, final)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise _explain(stage, error, failed, peak) from error
        finally:
            working.unlink(missing_ok=True)
    return final


def _papermill(resolved: ResolvedStage, working: Path, progress: bool, label: str) -> Any:
    """Execute the notebook; only values that differ from its defaults are injected. The variable names the candidate."""
    from traitlets.config import Config

    papermill = _without_stores()
    stage = resolved.stage
    defaults = notebook_cells.defaults(stage.notebook)
    given = {name: value for name, value in resolved.parameters.items() if name != "candidate"}
    injected = {name: value for name, value in given.items() if value != defaults[name]}
    bar = {"desc": label or stage.name, "leave": False} if progress and sys.stderr.isatty() else False
    with isolation.kernel({EXECUTOR_VARIABLE: stage.name, **resolved.private}) as manager:
        return papermill.execute_notebook(
            _escaped(paths.notebook(stage.notebook)),
            _escaped(working),
            parameters=injected,
            progress_bar=bar,
            kernel_name="python3",
            cwd=paths.project_root() / "notebooks",
            autosave_cell_every=0,
            config=Config(KernelManager=manager),
            shutdown_kernel="immediate",  # everything is written, and TensorFlow takes seconds to exit
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )


def _without_stores() -> ModuleType:
    """Import papermill without its clients of stores in the cloud, which would take half a second of each stage."""
    unused = {"boto3", "gcsfs", "pyarrow"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(unused))  # Python takes None for a module that cannot be imported
    try:
        import papermill
    finally:
        for name in unused:
            del sys.modules[name]
    return papermill


def _escaped(path: Path) -> str:
    """Escape the braces of a path, which papermill would fill in with parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _demand_every_cell(stage: str, notebook: Any) -> None:
    """Refuse a notebook in which a code cell has no execution count, unless it is to be skipped."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip() or notebook_cells.is_skipped(cell):
            continue
        if cell.get("execution_count") is None:
            raise OsemnError(
                f"{stage}: cell {number} did not run, though papermill reported the notebook as completed:\n\n{cell.source}\n",
                "run the stage again; if that does not help, step through the notebook in JupyterLab",
            )


def _publish(resolved: ResolvedStage, working: Path, peak: MemoryPeak, seconds: float) -> None:
    """Add the executed notebook to the finished folder's manifest, and replace the stage's folder."""
    import nbformat

    stage, partial = resolved.stage.name, resolved.partial
    manifest = manifests.read(partial)
    if manifest is None or (manifest["stage"], manifest["parameters"]) != (stage, resolved.parameters):
        raise OsemnError(f"{stage} ended without finishing its run.", "the last cell must call run.finish()")
    notebook = nbformat.read(working, as_version=4)
    for name in ("input_path", "output_path"):
        notebook.metadata.get("papermill", {}).pop(name, None)
    nbformat.write(notebook, partial / manifests.NOTEBOOK)
    faults = manifests.faults(partial, manifest)
    if faults:
        raise OsemnError(f"{stage}: {'; '.join(faults)}.", "write all files before run.finish()")
    manifest["outputs"].update(manifests.describe_files(partial, [partial / manifests.NOTEBOOK]))
    used = psutil.Process().cpu_times()
    processor = used.user + used.system + used.children_user + used.children_system  # the kernel is a child
    manifest.update(
        peak_memory_mb=round(peak.mb),
        notebook_seconds=round(seconds, 3),
        processor_seconds=round(processor, 3),
    )
    manifests.write_json(partial / manifests.NAME, manifest)
    manifests.publish(partial, resolved.folder)


def _save_failed(working: Path, final: Path) -> Path | None:
    if not working.is_file():
        return None
    final.mkdir(parents=True, exist_ok=True)
    return working.replace(final / manifests.FAILED)


def _explain(stage: str, error: BaseException, failed: Path | None, peak: MemoryPeak) -> OsemnError:
    """Return the error to show for an exception that ended a notebook early."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    remedy = ""
    if failed:
        remedy = f"open {paths.shown(failed)} to see the cells before it; then run the same command again"
    if isinstance(error, PapermillExecutionError):
        problem = (
            f"{stage} failed in cell {error.cell_index} (In [{error.exec_count}]):\n\n{indent(error.source, '    ')}\n\n"
            f"{error.ename}: {error.evalue}"
        )
        return OsemnError(problem, remedy)
    if isinstance(error, DeadKernelError):
        free = psutil.virtual_memory().available / 1e6
        problem = (
            f"{stage}: the kernel died (peak memory {peak.mb:,.0f} MB; {free:,.0f} MB are free now)"
            f"{_cell_that_was_running(failed)}"
        )
        hint = (
            "if the peak is close to the machine's memory, lower the batch size or choose a smaller profile; "
        )
        return OsemnError(problem, hint + remedy)
    if isinstance(error, OsemnError):
        return type(error)(error.problem, "; ".join(filter(None, [error.remedy, remedy])))
    return OsemnError(f"{stage}: {type(error).__name__}: {error}", remedy)


def _cell_that_was_running(failed: Path | None) -> str:
    import nbformat

    if failed is None:
        return ""
    # papermill marks every cell of a dead kernel as completed, but only cells that it began have a start time.
    cells = nbformat.read(failed, as_version=4).cells
    begun = [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]
    return f", in this cell:\n\n{indent(begun[-1].source, '    ')}\n" if begun else ""


@contextmanager
def _watch_memory() -> Iterator[MemoryPeak]:
    """Sample the memory of this process's children, five times a second, until the block ends."""
    stop, peak = threading.Event(), MemoryPeak()

    def sample() -> None:
        me = psutil.Process()
        while not stop.wait(0.2):
            used = 0
            for child in me.children(recursive=True):
                with suppress(psutil.Error):
                    used += child.memory_info().rss
            peak.mb = max(peak.mb, used / 1e6)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
