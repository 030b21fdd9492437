"""Ends `osemn run` at random moments, runs the same command again, and checks the result each time.

    .venv/bin/python benchmarks/kill_resume.py --kills 20 --interrupts 20 --full-disks 20

The series runs for real on scikit-learn's digits at the smoke profile. Half of the kills (SIGKILL) hit the whole process group
at once, half only the command itself; an interrupt (SIGINT) hits the group, as Ctrl+C does. A full disk is a small file system
of its own, which root can mount, filled up at the moment and emptied before the second run: the first must end with a message
about space, or complete. Writes benchmarks/results/kill_resume.json.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from helpers import paths
from helpers.cli import graph
from helpers.series import manifests

PATIENCE = 900  # seconds that a run may take to end after it was disturbed
FILLER = "filler"
SAYS = {"interrupt": "Stopped: The run was stopped by Ctrl", "full disk": "(?i)no space left|free some space"}
COMMAND = [sys.executable, "-m", "helpers.cli", "run", "--dataset", "digits", "--profile", "smoke"]


def run(environment: dict[str, str]) -> tuple[int, float, str]:
    """Run the series to its end; return exit code, seconds and output."""
    started = time.monotonic()
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, time.monotonic() - started, done.stdout + done.stderr


def started() -> subprocess.Popen:
    """Start the series in a process group of its own, with its output to a pipe."""
    return subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def end_after(seconds: float, way: str) -> tuple[list[psutil.Process], int, str]:
    """Start the series and end it after `seconds`; return the processes it had started, its exit code and its output."""
    process = started()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    if process.poll() is None and way == "full disk":
        fill(paths.output_root() / FILLER)
    elif process.poll() is None and way == "command killed":
        process.kill()
    elif process.poll() is None:
        os.killpg(process.pid, signal.SIGINT if way == "interrupt" else signal.SIGKILL)
    said, _ = process.communicate(timeout=PATIENCE)
    return family, process.returncode, said


def fill(file: Path) -> None:
    """Write a file until its disk is full."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(2**20)):
            pass
    with contextlib.suppress(OSError), file.open("ab", buffering=0) as stream:
        while stream.write(bytes(1)):  # the rest of the last block
            pass


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of 400 MB on a folder, which only root may do; a smoke series takes some 150."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def accepted_halves(request: graph.Request) -> list[str]:
    """Return the stages that count as done although one of their files is incomplete: there must be none."""
    stages = []
    for state in graph.states(request):
        folder = request.folder / state.stage
        manifest = manifests.read(folder)
        if state.done and (manifest is None or manifests.faults(folder, manifest)):
            stages.append(state.stage)
    return stages


def trial(moment: float, way: str, environment: dict[str, str], request: graph.Request) -> dict:
    """End the series once, check, resume, check again."""
    output = paths.output_root()
    shutil.rmtree(output, ignore_errors=True)
    with small_disk(output) if way == "full disk" else contextlib.nullcontext():
        family, code, said = end_after(moment, way)
        (output / FILLER).unlink(missing_ok=True)
        halves = accepted_halves(request)
        done_before = sum(state.done for state in graph.states(request))
        clear = way not in SAYS or code == 0 or bool(re.search(SAYS[way], said))
        code, seconds, text = run(environment)
        psutil.wait_procs(family, timeout=10)
        complete = all(state.done for state in graph.states(request)) and (
            bool(request.until) or graph.report_is_current(request)
        )
    result = {
        "way": way,
        "after_seconds": round(moment, 2),
        "stages_done_then": done_before,
        "said_why": clear,
        "half_artifacts_accepted": halves,
        "resumed_whole": code == 0 and complete,
        "resume_seconds": round(seconds, 1),
        "processes_left_over": sum(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family),
    }
    print(result, flush=True)
    if not (result["resumed_whole"] and clear):
        print(said, text, sep="\n", flush=True)
    return result


def main() -> None:
    """Measure one undisturbed run, then end others at moments drawn from its duration."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("kills", "interrupts", "full-disks"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", default="", help="the last stage; by default the complete series")
    arguments = parser.parse_args()
    COMMAND.extend(["--until", arguments.until] if arguments.until else [])
    ways = ["group killed", "command killed"] * arguments.kills
    ways = (
        ways[: arguments.kills] + ["interrupt"] * arguments.interrupts + ["full disk"] * arguments.full_disks
    )
    with tempfile.TemporaryDirectory(prefix="osemn-kill-") as folder:
        os.environ["OSEMN_OUTPUT_DIR"] = str(Path(folder) / "output")
        environment = dict(os.environ)
        request = graph.Request("digits", "smoke", arguments.until)
        code, seconds, text = run(environment)
        if code:
            sys.exit(text)
        generator = random.Random(arguments.seed)
        trials = [trial(generator.uniform(0.5, seconds), way, environment, request) for way in ways]
    good = sum(
        t["resumed_whole"]
        and t["said_why"]
        and not t["half_artifacts_accepted"]
        and not t["processes_left_over"]
        for t in trials
    )
    print(f"{good} of {len(trials)} ended complete; an undisturbed run takes {seconds:.0f} s")
    target = paths.project_root() / "benchmarks" / "results" / "kill_resume.json"
    target.parent.mkdir(exist_ok=True)
    content = {"good": good, "seed": arguments.seed, "run_seconds": round(seconds, 1), "trials": trials}
    manifests.write_json(target, {"kills": len(trials), **content})
    sys.exit(good != len(trials))


if __name__ == "__main__":
    main()
