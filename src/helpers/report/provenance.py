"""The provenance of the report: machine, versions, seeds, parameters of each stage, and openings of the test set."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from helpers import paths
from helpers.obtain import data
from helpers.report import collect

COMMON = ("dataset", "profile", "seed", "candidate")


def environment(run: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the seeds, machines and versions in manifests, each value once."""
    run = list(run)
    versions: dict[str, set[str]] = {}
    for manifest in run:
        for name, version in manifest["versions"].items():
            versions.setdefault(name, set()).add(version)
    return {
        "seeds": sorted({str(manifest["seed"]) for manifest in run}),
        "machines": sorted({f"{manifest['cpu']}, {manifest['cores']} cores" for manifest in run}),
        "versions": {name: sorted(values) for name, values in sorted(versions.items())},
    }


def facts(series: collect.Series) -> list[tuple[str, str]]:
    """Return machine, versions and seeds; all values where stages differ."""
    values = environment(record.manifest for record in series.records if record.intact)
    versions = [f"{name} {version}" for name, several in values["versions"].items() for version in several]
    return [
        ("Machine", "; ".join(values["machines"])),
        ("Versions", ", ".join(versions)),
        ("Seed" if len(values["seeds"]) == 1 else "Seeds", ", ".join(values["seeds"])),
    ]


def parameters(series: collect.Series) -> list[tuple[collect.Record, list[tuple[str, Any]]]]:
    """Return the parameters of each finished notebook, without those that all share; once if they are the same for all candidates."""
    rows, listed = [], []
    for record in series.records:
        values = record.manifest.get("parameters", {})
        own = [(name, value) for name, value in values.items() if name not in COMMON]
        if own and (record.stage.notebook, own) not in listed:
            rows.append((record, own))
            listed.append((record.stage.notebook, own))
    return rows


def openings(series: collect.Series) -> list[dict[str, Any]]:
    """Return a row for each stage that opened the test set: how often, for how many models, first and last time (ISO 8601)."""
    path = paths.run_folder(series.dataset, series.profile) / data.LEDGER
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    entries = [json.loads(line) for line in lines if line.strip()]
    by_stage = pd.DataFrame(entries, columns=["stage", "opened", "model_sha256"]).groupby("stage")
    rows = by_stage.agg(
        times=("opened", "size"),
        models=("model_sha256", "nunique"),
        first=("opened", "min"),
        last=("opened", "max"),
    )
    return rows.reset_index().to_dict("records")
