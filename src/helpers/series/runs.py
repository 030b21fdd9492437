"""A stage's run: checks its inputs, seeds the generators, saves metrics and figures, and writes the manifest last.

Everything is written to `<stage>.partial`, which replaces the stage's folder only when the run is finished.
"""

import os
import platform
import random
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from helpers import paths
from helpers.errors import MissingInputError, OsemnError, nearest
from helpers.series import conclusions, locks, manifests, records, seal, stages
from helpers.series.conclusions import Conclusion, Conclusions
from helpers.series.records import cpu_name
from helpers.series.resolve import EXECUTOR_VARIABLE, ResolvedStage, resolve_namespace

_open_runs: dict[Path, "Run"] = {}


@dataclass(eq=False)
class Run(ResolvedStage):
    """One run of one stage: begun by `Run.start`, ended by `Run.finish`."""

    upstream: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    source_sha256: str = ""
    locks: ExitStack = field(default_factory=ExitStack)
    metrics: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, stage: str, namespace: Mapping[str, Any]) -> "Run":
        """Check parameters and inputs, lock the stage, seed every generator, and open an empty folder.

        Args:
            stage: the stage's name, such as `"04_baseline"`.
            namespace: where the parameters are; in a notebook, `globals()`.

        Raises:
            UsageError: a parameter is unknown, of the wrong type or out of range.
            MissingInputError: an input stage has not been run, or its files are incomplete.
            OsemnError: another run of this stage is in progress.

        Example:
            `run = Run.start("04_baseline", globals())`
        """
        resolved = resolve_namespace(stage, namespace)
        final = resolved.folder
        final.parent.mkdir(parents=True, exist_ok=True)
        earlier = _open_runs.get(final)  # the run cell is executed again
        run = cls._opened(resolved)
        if earlier:
            seal.end(run.stage.notebook)
        run.locks = earlier.locks if earlier else locks.of_run(final, _is_executed(run.stage))
        manifests.recover(final)
        shutil.rmtree(run.partial, ignore_errors=True)
        run.partial.mkdir()
        _open_runs[final] = run
        return run

    @classmethod
    def reading(cls, stage: str, namespace: Mapping[str, Any]) -> "Run":
        """Check parameters and inputs and seed every generator, but take no lock and write nothing.

        For a program that runs beside the notebook, such as `osemn tune`. Arguments and errors are those of `start`.
        """
        return cls._opened(resolve_namespace(stage, namespace))

    @classmethod
    def _opened(cls, resolved: ResolvedStage) -> "Run":
        """Verify the inputs and seed every generator."""
        stage, root = resolved.stage, resolved.root
        command = manifests.command(resolved.parameters["dataset"], resolved.parameters["profile"])
        upstream = {name: manifests.require(root / name, name, command) for name in stage.reads}
        for name in stage.reads:
            manifests.require_current(name, upstream, command)
        absent = {}
        for name in stage.may_read:
            if manifests.read(root / name) is None:
                absent[f"{name}/{manifests.NAME}"] = manifests.ABSENT
            else:
                upstream[name] = manifests.require(root / name, name, command)
        _seed(stage, resolved.parameters["seed"])
        seal.begin(stage.notebook)
        # The hash of the code that runs now: it may be edited before the run is finished.
        return cls(stage, resolved.parameters, upstream, absent, manifests.source_sha256(stage.notebook))

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.parameters["seed"]

    @property
    def called_by(self) -> str:
        """What runs the notebook: "osemn", or a person "by hand"."""
        return "osemn" if _is_executed(self.stage) else "by hand"

    @property
    def finished(self) -> bool:
        """True once `finish` has ended the run, or a later `start` in this process has replaced it."""
        return _open_runs.get(self.folder) is not self

    def path(self, name: str) -> Path:
        """Return the path to write an artifact of this stage to, and create its folder.

        Raises:
            OsemnError: the run is finished.

        Example:
            `table.to_csv(run.path("baselines.csv"), index=False)`
        """
        self._refuse_if_finished(f"'{name}' cannot be written")
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def scratch(self) -> Path:
        """Return a folder for checkpoints and the like, which survives a killed run and is removed by `finish`."""
        folder = self.folder.with_name(f"{self.folder.name}.scratch")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def studies(self) -> Path:
        """Return the folder of this data set's and profile's studies, which outlive runs and are shared by workers."""
        return self.root / "studies"

    def input(self, stage: str, name: str) -> Path:
        """Return the path of an input stage's file, and record in the manifest that it was read.

        Raises:
            MissingInputError: this stage may not read from that stage, or the file does not exist.
            SealedTestSetError: the file is the test set, and this stage may not see it.

        Example:
            `history = json.loads(run.input("04_baseline", "history.json").read_text(encoding="utf-8"))`
        """
        if (stage, name) in seal.FILES:
            seal.refuse_file(self.stage.name, self.stage.notebook)
        if stage not in self.upstream:
            raise MissingInputError(
                f"{self.stage.name} may not read from {stage}.",
                f"it reads from: {', '.join(self.upstream) or 'no stage'} (see helpers/series/stages.py)",
            )
        outputs = self.upstream[stage]["outputs"]
        if name not in outputs:
            raise MissingInputError(f"{stage} has no output '{name}'.", nearest(name, outputs))
        self.inputs[f"{stage}/{name}"] = outputs[name]["sha256"]
        return self.root / stage / name

    def note_source(self, name: str, fingerprint: str) -> None:
        """Record in the manifest that something outside the runs was read, such as a data set's source."""
        self.inputs[f"source:{name}"] = fingerprint

    def log(self, **metrics: Any) -> None:
        """Save metrics for `metrics.json`; NumPy numbers and arrays become plain JSON.

        Raises:
            OsemnError: the run is finished, a number is not finite, or a value is not plain data.

        Example:
            `run.log(accuracy=score.accuracy, accuracy_ci95=score.accuracy_ci95)`
        """
        self._refuse_if_finished("its metrics are written")
        self.metrics.update({name: records.plain_json(name, value) for name, value in metrics.items()})

    def conclude(self, *established: Conclusion) -> Conclusions:
        """Save conclusions for `metrics.json`, and return them for display.

        A conclusion replaces an earlier one with the same id, so a cell can be run twice.

        Raises:
            OsemnError: the run is finished, or a number in a conclusion is not finite.

        Example:
            `run.conclude(conclusions.calibration(before, after, temperature))`
        """
        self._refuse_if_finished("its conclusions are written")
        file = f"{self.stage.name}/metrics.json"
        placed = [item if item.source else item.from_file(file) for item in established]
        logged = conclusions.read(self.metrics) | {item.id: item for item in placed}
        self.log(**{conclusions.KEY: conclusions.as_metrics(logged.values())})
        return Conclusions(placed)

    def concluded(self, *ids: str) -> Conclusions:
        """Return this run's conclusions by id, for the list at the end of a notebook; without an id, all of them.

        Raises:
            OsemnError: the run has no conclusion with that id.
        """
        logged = conclusions.read(self.metrics)
        for name in ids:
            if name not in logged:
                raise OsemnError(f"{self.stage.name} has no conclusion '{name}'.", nearest(name, logged))
        return Conclusions(logged[name] for name in ids or logged)

    def show(self, figure: Any, name: str, alt: str = "") -> Any:
        """Save a matplotlib figure as `figures/<name>.png`, close it, and return it as an image to display.

        After the end of the run the figure is displayed but not saved, so that it can still be tried out.

        Args:
            figure: a `matplotlib.figure.Figure`.
            name: the file's name without its extension.
            alt: the alt text; by default the text that `figures.with_alt` attached to the figure.

        Raises:
            OsemnError: the figure has no alt text.

        Example:
            `run.show(plots.learning_curves(history), "learning_curves")`
        """
        image = records.image(figure, name, alt)
        if not self.finished:
            self.path(f"figures/{name}.png").write_bytes(image.data)
        return image

    def save_json(self, name: str, content: Any) -> Path:
        """Write a JSON artifact and return its path."""
        path = self.path(name)
        manifests.write_json(path, records.plain_json(name, content))
        return path

    def finish(self) -> "Run":
        """Check that all declared outputs exist, then write the metrics and, last, the manifest.

        Raises:
            OsemnError: a declared output is missing, and the earlier result stays in place; or the run is already
                finished.
        """
        self._refuse_if_finished("it cannot be finished twice")
        manifests.write_json(self.partial / "metrics.json", self.metrics)
        missing = [name for name in self.stage.writes if not (self.partial / name).is_file()]
        if missing:
            raise OsemnError(
                f"{self.stage.name} did not write: {', '.join(missing)}.",
                "save them through the run, or correct the stage's entry in helpers/series/stages.py",
            )
        manifests.write_json(self.partial / manifests.NAME, self._manifest())
        if not _is_executed(self.stage):
            manifests.publish(self.partial, self.folder)
        shutil.rmtree(self.folder.with_name(f"{self.folder.name}.scratch"), ignore_errors=True)
        self.locks.close()
        seal.end(self.stage.notebook)
        _open_runs.pop(self.folder, None)
        return self

    def _refuse_if_finished(self, problem: str) -> None:
        if self.finished:
            raise OsemnError(
                f"This run of {self.stage.name} is finished: {problem}.",
                "run the notebook from its run cell on",
            )

    def _manifest(self) -> dict[str, Any]:
        files = [file for file in self.partial.rglob("*") if file.is_file() and file.name != manifests.NAME]
        seconds = time.monotonic() - self.began  # the clock may be set back in the meantime
        return {
            "schema": manifests.SCHEMA,
            "stage": self.stage.name,
            "parameters": self.parameters,
            "seed": self.seed,
            "source_sha256": self.source_sha256,
            "inputs": self.inputs,
            "outputs": manifests.describe_files(self.partial, files),
            "versions": {"python": platform.python_version(), **records.versions()},
            "cpu": cpu_name(),
            "cores": records.usable_cores(),
            "started": records.iso_time(self.started),
            "finished": records.iso_time(self.started + seconds),
            "seconds": round(seconds, 3),
        }

    def _facts(self) -> dict[str, str]:
        return {
            "stage": self.stage.name,
            "data set": paths.dataset_slug(self.parameters["dataset"]),
            "profile": self.parameters["profile"],
            "seed": str(self.seed),
            "reads": ", ".join(f"{name} (verified)" for name in self.upstream) or "nothing",
            "writes to": paths.shown(self.folder),
            "state": "finished" if self.finished else "checked and ready",
            "versions": ", ".join(f"{name} {version}" for name, version in records.versions().items()),
        }

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = (
            f"<tr><th {left}>{name}</th><td {left}>{fact}</td></tr>" for name, fact in self._facts().items()
        )
        return f"<table>{''.join(rows)}</table>"

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {fact}" for name, fact in self._facts().items())


def _is_executed(stage: stages.Stage) -> bool:
    """Return True if `helpers.series.execute` runs this stage's notebook; it then publishes the folder itself."""
    return os.environ.get(EXECUTOR_VARIABLE) == stage.name


def _seed(stage: stages.Stage, seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that draw from the global generator
    if stage.tensorflow:
        from helpers.series import seeds

        seeds.seed_tensorflow(seed)
