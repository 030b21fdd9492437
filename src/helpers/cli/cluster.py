"""Runs Snakemake on this machine, or on a cluster with one of its executor plug-ins."""

import os
import pkgutil
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.errors import OsemnError, UsageError, nearest
from helpers.series import manifests, processes

LOCAL = "local"
CORES_OF_A_JOB = 4
"""Cores for each stage on a cluster: the submitting machine does not know the compute nodes."""
GPU = Path("/dev/nvidiactl")
"""Where this is, stages that train run one after the other: TensorFlow takes all of a GPU's memory."""

_PLUGIN = "snakemake_executor_plugin_"
_FAILED = ("Failed: ", "Wrong call: ")
_SILENT = "its job ended without an error message; it was refused, cancelled, or exceeded its time or memory"
_SHARED = ("persistence", "input-output", "sources", "software-deployment", "storage-local-copies")
"""All but the cache of sources, so that the home folder need not be writable."""
_EXTRAS = {"slurm": "sbatch"}
"""Plug-ins that are extras of this package, each with a command of its cluster."""


def installed() -> list[str]:
    """Return the installed executors, without those that plug-ins use inside their jobs."""
    modules = (module.name for module in pkgutil.iter_modules() if module.name.startswith(_PLUGIN))
    plugins = (name.removeprefix(_PLUGIN).replace("_", "-") for name in modules)
    return [LOCAL, *sorted(name for name in plugins if not name.endswith("-jobstep"))]


def check(executor: str) -> None:
    """Check that an executor works here, before anything is submitted.

    Raises:
        UsageError: it is not installed, or its cluster's commands are missing.
    """
    if executor == LOCAL:
        return
    if executor not in installed():
        plugin = f"for another plug-in: pip install snakemake-executor-plugin-{executor}"
        remedy = f"{nearest(executor, {*installed(), *_EXTRAS})}; {plugin}"
        if executor in _EXTRAS:
            remedy = f"pip install --editable '.[{executor}]' in the project's folder; see docs/scale.md"
        raise UsageError(f"Snakemake's executor '{executor}' is not installed here.", remedy)
    command = _EXTRAS.get(executor)
    if command and shutil.which(command) is None:
        raise UsageError(
            f"There is no {command} on this machine, so '{executor}' cannot submit anything.",
            "start the run on a login node of the cluster, or load the module with its commands",
        )


def arguments(executor: str, cores: int | None, extra: tuple[str, ...] = ()) -> list[str]:
    """Return Snakemake's arguments for an executor.

    Snakemake's own messages are hidden, except on a cluster, where they name each job's log, and with extra arguments.

    Args:
        executor: its name.
        cores: for all stages on this machine, or for each stage on a cluster; None for all, or `CORES_OF_A_JOB`.
        extra: more arguments, which override the others.
    """
    from helpers.series import machine, records  # import NumPy, which `osemn status` does not need

    quiet = ["all"] if executor == LOCAL and not extra else ["progress", "host", "reason"]
    cores = cores or (records.usable_cores() if executor == LOCAL else CORES_OF_A_JOB)
    options = ["--executor", executor, "--cores", str(cores), "--quiet", *quiet]
    if executor == LOCAL:
        options += ["--resources", f"mem_mb={machine.memory() / 1e6:.0f}", "--shared-fs-usage", *_SHARED]
    else:
        # The scheduler limits the number of jobs; a network file system may show files with some delay.
        options += ["--jobs", "unlimited", "--latency-wait", "60"]
    if executor == "slurm" and not _slurm_accounting_responds():
        options += ["--slurm-status-command", "squeue"]
    return [*options, *extra]


def _slurm_accounting_responds() -> bool:
    """Return True if SLURM's accounting responds; without it, the plug-in's default would wait for ever."""
    command = ["sacct", "--noheader", "--allocations"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class StoppedError(OsemnError):
    """The run was interrupted with Ctrl+C."""

    exit_code = 128 + signal.SIGINT


def run_snakemake(
    folder: Path, configuration: dict[str, Any], executor: str, cores: int | None, extra: tuple[str, ...]
) -> bool:
    """Run the Snakefile in this process and return True if it completed; locks of a killed run do not stop it.

    Args:
        folder: the folder of Snakemake's own files.
        configuration: the request.
        executor: the executor's name.
        cores: as for `arguments`.
        extra: more arguments for Snakemake, which override those given here.

    Raises:
        UsageError: Snakemake does not know an argument.
        StoppedError: it was interrupted with Ctrl+C.
    """
    from snakemake import cli

    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.unlink()
    manifests.write_json(folder / "request.json", configuration)
    os.environ.setdefault("OSEMN_HOME", str(paths.project_root()))
    os.environ["OSEMN_STARTED"] = str(time.time())
    if executor == LOCAL:
        os.environ[processes.VARIABLE] = processes.token()
        os.environ.pop(
            "SNAKEMAKE_PROFILE", None
        )  # made for other work; `-- --profile NAME` names one for this
    options = [
        "--snakefile", str(paths.project_root() / "Snakefile"),
        "--directory", str(folder),
        "--configfile", str(folder / "request.json"),
        "--scheduler", "greedy",
        "--rerun-triggers", "mtime",
        "--rerun-incomplete", "--nolock",
        *arguments(executor, cores, extra),
    ]  # fmt: skip
    code, interrupts = 0, []

    def interrupt(number: int, frame: object) -> None:
        # Snakemake handles interrupts itself, and reports them like any other failure
        interrupts.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        cli.main(options)
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = 1
    finally:
        signal.signal(signal.SIGINT, before)
    if code and interrupts:
        raise StoppedError("The run was stopped by Ctrl+C.", "the same command resumes it")
    if code == 2:
        raise UsageError("Snakemake does not accept these arguments.", "see the message above")
    return not code


def last_messages(logs: dict[str, Path]) -> list[str]:
    """Return the last error message of each stage that failed on another machine, with the path of its log.

    Args:
        logs: the log file of each unfinished stage; the file exists if the stage was started.
    """
    messages = []
    for stage, log in logs.items():
        if log.is_file():
            text = log.read_text(encoding="utf-8", errors="replace")
            starts = [text.rindex(word) for word in _FAILED if word in text]
            message = text[max(starts) :].strip() if starts else f"{stage}: {_SILENT}"
            messages.append(f"{message}\n  → its output: {paths.shown(log)}" if text else message)
    return messages
