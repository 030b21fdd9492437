"""Collects the files of the finished stages of one run, each checked against its manifest."""

import json
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
    """The state of one stage and its metrics.

    Attributes:
        stage: its entry in the table of stages.
        folder: the folder of its files.
        state: "done", "outdated", "run by hand", "damaged" or "not run".
        reason: why it is not done.
        command: the command that runs it.
        manifest: its manifest; empty unless its files are intact.
        metrics: the content of its `metrics.json`; empty unless its files are intact.
    """

    stage: stages.Stage
    folder: Path
    state: str
    reason: str
    command: str
    manifest: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def intact(self) -> bool:
        """True if its files match its manifest."""
        return bool(self.manifest)

    @property
    def title(self) -> str:
        """The title of its stage, with the candidate's name in sentences where it logged that."""
        kind = self.stage.title.partition(":")[0]
        return (
            f"{kind}: {self.metrics['label']}"
            if self.stage.candidate and "label" in self.metrics
            else self.stage.title
        )

    @property
    def page(self) -> str | None:
        """The name of its page, or None without an executed notebook."""
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
        """The path of its metrics, as shown to readers."""
        return f"{self.stage.name}/{METRICS}"

    @property
    def seconds(self) -> float | None:
        """Its run time in seconds, kernel start included where that was measured."""
        return self.manifest.get("notebook_seconds", self.manifest.get("seconds"))

    def holds(self, name: str) -> bool:
        """Return True if its manifest lists a file of that name."""
        return name in self.manifest.get("outputs", {})


@dataclass(frozen=True)
class Series:
    """All stages of one data set and profile.

    Attributes:
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.
        records: one per stage, in order.
    """

    dataset: str
    profile: str
    records: tuple[Record, ...]

    @property
    def title(self) -> str:
        """The title of the data set."""
        return wording.dataset_title(self.dataset)

    @property
    def command(self) -> str:
        """The command that runs all stages."""
        return manifests.command(self.dataset, self.profile)

    @property
    def finished(self) -> str:
        """The time at which the last stage ended, ISO 8601."""
        return max(record.manifest["finished"] for record in self.records if record.intact)

    @property
    def pages(self) -> tuple[Record, ...]:
        """The stages that have a page, in the order in which they ran."""
        return tuple(record for record in self.records if record.page)

    @cached_property
    def by_name(self) -> dict[str, Record]:
        """The records by stage."""
        return {record.stage.name: record for record in self.records}


def template_folder() -> Path:
    """Return the folder with the report's templates, style and script."""
    inside = Path("reports") / "template"
    mine = paths.project_root() / inside
    return mine if mine.is_dir() else Path(__file__).resolve().parents[3] / inside


def glossary_file() -> Path:
    """Return the glossary, as Markdown."""
    return Path(__file__).resolve().parents[3] / "docs" / "glossary.md"


def collect(dataset: str, profile: str) -> Series:
    """Return the records of all stages, checked by hash.

    Raises:
        OsemnError: no stage has been run.
        MissingInputError: an executed notebook was changed after it was written.
    """
    dataset = paths.recorded_dataset(dataset)
    run = Series(dataset, profile, ()).command
    folders = {stage.name: paths.stage_folder(dataset, profile, stage.name) for stage in stages.STAGES}
    manifest_by_stage = {name: manifests.read(folder) for name, folder in folders.items()}
    if not any(manifest_by_stage.values()):
        raise OsemnError(
            f"There is nothing to report: no stage has been run in {paths.shown(paths.run_folder(dataset, profile))}.",
            f"run '{run}' first",
        )
    records = tuple(_record(stage, folders[stage.name], manifest_by_stage, run) for stage in stages.STAGES)
    return Series(dataset, profile, records)


def _record(stage: stages.Stage, folder: Path, manifest_by_stage: dict[str, Any], run: str) -> Record:
    manifest = manifest_by_stage[stage.name]
    command = f"{run} --until {stage.name}"
    if manifest is None:
        return Record(stage, folder, NOT_RUN, "there is no manifest", command)
    faults = manifests.faults(folder, manifest)
    _refuse_changed_notebook(folder / NOTEBOOK, faults, command)
    if faults:
        return Record(stage, folder, DAMAGED, "; ".join(faults), command)
    metrics = (
        json.loads((folder / METRICS).read_text(encoding="utf-8")) if METRICS in manifest["outputs"] else {}
    )
    files = manifests.changed_inputs(manifest, manifest_by_stage)
    changed = list(dict.fromkeys(stages.split_input(name)[0] for name in files))
    if NOTEBOOK not in manifest["outputs"]:
        state, reason = BY_HAND, "it was run by hand, so there is no executed notebook"
    elif changed:
        state, reason = OUTDATED, f"made from an earlier state of {', '.join(changed)}"
    else:
        state, reason = DONE, ""
    return Record(stage, folder, state, reason, command, manifest, metrics)


def _refuse_changed_notebook(notebook: Path, faults: list[str], command: str) -> None:
    """Refuse an executed notebook that was edited; a missing one is only listed."""
    mine = [fault for fault in faults if fault.startswith(f"{paths.shown(notebook)} ")]
    if mine and notebook.is_file():
        raise MissingInputError(f"{mine[0]}, so it is not the notebook that ran.", f"run it again: {command}")
