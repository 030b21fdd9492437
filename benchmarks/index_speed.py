"""The index of many small JPEGs: speed beside plain Pillow, memory, a second run, and kills.

    .venv/bin/python benchmarks/index_speed.py --images 100000

Makes images of 96 pixels from random low-frequency patterns. Indexing and plain decoding take turns, each in a fresh process with
the files in the system's cache; seconds count from before the first file, with the start of the index's own processes. Plain
decoding is `Image.open(path).convert("RGB")` in as many threads as there are cores, with one call per file as people write it,
and with one call per 256 files, which is faster. Memory is the growth of the index's own process from before the first file
to its peak, after an index of one image; its workers' memory does not grow with the images. Then the index is killed with SIGKILL at random
moments and run again. Last, `osemn run` up to 01_acquire and `osemn status` are timed on the unchanged set, complete commands with
the start of Python. Writes benchmarks/results/index_speed.json.
"""

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
from PIL import Image

from helpers import paths
from helpers.obtain import catalogue, index
from helpers.obtain.layouts.listing import COLUMNS, Listing
from helpers.obtain.options import Options
from helpers.series import manifests, records

RESULTS = paths.project_root() / "benchmarks" / "results" / "index_speed.json"
SIDE = 96
BATCH = 256  # files in one call of plain decoding, as in the index
KILLED = 10_000  # images in an index that is killed: enough for processes, and few enough for 20 trials


def make(folder: Path, count: int) -> None:
    """Write JPEGs of random low-frequency patterns, a thousand in a sub-folder."""
    generator = np.random.default_rng(0)
    for number in range(count):
        target = folder / f"class{number // 1000:03}" / f"{number:06}.jpg"
        target.parent.mkdir(exist_ok=True)
        pattern = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        pattern.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(target, quality=85)


def listing(folder: Path, count: int | None = None) -> Listing:
    """Return the first images of `make`."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))[:count]
    rows = [(name, name.partition("/")[0], "", "", 1.0) for name in names]
    return Listing(folder, pd.DataFrame(rows, columns=list(COLUMNS)), pd.DataFrame(), "class folders")


def peak_mb() -> float:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Clock:
    """Seconds since now, and of the processor, in this process and its children that have ended."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), self._processor()

    @staticmethod
    def _processor() -> float:
        uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(use.ru_utime + use.ru_stime for use in uses)

    def times(self) -> dict[str, float]:
        """Return both."""
        return {
            "seconds": time.perf_counter() - self.wall,
            "processor_seconds": self._processor() - self.processor,
        }


def indexed(folder: Path, cache: Path, count: int | None = None) -> dict[str, float]:
    """Index the first images and return seconds, and the growth of memory."""
    files = listing(folder, count)
    index.build(listing(folder, 1), Options(), cache / "warm", progress=False)  # loads the libraries
    before, started = peak_mb(), Clock()
    table, skipped = index.build(files, Options(), cache, progress=False)
    times = started.times()
    assert len(table) == len(files.files)
    assert not len(skipped)
    return {
        **times,
        "growth_mb": peak_mb() - before,
    }


def plain(folder: Path, batch: int) -> dict[str, float]:
    """Decode the images by plain Pillow, `batch` files in one call, and return seconds."""
    names = [str(folder / name) for name in listing(folder).files["path"]]
    batches = [names[start : start + batch] for start in range(0, len(names), batch)]

    def decode(files: list[str]) -> None:
        for file in files:
            with Image.open(file) as image:
                image.convert("RGB")

    started = Clock()
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for _ in pool.map(decode, batches):
            pass
    return started.times()


def again(folder: Path, cache: Path) -> dict[str, float]:
    """Return the seconds of a fingerprint and of an index of an unchanged set."""
    files = listing(folder)
    started = time.perf_counter()
    catalogue.fingerprint(files, cache)
    between = time.perf_counter()
    index.build(files, Options(), cache, progress=False)
    return {"fingerprint_seconds": between - started, "index_seconds": time.perf_counter() - between}


def commands(folder: Path, work: Path) -> dict[str, list[float]]:
    """Return the seconds of each of three second `osemn run` up to 01_acquire and `osemn status`, on an unchanged set."""
    places = {"OSEMN_OUTPUT_DIR": str(work / "output"), "OSEMN_CACHE_DIR": str(work / "commands")}
    chosen = ["--dataset", str(folder), "--profile", "smoke", "--set", "01_acquire.image_size=16"]
    osemn = [sys.executable, "-m", "helpers.cli"]
    both = {"run": [*osemn, "run", *chosen, "--until", "01_acquire"], "status": [*osemn, "status", *chosen]}
    subprocess.run(both["run"], env=os.environ | places, check=True)
    seconds = {f"osemn_{name}_{clock}": [] for name in both for clock in ("seconds", "processor_seconds")}
    for _ in range(3):
        for name, command in both.items():
            started = Clock()
            subprocess.run(command, env=os.environ | places, check=True, stdout=subprocess.DEVNULL)
            for clock, value in started.times().items():
                seconds[f"osemn_{name}_{clock}"].append(round(value, 2))
    return seconds


