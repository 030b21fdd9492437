"""Writes the tables of README.md and notebooks/README.md from the stage table and a run's metrics.

The figures of the last quick run on this machine, and the seconds of each whole run of a built-in data set, are kept in
`benchmarks/results/series.json`, so that the tables can be made, and checked by a test, where nothing has been run. Run
`make readme`.
"""

import contextlib
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

from helpers import manifests, parameters, paths, stages, wording
from helpers.errors import MissingInputError, OsemnError
from helpers.report import compared

RECORD = Path("benchmarks") / "results" / "series.json"
PROFILES = {"smoke": "digits", "quick": "fashion_mnist", "standard": "fashion_mnist", "full": "fashion_mnist"}
"""Each profile with the data set whose minutes the table of notebooks shows."""
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?<!-- end -->", re.DOTALL)


def collect(dataset: str, profile: str) -> dict[str, Any]:
    """Return what the tables need of a finished run.

    Raises:
        MissingInputError: a stage has not been run, or is not whole.
    """
    found: dict[str, Any] = {"dataset": dataset, "profile": profile, "stages": {}}
    for stage in stages.STAGES:
        folder = paths.stage_folder(dataset, profile, stage.name)
        manifest = manifests.require(folder, stage.name)
        found["stages"][stage.name] = {
            "seconds": _seconds(manifest),
            "peak_memory_mb": manifest.get("peak_memory_mb"),
        }
        found.update(
            cpu=manifest["cpu"], cores=manifest["cores"], finished=manifest["finished"], seed=manifest["seed"]
        )
    warm_up = json.loads((paths.stage_folder(dataset, profile, "00_warm_up") / "metrics.json").read_text())
    found["models"] = models(dataset, profile)
    found["tested"] = tested(dataset, profile)
    found["warm_up"] = {key: warm_up[key] for key in warm_up if key.startswith(("dense_", "logistic_"))}
    return found


def _seconds(manifest: dict[str, Any]) -> int:
    return round(manifest.get("notebook_seconds", manifest["seconds"]))


