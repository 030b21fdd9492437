"""Writes finished stages as the executor leaves them, without running a notebook."""

import base64
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import nbformat
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from helpers import paths
from helpers.series import conclusions, manifests, stages
from helpers.series.conclusions import Conclusion

DATASET, PROFILE = "digits", "smoke"


@contextmanager
def output_folder(factory: pytest.TempPathFactory) -> Iterator[None]:
    """Write runs to a new folder inside of the block, whatever the environment says: for fixtures of a whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSEMN_OUTPUT_DIR", str(factory.mktemp("output")))
        patch.delenv("OSEMN_HOME", raising=False)
        yield


MODELS = {
    "majority": ("majority class", 10, 0.01, 0.2, 1_000, 0.102, [0.087, 0.120], 0.019),
    "logistic_regression": ("logistic regression", 650, 0.8, 1.3, 1_000, 0.861, [0.840, 0.880], 0.860),
    "random_forest": ("random forest", 88_000, 1.9, 21.0, 1_000, 0.875, [0.855, 0.893], 0.874),
    "baseline_cnn": ("three-layer CNN", 121_930, 43.0, 160.0, 54_000, 0.912, [0.895, 0.927], 0.911),
}
TRANSFER = {
    "transfer": ("frozen Lite0, 64 px", 3_400_000, 9.0, 700.0, 20_000, 0.934, [0.919, 0.946], 0.933),
}
FINE_TUNED = {
    "fine_tuned": ("fine-tuned Lite0, 64 px", 3_500_000, 90.0, 700.0, 20_000, 0.945, [0.931, 0.956], 0.944),
}
TUNED = {
    "tuned": ("tuned residual CNN", 240_000, 60.0, 200.0, 54_000, 0.921, [0.905, 0.930], 0.920),
}
METRICS = {
    "00_warm_up": {
        "dense_accuracy": 0.97,
    },
    "01_acquire": {
        "n_train": 1_437,
        "n_test": 360,
        "num_classes": 10,
        "image_height": 8,
        "image_width": 8,
        "image_channels": 1,
        "source": "scikit-learn",
        "images_with_copies": 4,
        "exact_copies": 0,
        "test_images_related_to_training": 0,
        "pixel_mean": 0.30521,
        "pixel_sd": 0.37605,
    },
    "02_explore": {
        "most_alike": [["three", "nine", 0.91], ["one", "eight", 0.87]],
        "balance_p_value": 0.993,
    },
    "03_preprocess": {
        "training_images": 1_293,
        "validation_images": 144,
        "augmentation_images_per_second": 81_234.5,
    },
    "04_baseline": {
        "n_validation": 144,
        "best_model": "baseline_cnn",
    },
    "05_transfer_learning": {
        "n_validation": 144,
    },
    "06_fine_tuning": {
        "n_validation": 144,
    },
    "09_tuning": {
        "n_validation": 144,
        "search_seconds": 75.0,
    },
    "10_export": {
        "candidate": "tuned",
        "version": "20260131-142530-1a2b3c4d",
        "latency_ms": {"baseline_cnn": 0.15, "transfer": 1.9, "fine_tuned": 2.1, "tuned": 0.3},
        "formats": [
            {
                "format": name,
                "title": title,
                "bytes": size,
                "accuracy": 0.918,
                "same_labels": 360,
                "n": 360,
                "largest_difference": 1e-6,
                "latency_ms_1": milliseconds,
                "seconds_to_first": 0.5,
            }
            for name, title, size, milliseconds in (
                ("keras", "Keras", 1_200_000, 1.5),
                ("onnx", "ONNX", 960_000, 0.21),
            )
        ],
    },
    "11_serving": {
        "exit_status": 0,
        "p50_over_model": 2.0,
        "times_the_beginners_way": 50.0,
        "load": [
            {
                "connections": connections,
                "pictures": 1,
                "workers": 1,
                "answers": 1_480,
                "p50": 0.62 * connections,
                "p95": 1.1 * connections,
                "p99": 1.4 * connections,
                "per_second": 1_480.0,
            }
            for connections in (1, 4)
        ],
    },
    "12_report": {"models_compared": 7},
}


# stage: id and text of each conclusion, in the words of nobody else
CONCLUSIONS = {
    "00_warm_up": {"boundary": "On Make Moons a curved boundary is significantly better."},
    "02_explore": {"most_alike": "The mean images of three and nine are most alike."},
    "04_baseline": {
        "baselines": "The three-layer CNN is the best baseline.",
        "learning_curves": "Three-layer CNN: still learning.",
    },
    "05_transfer_learning": {
        "resolution": "From 64 to 128 px the gain is not significant.",
        "frozen_features": "The head on frozen features beats the baselines.",
        "learning_curves": "Frozen Lite0: high bias.",
    },
    "06_fine_tuning": {
        "fine_tuning": "Fine-tuning gains 1.1 percentage points (p = 0.012).",
        "learning_curves": "Fine-tuned Lite0: low bias.",
    },
    "09_tuning": {
        "search_gain": "The search of 8 settings gained 0.8 percentage points.",
        "tuned_network": "The tuned network is not significantly better than the baseline.",
        "learning_curves": "Tuned residual CNN: good fit.",
    },
    "10_export": {
        "champion": "The tuned residual CNN is the best candidate.",
        "parity": "All formats assign the same labels.",
        "sizes": "ONNX is the smallest format.",
    },
    "11_serving": {
        "latency": "Half of the responses arrive within 2.5 ms.",
        "drift": "The monitor detects rotation from 10°.",
    },
}


def logged(stage: str, texts: dict[str, str]) -> list[dict]:
    """Return conclusions as a stage logs them."""
    entries = (Conclusion(name, text, source=f"{stage}/metrics.json") for name, text in texts.items())
    return conclusions.as_metrics(entries)


BUSINESS = {
    "text": "A person should check below 0.93: this saves 56.43 EUR per 1,000 images.",
    "others": "When one cost at a time is changed, the best policy stays the same.",
    "assumptions": "A person who checks an image is assumed to be correct.",
    "threshold": 0.93,
    "sensitivity": {"head": ["Cost", "Best"], "rows": [{"Best": "31 (29 to 33)", "Cost": "cost of a check"}]},
}


def evaluated_metrics() -> dict[str, dict]:
    """Return the metrics that 07 and 08 log for each candidate."""
    metrics = {}
    accuracies = {"baseline_cnn": 0.905, "transfer": 0.925, "fine_tuned": 0.940, "tuned": 0.918}
    labels = {name: rows[name][0] for rows in (MODELS, TRANSFER, FINE_TUNED, TUNED) for name in rows}
    for number, (name, accuracy) in enumerate(accuracies.items()):
        metrics[f"07_evaluation/{name}"] = {
            "candidate": name,
            "label": labels[name],
            "n": 360,
            "accuracy": accuracy,
            "accuracy_ci95": [accuracy - 0.03, accuracy + 0.02],
            "macro_f1": accuracy - 0.001,
            "macro_f1_ci95": [accuracy - 0.035, accuracy + 0.025],
            "ece": 0.081,
            "ece_scaled": 0.011,
            "temperature": 0.7,
            "class_names": ["zero", "one", "two"],
            "per_class": {
                class_name: {
                    "precision": precision,
                    "precision_ci95": [precision - 0.03, precision + 0.02],
                    "recall": 0.9,
                    "recall_ci95": [0.88, 0.92],
                    "f1": 0.9,
                    "f1_ci95": [0.88, 0.92],
                    "support": 120,
                }
                for class_name, precision in (("zero", 0.95), ("one", 0.80), ("two", 0.93))
            },
            "recommendations": ["Collect or re-label images of **zero** and **one**: 18 of the 28 mistakes."],
            "doubtful_labels": 9,
            "test_openings": number + 1,
            "test_accuracy_by_seed": [accuracy - 0.004, accuracy, accuracy + 0.003],
            "compared": [
                {
                    "other": other,
                    "points": 100 * (accuracy - accuracies[other]),
                    "ci95": [
                        100 * (accuracy - accuracies[other]) - 1,
                        100 * (accuracy - accuracies[other]) + 0.5,
                    ],
                    "shown": True,
                }
                for other in list(accuracies)[:number]
            ],
            "conclusions": logged(
                f"07_evaluation/{name}",
                {
                    "test_accuracy": f"{name} classifies {100 * accuracy:.1f}% of 360 test images correctly.",
                    "weakest_class": f"{name} is weakest on one.",
                    "seed_spread": f"The seeds of {name} differ by 0.7 points.",
                    "confusions": f"{name} confuses zero and one most.",
                    "learning_curves": f"{name} has a good fit.",
                    "calibration": f"{name} is underconfident before scaling.",
                    "against_others": f"{name} is compared with the candidates before it.",
                    "slices": f"{name} is less accurate on dark images.",
                    "retraining": f"Label images to see whether {name} has become worse.",
                },
            ),
        }
        metrics[f"08_grad_cam/{name}"] = {
            "candidate": name,
            "label": labels[name],
            "conclusions": logged(
                f"08_grad_cam/{name}",
                {
                    "where_it_looks": f"{name} looks at the object.",
                    "randomisation": f"The maps of {name} depend on its weights.",
                    "perturbation": f"Deletion is significant for {name}, insertion is not.",
                },
            ),
        }
    return metrics


def models_metrics(models: dict = MODELS) -> dict:
    """Return models as a stage logs them."""
    names = ("label", "parameters", "fit_seconds", "predict_microseconds", "samples")
    names += ("accuracy", "accuracy_ci95", "macro_f1")
    return {name: {**dict(zip(names, values, strict=True)), "n": 144} for name, values in models.items()}


def metrics_by_stage(models: dict = MODELS) -> dict[str, dict]:
    """Return every stage's metrics, with these models in 04_baseline."""
    fitted = {
        "04_baseline": models,
        "05_transfer_learning": TRANSFER,
        "06_fine_tuning": FINE_TUNED,
        "09_tuning": TUNED,
    }
    metrics = {stage: dict(values) for stage, values in METRICS.items()}
    for stage, texts in CONCLUSIONS.items():
        metrics[stage]["conclusions"] = logged(stage, texts)
    for stage, rows in fitted.items():
        metrics[stage]["models"] = models_metrics(rows)
    return metrics


