"""Writes the tables of README.md and notebooks/README.md from the stage table and the metrics of complete runs.

The results of the last complete run of each built-in data set and profile are stored in `benchmarks/results/series.json`,
so that the tables can be written, and checked by a test, without a run. Run `make readme`.
"""

import contextlib
import itertools
import json
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from helpers import paths, wording
from helpers.errors import MissingInputError, OsemnError
from helpers.report import models as compared
from helpers.series import manifests, profiles, stages

RECORD = Path("benchmarks") / "results" / "series.json"
OWN_IMAGES = RECORD.with_name("own_images.json")
PROFILES = {"smoke": "digits", "quick": "fashion_mnist", "standard": "fashion_mnist", "full": "fashion_mnist"}
"""Each profile with the data set whose minutes the table of notebooks shows."""
RESULTS = ("fashion_mnist/standard", "fashion_mnist/quick")
"""The README lists the models of the first of these runs that is on record."""
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?<!-- end -->", re.DOTALL)

Record = Mapping[str, Mapping[str, Any]]
"""The results of each run, by `dataset/profile`."""


def collect(known: Record) -> dict[str, Any]:
    """Return the record, updated with every complete run of a built-in data set."""
    record = dict(known)
    for dataset in paths.BUILT_IN_DATASETS:
        for profile in PROFILES:
            with contextlib.suppress(MissingInputError):
                record[f"{dataset}/{profile}"] = run_of(dataset, profile)
    return record


def run_of(dataset: str, profile: str) -> dict[str, Any]:
    """Return the results of a finished run that the tables need.

    Raises:
        MissingInputError: a stage has not run, or its files are not intact.
        OsemnError: two stages logged a model under the same name.
    """
    run = {
        stage.name: manifests.require(paths.stage_folder(dataset, profile, stage.name), stage.name)
        for stage in stages.STAGES
    }
    last = max(run.values(), key=lambda manifest: manifest["finished"])
    export = paths.stage_folder(dataset, profile, "10_export") / "metrics.json"
    return {
        **{key: last[key] for key in ("cpu", "cores", "finished", "seed")},
        "dataset": dataset,
        "profile": profile,
        "seconds": {name: _seconds(manifest) for name, manifest in run.items()},
        "elapsed_seconds": elapsed(run.values()),
        "champion": json.loads(export.read_text(encoding="utf-8"))["candidate"],
        "models": models(dataset, profile),
        "tested": tested(dataset, profile),
    }


def _seconds(manifest: Mapping[str, Any]) -> int:
    return round(manifest.get("notebook_seconds", manifest["seconds"]))


def elapsed(run: Iterable[Mapping[str, Any]]) -> int:
    """Return the seconds during which at least one stage was running."""
    total, until = timedelta(), None
    for start, end in sorted(map(_running, run)):
        start = start if until is None else max(start, until)
        total += max(end - start, timedelta())
        until = end if until is None else max(end, until)
    return round(total.total_seconds())


def _running(manifest: Mapping[str, Any]) -> tuple[datetime, datetime]:
    end = datetime.fromisoformat(manifest["finished"])
    return end - timedelta(seconds=_seconds(manifest)), end


def models(dataset: str, profile: str) -> dict[str, Any]:
    """Return the models of all stages, each with its stage's name.

    Raises:
        OsemnError: two stages logged a model under the same name.
    """
    rows: dict[str, Any] = {}
    for stage in compared.STAGES:
        metrics = json.loads(
            (paths.stage_folder(dataset, profile, stage) / "metrics.json").read_text(encoding="utf-8")
        )
        for name, row in metrics["models"].items():
            if name in rows:
                raise OsemnError(
                    f"{rows[name]['stage']} and {stage} both logged a model named '{name}'.",
                    "give one of them another name in its notebook",
                )
            rows[name] = {**row, "stage": stage}
    return rows


def tested(dataset: str, profile: str) -> dict[str, Any]:
    """Return the test accuracy of each candidate, and the number of openings of the test images by then."""
    rows = {}
    for candidate in stages.CANDIDATES:
        path = paths.stage_folder(dataset, profile, f"07_evaluation/{candidate}") / "metrics.json"
        logged = json.loads(path.read_text(encoding="utf-8"))
        rows[candidate] = {key: logged[key] for key in ("accuracy", "accuracy_ci95", "n", "test_openings")}
    return rows


