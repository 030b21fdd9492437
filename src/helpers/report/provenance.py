"""Where the report comes from: machine, versions, seeds, each stage's parameters, and every opening of the test set."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from helpers import paths
from helpers.obtain import data
from helpers.report import collect

COMMON = ("dataset", "profile", "seed")


@dataclass(frozen=True)
class Opening:
    """How often a stage opened the test images.

    Attributes:
        stage: its name.
        times: how often.
        models: how many different models were scored.
        first: when for the first time, ISO 8601.
        last: when for the last time.
    """

    stage: str
    times: int
    models: int
    first: str
    last: str


def facts(series: collect.Series) -> list[tuple[str, str]]:
    """Return machine, versions and seeds; values that differ between stages are all shown."""
    whole = [record.manifest for record in series.records if record.whole]
    versions = {f"{name} {version}" for manifest in whole for name, version in manifest["versions"].items()}
    seeds = sorted({str(manifest["seed"]) for manifest in whole})
    return [
        (
            "Machine",
            "; ".join(sorted({f"{manifest['cpu']}, {manifest['cores']} cores" for manifest in whole})),
        ),
        ("Versions", ", ".join(sorted(versions))),
        ("Seed" if len(seeds) == 1 else "Seeds", ", ".join(seeds)),
    ]


def finished(series: collect.Series) -> tuple[str, str]:
    """Return when the first and the last stage ended, ISO 8601."""
    ends = sorted(record.manifest["finished"] for record in series.records if record.whole)
    return ends[0], ends[-1]


def parameters(series: collect.Series) -> list[tuple[collect.Record, list[tuple[str, Any]]]]:
    """Return each finished notebook's own parameters and their values, those common to all left out."""
    found = []
    for record in series.records:
        values = record.manifest.get("parameters", {})
        own = [(name, value) for name, value in values.items() if name not in (*COMMON, "candidate")]
        first = not record.stage.candidate or record.stage.candidate == _first_candidate(series, record)
        if own and first:
            found.append((record, own))
    return found


def _first_candidate(series: collect.Series, record: collect.Record) -> str:
    """Return the first candidate that the record's notebook was run for with these parameters."""

    def own(other: collect.Record) -> dict[str, Any]:
        return {name: value for name, value in other.manifest["parameters"].items() if name != "candidate"}

    same = [
        other
        for other in series.records
        if other.whole and other.stage.notebook == record.stage.notebook and own(other) == own(record)
    ]
    return same[0].stage.candidate


def openings(series: collect.Series) -> list[Opening]:
    """Return the ledger of the test set: how often each stage opened it, in the order of the stages."""
    path = paths.run_folder(series.dataset, series.profile) / data.LEDGER
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    entries = [json.loads(line) for line in lines if line.strip()]
    times = Counter(entry["stage"] for entry in entries)
    found = []
    for stage in sorted(times):
        mine = [entry for entry in entries if entry["stage"] == stage]
        when = sorted(entry["opened"] for entry in mine)
        models = len({entry["model_sha256"] for entry in mine})
        found.append(Opening(stage, times[stage], models, when[0], when[-1]))
    return found
