"""Fixtures: a small project whose notebooks take a second each, and the real series at the smoke profile."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import nbformat
import pytest

from helpers.series import parameters, stages

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = REPOSITORY / "tests"
WITHOUT_TENSORFLOW = TESTS / "without_tensorflow"

KEPT = ("OSEMN_CACHE_DIR", "OSEMN_DATA_DIR", "OSEMN_FUZZ_CASES", "OSEMN_HOSTILE")


# no deadline, because nbval and training run at the same time; derandomised, so that each run has the same examples
hypothesis.settings.register_profile("shared machine", deadline=None, derandomize=True)


def pytest_configure() -> None:
    """Unset the variables of a project and its folders, so that tests never touch a user's runs."""
    hypothesis.settings.load_profile("shared machine")
    for name in [name for name in os.environ if name.startswith("OSEMN_") and name not in KEPT]:
        del os.environ[name]


EXAMPLES = {
    "dataset": "digits",
    "profile": "tiny",
    "seed": 0,
    "value_right": 0.5,
    "cost_wrong": 2.0,
    "cost_check": 0.2,
    "cost_prediction": 0.001,
    "person_accuracy": 0.9,
    "currency": "EUR",
    "labels": "",
    "image_size": 0,
    "color_mode": "auto",
    "test_fraction": 0.2,
    "fit": "crop",
    "window": "auto",
    "label_by": "folder",
    "group_by": "",
    "image_folder": "",
    "file_column": "",
    "label_column": "",
    "split_column": "",
    "weight_column": "",
    "label_thresholds": [],
    "label_names": [],
    "smallest_class": 0,
    "unpack_gb": 20.0,
    "cache_gb": 20.0,
    "samples_per_class": 2,
    "embedding_samples": 100,
    "near_duplicate_distance": 0.05,
    "issue_images": 2,
    "validation_fraction": 0.1,
    "augmentation_strength": 1.0,
    "gallery_images": 2,
    "samples": 200,
    "noise": 0.2,
    "noise_levels": [0.1],
    "epochs": 1,
    "batch_size": 32,
    "classical_samples": 100,
    "forest_trees": 5,
    "dense_epochs": 1,
    "cnn_epochs": 1,
    "cnn_filters": 4,
    "from_scratch_images": 5_000,
    "learning_rate": 0.01,
    "backbone": "efficientnet_lite0",
    "resolution": 32,
    "interpolation": "bilinear",
    "variants": ["all_blocks"],
    "compared_backbones": ["efficientnet_lite0"],
    "compared_resolutions": [32],
    "heads": ["dense"],
    "head_images": 100,
    "mirrored_copies": "auto",
    "augmented_views": 0,
    "few_images": 0,
    "folds": 2,
    "repeats": 1,
    "follow_image": -1,
    "head_units": 16,
    "dropout": 0.3,
    "top_blocks": 2,
    "train_depthwise": False,
    "warmup_fraction": 0.1,
    "rate_decay": 1.0,
    "label_smoothing": 0.1,
    "weight_decay": 0.05,
    "images_seen": 6_000,
    "minutes": 0.0,
    "average_decay": 0.0,
    "augmented": "auto",
    "flips": "auto",
    "crop_fraction": 0.0,
    "rand_augment": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "class_weights": "auto",
    "patience": 2,
    "study": "tuning",
    "storage": "",
    "trials": 2,
    "trial_samples": 100,
    "trial_epochs": 1,
    "widths": [8],
    "depths": [1],
    "seeds": 1,
    "default_seeds": 0,
    "early_pooling": True,
    "average_flips": True,
    "candidate": "tuned",
    "known_rejected": 0.1,
    "wanted_precision": 0.9,
    "robustness_images": 50,
    "grid_images": 6,
    "method": "grad_cam",
    "layer": "",
    "perturbed_images": 5,
    "randomised_images": 5,
    "champion": "",
    "latency_calls": 10,
    "calibration_images": 20,
    "integer_loss": 0.5,
    "promote": "unless_worse",
    "metric": "auto",
    "margin": 0.01,
    "costs": [],
    "request_images": 10,
    "load_seconds": 0.2,
    "connections": [1],
    "workers": [1],
    "batches": [1],
    "drift_images": 100,
    "drift_windows": 2,
    "false_alarm_windows": 2,
}


