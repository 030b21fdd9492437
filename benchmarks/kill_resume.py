"""Ends `osemn run` at random moments, again and again, until the same command has completed the series, and checks the result.

    .venv/bin/python benchmarks/kill_resume.py --kills 20 --interrupts 20 --full-disks 20 [--minutes 9]

The series runs for real on scikit-learn's digits at the smoke profile. Half of the kills (SIGKILL) hit the whole process group
at once, half only the command itself; an interrupt (SIGINT) hits the group, as Ctrl+C does. A full disk is a small file system
of its own, which root can mount, filled up at the moment and emptied afterwards: the run must end with a message about space,
or complete. Each run starts with what the one before it left. A series that came to its end has the predictions of an
undisturbed one, and a new one begins. Writes benchmarks/results/kill_resume.json after each run; the same call with the same
code continues there.
"""

import argparse
import contextlib
import hashlib
import json
import math
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
from typing import Any

import psutil

from helpers import paths
from helpers.cli import graph
from helpers.series import disk, manifests, stages

PATIENCE = 900  # seconds that a run may take to end after it was disturbed
FILLER = "filler"
SAYS = {"interrupt": "Stopped: The run was stopped by Ctrl", "full disk": "(?i)no space left|free some space"}
COMMAND = [sys.executable, "-m", "helpers.cli", "run", "--dataset", "digits", "--profile", "smoke"]
SHORTEST = 2.0  # seconds to a disturbance: before, nothing is written
PART = 1 / 3  # of an undisturbed run, to a disturbance at most: a series ends after some six of them


def end_after(seconds: float, way: str) -> tuple[list[psutil.Process], int, str]:
    """Start the series and end it after `seconds`; return the processes it had started, its exit code and its output."""
    process = subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell's background jobs ignore it
    )
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
    (paths.output_root() / FILLER).unlink(missing_ok=True)
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
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def empty(folder: Path) -> None:
    """Remove everything in a folder."""
    for place in folder.iterdir():
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def accepted_halves(request: graph.Request, states: list[graph.State]) -> list[str]:
    """Return the stages that count as done although one of their files is incomplete: there must be none."""
    done = [state.stage for state in states if state.done]
    read = {stage: manifests.read(request.folder / stage) for stage in done}
    return [
        stage for stage in done if not read[stage] or manifests.faults(request.folder / stage, read[stage])
    ]


def predictions(request: graph.Request) -> dict[str, str] | None:
    """Return the hash of each candidate's predictions; None if a stage or the report is missing."""
    if not all(state.done for state in graph.states(request)) or not graph.report_is_current(request):
        return None
    files = sorted(request.folder.glob("07_evaluation/*/metrics.json"))
    return {file.parent.name: json.loads(file.read_text())["predictions_sha256"] for file in files}


def trial(moment: float, way: str, request: graph.Request) -> dict[str, Any]:
    """Continue the series, end it once, and check what is left."""
    family, code, said = end_after(moment, way)
    psutil.wait_procs(family, timeout=10)
    states = graph.states(request)
    result = {
        "way": way,
        "after_seconds": round(moment, 2),
        "stages_done_then": sum(state.done for state in states),
        "said_why": way not in SAYS or code == 0 or bool(re.search(SAYS[way], said)),
        "half_artifacts_accepted": accepted_halves(request, states),
        "processes_left_over": sum(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family),
        "completed": code == 0,
    }
    print(result, flush=True)
    if not is_good(result):
        print(said, flush=True)
    return result


def is_good(result: dict[str, Any]) -> bool:
    """Return whether a run said why it ended and left nothing half behind."""
    return result["said_why"] and not result["half_artifacts_accepted"] and not result["processes_left_over"]


def moments(arguments: argparse.Namespace, seconds: float) -> list[tuple[float, str]]:
    """Return when and how each run is ended: the same for the same arguments and duration."""
    generator, kills = random.Random(arguments.seed), ["group killed", "command killed"] * arguments.kills
    others = ["interrupt"] * arguments.interrupts + ["full disk"] * arguments.full_disks
    drawn = [(generator.uniform(SHORTEST, PART * seconds), way) for way in kills[: arguments.kills] + others]
    generator.shuffle(drawn)  # every part of the list has every way
    return drawn


def disturb(
    record: dict[str, Any], arguments: argparse.Namespace, request: graph.Request, target: Path
) -> None:
    """End runs at the moments that are left, and write each result down; the last series is not disturbed to its end."""
    stop, output = time.monotonic() + 60 * arguments.minutes, paths.output_root()

    def check_series() -> None:
        record["series"] += 1
        record["series_like_undisturbed"] += predictions(request) == record["predictions"]
        manifests.write_json(target, record)
        empty(output)

    if not record["predictions"]:
        started = time.monotonic()
        subprocess.run(COMMAND, check=True)
        record |= {"run_seconds": round(time.monotonic() - started, 1), "predictions": predictions(request)}
        empty(output)
    for moment, way in moments(arguments, record["run_seconds"])[len(record["trials"]) :]:
        if time.monotonic() > stop:
            break
        record["trials"].append(trial(moment, way, request))
        record["good"] = sum(map(is_good, record["trials"]))
        manifests.write_json(target, record)
        if record["trials"][-1]["completed"]:
            check_series()
    if any(output.iterdir()):
        subprocess.run(COMMAND, check=True)
        check_series()


def main() -> None:
    """Measure one undisturbed run, then disturb others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("kills", "interrupts", "full-disks", "seed"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="disturb no further run after these")
    arguments = parser.parse_args()
    sources = "".join(manifests.source_sha256(notebook) for notebook in stages.NOTEBOOKS)
    asked = {name: value for name, value in vars(arguments).items() if name != "minutes"}
    asked["code_sha256"] = hashlib.sha256(sources.encode()).hexdigest()
    target = paths.project_root() / "benchmarks" / "results" / "kill_resume.json"
    record = disk.read_json(target)
    if record.get("asked") != asked:
        record = {"asked": asked, "good": 0, "series": 0, "series_like_undisturbed": 0, "trials": []}
        record |= {"predictions": {}, "run_seconds": 0.0}
    with tempfile.TemporaryDirectory(prefix="osemn-kill-") as folder:
        os.environ["OSEMN_OUTPUT_DIR"] = folder
        with small_disk(Path(folder)) if arguments.full_disks else contextlib.nullcontext():
            disturb(record, arguments, graph.Request("digits", "smoke"), target)
    print(
        f"{record['good']} of {len(record['trials'])} ends left nothing half; "
        f"{record['series_like_undisturbed']} of {record['series']} series came to the undisturbed result"
    )
    sys.exit(record["good"] != len(record["trials"]) or record["series_like_undisturbed"] != record["series"])


if __name__ == "__main__":
    main()