def stage_table(record: Record) -> str:
    """Return the table of notebooks with the seconds of the recorded quick run, in Markdown."""
    known = record.get(f"{PROFILES['quick']}/quick", {}).get("seconds", {})
    lines = [
        "| notebook | OSEMN | reads | leaves beside `metrics.json` | seconds at quick |",
        "|---|---|---|---|---|",
    ]
    for notebook in sorted(stages.NOTEBOOKS):
        runs = stages.of_notebook(notebook)
        lines.append(f"| {_about(notebook)} | {' + '.join(str(known.get(run.name, '–')) for run in runs)} |")
    return "\n".join(lines)


def _about(notebook: str) -> str:
    """Return the first four cells of a notebook's row."""
    runs = stages.of_notebook(notebook)
    stage = runs[0]
    read = sorted({name[:2] for run in runs for name in run.looks_at})
    reads = ", ".join(f"`{name}`" for name in read) or "–"
    writes = ", ".join(f"`{name}`" for name in stage.writes if not name.startswith("figures/"))
    title = stage.title.partition(":")[0] + ", for each candidate" if stage.candidate else stage.title
    return f"[`{notebook}`]({{folder}}{notebook}.ipynb) {title} | {stage.phase} | {reads} | {writes}"


def minutes_table(record: Record) -> str:
    """Return the table of notebooks with their minutes at each profile, and the machines, in Markdown."""
    lines = [
        f"| notebook | OSEMN | reads | leaves beside `metrics.json` | {' | '.join(f'`{name}`' for name in PROFILES)} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    shown = {profile: record.get(f"{dataset}/{profile}") for profile, dataset in PROFILES.items()}
    for notebook in sorted(stages.NOTEBOOKS):
        names = [stage.name for stage in stages.of_notebook(notebook)]
        cells = " | ".join(_minutes(run, names) for run in shown.values())
        lines.append(f"| {_about(notebook)} | {cells} |")
    every = [stage.name for stage in stages.STAGES]
    cells = " | ".join(_minutes_of_all(run) if _has(run, every) else "–" for run in shown.values())
    lines.append(f"| all, as the clock shows | | | | {cells} |")
    return "\n".join([*lines, "", _measured_on(record)])


def _minutes(run: Mapping[str, Any] | None, names: list[str]) -> str:
    """Return the total minutes of some stages of a run; a dash where one of them did not run."""
    return _in_minutes(sum(run["seconds"][name] for name in names)) if _has(run, names) else "–"


def _has(run: Mapping[str, Any] | None, names: list[str]) -> bool:
    return run is not None and set(names) <= set(run["seconds"])


def _minutes_of_all(run: Mapping[str, Any]) -> str:
    """Return the minutes of a complete run: the elapsed time where it is on record, else the sum over stages."""
    return _in_minutes(run.get("elapsed_seconds", sum(run["seconds"].values())))


def _in_minutes(seconds: float) -> str:
    minutes = max(0.1, seconds / 60)
    return f"{minutes:.1f}" if minutes < 9.95 else f"{minutes:,.0f}"


def _measured_on(record: Record) -> str:
    """Return data set, profile, machine and date of each recorded run."""
    runs = []
    for profile in PROFILES:
        for dataset in paths.BUILT_IN_DATASETS:
            run = record.get(f"{dataset}/{profile}")
            if run is not None:
                runs.append(
                    f"{wording.dataset_title(dataset)} at `{profile}`: {_minutes_of_all(run)} in all, on "
                    f"{run['cores']} cores of {run['cpu']}, {run['finished'][:10]}."
                )
    about = "Minutes, kernel start included; a dash where no whole run is on record. Stages side by side count once in all."
    return " ".join([about, *runs])


def results_table(record: Record) -> str:
    """Return the models of a run with their intervals, and the conditions of the run, in Markdown.

    Raises:
        OsemnError: no run is on record whose models could be listed.
    """
    run = next((record[name] for name in RESULTS if "models" in record.get(name, {})), None)
    if run is None:
        raise OsemnError("No run with metrics is on record.", "make run, then make readme")
    lines = [
        "| model | notebook | validation accuracy | 95% interval | validation macro-F1 | test accuracy | 95% interval "
        "| parameters | training images | seconds to fit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in sorted(run["models"].items(), key=lambda item: item[1]["accuracy"]):
        on_test = run["tested"].get(name)
        star = "★ " * (name == run.get("champion"))
        lines.append(
            f"| {star}{row['label']} | `{row['stage'][:2]}` | {_with_interval(row)} | {row['macro_f1']:.3f} "
            f"| {_with_interval(on_test) if on_test else '– | –'} | {row['parameters']:,} | {row['samples']:,} | {row['fit_seconds']:.1f} |"
        )
    n = next(iter(run["models"].values()))["n"]
    first = next(iter(run["tested"].values()))
    note = (
        f"{wording.dataset_title(run['dataset'])} at `{run['profile']}`, seed {run['seed']}, {n:,} validation images; Wilson "
        f"intervals; {run['cores']} cores of {run['cpu']}, {run['finished'][:10]}. "
        f"Only candidates for the champion are scored on the {first['n']:,} test images; nothing is chosen by them. "
        "★ is the champion: notebook 10 prefers a faster candidate that loses little accuracy."
    )
    return "\n".join([*lines, "", note])


def _with_interval(score: Mapping[str, Any]) -> str:
    """Return an accuracy and its interval as two cells."""
    low, high = score["accuracy_ci95"]
    return f"{wording.percent(score['accuracy'])} | {low:.1%} – {high:.1%}"


def runs_table(record: Record, own_images: Mapping[str, Any] | None) -> str:
    """Return every run on record but smoke runs, with its champion and its minutes, in Markdown.

    Args:
        record: as `collect` returns it.
        own_images: the results of `benchmarks/own_images.py`, or None; its run of solar cells at quick is a row.
    """
    lines = [
        "| data | profile | champion | test accuracy | 95% interval | test images | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for dataset in paths.BUILT_IN_DATASETS:
        for profile in PROFILES:
            run = record.get(f"{dataset}/{profile}", {})
            if "champion" in run and profile != "smoke":
                score, label = run["tested"][run["champion"]], run["models"][run["champion"]]["label"]
                lines.append(
                    f"| {wording.dataset_title(dataset)} | `{profile}` | {label} | {_with_interval(score)} | {score['n']:,} "
                    f"| {_minutes_of_all(run)} |"
                )
    own = (own_images or {}).get("elpv_two", {}).get("quick", {})
    if "champion" in own:
        champion, images = own["champion"], sum(own["counts"].values())
        lines.append(
            f"| a table: {images:,} photographs of solar cells | `quick` | {champion['label']} "
            f"| {_with_interval(champion)} | {champion['n']:,} | {_in_minutes(own['seconds'])} |"
        )
    return "\n".join(lines)


def profile_table() -> str:
    """Return the table of profiles, in Markdown."""
    lines = ["| profile | what it changes |", "|---|---|"]
    for name in ("smoke", "quick", "standard", "full"):
        text = paths.profile_file(name).read_text(encoding="utf-8").splitlines()
        about = " ".join(
            line.lstrip("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), text)
        )
        changes = sum(len(values) for values in profiles.load(name).values())
        lines.append(f"| `{name}` | {about} ({changes} parameters differ) |")
    return "\n".join(lines)


def fill(text: str, record: Record, own_images: Mapping[str, Any] | None, folder: str) -> str:
    """Return a document with new tables between its markers.

    Args:
        text: the document.
        record: as `collect` returns it.
        own_images: as for `runs_table`.
        folder: the folder of the notebooks, relative to the document.
    """
    tables = {
        "stages": lambda: stage_table(record).format(folder=folder),
        "minutes": lambda: minutes_table(record).format(folder=folder),
        "results": lambda: results_table(record),
        "runs": lambda: runs_table(record, own_images),
        "profiles": profile_table,
    }
    return PLACE.sub(lambda match: f"{match[1]}{tables[match[2]]()}\n<!-- end -->", text)


def stored(path: Path) -> Any:
    """Return the content of a JSON file below the project's root, or None without such a file."""
    file = paths.project_root() / path
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def main() -> None:
    """Collect the results of complete runs, and fill the tables."""
    root = paths.project_root()
    record = collect(stored(RECORD) or {})
    manifests.write_json(root / RECORD, record)
    for document, folder in (("README.md", "notebooks/"), ("notebooks/README.md", "")):
        path = root / document
        text = path.read_text(encoding="utf-8")
        path.write_text(fill(text, stored(RECORD), stored(OWN_IMAGES), folder), encoding="utf-8")
        print(document)


if __name__ == "__main__":
    try:
        main()
    except OsemnError as error:
        sys.exit(f"Failed: {error}")
