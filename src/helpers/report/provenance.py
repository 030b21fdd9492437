"""The provenance of the report: machine, versions, seeds, parameters of each stage, and openings of the test set."""

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
    """The openings of the test images by one stage.

    Attributes:
        stage: its name.
        times: number of openings.
        models: number of different models scored.
        first: time of the first opening, ISO 8601.
        last: time of the last opening.
    """

    stage: str
    times: int
    models: int
    first: str
    last: str


def facts(series: collect.Series) -> list[tuple[str, str]]:
    """Return machine, versions and seeds; all values where stages differ."""
    intact = [record.manifest for record in series.records if record.intact]
    versions = {f"{name} {version}" for manifest in intact for name, version in manifest["versions"].items()}
    seeds = sorted({str(manifest["seed"]) for manifest in intact})
    return [
        (
            "Machine",
            "; ".join(sorted({f"{manifest['cpu']}, {manifest['cores']} cores" for manifest in intact})),
        ),
        ("Versions", ", ".join(sorted(versions))),
        ("Seed" if len(seeds) == 1 else "Seeds", ", ".join(seeds)),
    ]


def finished(series: collect.Series) -> tuple[str, str]:
    """Return the times at which the first and the last stage ended, ISO 8601."""
    ends = sorted(record.manifest["finished"] for record in series.records if record.intact)
    return ends[0], ends[-1]


def parameters(series: collect.Series) -> list[tuple[collect.Record, list[tuple[str, Any]]]]:
    """Return the parameters of each finished notebook, without those that all notebooks share."""
    rows = []
    for record in series.records:
        values = record.manifest.get("parameters", {})
        own = [(name, value) for name, value in values.items() if name not in (*COMMON, "candidate")]
        first = not record.stage.candidate or record.stage.candidate == _first_candidate(series, record)
        if own and first:
            rows.append((record, own))
    return rows


def _first_candidate(series: collect.Series, record: collect.Record) -> str:
    """Return the first candidate for which the record's notebook ran with these parameters."""

    def own(other: collect.Record) -> dict[str, Any]:
        return {name: value for name, value in other.manifest["parameters"].items() if name != "candidate"}

    same = [
        other
        for other in series.records
        if other.intact and other.stage.notebook == record.stage.notebook and own(other) == own(record)
    ]
    return same[0].stage.candidate


def openings(series: collect.Series) -> list[Opening]:
    """Return the openings of the test set by stage, from its ledger."""
    path = paths.run_folder(series.dataset, series.profile) / data.LEDGER
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    entries = [json.loads(line) for line in lines if line.strip()]
    times = Counter(entry["stage"] for entry in entries)
    rows = []
    for stage in sorted(times):
        mine = [entry for entry in entries if entry["stage"] == stage]
        when = sorted(entry["opened"] for entry in mine)
        models = len({entry["model_sha256"] for entry in mine})
        rows.append(Opening(stage, times[stage], models, when[0], when[-1]))
    return rows
