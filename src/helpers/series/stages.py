"""The table of stages. The Snakefile, the README's table, the report's pages and the checks are derived from it."""

from dataclasses import dataclass
from typing import Any

from helpers.errors import UsageError, nearest


@dataclass(frozen=True)
class Stage:
    """A notebook of the series, or its run for one candidate.

    Attributes:
        name: the notebook's file name without its extension. For a notebook that runs for several candidates, a slash
            and the candidate follow. The stage's folder has the same name.
        title: its title in tables and reports.
        phase: its part of OSEMN, or "–".
        reads: the stages whose files it needs.
        may_read: other stages whose files it uses if they have been run.
        writes: the files that it must write besides `metrics.json`; without them the stage is not done.
        threads: the number of cores it uses; 0 means all of them, or half of them where other stages may run beside it.
        alone: whether no other stage runs beside it on a machine, because it measures how long things take.
        memory_mb: peak resident memory to request from a scheduler, in MB.
        tensorflow: whether TensorFlow is seeded before it starts.
    """

    name: str
    title: str
    phase: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    threads: int = 1
    alone: bool = False
    memory_mb: int = 2_000
    tensorflow: bool = False
    may_read: tuple[str, ...] = ()

    @property
    def looks_at(self) -> tuple[str, ...]:
        """All stages whose files it may load."""
        return (*self.reads, *self.may_read)

    @property
    def notebook(self) -> str:
        """The notebook's file name without its extension."""
        return self.name.partition("/")[0]

    @property
    def candidate(self) -> str:
        """The candidate that the notebook runs for; empty for a notebook that runs once."""
        return self.name.partition("/")[2]

    @property
    def slug(self) -> str:
        """The name without a slash, for files in one folder."""
        return self.name.replace("/", "-")


CANDIDATES: dict[str, str] = {
    "baseline_cnn": "04_baseline",
    "transfer": "05_transfer_learning",
    "fine_tuned": "06_fine_tuning",
    "tuned": "09_tuning",
}
"""The models that may become the champion, in the order of their evaluation, each with the stage that trains it."""

_TRAINS: dict[str, Any] = {"threads": 0, "memory_mb": 4_000, "tensorflow": True}
"""What the stages that train networks request from a scheduler: cores to share, and 4 GB of memory."""


def _figures(*names: str) -> tuple[str, ...]:
    return tuple(f"figures/{name}.png" for name in names)


def _for_each_candidate(notebook: str, title: str, *, compares: bool, writes: tuple[str, ...]) -> list[Stage]:
    """Return a notebook's stages, one per candidate; with `compares`, each may read what earlier candidates have written."""
    rows: list[Stage] = []
    trained: list[str] = []
    for candidate, trained_by in CANDIDATES.items():
        rows.append(
            Stage(
                f"{notebook}/{candidate}",
                f"{title}: {candidate}",
                "iNterpret",
                reads=("01_acquire", "03_preprocess", trained_by),
                may_read=(*trained, *(row.name for row in rows)) if compares else (),
                writes=writes,
                tensorflow=True,
            )
        )
        trained.append(trained_by)
    return rows


