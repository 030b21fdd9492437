"""Where Snakemake runs the stages: on this machine, or on a cluster by one of its executor plug-ins."""

import contextlib
import os
import pkgutil
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from helpers import paths
from helpers.errors import OsemnError, UsageError, nearest

LOCAL = "local"
CORES_OF_A_JOB = 4
"""Cores for each stage on a cluster, where the machine that submits says nothing about those that compute."""

_PLUGIN = "snakemake_executor_plugin_"
_FAILED = ("Failed: ", "Wrong call: ")
_EXTRAS = {"slurm": "sbatch"}
"""Plug-ins that are extras of this package, each with a command that its cluster brings."""


def installed() -> list[str]:
    """Return the executors that may be named here, without those that plug-ins use inside of their jobs."""
    found = (module.name for module in pkgutil.iter_modules() if module.name.startswith(_PLUGIN))
    plugins = (name.removeprefix(_PLUGIN).replace("_", "-") for name in found)
    return [LOCAL, *sorted(name for name in plugins if not name.endswith("-jobstep"))]


def check(executor: str) -> None:
    """Refuse an executor that cannot work here, before anything is submitted.

    Raises:
        UsageError: it is not installed, or its cluster's commands are missing.
    """
    if executor == LOCAL:
        return
    if executor not in installed():
        raise UsageError(
            f"Snakemake's executor '{executor}' is not installed here.", _how_to_install(executor)
        )
    command = _EXTRAS.get(executor)
    if command and shutil.which(command) is None:
        raise UsageError(
            f"There is no {command} on this machine, so '{executor}' cannot submit anything.",
            "start the run on a login node of the cluster, or load the module that brings its commands",
        )


def _how_to_install(executor: str) -> str:
    if executor in _EXTRAS:
        return f"pip install --editable '.[{executor}]' in the project's folder; docs/scale.md has the rest"
    others = f"other plug-ins: pip install snakemake-executor-plugin-{executor}"
    return f"{nearest(executor, {*installed(), *_EXTRAS})}; {others}"


def default_cores(executor: str) -> int:
    """Return the cores that stages share here, or that each of them gets on a cluster."""
    return (os.cpu_count() or 1) if executor == LOCAL else CORES_OF_A_JOB


def arguments(executor: str, cores: int, extra: tuple[str, ...] = ()) -> list[str]:
    """Return what Snakemake is told about an executor.

    On a cluster its scheduler bounds how many jobs run, and files may take their time to be seen by other machines.
    Snakemake's own lines stay there, as they name each job and its log, and wherever its own arguments are used.

    Args:
        executor: its name.
        cores: as `default_cores`.
        extra: further arguments, stronger than the others.
    """
    quiet = ["all"] if executor == LOCAL and not extra else ["progress", "host", "reason"]
    found = ["--executor", executor, "--cores", str(cores), "--quiet", *quiet]
    if executor != LOCAL:
        found += ["--jobs", "unlimited", "--latency-wait", "60"]
    if executor == "slurm" and not _slurm_keeps_accounts():
        found += ["--slurm-status-command", "squeue"]
    return [*found, *extra]


def _slurm_keeps_accounts() -> bool:
    """Tell whether SLURM's accounting answers; the plug-in, which asks it by default, waits for ever where not."""
    try:
        asked = subprocess.run(
            ["sacct", "--noheader", "--allocations"], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


class StoppedError(OsemnError):
    """Somebody pressed Ctrl+C."""

    exit_code = 128 + signal.SIGINT


@contextlib.contextmanager
def _told_of_interrupts() -> Iterator[list[int]]:
    """Collect interrupts, which Snakemake answers itself and then reports as any failure."""
    found: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        found.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)


def run_snakemake(
    folder: Path, configuration: Path, executor: str, cores: int, extra: tuple[str, ...]
) -> bool:
    """Run the Snakefile in this process and tell whether all of it came to its end.

    Args:
        folder: where Snakemake keeps its own files.
        configuration: the request, as a file.
        executor: the executor's name.
        cores: as `default_cores`.
        extra: further arguments for Snakemake, stronger than those given here.

    Raises:
        UsageError: Snakemake does not know an argument.
        StoppedError: it was interrupted by Ctrl+C.
    """
    from snakemake import cli

    known = [
        "--snakefile", str(paths.project_root() / "Snakefile"),
        "--directory", str(folder),
        "--configfile", str(configuration),
        "--scheduler", "greedy",
        "--rerun-triggers", "mtime",
        "--rerun-incomplete", "--nolock",
        *arguments(executor, cores, extra),
    ]  # fmt: skip
    code = 0
    with _told_of_interrupts() as interrupts:
        try:
            cli.main(known)
        except SystemExit as end:
            code = end.code
        except KeyboardInterrupt:
            code = 1
    if code and interrupts:
        raise StoppedError("The run was stopped by Ctrl+C.", "the same command goes on where it stopped")
    if code == 2:
        raise UsageError("Snakemake does not take these arguments.", "the message above says which")
    return not code


def last_words(logs: dict[str, Path]) -> list[str]:
    """Return what stages that failed on other machines said last, and where it is written.

    Args:
        logs: for each stage that was not finished, the file that its output went to, where it was started.
    """
    found = []
    for stage, log in logs.items():
        if not log.is_file():
            continue
        text = log.read_text(encoding="utf-8", errors="replace")
        starts = [text.rindex(word) for word in _FAILED if word in text]
        silent = f"{stage}: its job ended without a word; it was refused, cancelled, or out of time or memory"
        said = text[max(starts) :].strip() if starts else silent
        found.append(f"{said}\n  → its output: {paths.shown(log)}" if text else said)
    return found
