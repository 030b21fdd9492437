"""Accepts a run: writes the reference to which later runs are compared."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.errors import OsemnError
from helpers.report import collect, models, provenance
from helpers.report.regression import reference
from helpers.series import manifests


def accept(dataset: str, profile: str) -> Path:
    """Accept the present run of a data set and profile as the reference; return the reference's file.

    Args:
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.

    Raises:
        OsemnError: a stage is not done, or changed while it was read; the file cannot be written.
    """
    series = collect.collect(dataset, profile)
    require_complete(series, "accepted")
    content, file = build(series), reference.reference_file(dataset, profile)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        manifests.write_json(file, content)
        for figure in file.with_suffix("").glob("*.webp"):  # of an earlier version, which also saved figures
            figure.unlink()
    except OSError as error:
        raise OsemnError(
            f"The run could not be written to {paths.shown(file)}: {error.strerror}.",
            "check the disk space and the folder's permissions, then accept again; the earlier reference is intact",
        ) from None
    return file


def require_complete(series: collect.Series, done: str) -> None:
    """Refuse a series with a stage that is not done.

    Args:
        series: the present run.
        done: the step that needs it, as a participle: "accepted" or "checked".

    Raises:
        OsemnError: a stage is not done; the message lists all such stages and the command that runs them.
    """
    missing = [record for record in series.records if record.state != collect.DONE]
    if missing:
        listed = "; ".join(
            f"{record.stage.name} is {record.state}" + (f" ({record.reason})" if record.reason else "")
            for record in missing
        )
        raise OsemnError(
            f"Only a complete series can be {done}: {listed}.", f"run the other stages: {series.command}"
        )


def build(series: collect.Series) -> dict[str, Any]:
    """Return the content of a reference.

    Args:
        series: a complete run.

    Raises:
        OsemnError: the champion has no predictions; a stage changed while it was read.
    """
    candidates, champion = reference.evaluated(series), reference.champion(series)
    if champion not in candidates:
        stage = f"{reference.EVALUATION}/{champion}" if champion else reference.EXPORT
        raise OsemnError(
            f"{stage} left no predictions for the comparison with later runs.",
            f"run it again: {series.command}",
        )
    content = {
        "schema": reference.SCHEMA,
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": paths.dataset_slug(series.dataset),
        "profile": series.profile,
        "champion": champion,
        "candidates": {name: _entry(candidate) for name, candidate in candidates.items()},
        "validation": validation(series),
        **provenance.environment(record.manifest for record in series.records),
    }
    return {**content, "sha256": reference.content_sha256(content)}


def _entry(candidate: reference.AcceptedCandidate) -> dict[str, Any]:
    scores = ("label", "n", "accuracy", "macro_f1", "ece", "labels_sha256", "images_sha256")
    return {
        **{name: getattr(candidate, name) for name in scores},
        "class_names": list(candidate.class_names),
        "confusion": [" ".join(map(str, row)) for row in candidate.confusion.tolist()],
        "predicted": reference.pack(candidate.predicted, len(candidate.class_names)),
    }


def validation(series: collect.Series) -> dict[str, float]:
    """Return the validation accuracy of every compared model, by label."""
    metrics = {record.stage.name: record.metrics for record in series.records if record.intact}
    return {model.label: model.accuracy for model in models.list_models(metrics)}
