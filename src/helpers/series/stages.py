"""The one table of stages; the Snakefile, the README's table and the checks are made from it."""

from dataclasses import dataclass
from typing import Any

from helpers.errors import UsageError, nearest


@dataclass(frozen=True)
class Stage:
    """One notebook of the series, or its run for one candidate.

    Attributes:
        name: the notebook's file name without its ending, followed by a slash and the candidate where it is run for
            several; the name of the stage's folder.
        title: what it is called in tables and reports.
        phase: its part of OSEMN, or "–".
        reads: the stages whose files it needs.
        may_read: further stages whose files it looks at where they have been run.
        writes: the files it must leave beside `metrics.json`; a stage without them is not done.
        threads: cores it keeps busy; 0 means all that there are.
        memory_mb: peak resident memory to ask a scheduler for, in MB.
        tensorflow: whether it needs TensorFlow seeded before it starts.
    """

    name: str
    title: str
    phase: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    threads: int = 1
    memory_mb: int = 2_000
    tensorflow: bool = False
    may_read: tuple[str, ...] = ()

    @property
    def looks_at(self) -> tuple[str, ...]:
        """All stages whose files it may load."""
        return (*self.reads, *self.may_read)

    @property
    def notebook(self) -> str:
        """The notebook's file name without its ending."""
        return self.name.partition("/")[0]

    @property
    def candidate(self) -> str:
        """The candidate that the notebook is run for; empty for a notebook that is run once."""
        return self.name.partition("/")[2]

    @property
    def slug(self) -> str:
        """The name without a slash, for files that lie side by side."""
        return self.name.replace("/", "-")


CANDIDATES: dict[str, str] = {
    "baseline_cnn": "04_baseline",
    "transfer": "05_transfer_learning",
    "fine_tuned": "06_fine_tuning",
    "tuned": "09_tuning",
}
"""The models that may become the champion, in the order of their evaluation, each with the stage that trains it."""


def _for_each_candidate(notebook: str, title: str, *, compares: bool, **options: Any) -> tuple["Stage", ...]:
    """Return a notebook's runs for each candidate.

    Args:
        notebook: its name.
        title: what it is called.
        compares: whether a run looks at the runs for the candidates before it.
        **options: as for `Stage`, the same for all.
    """
    found: list[Stage] = []
    for candidate, trained_by in CANDIDATES.items():
        before = tuple(stage.name for stage in found) if compares else ()
        reads = ("01_acquire", "03_preprocess", trained_by)
        found.append(
            Stage(
                f"{notebook}/{candidate}",
                f"{title}: {candidate}",
                "iNterpret",
                reads,
                may_read=before,
                **options,
            )
        )
    return tuple(found)


