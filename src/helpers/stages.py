"""The one table of stages; the Snakefile, the README's table and the checks are made from it."""

from dataclasses import dataclass

from helpers.errors import UsageError, nearest


@dataclass(frozen=True)
class Stage:
    """One notebook of the series.

    Attributes:
        name: the notebook's file name without its ending, and the name of the stage's folder.
        title: what it is called in tables and reports.
        phase: its part of OSEMN, or "–".
        reads: the stages whose files it may load.
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


STAGES: tuple[Stage, ...] = (
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
            "figures/importances.png",
            "figures/parallel_coordinates.png",
            "figures/slices.png",
            "figures/learning_curves.png",
        ),
        threads=0,
        memory_mb=4_000,
        tensorflow=True,
    ),
    Stage(
        "12_report",
        "Report",
        "iNterpret",
        reads=(
            "00_warm_up",
            "01_acquire",
            "02_explore",
            "03_preprocess",
            "04_baseline",
            "05_transfer_learning",
            "06_fine_tuning",
            "09_tuning",
        ),
        writes=("summary.json",),
    ),
)

BY_NAME: dict[str, Stage] = {stage.name: stage for stage in STAGES}


def find(name: str) -> Stage:
    """Return the stage of that name.

    Raises:
        UsageError: there is no such stage; the message names the nearest.
    """
    if name not in BY_NAME:
        raise UsageError(f"There is no stage '{name}'.", nearest(name, BY_NAME))
    return BY_NAME[name]


def until(name: str) -> tuple[Stage, ...]:
    """Return the stages that `name` needs, itself included, in order."""
    wanted = {name}
    for stage in reversed(STAGES):
        if stage.name in wanted:
            wanted.update(stage.reads)
    find(name)
    return tuple(stage for stage in STAGES if stage.name in wanted)


def downstream(name: str) -> tuple[Stage, ...]:
    """Return the stage itself and every stage that reads from it, directly or not, in order."""
    found = {find(name).name}
    for stage in STAGES:
        if found.intersection(stage.reads):
            found.add(stage.name)
    return tuple(stage for stage in STAGES if stage.name in found)