TURNS = ("index", "plain", "plain_in_batches")
TASKS = {
    "index": indexed,
    "index_to_kill": lambda folder, cache: indexed(folder, cache, KILLED),
    "plain": lambda folder, _: plain(folder, 1),
    "plain_in_batches": lambda folder, _: plain(folder, BATCH),
    "again": again,
}


def start(task: str, folder: Path, cache: Path) -> subprocess.Popen:
    """Start one task of `TASKS` in its own process."""
    # as a script it would be imported again, with pandas, by each process that the index starts; a notebook is not
    code = "import index_speed; index_speed.main()"
    command = [sys.executable, "-c", code, "--task", task, "--folder", folder, "--cache", cache]
    return subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)


def result(task: str, folder: Path, cache: Path) -> dict[str, float]:
    """Run one task of `TASKS` in its own process and return what it measured."""
    process = start(task, folder, cache)
    text, _ = process.communicate()
    if process.returncode:
        sys.exit(f"{task} failed")
    return json.loads(text)


def killed(folder: Path, cache: Path, moment: float, expected: pd.DataFrame) -> dict[str, float | bool | int]:
    """Kill an index after `moment` seconds, run it again, and compare it with an undisturbed one."""
    process = start("index_to_kill", folder, cache)
    time.sleep(moment)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    record = catalogue.Catalogue(cache, folder).files.read().to_pandas()
    true = expected.set_index("path")["sha256"]
    halves = int(
        (true.reindex(record["path"]).to_numpy() != record.get("sha256", pd.Series()).to_numpy()).sum()
    )
    resumed = result("index_to_kill", folder, cache)
    table, _ = index.build(listing(folder, KILLED), Options(), cache, progress=False)
    _, alive = psutil.wait_procs(family, timeout=10)
    return {
        "killed_after_seconds": round(moment, 2),
        "recorded_at_the_kill": len(record),
        "wrong_records": halves,
        "resumed_complete": table.equals(expected),
        "resume_seconds": round(resumed["seconds"], 1),
        "processes_left_over": len(alive),
    }


def measure(work: Path, images: int, rounds: int, kills: int) -> dict:
    """Return the report."""
    folder, turns = work / "images", []
    for number in range(rounds):
        turns.append({task: result(task, folder, work / f"cache{number}") for task in TURNS})
        print(number, turns[-1], flush=True)
    report = {
        "cpu": records.cpu_name(),
        "cores": joblib.cpu_count(),
        "images": images,
        "load_average": round(os.getloadavg()[1], 1),
        **{
            clock: {task: [round(turn[task][clock], 2) for turn in turns] for task in TURNS}
            for clock in ("seconds", "processor_seconds")
        },
        "speed_of_index_to_plain": ratio(turns, "plain", "seconds"),
        "speed_of_index_to_plain_in_batches": ratio(turns, "plain_in_batches", "seconds"),
        "processor_seconds_of_plain_to_index": ratio(turns, "plain", "processor_seconds"),
        "growth_bytes_an_image": round(turns[-1]["index"]["growth_mb"] * 2**20 / images),
        "second_run": {
            name: round(value, 2) for name, value in result("again", folder, work / "cache0").items()
        },
    }
    generator, started = random.Random(0), time.perf_counter()
    result("index_to_kill", folder, work / "undisturbed")
    longest = time.perf_counter() - started
    expected, _ = index.build(listing(folder, KILLED), Options(), work / "undisturbed", progress=False)
    trials = []
    for number in range(kills):
        trials.append(killed(folder, work / f"kill{number}", generator.uniform(1.0, longest), expected))
        print(number, trials[-1], flush=True)
    good = [t["resumed_complete"] and not t["wrong_records"] + t["processes_left_over"] for t in trials]
    report["second_run"] |= commands(folder, work)
    return report | {"kills": kills, "good": sum(good), "trials": trials}


def ratio(turns: list[dict], task: str, clock: str) -> float:
    """Return the median over the turns of a task's seconds per second of the index."""
    return round(statistics.median(turn[task][clock] / turn["index"][clock] for turn in turns), 3)


def main() -> None:
    """Measure in turns, kill, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="turns of index and plain decoding")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only-commands", action="store_true", help="keep the other numbers on record")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(TASKS[arguments.task](arguments.folder, arguments.cache)))
        return
    with tempfile.TemporaryDirectory(prefix="osemn-index-") as temporary:
        work = Path(temporary)
        (work / "images").mkdir()
        make(work / "images", arguments.images)
        if arguments.only_commands:
            report = json.loads(RESULTS.read_text(encoding="utf-8"))
            report["second_run"] |= commands(work / "images", work)
        else:
            report = measure(work, arguments.images, arguments.rounds, arguments.kills)
    manifests.write_json(RESULTS, report)
    print(json.dumps({name: value for name, value in report.items() if name != "trials"}, indent=2))


if __name__ == "__main__":
    main()
