"""A stage's run: checks the inputs, seeds, keeps metrics and figures, and writes the manifest last.

Everything is written to `<stage>.partial`; only a finished run takes the place of the stage's folder.
"""

import ast
import io
import math
import os
import platform
import random
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from helpers import paths
from helpers.errors import MissingInputError, OsemnError, SealedTestSetError, UsageError, nearest
from helpers.series import conclusions, locks, manifests, parameters, seal, stages
from helpers.series.conclusions import Conclusion, Conclusions

EXECUTOR_VARIABLE = "OSEMN_EXECUTING"
PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "matplotlib", "papermill")

_open_runs: dict[Path, "Run"] = {}


@dataclass
class Run:
    """One run of one stage; made by `Run.start`, ended by `Run.finish`."""

    stage: stages.Stage
    parameters: dict[str, Any]
    final: Path
    partial: Path
    locks: tuple[FileLock, ...]
    source_sha256: str
    metrics: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    upstream: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    @classmethod
    def start(cls, stage: str, namespace: Mapping[str, Any]) -> "Run":
        """Check parameters and inputs, lock the stage, seed every generator, and open an empty folder.

        Args:
            stage: the stage's name, such as `"04_baseline"`.
            namespace: where the parameters are; in a notebook, `globals()`.

        Raises:
            UsageError: a parameter is unknown, of the wrong type or out of range.
            MissingInputError: an input stage has not been run, or its files are not whole.
            OsemnError: another run of this stage is at work.
        """
        spec, checked, final = _checked(stage, namespace)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final in _open_runs:
            seal.end(spec.notebook)
        held = _open_runs[final].locks if final in _open_runs else locks.of_run(final, _is_executed(spec))
        manifests.recover(final)
        run = cls._opened(spec, checked, final, held)
        _empty(run.partial)
        _open_runs[final] = run
        return run

    @classmethod
    def reading(cls, stage: str, namespace: Mapping[str, Any]) -> "Run":
        """Check parameters and inputs and seed every generator, but take no lock and write nothing.

        For a program that works beside the notebook, such as `osemn tune`.

        Args:
            stage: the stage's name.
            namespace: where the parameters are.

        Raises:
            UsageError: as for `start`.
            MissingInputError: as for `start`.
        """
        return cls._opened(*_checked(stage, namespace), held=())

    @classmethod
    def _opened(
        cls, spec: stages.Stage, checked: dict[str, Any], final: Path, held: tuple[FileLock, ...]
    ) -> "Run":
        """Verify the inputs and seed every generator."""
        root = paths.run_folder(checked["dataset"], checked["profile"])
        upstream = {name: manifests.require(root / name, name) for name in spec.reads}
        absent = {}
        for name in spec.may_read:
            if manifests.read(root / name) is None:
                absent[f"{name}/{manifests.NAME}"] = manifests.ABSENT
            else:
                upstream[name] = manifests.require(root / name, name)
        _seed(spec, checked["seed"])
        seal.begin(spec.notebook)
        partial = final.with_name(f"{final.name}.partial")
        source = manifests.source_sha256(spec.name)  # of the code that runs; it may be edited meanwhile
        return cls(spec, checked, final, partial, held, source, inputs=absent, upstream=upstream)

    @property
    def root(self) -> Path:
        """The folder of all stages of this data set and profile."""
        return paths.run_folder(self.parameters["dataset"], self.parameters["profile"])

    @property
    def called_by(self) -> str:
        """Who runs it: "osemn", or somebody by hand."""
        return "osemn" if _is_executed(self.stage) else "by hand"

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.parameters["seed"]

    def path(self, name: str) -> Path:
        """Return where to write an artifact of this stage; its folder exists.

        Raises:
            OsemnError: the run is finished.
        """
        self._refuse_if_finished(f"'{name}' cannot be written")
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def scratch(self) -> Path:
        """Return a folder that outlives a killed run (checkpoints, studies); it is no artifact and `finish` removes it."""
        folder = self.final.with_name(f"{self.final.name}.scratch")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def studies(self) -> Path:
        """Return the folder of this data set's and profile's studies; they outlive runs, and workers share them."""
        return self.root / "studies"

    def input(self, stage: str, name: str) -> Path:
        """Return the path of a file of an input stage, and note in the manifest that it was read.

        Raises:
            MissingInputError: this stage may not read that stage, or there is no such file.
            SealedTestSetError: it is the test set, and this is not the stage that evaluates.
        """
        if (stage, name) == seal.FILE and self.stage.notebook not in seal.TEST_STAGES:
            raise SealedTestSetError(
                f"{self.stage.name} asked for the test set, which is sealed until {seal.TEST_STAGE}.",
                "choose models on the validation images: data.load_split(run)",
            )
        if stage not in self.upstream:
            raise MissingInputError(
                f"{self.stage.name} may not read from {stage}.",
                f"it reads from: {', '.join(self.upstream) or 'no stage'} (see helpers/series/stages.py)",
            )
        outputs = self.upstream[stage]["outputs"]
        if name not in outputs:
            raise MissingInputError(f"{stage} left no file '{name}'.", nearest(name, outputs))
        self.inputs[f"{stage}/{name}"] = outputs[name]["sha256"]
        return self.root / stage / name

    def note_source(self, name: str, fingerprint: str) -> None:
        """Note in the manifest a thing from outside the runs that was read, such as a data set's source."""
        self.inputs[f"source:{name}"] = fingerprint

    def log(self, **metrics: Any) -> None:
        """Keep metrics for `metrics.json`; NumPy numbers and arrays become plain JSON.

        Raises:
            OsemnError: a value is not a number, text, list or dictionary of such, or is not finite.
        """
        self._refuse_if_finished("its metrics are written")
        self.metrics.update({name: _plain(name, value) for name, value in metrics.items()})

    def conclude(self, *established: Conclusion) -> Conclusions:
        """Keep conclusions for `metrics.json`, and return them as a notebook shows them.

        A conclusion with the id of an earlier one takes its place, so that a cell can be run twice.

        Raises:
            OsemnError: the run is finished, or a number in a conclusion is not finite.

        Example:
            `run.conclude(conclusions.calibration(before, after, temperature))`
        """
        self._refuse_if_finished("its conclusions are written")
        placed = [conclusion.from_file(f"{self.stage.name}/metrics.json") for conclusion in established]
        logged = {entry["id"]: entry for entry in self.metrics.get(conclusions.KEY, [])}
        logged |= {entry["id"]: entry for entry in conclusions.as_metrics(placed)}
        self.log(**{conclusions.KEY: list(logged.values())})
        return Conclusions(placed)

    def concluded(self, *ids: str) -> Conclusions:
        """Return conclusions of this run by id, for the list at the end of a notebook; all of them without an id.

        Raises:
            OsemnError: the run has no conclusion of that id.
        """
        logged = conclusions.read(self.metrics)
        for name in ids:
            if name not in logged:
                raise OsemnError(f"{self.stage.name} has no conclusion '{name}'.", nearest(name, logged))
        return Conclusions(logged[name] for name in ids or logged)

    def show(self, figure: Any, name: str, alt: str = "") -> Any:
        """Save a matplotlib figure as `figures/<name>.png`, close it, and return it as a picture to display.

        Args:
            figure: a `matplotlib.figure.Figure`.
            name: the file's name without its ending.
            alt: what the figure shows, in words; by default what `figures.with_alt` attached to it.

        Raises:
            OsemnError: the figure has no alt text.
        """
        import matplotlib.pyplot as plt
        from IPython.display import Image

        from helpers import figures

        alt = alt or figures.alt_text(figure)
        if not alt.strip():
            raise OsemnError(f"Figure '{name}' has no alt text.", "say in words what the figure shows")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", metadata={"Description": alt, "Software": None})
        width = int(figure.get_figwidth() * 96)
        plt.close(figure)
        # Whoever steps back after the end and tries another picture sees it; the finished run stays as it is.
        if not self.finished:
            self.path(f"figures/{name}.png").write_bytes(picture.getvalue())
        return Image(data=picture.getvalue(), format="png", width=width, alt=alt)

    def save_json(self, name: str, content: Any) -> Path:
        """Write a JSON artifact."""
        path = self.path(name)
        manifests.write_json(path, _plain(name, content))
        return path

    def finish(self) -> "Run":
        """Check that all declared outputs exist, write the metrics and, last, the manifest.

        Raises:
            OsemnError: a declared output is missing, and nothing takes the place of the earlier result; or the run
                is finished already.
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
            manifests.publish(self.partial, self.final)
        shutil.rmtree(self.final.with_name(f"{self.final.name}.scratch"), ignore_errors=True)
        for lock in reversed(self.locks):
            lock.release()
        seal.end(self.stage.notebook)
        _open_runs.pop(self.final, None)
        return self

    @property
    def finished(self) -> bool:
        """True once `finish` has ended the run, or another `start` in this process has taken its place."""
        return _open_runs.get(self.final) is not self

    def _refuse_if_finished(self, problem: str) -> None:
        if self.finished:
            raise OsemnError(
                f"This run of {self.stage.name} is finished: {problem}.",
                "run the notebook again from its run cell (Run.start)",
            )

    def _manifest(self) -> dict[str, Any]:
        files = [file for file in self.partial.rglob("*") if file.is_file() and file.name != manifests.NAME]
        finished = time.time()
        return {
            "schema": manifests.SCHEMA,
            "stage": self.stage.name,
            "parameters": self.parameters,
            "seed": self.seed,
            "source_sha256": self.source_sha256,
            "inputs": self.inputs,
            "outputs": manifests.describe_files(self.partial, files),
            "versions": {"python": platform.python_version(), **_versions()},
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "started": _iso(self.started),
            "finished": _iso(finished),
            "seconds": round(finished - self.started, 3),
        }

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{value}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table>{rows}</table>"

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._facts().items())

    def _facts(self) -> dict[str, str]:
        return {
            "stage": self.stage.name,
            "data set": paths.dataset_slug(self.parameters["dataset"]),
            "profile": self.parameters["profile"],
            "seed": str(self.seed),
            "reads": ", ".join(f"{name} (whole)" for name in self.upstream) or "nothing",
            "writes to": paths.shown(self.final),
            "state": "finished" if self.finished else "checked and ready",
            "versions": ", ".join(f"{name} {version}" for name, version in _versions().items()),
        }


def cpu_name() -> str:
    """Return the processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _is_executed(stage: stages.Stage) -> bool:
    """Tell whether `helpers.series.execute` runs this stage's notebook, and will put the folder in its place."""
    return os.environ.get(EXECUTOR_VARIABLE) == stage.name