def only_baseline(models: dict = MODELS) -> dict[str, dict]:
    """Return the metrics of a series in which transfer learning, fine-tuning and tuning have not been run."""
    later = ("05_transfer_learning", "06_fine_tuning", "09_tuning", "10_export", "11_serving")
    return {stage: logged for stage, logged in metrics_by_stage(models).items() if stage not in later}


def png(description: str | None = None, *, noise: int = 0) -> bytes:
    """Return a small plot; `noise` random pixels a side make it large."""
    figure = Figure(figsize=(6, 3), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.plot([1, 3, 9, 27], [62, 81, 88, 91], "o-")
    axes.set_xlabel("cost")
    axes.set_ylabel("validation accuracy, %")
    stream = io.BytesIO()
    figure.savefig(stream, metadata={"Description": description} if description else None)
    if not noise:
        return stream.getvalue()
    import numpy as np
    from PIL import Image

    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (noise, noise, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def picture_output(alt: str | None = "A rising line.", *, noise: int = 0) -> nbformat.NotebookNode:
    """Return a picture as `run.show` displays it."""
    about = {"width": 576, **({"alt": alt} if alt is not None else {})}
    data = {"image/png": base64.b64encode(png(noise=noise)).decode(), "text/plain": "<Image>"}
    return new_output("display_data", data=data, metadata={"image/png": about})


FRAME = """<div><style scoped>.dataframe tbody tr th { vertical-align: top; }</style>
<table border="1" class="dataframe"><thead><tr style="text-align: right;"><th></th><th>images</th><th>class</th></tr></thead>
<tbody><tr><th>0</th><td>142</td><td>zero</td></tr><tr><th>1</th><td>146</td><td>one</td></tr></tbody></table></div>"""

PARAMETERS = 'dataset: str = "digits"  # which images\nseed: int = 0  # of everything random\nepochs: int = 5'


def cells(stage: str, following: str | None) -> list[nbformat.NotebookNode]:
    """Return the cells of an executed notebook with one of everything that a page must cope with."""
    bar = [f"\r{name}: {share}%|####" for name in ("fit",) for share in (10, 55, 100)]
    code = [
        ("import pandas as pd\n\nframe = pd.DataFrame(counts)\nframe  # how many of each", [_html(FRAME)]),
        (
            "train()",
            [new_output("stream", name="stderr", text=text) for text in [*bar, "\ndone\x1b[31m!\x1b[0m\n"]],
        ),
        ("show()", [picture_output()]),
        ("say()", [_markdown("**Notice** that accuracy is 91.2%; see [the web](https://example.org/page).")]),
        ("print(1)", [new_output("stream", name="stdout", text="a wide line " * 20 + "\n")]),
        ("versions", [_text("'one line of text'")]),
        ("shapes", [_text("[(2, 6),\n (6,)]")]),
    ]
    parameters = new_code_cell(PARAMETERS, execution_count=1, metadata={"tags": ["parameters"]})
    injected = new_code_cell(
        "# Parameters\nseed = 7", execution_count=2, metadata={"tags": ["injected-parameters"]}
    )
    shown = [
        new_markdown_cell(f"# {stages.find(stage).title}: a question?\n\nReads [nothing](#look-at-it)."),
        parameters,
        injected,
        new_markdown_cell("## Look at it\n\nOne sentence of why, with `code` and a [README](../README.md)."),
    ]
    for count, (source, outputs) in enumerate(code, start=3):
        shown.append(new_code_cell(source, outputs=outputs, execution_count=count))
    shown += [
        new_markdown_cell("## Look at it\n\nThe same heading once more.\n\n#### A level too deep\n\nText."),
        new_markdown_cell(f"Next: [the next]({following}.ipynb)" if following else "The end."),
    ]
    return shown


def _html(text: str) -> nbformat.NotebookNode:
    return new_output("execute_result", data={"text/html": text, "text/plain": "frame"}, execution_count=3)


def _text(text: str) -> nbformat.NotebookNode:
    return new_output("execute_result", data={"text/plain": text}, execution_count=3)


def _markdown(text: str) -> nbformat.NotebookNode:
    return new_output("display_data", data={"text/markdown": text, "text/plain": "<Markdown>"})


def written_once(folders: pytest.TempPathFactory, kind: type["FakeRun"] | None = None) -> Path:
    """Write a finished series into a folder of its own, for tests to copy; return that output folder."""
    folder = folders.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSEMN_OUTPUT_DIR", str(folder))
        (kind or FakeRun)()
    return folder


class FakeRun:
    """The finished stages of one data set and profile under `OSEMN_OUTPUT_DIR`."""

    @classmethod
    def copied(cls, finished: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Return a copy of a finished series in a folder, to which outputs are written from now on."""
        monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(output))
        monkeypatch.delenv("OSEMN_HOME", raising=False)
        return cls(copy_of=finished)

    def __init__(self, copy_of: Path | None = None) -> None:
        """Write every stage, or copy an output folder in which that was done."""
        self.metrics = {**metrics_by_stage(), **evaluated_metrics()}
        if copy_of is not None:
            shutil.copytree(copy_of / "runs", paths.output_root() / "runs")
            return
        for stage in stages.STAGES:
            self.write(stage.name)

    def folder(self, stage: str) -> Path:
        """Return a stage's folder."""
        return paths.stage_folder(DATASET, PROFILE, stage)

    def write(self, stage: str, notebook: list | None = None, *, executed: bool = True) -> None:
        """Write a stage's files and its manifest; `notebook` replaces its cells."""
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        names = [entry.name for entry in stages.STAGES]
        following = stages.notebook_of(names[names.index(stage) + 1]) if stage != names[-1] else None
        if executed:
            content = nbformat.v4.new_notebook(
                cells=cells(stage, following) if notebook is None else notebook
            )
            content.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            content.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
            nbformat.write(content, folder / "notebook.ipynb")
        manifests.write_json(folder / "metrics.json", self.metrics[stage])
        if stage == "04_baseline":
            (folder / "figures").mkdir(exist_ok=True)
            drawn = png("Validation accuracy against cost: from 62% to 91%.")
            (folder / "figures" / "return_on_complexity.png").write_bytes(drawn)
        if stage == "12_report":
            from helpers.report.conclusions import summarise

            manifests.write_json(folder / "summary.json", summarise(self.metrics, "Digits"))
        self.seal(stage)

    def write_summary(self, summary: dict) -> None:
        """Put a summary in the place of the one that 12_report left."""
        manifests.write_json(self.folder("12_report") / "summary.json", summary)
        self.seal("12_report")

    def seal(self, stage: str, **changes: object) -> None:
        """Write the manifest of what is in the folder."""
        folder = self.folder(stage)
        files = [file for file in folder.rglob("*") if file.is_file() and file.name != manifests.NAME]
        inputs = {
            f"{name}/metrics.json": manifests.sha256(self.folder(name) / "metrics.json")
            for name in stages.find(stage).looks_at
        }
        test = self.folder("01_acquire") / "test.npz"
        if stages.notebook_of(stage) == "07_evaluation" and test.is_file():
            inputs["01_acquire/test.npz"] = manifests.sha256(test)
        manifest = {
            "schema": manifests.SCHEMA,
            "stage": stage,
            "parameters": {"dataset": DATASET, "profile": PROFILE, "seed": 0},
            "seed": 0,
            "source_sha256": "0123456789abcdef" * 4,
            "inputs": inputs,
            "outputs": manifests.describe_files(folder, files),
            "versions": {"python": "3.11.2", "keras": "3.15.1", "numpy": "2.4.0"},
            "cpu": "A processor at 2 GHz",
            "cores": 2,
            "started": "2025-01-31T09:30:00+00:00",
            "finished": "2025-01-31T09:31:05+00:00",
            "seconds": 65.2,
            **changes,
        }
        manifests.write_json(folder / manifests.NAME, manifest)

    def read_manifest(self, stage: str) -> dict:
        """Return a stage's manifest."""
        return json.loads((self.folder(stage) / manifests.NAME).read_text())
