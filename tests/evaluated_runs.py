"""Finished series with predictions for test images, so that one run can be compared with another."""

from pathlib import Path
from typing import Self

import numpy as np
import pytest
from nbformat.v4 import new_markdown_cell

from helpers.interpret.confusion import matrix, scores
from helpers.report.regression import reference
from helpers.series import manifests, stages
from report_runs import FakeRun

CLASSES = tuple(f"class {index}" for index in range(10))
ACCURACIES = {"baseline_cnn": 0.905, "transfer": 0.87, "fine_tuned": 0.9, "tuned": 0.92}


def answers(labels: np.ndarray, accuracy: float, seed: int, classes: int = len(CLASSES)) -> np.ndarray:
    """Return the predictions of a network that classifies each image correctly with this probability, `[N] int64`."""
    generator = np.random.default_rng(seed)
    wrong = (labels + generator.integers(1, classes, len(labels))) % classes
    return np.where(generator.random(len(labels)) < accuracy, labels, wrong)


class EvaluatedRun(FakeRun):
    """Finished stages with predictions on the test images.

    Its attributes may be changed before `write_all` is called again.

    Attributes:
        classes: names.
        labels: `[N] int64`.
        images: the content of the file of test images.
        predicted: `[N] int64` of each candidate.
        seconds: of each stage.
        versions: of packages.
    """

    @classmethod
    def copied(cls, finished: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Return a copy of a finished series in a folder, to which outputs and accepted runs are written from now on."""
        monkeypatch.setenv(reference.FOLDER_VARIABLE, str(folder / "accepted"))
        return super().copied(finished, folder / "out", monkeypatch)

    def __init__(
        self, copy_of: Path | None = None, *, images: int = 2_000, classes: tuple[str, ...] = CLASSES
    ) -> None:
        """Describe a run, and write every stage or copy an output folder that holds them."""
        self.classes, self.labels = classes, np.arange(images) % len(classes)
        self.images = b"the test images"
        self.predicted = {
            name: answers(self.labels, accuracy, seed, len(classes))
            for seed, (name, accuracy) in enumerate(ACCURACIES.items())
        }
        self.seconds = {stage.name: 60.0 for stage in stages.STAGES}
        self.versions = {"python": "3.11.2", "keras": "3.15.1"}
        super().__init__(copy_of)

    def write_all(self) -> None:
        """Write every stage again, with the present attributes."""
        for stage in stages.STAGES:
            self.write(stage.name)

    def write(self, stage: str, notebook: list | None = None, *, executed: bool = True) -> None:
        """Write a stage's files and its manifest; its notebook is a heading."""
        plain = [new_markdown_cell(f"# {stages.find(stage).title}")]
        super().write(stage, plain if notebook is None else notebook, executed=executed)

    def seal(self, stage: str, **changes: object) -> None:
        """Add predictions, and write the manifest of the folder's files."""
        spec, folder = stages.find(stage), self.folder(stage)
        if stage == "01_acquire":
            (folder / "test.npz").write_bytes(self.images)
        if spec.notebook == "07_evaluation":
            self._evaluate(spec.candidate)
        super().seal(stage, **{"seconds": self.seconds[stage], "versions": self.versions, **changes})

    def _evaluate(self, name: str) -> None:
        predicted, folder = self.predicted[name], self.folder(f"07_evaluation/{name}")
        counts = matrix(self.labels, predicted, len(self.classes))
        scored = scores(counts, self.classes, draws=10)
        np.savez(
            folder / "test_predictions.npz",
            labels=self.labels,
            predicted=predicted,
            probabilities=np.eye(len(self.classes), dtype=np.float32)[predicted],
        )
        metrics = {
            **self.metrics[f"07_evaluation/{name}"],
            "n": len(self.labels),
            "accuracy": scored.accuracy,
            "accuracy_ci95": list(scored.accuracy_ci95),
            "macro_f1": scored.macro_f1,
            "confusion": counts.tolist(),
            "class_names": list(self.classes),
            "per_class": {
                one.name: {key: value for key, value in vars(one).items() if key != "name"}
                for one in scored.classes
            },
        }
        manifests.write_json(folder / "metrics.json", metrics)