_BEFORE_REPORT: tuple[Stage, ...] = (
    Stage(
        "00_warm_up",
        "Warm-up: Make Moons",
        "–",
        reads=(),
        writes=("environment.json", *_figures("decision_boundary", "noise")),
        tensorflow=True,
    ),
    Stage(
        "01_acquire",
        "Acquire the data",
        "Obtain",
        reads=(),
        writes=(
            *("train.npz", "test.npz", "data_card.json", "index.parquet", "training_index.parquet"),
            *("skipped.csv", *_figures("samples")),
        ),
    ),
    Stage(
        "02_explore",
        "Explore the training part",
        "Explore",
        reads=("01_acquire",),
        writes=(
            "duplicates.csv",
            *_figures("class_balance", "samples_by_class", "mean_and_variance", "intensities"),
            *_figures("class_correlation", "embedding", "quality"),
        ),
    ),
    Stage(
        "03_preprocess",
        "Preprocess and augment",
        "Scrub",
        reads=("01_acquire",),
        writes=(
            "split.npz",
            "metric.json",
            "normalisation.json",
            "augmentation.json",
            "followed.json",
            *_figures("augmentation"),
        ),
        tensorflow=True,
    ),
    Stage(
        "04_baseline",
        "Baselines",
        "Model",
        reads=("01_acquire", "03_preprocess"),
        writes=(
            *("models/baseline_cnn.keras", "models/dense.keras"),
            *("validation_predictions.npz", "history.json", "baselines.csv"),
            *_figures("return_on_complexity", "learning_curves", "overfitting", "remedies"),
        ),
        **_TRAINS,
    ),
    Stage(
        "05_transfer_learning",
        "Transfer learning",
        "Model",
        reads=("01_acquire", "03_preprocess"),
        writes=(
            *("models/transfer.keras", "validation_predictions.npz", "history.json", "comparison.csv"),
            *_figures("resizing", "architecture", "accuracy_by_resolution", "learning_curves"),
        ),
        **_TRAINS,
    ),
    Stage(
        "06_fine_tuning",
        "Fine-tuning",
        "Model",
        reads=("01_acquire", "03_preprocess", "05_transfer_learning"),
        writes=(
            *("models/fine_tuned.keras", "validation_predictions.npz", "history.json", "comparison.csv"),
            *_figures("unfrozen_blocks", "augmented_images", "learning_curves", "gradient_norms"),
        ),
        **_TRAINS,
    ),
    Stage(
        "09_tuning",
        "Tuning",
        "Model",
        reads=("01_acquire", "03_preprocess", "04_baseline"),
        writes=(
            *("models/tuned.keras", "validation_predictions.npz", "history.json", "trials.csv"),
            *_figures("optimization_history", "learning_curves"),
        ),
        **_TRAINS,
    ),
    *_for_each_candidate(
        "07_evaluation",
        "Evaluation",
        compares=True,
        writes=(
            *("test_predictions.npz", "per_class.csv", "slices.csv", "doubtful_labels.csv", "explorer.npz"),
            *("unknown.npz", "classification_report.txt", "label_map.json", "summary.txt"),
            *_figures("scores_by_class", "confusion_matrix", "precision_recall_and_roc", "reliability"),
            *_figures("misclassified", "near_misses", "doubtful_labels", "slices", "learning_curves"),
        ),
    ),
    *_for_each_candidate(
        "08_grad_cam",
        "Grad-CAM",
        compares=False,
        writes=(
            "energy.csv",
            *_figures("maps_right", "maps_wrong", "energy", "deletion_and_insertion", "randomised_weights"),
        ),
    ),
    Stage(
        "10_export",
        "Export the champion",
        "–",
        reads=(
            *("01_acquire", "03_preprocess", *CANDIDATES.values()),
            *(f"07_evaluation/{candidate}" for candidate in CANDIDATES),
        ),
        may_read=tuple(f"08_grad_cam/{candidate}" for candidate in CANDIDATES),
        writes=(
            *("candidates.csv", "formats.csv", "test_predictions.npz", "followed.npz", "model_card.md"),
            *_figures("accuracy_and_latency", "formats"),
        ),
        alone=True,
        **_TRAINS,
    ),
    Stage(
        "11_serving",
        "Serve it and watch for drift",
        "–",
        reads=("01_acquire", "10_export"),
        writes=(
            *("load.csv", "drift_power.csv", "refused.csv"),
            *_figures("latency_and_throughput", "cost", "drift_power"),
        ),
        threads=0,
        alone=True,
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
        writes=("summary.json", *_figures("accuracy_against_cost", "business_value")),
    ),
)

BY_NAME: dict[str, Stage] = {stage.name: stage for stage in STAGES}
NOTEBOOKS: tuple[str, ...] = tuple(dict.fromkeys(stage.notebook for stage in STAGES))


def find(name: str) -> Stage:
    """Return the stage of that name.

    Raises:
        UsageError: there is no such stage, or it runs for each candidate; the message names the closest one.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    if name in NOTEBOOKS:
        raise UsageError(
            f"{name} runs for each candidate.",
            f"name one: {', '.join(stage.name for stage in of_notebook(name))}",
        )
    raise UsageError(f"There is no stage '{name}'.", nearest(name, BY_NAME))


def of_notebook(name: str) -> tuple[Stage, ...]:
    """Return the stages of a notebook, or the one stage of that name.

    Raises:
        UsageError: there is neither; the message names the closest one.
    """
    if name in NOTEBOOKS:
        return tuple(stage for stage in STAGES if stage.notebook == name)
    return (find(name),)


def notebook_of(name: str) -> str:
    """Return the name of a stage's notebook; a notebook's name is returned as it is.

    Raises:
        UsageError: there is neither; the message names the closest one.
    """
    return of_notebook(name)[0].notebook


def until(name: str) -> tuple[Stage, ...]:
    """Return a stage, or a notebook's stages, and all that it needs, in order."""
    wanted = {stage.name for stage in of_notebook(name)}
    for stage in reversed(STAGES):
        if stage.name in wanted:
            wanted.update(stage.reads)
    return tuple(stage for stage in STAGES if stage.name in wanted)


def downstream(name: str) -> tuple[Stage, ...]:
    """Return a stage, or a notebook's stages, and all that depend on it, directly or indirectly, in order."""
    dependent = {stage.name for stage in of_notebook(name)}
    for stage in STAGES:
        if dependent.intersection(stage.looks_at):
            dependent.add(stage.name)
    return tuple(stage for stage in STAGES if stage.name in dependent)


def split_input(name: str) -> tuple[str, str]:
    """Split an input's name in a manifest, such as `07_evaluation/tuned/metrics.json`, into stage and file.

    The stage is empty if no stage has that name.
    """
    for stage in STAGES:
        if name.startswith(f"{stage.name}/"):
            return stage.name, name[len(stage.name) + 1 :]
    return "", name