_BEFORE_REPORT: tuple[Stage, ...] = (
    Stage(
        "00_warm_up",
        "Warm-up: Make Moons",
        "–",
        reads=(),
        writes=("figures/decision_boundary.png", "figures/noise.png", "environment.json"),
        tensorflow=True,
    ),
    Stage(
        "01_acquire",
        "Acquire the data",
        "Obtain",
        reads=(),
        writes=("train.npz", "test.npz", "data_card.json", "figures/samples.png"),
    ),
    Stage(
        "02_explore",
        "Explore the training part",
        "Explore",
        reads=("01_acquire",),
        writes=(
            "figures/class_balance.png",
            "figures/samples_by_class.png",
            "figures/mean_and_variance.png",
            "figures/intensities.png",
            "figures/class_correlation.png",
            "figures/embedding.png",
            "duplicates.csv",
        ),
    ),
    Stage(
        "03_preprocess",
        "Preprocess and augment",
        "Scrub",
        reads=("01_acquire",),
        writes=("split.npz", "normalisation.json", "augmentation.json", "figures/augmentation.png"),
        tensorflow=True,
    ),
    Stage(
        "04_baseline",
        "Baselines",
        "Model",
        reads=("01_acquire", "03_preprocess"),
        writes=(
            "models/baseline_cnn.keras",
            "models/dense.keras",
            "validation_predictions.npz",
            "history.json",
            "baselines.csv",
            "figures/return_on_complexity.png",
            "figures/learning_curves.png",
        ),
        threads=0,
        memory_mb=4_000,
        tensorflow=True,
    ),
    Stage(
        "05_transfer_learning",
        "Transfer learning",
        "Model",
        reads=("01_acquire", "03_preprocess"),
        writes=(
            "models/transfer.keras",
            "validation_predictions.npz",
            "history.json",
            "comparison.csv",
            "figures/resizing.png",
            "figures/architecture.png",
            "figures/accuracy_by_resolution.png",
            "figures/learning_curves.png",
        ),
        threads=0,
        memory_mb=4_000,
        tensorflow=True,
    ),
    Stage(
        "06_fine_tuning",
        "Fine-tuning",
        "Model",
        reads=("01_acquire", "03_preprocess", "05_transfer_learning"),
        writes=(
            "models/fine_tuned.keras",
            "validation_predictions.npz",
            "history.json",
            "comparison.csv",
            "figures/unfrozen_blocks.png",
            "figures/learning_curves.png",
            "figures/gradient_norms.png",
        ),
        threads=0,
        memory_mb=4_000,
        tensorflow=True,
    ),
    Stage(
        "09_tuning",
        "Tuning",
        "Model",
        reads=("01_acquire", "03_preprocess", "04_baseline", "05_transfer_learning"),
        writes=(
            "models/tuned.keras",
            "validation_predictions.npz",
            "history.json",
            "trials.csv",
            "figures/optimization_history.png",
            "figures/learning_curves.png",
        ),
        threads=0,
        memory_mb=4_000,
        tensorflow=True,
    ),
    *_for_each_candidate(
        "07_evaluation",
        "Evaluation",
        compares=True,
        writes=(
            "test_predictions.npz",
            "per_class.csv",
            "slices.csv",
            "doubtful_labels.csv",
            "classification_report.txt",
            "label_map.json",
            "summary.txt",
            "figures/scores_by_class.png",
            "figures/confusion_matrix.png",
            "figures/precision_recall_and_roc.png",
            "figures/reliability.png",
            "figures/misclassified.png",
            "figures/near_misses.png",
            "figures/doubtful_labels.png",
            "figures/slices.png",
            "figures/learning_curves.png",
        ),
        memory_mb=2_000,
        tensorflow=True,
    ),
    *_for_each_candidate(
        "08_grad_cam",
        "Grad-CAM",
        compares=False,
        writes=(
            "energy.csv",
            "figures/maps_right.png",
            "figures/maps_wrong.png",
            "figures/energy.png",
            "figures/deletion_and_insertion.png",
            "figures/randomised_weights.png",
        ),
        memory_mb=2_000,
        tensorflow=True,
    ),
    Stage(
        "10_export",
        "Export the champion",
        "–",
        reads=(
            "01_acquire",
            "03_preprocess",
            *CANDIDATES.values(),
            *(f"07_evaluation/{candidate}" for candidate in CANDIDATES),
        ),
        writes=(
            "candidates.csv",
            "formats.csv",
            "test_predictions.npz",
            "model_card.md",
            "figures/accuracy_and_latency.png",
            "figures/formats.png",
        ),
        threads=0,
        memory_mb=4_000,
        tensorflow=True,
    ),
    Stage(
        "11_serving",
        "Serve it and watch for drift",
        "–",
        reads=("01_acquire", "10_export"),
        writes=(
            "load.csv",
            "drift_power.csv",
            "refused.csv",
            "figures/latency_and_throughput.png",
            "figures/cost.png",
            "figures/drift_power.png",
        ),
        threads=0,
        memory_mb=3_000,
    ),
)
STAGES: tuple[Stage, ...] = (
    *_BEFORE_REPORT,
    Stage(
        "12_report",
        "Report",
        "iNterpret",
        reads=tuple(stage.name for stage in _BEFORE_REPORT if not stage.candidate),
        may_read=tuple(stage.name for stage in _BEFORE_REPORT if stage.candidate),
        writes=("summary.json", "figures/accuracy_against_cost.png", "figures/business_value.png"),
    ),
)

BY_NAME: dict[str, Stage] = {stage.name: stage for stage in STAGES}
NOTEBOOKS: tuple[str, ...] = tuple(dict.fromkeys(stage.notebook for stage in STAGES))


def find(name: str) -> Stage:
    """Return the stage of that name.

    Raises:
        UsageError: there is no such stage, or it is run for each candidate; the message names the nearest.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    if name in NOTEBOOKS:
        raise UsageError(
            f"{name} is run for each candidate.",
            f"name one: {', '.join(stage.name for stage in of_notebook(name))}",
        )
    raise UsageError(f"There is no stage '{name}'.", nearest(name, BY_NAME))


def of_notebook(name: str) -> tuple[Stage, ...]:
    """Return the stages of a notebook, or the one stage of that name.

    Raises:
        UsageError: there is neither; the message names the nearest.
    """
    if name in NOTEBOOKS:
        return tuple(stage for stage in STAGES if stage.notebook == name)
    return (find(name),)


def notebook_of(name: str) -> str:
    """Return the notebook of a stage, or that notebook's own name.

    Raises:
        UsageError: there is neither; the message names the nearest.
    """
    return of_notebook(name)[0].notebook


def until(name: str) -> tuple[Stage, ...]:
    """Return the stages that a stage, or a notebook for every candidate, needs, itself included, in order."""
    wanted = {stage.name for stage in of_notebook(name)}
    for stage in reversed(STAGES):
        if stage.name in wanted:
            wanted.update(stage.reads)
    return tuple(stage for stage in STAGES if stage.name in wanted)


def downstream(name: str) -> tuple[Stage, ...]:
    """Return a stage, or a notebook for every candidate, and all that read from it, directly or not, in order."""
    found = {stage.name for stage in of_notebook(name)}
    for stage in STAGES:
        if found.intersection(stage.looks_at):
            found.add(stage.name)
    return tuple(stage for stage in STAGES if stage.name in found)


def split_input(name: str) -> tuple[str, str]:
    """Return stage and file of an input as manifests name it, such as `07_evaluation/tuned/metrics.json`.

    The stage is empty where there is none of that name.
    """
    for stage in STAGES:
        if name.startswith(f"{stage.name}/"):
            return stage.name, name[len(stage.name) + 1 :]
    return "", name