def _checked(stage: str, namespace: Mapping[str, Any]) -> tuple[stages.Stage, dict[str, Any], Path]:
    """Return a stage, its checked parameters and its folder; `stage` may be the notebook, run for a candidate."""
    notebook = stages.notebook_of(stage)
    _refuse_unknown_injected(notebook, namespace)
    wanted = parameters.MODELS[notebook].model_fields
    checked = parameters.check(stage, {name: namespace[name] for name in wanted if name in namespace})
    parameters.check_dataset(checked["dataset"])
    if checked["profile"] not in parameters.profiles():
        parameters.load_profile(checked["profile"])
    spec = stages.find(f"{notebook}/{checked['candidate']}" if "candidate" in checked else stage)
    return spec, checked, paths.stage_folder(checked["dataset"], checked["profile"], spec.name)


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _seed(stage: stages.Stage, seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that still draw from the global generator
    if stage.tensorflow:
        from helpers.series import seeds

        seeds.seed_tensorflow(seed)


def _plain(name: str, value: Any) -> Any:
    """Return a value as plain JSON types."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OsemnError(f"Metric '{name}' is {value}.", "log numbers that are finite, or None")
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    raise OsemnError(
        f"Metric '{name}' is of type {type(value).__name__}.", "log numbers, text, lists or dictionaries"
    )


def _refuse_unknown_injected(stage: str, namespace: Mapping[str, Any]) -> None:
    """Refuse names that papermill injected and the stage does not know (papermill itself only warns)."""
    for source in namespace.get("In", []):
        if not source.startswith("# Parameters\n"):
            continue
        for statement in ast.parse(source).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            for target in targets:
                if isinstance(target, ast.Name) and target.id not in parameters.MODELS[stage].model_fields:
                    raise UsageError(
                        f"{stage} has no parameter '{target.id}'.",
                        nearest(target.id, parameters.MODELS[stage].model_fields),
                    )
