"""Accepts a run: writes down what later runs are compared with."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.errors import OsemnError
from helpers.export import registry
from helpers.report import collect, models
from helpers.report.regression import reference, thumbnails
from helpers.series import manifests

LIMIT = 400_000
_OF_CHAMPION = {
    reference.EVALUATION: (
        "confusion_matrix",
        "scores_by_class",
        "reliability",
        "learning_curves",
        "misclassified",
    ),
    "08_grad_cam": ("maps_wrong",),
}
_OF_SERIES = {
    "04_baseline": ("return_on_complexity",),
    reference.EXPORT: ("formats",),
    "11_serving": ("latency_and_throughput",),
    "12_report": ("accuracy_against_cost", "business_value"),
}


def accept(dataset: str, profile: str) -> Path:
    """Make the present run of a data set and profile the one that later runs are compared with; return its file.

    The file that was there before stays as it is until the new one is whole: figures go by the hash of their content, and
    the file that names them is written last.

    Args:
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.

    Raises:
        OsemnError: nothing has been run; a stage is not done, or changed while it was read; the files cannot be written.
    """
    series = collect.collect(dataset, profile)
    require_whole(series, "accepted")
    content, copies = build(series)
    file = reference.reference_file(dataset, profile)
    folder = file.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, copy in copies.items():
            registry.write_whole(folder / name, copy)
        manifests.write_json(file, content)
        for old in folder.glob("*.webp"):
            if old.name not in copies:
                old.unlink()
    except OSError as error:
        raise OsemnError(
            f"The run could not be written to {paths.shown(file)}: {error.strerror}.",
            "see that there is room and the folder may be written to, then accept again; what was accepted before is whole",
        ) from None
    return file


def require_whole(series: collect.Series, what: str) -> None:
    """Refuse a series of which a stage is not done.

    Args:
        series: it.
        what: what cannot be done with it: "accepted" or "checked".

    Raises:
        OsemnError: a stage is not done; the message names all such stages and what to run.
    """
    missing = [record for record in series.records if record.state != collect.DONE]
    if missing:
        listed = "; ".join(
            f"{record.stage.name} is {record.state}" + (f" ({record.reason})" if record.reason else "")
            for record in missing
        )
        raise OsemnError(f"Only a whole series can be {what}: {listed}.", f"run the rest: {series.command}")


def build(series: collect.Series) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a reference's content, and the small figures beside it by the names of their files.

    Args:
        series: of which every stage is done.

    Raises:
        OsemnError: no candidate's predictions are there, or not the champion's; a stage changed while it was read.
    """
    candidates, champion = reference.evaluated(series), reference.champion(series)
    if champion not in candidates:
        stage = f"{reference.EVALUATION}/{champion}" if champion else reference.EXPORT
        raise OsemnError(
            f"{stage} left no predictions to compare later runs with.", f"run it again: {series.command}"
        )
    whole = [record.manifest for record in series.records]
    content = {
        "schema": reference.SCHEMA,
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": paths.dataset_slug(series.dataset),
        "profile": series.profile,
        "champion": champion,
        "candidates": {name: _entry(found) for name, found in candidates.items()},
        "validation": validation(series),
        "seconds": seconds(series),
        **environment(whole),
        "figures": figures(series),
    }
    room = LIMIT - len(json.dumps(content, indent=2, ensure_ascii=False).encode())
    content["pictures"], copies = _pictures(series, champion, room)
    return {**content, "sha256": reference.content_sha256(content)}, copies


def _entry(found: reference.AcceptedCandidate) -> dict[str, Any]:
    return {
        "label": found.label,
        "n": found.n,
        "accuracy": found.accuracy,
        "macro_f1": found.macro_f1,
        "ece": found.ece,
        "class_names": list(found.class_names),
        "confusion": [" ".join(map(str, row)) for row in found.confusion.tolist()],
        "predicted": reference.pack(found.predicted, len(found.class_names)),
        "labels_sha256": found.labels_sha256,
        "images_sha256": found.images_sha256,
    }


def validation(series: collect.Series) -> dict[str, float]:
    """Return the accuracy on the validation images of every model that the stages compared, by what it is called."""
    metrics = {record.stage.name: record.metrics for record in series.records if record.whole}
    return {model.label: model.accuracy for model in models.models(metrics)}


def seconds(series: collect.Series) -> dict[str, float]:
    """Return how long each stage took, as far as it is known."""
    return {
        record.stage.name: float(record.seconds) for record in series.records if record.seconds is not None
    }


def environment(whole: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return seeds, machines and versions that manifests name, each value once."""
    whole = list(whole)
    versions: dict[str, set[str]] = {}
    for manifest in whole:
        for name, version in manifest["versions"].items():
            versions.setdefault(name, set()).add(version)
    return {
        "seeds": sorted({str(manifest["seed"]) for manifest in whole}),
        "machines": sorted({f"{manifest['cpu']}, {manifest['cores']} cores" for manifest in whole}),
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
    }


def figures(series: collect.Series) -> dict[str, dict[str, str]]:
    """Return the sha256 of every figure, by stage and file."""
    found = {}
    for record in series.records:
        outputs = record.manifest.get("outputs", {})
        mine = {name: about["sha256"] for name, about in outputs.items() if name.startswith("figures/")}
        if mine:
            found[record.stage.name] = mine
    return found


def _pictures(
    series: collect.Series, champion: str, room: int
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return what a reference says of its small figures, and the figures by the names of their files."""
    wanted = [(f"{notebook}/{champion}", name) for notebook, names in _OF_CHAMPION.items() for name in names]
    wanted += [(stage, name) for stage, names in _OF_SERIES.items() for name in names]
    drawn = {}
    for stage, name in wanted:
        record, file = series.by_name[stage], f"figures/{name}.png"
        if record.holds(file):
            drawn[stage, file] = (reference.content_of(record, file), paths.shown(record.folder / file))
    entries, copies = [], {}
    for (stage, name), small in thumbnails.fit(drawn, room, spare=400).items():
        file = f"{stage.replace('/', '-')}-{Path(name).stem}.{small.sha256[:12]}.webp"
        copies[file] = small.content
        entries.append(
            {
                "stage": stage,
                "name": name,
                "file": file,
                "sha256": small.sha256,
                "alt": small.alt,
                "width": small.width,
                "height": small.height,
            }
        )
    return entries, copies
