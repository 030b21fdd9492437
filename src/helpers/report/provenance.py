"""The provenance of the report: machine, versions, seeds, parameters of each stage, and openings of the test set."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from helpers.obtain import ledger
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
    """Return a row for each stage and profile that opened these test images: how often, for which models, first and last time.

    Other copies of the project on this machine have rows of their own, with `other` true.
    """
    recorded = ledger.read(ledger.of_manifest(series.by_name["01_acquire"].manifest))
    entries = pd.DataFrame(recorded, columns=["stage", "profile", "copy", "models", "opened"])
    entries["other"] = entries.pop("copy") != ledger.this_copy()
    return [
        {
            **dict(zip(("other", "profile", "stage"), key, strict=True)),
            "times": len(rows),
            "models": sorted(set(rows["models"].explode())),
            "first": rows["opened"].min(),
            "last": rows["opened"].max(),
        }
        for key, rows in entries.groupby(["other", "profile", "stage"])
    ]
