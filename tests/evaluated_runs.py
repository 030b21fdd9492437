"""Finished series whose candidates answered for test images, so that one run can be compared with another."""

import io
from pathlib import Path

import numpy as np
import pytest
from nbformat.v4 import new_markdown_cell
from PIL import Image, PngImagePlugin

from helpers.interpret.confusion import matrix, scores
from helpers.report.regression import reference
from helpers.series import manifests, stages
from report_runs import FakeRun

CLASSES = tuple(f"class {index}" for index in range(10))
ACCURACIES = {"baseline_cnn": 0.905, "transfer": 0.87, "fine_tuned": 0.9, "tuned": 0.92}
FIGURES = {
    "07_evaluation": (
        "confusion_matrix",
        "scores_by_class",
        "reliability",
        "learning_curves",
        "misclassified",
    ),
    "08_grad_cam": ("maps_wrong", "energy"),
    "04_baseline": ("return_on_complexity",),
    "10_export": ("formats",),
    "11_serving": ("latency_and_throughput",),
    "12_report": ("accuracy_against_cost", "business_value"),
}


def answers(labels: np.ndarray, accuracy: float, seed: int, classes: int = len(CLASSES)) -> np.ndarray:
    """Return labels predicted by a network that is right with this chance on each image, `[N] int64`."""
    generator = np.random.default_rng(seed)
    wrong = (labels + generator.integers(1, classes, len(labels))) % classes
    return np.where(generator.random(len(labels)) < accuracy, labels, wrong)


def figure(about: str, side: int) -> bytes:
    """Return a PNG file of random pixels that says what it shows."""
    pixels = np.random.default_rng(sum(about.encode())).integers(0, 255, (side, side, 3), dtype=np.uint8)
    stream, words = io.BytesIO(), PngImagePlugin.PngInfo()
    words.add_text("Description", about)
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=words, compress_level=0)
    return stream.getvalue()


class EvaluatedRun(FakeRun):
    """Finished stages with predictions on the test images and with figures.

    What it is made from may be changed, and `write_all` called again.

    Attributes:
        classes: names.
        labels: `[N] int64`.
        images: what stands for the file of test images.
        predicted: `[N] int64` of each candidate.
        seconds: of each stage.
        versions: of packages.
        about: what the figures of the stages in `redrawn` say.
        side: of the figures, in pixels.
    """

    @classmethod
    def copied(cls, finished: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> "EvaluatedRun":
        """Return a copy of a finished series in a folder, which from now on holds outputs and accepted runs."""
        monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(folder / "out"))
        monkeypatch.setenv(reference.FOLDER_VARIABLE, str(folder / "accepted"))
        monkeypatch.delenv("OSEMN_HOME", raising=False)
        return cls(copy_of=finished)

    def __init__(
        self, copy_of: Path | None = None, *, images: int = 2_000, classes: tuple[str, ...] = CLASSES
    ) -> None:
        """Describe a run, and write every stage or copy an output folder in which that was done."""
        self.classes, self.labels = classes, np.arange(images) % len(classes)
        self.images = b"the test images"
        self.predicted = {
            name: answers(self.labels, accuracy, seed, len(classes))
            for seed, (name, accuracy) in enumerate(ACCURACIES.items())
        }
        self.seconds = {stage.name: 60.0 for stage in stages.STAGES}
        self.versions = {"python": "3.11.2", "keras": "3.15.1"}
        self.about: dict[str, str] = {}
        self.side = 24
        super().__init__(copy_of)

    def write_all(self) -> None:
        """Write every stage again, as it is described now."""
        for stage in stages.STAGES:
            self.write(stage.name)

    def write(self, stage: str, notebook: list | None = None, *, executed: bool = True) -> None:
        """Write a stage's files and its manifest; its notebook is a heading."""
        plain = [new_markdown_cell(f"# {stages.find(stage).title}")]
        super().write(stage, plain if notebook is None else notebook, executed=executed)

    def seal(self, stage: str, **changes: object) -> None:
        """Add figures and predictions, and write the manifest of what is in the folder."""
        spec, folder = stages.find(stage), self.folder(stage)
        for name in FIGURES.get(spec.notebook, ()):
            (folder / "figures").mkdir(exist_ok=True)
            about = f"{name} of {stage}. {self.about.get(stage, 'As first drawn.')}"
            (folder / "figures" / f"{name}.png").write_bytes(figure(about, self.side))
        if stage == "01_acquire":
            (folder / "test.npz").write_bytes(self.images)
        if spec.notebook == "07_evaluation":
            self._evaluate(spec.candidate)
        super().seal(stage, **{"seconds": self.seconds[stage], "versions": self.versions, **changes})

    def _evaluate(self, name: str) -> None:
        predicted, folder = self.predicted[name], self.folder(f"07_evaluation/{name}")
        counts = matrix(self.labels, predicted, len(self.classes))
        found = scores(counts, self.classes, draws=10)
        np.savez(
            folder / "test_predictions.npz",
            labels=self.labels,
            predicted=predicted,
            probabilities=np.eye(len(self.classes), dtype=np.float32)[predicted],
        )
        metrics = {
            **self.metrics[f"07_evaluation/{name}"],
            "n": len(self.labels),
            "accuracy": found.accuracy,
            "accuracy_ci95": list(found.accuracy_ci95),
            "macro_f1": found.macro_f1,
            "confusion": counts.tolist(),
            "class_names": list(self.classes),
            "per_class": {
                one.name: {key: value for key, value in vars(one).items() if key != "name"}
                for one in found.classes
            },
        }
        manifests.write_json(folder / "metrics.json", metrics)
