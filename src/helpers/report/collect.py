"""Gathers what the finished stages of one run left behind, each checked against its manifest."""

import json
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from helpers import paths, wording
from helpers.errors import MissingInputError, OsemnError
from helpers.series import manifests, stages

NOTEBOOK = "notebook.ipynb"
METRICS = "metrics.json"
METRICS_FOLDER = "metrics"
DONE, OUTDATED, BY_HAND, DAMAGED, NOT_RUN = "done", "outdated", "run by hand", "damaged", "not run"


@dataclass(frozen=True)
class Record:
    """What is known of one stage.

    Attributes:
        stage: its entry in the table of stages.
        folder: where its files are.
        state: "done", "outdated", "run by hand", "damaged" or "not run".
        reason: why it is not done, in words.
        command: what to type to have it done.
        manifest: its manifest, where its files are whole.
        metrics: the content of its `metrics.json`, where its files are whole.
    """

    stage: stages.Stage
    folder: Path
    state: str
    reason: str
    command: str
    manifest: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """True if its files are there as its manifest lists them."""
        return bool(self.manifest)

    @property
    def page(self) -> str | None:
        """The name of its page, or None where there is no executed notebook to show."""
        return f"{self.stage.slug}.html" if NOTEBOOK in self.manifest.get("outputs", {}) else None

    @property
    def metrics_file(self) -> Path | None:
        """Its `metrics.json`, or None."""
        return self.folder / METRICS if METRICS in self.manifest.get("outputs", {}) else None

    @property
    def metrics_copy(self) -> str:
        """The name of the copy of its metrics inside the report's folder."""
        return f"{METRICS_FOLDER}/{self.stage.slug}.json"

    @property
    def metrics_shown(self) -> str:
        """Where its metrics come from, as shown to readers."""
        return f"{self.stage.name}/{METRICS}"

    @property
    def seconds(self) -> float | None:
        """How long it took, in seconds: the whole notebook where that was measured."""
        return self.manifest.get("notebook_seconds", self.manifest.get("seconds"))

    def holds(self, name: str) -> bool:
        """Tell whether its manifest lists a file of that name."""
        return name in self.manifest.get("outputs", {})


@dataclass(frozen=True)
class Series:
    """All stages of one data set and profile.

    Attributes:
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.
        records: one for each stage of the series, in order.
    """

    dataset: str
    profile: str
    records: tuple[Record, ...]

    @property
    def title(self) -> str:
        """What the data set is called."""
        return wording.dataset_title(self.dataset)

    @property
    def command(self) -> str:
        """What to type to have all stages done."""
        return shlex.join(["osemn", "run", "--dataset", self.dataset, "--profile", self.profile])

    @property
    def pages(self) -> tuple[Record, ...]:
        """The stages that have a page."""
        return tuple(record for record in self.records if record.page)

    @cached_property
    def by_name(self) -> dict[str, Record]:
        """The records by stage."""
        return {record.stage.name: record for record in self.records}


def template_folder() -> Path:
    """Return the folder of the report's templates, style and script."""
    inside = Path("reports") / "template"
    mine = paths.project_root() / inside
    return mine if mine.is_dir() else Path(__file__).resolve().parents[3] / inside


def collect(dataset: str, profile: str) -> Series:
    """Return what each stage left, checked by hash.

    Raises:
        OsemnError: nothing has been run.
        MissingInputError: an executed notebook was changed after it was written.
    """
    run = Series(dataset, profile, ()).command
    manifest_by_stage = {
        stage.name: manifests.read(paths.stage_folder(dataset, profile, stage.name))
        for stage in stages.STAGES
    }
    if not any(manifest_by_stage.values()):
        raise OsemnError(
            f"There is nothing to report: no stage has been run in {paths.shown(paths.run_folder(dataset, profile))}.",
            f"run '{run}' first",
        )
    records = [
        _record(stage, paths.stage_folder(dataset, profile, stage.name), manifest_by_stage, run)
        for stage in stages.STAGES
    ]
    return Series(dataset, profile, tuple(records))


def _record(stage: stages.Stage, folder: Path, manifest_by_stage: dict[str, Any], run: str) -> Record:
    manifest = manifest_by_stage[stage.name]
    command = f"{run} --until {stage.name}"
    if manifest is None:
        return Record(stage, folder, NOT_RUN, "there is no manifest", command)
    found = manifests.faults(folder, manifest)
    _refuse_changed_notebook(folder / NOTEBOOK, found, command)
    if found:
        return Record(stage, folder, DAMAGED, "; ".join(found), command)
    metrics = (
        json.loads((folder / METRICS).read_text(encoding="utf-8")) if METRICS in manifest["outputs"] else {}
    )
    changed = _changed_inputs(manifest, manifest_by_stage)
    if NOTEBOOK not in manifest["outputs"]:
        state, reason = BY_HAND, "it was run by hand, so there is no executed notebook to show"
    elif changed:
        state, reason = OUTDATED, f"made from an earlier state of {', '.join(changed)}"
    else:
        state, reason = DONE, ""
    return Record(stage, folder, state, reason, command, manifest, metrics)


def _refuse_changed_notebook(notebook: Path, found: list[str], command: str) -> None:
    """Refuse to show a notebook that is not the one that ran; a notebook that is gone is only listed."""
    mine = [fault for fault in found if fault.startswith(f"{paths.shown(notebook)} ")]
    if mine and notebook.is_file():
        raise MissingInputError(f"{mine[0]}, so it is not what ran.", f"run it again: {command}")


def _changed_inputs(manifest: dict[str, Any], manifest_by_stage: dict[str, Any]) -> list[str]:
    """Return the stages whose files are no longer those that this stage read."""
    changed = []
    for name, digest in manifest.get("inputs", {}).items():
        stage, file = stages.split_input(name)
        if not stage:
            continue
        if manifests.output_sha256(manifest_by_stage[stage], file) != digest and stage not in changed:
            changed.append(stage)
    return changed
