"""Kills `osemn run` with SIGKILL at random moments, runs the same command again, and checks the result each time.

    .venv/bin/python benchmarks/kill_resume.py --kills 20

The series runs for real on scikit-learn's digits at the smoke profile. Half of the kills hit the whole process group
at once, half only the command itself. Writes benchmarks/results/kill_resume.json.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from helpers import paths
from helpers.cli import graph
from helpers.series import manifests

COMMAND = [sys.executable, "-m", "helpers.cli", "run", "--dataset", "digits", "--profile", "smoke"]


def run(environment: dict[str, str]) -> tuple[int, float, str]:
    """Run the series to its end; return exit code, seconds and output."""
    started = time.monotonic()
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, time.monotonic() - started, done.stdout + done.stderr


def kill_after(seconds: float, environment: dict[str, str], whole_group: bool) -> list[psutil.Process]:
    """Start the series and kill it after `seconds`; return the processes it had started."""
    process = subprocess.Popen(
        COMMAND, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(seconds)
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
    process.wait()
    return family


def accepted_halves(request: graph.Request) -> list[str]:
    """Return the stages that count as done although one of their files is incomplete: there must be none."""
    stages = []
    for state in graph.states(request):
        folder = request.folder / state.stage
        manifest = manifests.read(folder)
        if state.done and (manifest is None or manifests.faults(folder, manifest)):
            stages.append(state.stage)
    return stages


def trial(number: int, moment: float, environment: dict[str, str], request: graph.Request) -> dict:
    """Kill once, check, resume, check again."""
    shutil.rmtree(paths.output_root(), ignore_errors=True)
    whole_group = number % 2 == 0
    family = kill_after(moment, environment, whole_group)
    halves = accepted_halves(request)
    done_before = sum(state.done for state in graph.states(request))
    code, seconds, text = run(environment)
    psutil.wait_procs(family, timeout=10)
    whole = (
        code == 0 and all(state.done for state in graph.states(request)) and graph.report_is_current(request)
    )
    result = {
        "killed_after_seconds": round(moment, 2),
        "whole_group": whole_group,
        "stages_done_at_the_kill": done_before,
        "half_artifacts_accepted": halves,
        "resumed_whole": whole,
        "resume_seconds": round(seconds, 1),
        "processes_left_over": sum(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family),
    }
    print(f"{number + 1:>3}  {result}", flush=True)
    if not whole:
        print(text, flush=True)
    return result


def main() -> None:
    """Measure one undisturbed run, then kill at moments drawn from its duration."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osemn-kill-") as folder:
        os.environ["OSEMN_OUTPUT_DIR"] = str(Path(folder) / "output")
        environment = dict(os.environ)
        request = graph.Request("digits", "smoke")
        code, seconds, text = run(environment)
        if code:
            sys.exit(text)
        generator = random.Random(arguments.seed)
        trials = [
            trial(number, generator.uniform(0.5, seconds), environment, request)
            for number in range(arguments.kills)
        ]
    good = sum(
        t["resumed_whole"] and not t["half_artifacts_accepted"] and not t["processes_left_over"]
        for t in trials
    )
    print(f"{good} of {len(trials)} ended complete; an undisturbed run takes {seconds:.0f} s")
    target = paths.project_root() / "benchmarks" / "results" / "kill_resume.json"
    target.parent.mkdir(exist_ok=True)
    manifests.write_json(
        target,
        {
            "kills": len(trials),
            "good": good,
            "seed": arguments.seed,
            "run_seconds": round(seconds, 1),
            "trials": trials,
        },
    )
    sys.exit(good != len(trials))


if __name__ == "__main__":
    main()