class TinyProject:
    """A project with the real table of stages, Snakefile and helpers, whose notebooks only write small files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "notebooks").mkdir(parents=True)
        (root / "profiles").mkdir()
        (root / "profiles" / "tiny.yaml").write_text("# nothing differs from the notebooks' defaults\n")
        shutil.copy(REPOSITORY / "Snakefile", root / "Snakefile")
        for notebook in stages.NOTEBOOKS:
            self.write(notebook)

    def write(self, stage: str, *, extra: str = "", finish: str = "run.finish();", before: str = "") -> Path:
        """Write a stage's notebook; `extra` is a cell between start and outputs."""
        spec = stages.of_notebook(stage)[0]
        names = parameters.MODELS[stage].model_fields
        cell = nbformat.v4.new_code_cell("\n".join(f"{n} = {EXAMPLES[n]!r}" for n in names))
        cell.metadata["tags"] = ["parameters"]
        start = f'{before}\nfrom helpers.series.runs import Run\nrun = Run.start("{stage}", globals())\nrun'
        first = {name: stages.find(name).writes[0] for name in stages.BY_NAME}
        reads = (
            f"first = {first!r}\nfor name in run.upstream:\n    run.input(name, first[name])"
            if spec.reads
            else ""
        )
        outputs = f"for name in {spec.writes!r}:\n    run.path(name).write_text(name)\nrun.log(accuracy=0.5)"
        code = [start, reads, extra, outputs, finish]
        cells = [cell, *(nbformat.v4.new_code_cell(source) for source in code if source)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        path = self.root / "notebooks" / f"{stage}.ipynb"
        nbformat.write(notebook, path)
        return path

    def folder(self, stage: str) -> Path:
        """Return a stage's folder."""
        return self.root / "runs" / "digits" / "tiny" / stage

    def manifest(self, stage: str) -> dict:
        """Return a stage's manifest."""
        return json.loads((self.folder(stage) / "manifest.json").read_text())

    def environment(self) -> dict[str, str]:
        """Return the environment for commands on this project, with a stand-in for TensorFlow."""
        places = [str(WITHOUT_TENSORFLOW), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "OSEMN_HOME": str(self.root), "PYTHONPATH": os.pathsep.join(places)}

    def osemn(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess:
        """Run the command line on this project, with its data set and profile for `run`, `status` and `report`."""
        if arguments[0] in ("run", "status", "report"):
            arguments = (arguments[0], "--dataset", "digits", "--profile", "tiny", *arguments[1:])
        return osemn(*arguments, cwd=self.root, env=self.environment(), timeout=timeout)


def osemn(*arguments: str, timeout: float = 600, **options: object) -> subprocess.CompletedProcess:
    """Run the command line in a separate process."""
    command = [sys.executable, "-m", "helpers.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyProject:
    """A tiny project, to which OSEMN_HOME is set."""
    tiny = TinyProject(tmp_path / "my project, ünïcode")
    monkeypatch.setenv("OSEMN_HOME", str(tiny.root))
    monkeypatch.delenv("OSEMN_OUTPUT_DIR", raising=False)
    monkeypatch.chdir(tiny.root)
    return tiny


@pytest.fixture(scope="module")
def seeded_tensorflow() -> None:
    """TensorFlow, seeded and deterministic, as in a run."""
    from helpers.series import seeds

    seeds.seed_tensorflow(0)


@pytest.fixture(scope="module")  # not "session": Playwright's event loop runs until it is stopped
def browser():
    """Headless Chromium; tests that need it are skipped if it is not installed."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"there is no Chromium here (looked for {', '.join(BROWSERS)})")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder whose registry serves a small version of digits."""
    import service_support  # slow, as it imports ONNX, and few tests need it

    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first")
    return tmp_path