def times(known: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of each stage, and the machine, of each whole run of a built-in data set.

    Args:
        known: what was recorded before; it stays where there is no whole run now. Keys are `dataset/profile`.
    """
    found = dict(known)
    for dataset in paths.BUILT_IN_DATASETS:
        for profile in PROFILES:
            with contextlib.suppress(MissingInputError):
                found[f"{dataset}/{profile}"] = timed(dataset, profile)
    return found


def timed(dataset: str, profile: str) -> dict[str, Any]:
    """Return the seconds of each stage of a whole run, and the machine of its last stage.

    Raises:
        MissingInputError: a stage has not been run, or is not whole.
    """
    run = {
        stage.name: manifests.require(paths.stage_folder(dataset, profile, stage.name), stage.name)
        for stage in stages.STAGES
    }
    last = max(run.values(), key=lambda manifest: manifest["finished"])
    return {
        **{key: last[key] for key in ("cpu", "cores", "finished")},
        "seconds": {name: _seconds(manifest) for name, manifest in run.items()},
    }


def models(dataset: str, profile: str) -> dict[str, Any]:
    """Return the models of every stage that fits some, each with the stage's name.

    Raises:
        OsemnError: two stages logged a model under the same name.
    """
    found: dict[str, Any] = {}
    for stage in compared.STAGES:
        metrics = json.loads((paths.stage_folder(dataset, profile, stage) / "metrics.json").read_text())
        for name, row in metrics["models"].items():
            if name in found:
                raise OsemnError(
                    f"{found[name]['stage']} and {stage} both logged a model named '{name}'.",
                    "give one of them another name in its notebook",
                )
            found[name] = {**row, "stage": stage}
    return found


def tested(dataset: str, profile: str) -> dict[str, Any]:
    """Return what each candidate reaches on the test images, and how often these had been opened by then."""
    found = {}
    for candidate in stages.CANDIDATES:
        path = paths.stage_folder(dataset, profile, f"07_evaluation/{candidate}") / "metrics.json"
        logged = json.loads(path.read_text())
        found[candidate] = {key: logged[key] for key in ("accuracy", "accuracy_ci95", "n", "test_openings")}
    return found


def stage_table(record: dict[str, Any]) -> str:
    """Return the table of notebooks with the seconds of the recorded quick run, in Markdown."""
    lines = [
        "| notebook | OSEMN | reads | leaves beside `metrics.json` | seconds at quick |",
        "|---|---|---|---|---|",
    ]
    for notebook in sorted(stages.NOTEBOOKS):
        runs = stages.of_notebook(notebook)
        seconds = [record["stages"].get(run.name, {}).get("seconds", "–") for run in runs]
        lines.append(f"| {_about(notebook)} | {' + '.join(str(value) for value in seconds)} |")
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


def minutes_table(record: dict[str, Any]) -> str:
    """Return the table of notebooks with their minutes at each profile, and what they were measured on, in Markdown."""
    lines = [
        f"| notebook | OSEMN | reads | leaves beside `metrics.json` | {' | '.join(f'`{name}`' for name in PROFILES)} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    recorded = record.get("times", {})
    shown = {profile: recorded.get(f"{dataset}/{profile}") for profile, dataset in PROFILES.items()}
    for notebook in sorted(stages.NOTEBOOKS):
        names = [stage.name for stage in stages.of_notebook(notebook)]
        cells = " | ".join(_minutes(run, names) for run in shown.values())
        lines.append(f"| {_about(notebook)} | {cells} |")
    every = [stage.name for stage in stages.STAGES]
    lines.append(f"| all | | | | {' | '.join(_minutes(run, every) for run in shown.values())} |")
    return "\n".join([*lines, "", _measured_on(recorded)])


def _minutes(run: dict[str, Any] | None, names: list[str]) -> str:
    """Return the minutes of some stages of a run together; a dash where one of them was not run."""
    if run is None or not set(names) <= set(run["seconds"]):
        return "–"
    minutes = max(0.1, sum(run["seconds"][name] for name in names) / 60)
    return f"{minutes:.1f}" if minutes < 9.95 else f"{minutes:,.0f}"


def _measured_on(recorded: dict[str, Any]) -> str:
    """Return for each recorded run what its minutes are of."""
    runs = []
    for profile in PROFILES:
        for dataset in paths.BUILT_IN_DATASETS:
            run = recorded.get(f"{dataset}/{profile}")
            if run is not None:
                runs.append(
                    f"{wording.dataset_title(dataset)} at `{profile}`: {_minutes(run, list(run['seconds']))} in all, on "
                    f"{run['cores']} cores of {run['cpu']}, {run['finished'][:10]}."
                )
    return " ".join(["Minutes, kernel start included; a dash where no whole run is on record.", *runs])


def results_table(record: dict[str, Any]) -> str:
    """Return the results with their intervals and the machine, in Markdown."""
    lines = [
        "| model | notebook | validation accuracy | 95 % interval | test accuracy | 95 % interval | macro-F1 | parameters "
        "| training images | seconds to fit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in sorted(record["models"].items(), key=lambda item: item[1]["accuracy"]):
        low, high = row["accuracy_ci95"]
        on_test = record["tested"].get(name)
        shown = "– | –"
        if on_test:
            shown = f"{on_test['accuracy']:.1%} | {on_test['accuracy_ci95'][0]:.1%} – {on_test['accuracy_ci95'][1]:.1%}"
        lines.append(
            f"| {row['label']} | `{row.get('stage', compared.BASELINE)[:2]}` "
            f"| {row['accuracy']:.1%} | {low:.1%} – {high:.1%} | {shown} | {row['macro_f1']:.3f} "
            f"| {row['parameters']:,} | {row['samples']:,} | {row['fit_seconds']:.1f} |"
        )
    n = next(iter(record["models"].values()))["n"]
    first = next(iter(record["tested"].values()))
    note = (
        f"{record['dataset']}, profile {record['profile']}, seed {record['seed']}, {n:,} validation images; Wilson "
        f"intervals; {record['cores']} cores of {record['cpu']}, {record['finished'][:10]}. "
        f"Only candidates for the champion are scored on the {first['n']:,} test images; nothing is chosen by them."
    )
    return "\n".join([*lines, "", note])


def profile_table() -> str:
    """Return what each profile changes, in Markdown."""
    lines = ["| profile | what it changes |", "|---|---|"]
    for name in ("smoke", "quick", "standard", "full"):
        text = paths.profile_file(name).read_text(encoding="utf-8").splitlines()
        about = " ".join(
            line.lstrip("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), text)
        )
        changes = sum(len(values) for values in parameters.load_profile(name).values())
        lines.append(f"| `{name}` | {about} ({changes} parameters differ) |")
    return "\n".join(lines)


def fill(text: str, record: dict[str, Any], folder: str) -> str:
    """Return a document with the tables between its markers made anew."""
    tables = {
        "stages": stage_table(record).format(folder=folder),
        "minutes": minutes_table(record).format(folder=folder),
        "results": results_table(record),
        "profiles": profile_table(),
    }
    return PLACE.sub(lambda match: f"{match[1]}{tables[match[2]]}\n<!-- end -->", text)


def main() -> None:
    """Collect the figures where there is a finished run, and fill the tables."""
    root = paths.project_root()
    path = root / RECORD
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    recorded = times(record.get("times", {}))
    try:
        record = collect("fashion_mnist", "quick")
    except OsemnError as error:
        print(f"The tables keep the recorded figures: {error}")
    path.parent.mkdir(parents=True, exist_ok=True)
    manifests.write_json(path, {**record, "times": recorded})
    record = json.loads(path.read_text(encoding="utf-8"))
    for document, folder in (("README.md", "notebooks/"), ("notebooks/README.md", "")):
        path = root / document
        path.write_text(fill(path.read_text(encoding="utf-8"), record, folder), encoding="utf-8")
        print(document)


if __name__ == "__main__":
    try:
        main()
    except OsemnError as error:
        sys.exit(f"Failed: {error}")
