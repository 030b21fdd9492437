"""The parameters of each notebook: their types and ranges.

A notebook's `parameters` cell holds names, defaults and a comment for each. The class here holds types and ranges.
`series.resolve` checks values against it before a kernel starts, and again in `Run.start`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from helpers import paths
from helpers.errors import UsageError, nearest
from helpers.series import backbone_names, stages, study_address


def _within_project(file: str) -> str:
    """Return a file's path relative to the project: an absolute one would be stored with the run."""
    place = file and paths.project_path(str(paths.local_path(file)))
    if Path(place).is_absolute():
        if not Path(place).is_file():
            raise UsageError(f"There is no file {place}.", "correct the path")
        raise UsageError(
            f"The file '{Path(place).name}' lies outside the project, and its path would be stored with the run.",
            f"copy it into {paths.project_root().name}, and name it relative to that folder",
        )
    return place


def _relative(folder: str) -> str:
    if Path(folder).expanduser().is_absolute():
        raise ValueError("it would be stored with the run; name it relative to the table")
    return folder


def _refuse_tiny(resolution: int) -> int:
    if 0 < resolution < SMALLEST_RESOLUTION:
        raise ValueError(f"use 0 for automatic, or {SMALLEST_RESOLUTION} or more")
    return resolution


SMALLEST_RESOLUTION = 32  # of every backbone
Fraction = Annotated[float, Field(gt=0.0, lt=0.5)]  # of the images that are held out: less than half
Epochs = Annotated[int, Field(ge=1, le=1_000)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
LearningRate = Annotated[float, Field(gt=0.0, le=10.0)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
Money = Annotated[float, Field(ge=0.0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
FromScratchImages = Annotated[int, Field(ge=0, le=10_000_000)]  # 0: never fewer
Resolution = Annotated[int, Field(ge=SMALLEST_RESOLUTION, le=1_024)]
AutoResolution = Annotated[int, Field(ge=0, le=1_024), AfterValidator(_refuse_tiny)]  # 0 for automatic
BackboneName = Annotated[str, AfterValidator(lambda name: backbone_names.find(name).name)]
Column = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]
StorageAddress = Annotated[str, AfterValidator(study_address.recorded)]


MODELS: dict[str, type["Parameters"]] = {}
"""The parameters' class of each notebook, by the notebook's name; a class registers itself."""


class Parameters(BaseModel):
    """The parameters that every stage has."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    dataset: Annotated[str, Field(min_length=1)]
    profile: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]

    def __init_subclass__(cls, notebook: str, **options: Any) -> None:
        super().__init_subclass__(**options)
        MODELS[notebook] = cls


class WarmUpParameters(Parameters, notebook="00_warm_up"):
    """Parameters of 00_warm_up."""

    samples: Annotated[int, Field(ge=100, le=1_000_000)]
    noise: Annotated[float, Field(ge=0.0, le=2.0)]
    noise_levels: Annotated[list[Annotated[float, Field(ge=0.0, le=2.0)]], Field(min_length=1, max_length=8)]
    epochs: Epochs
    batch_size: BatchSize


class AcquireParameters(Parameters, notebook="01_acquire"):
    """Parameters of 01_acquire."""

    test_fraction: Fraction
    near_duplicate_distance: Annotated[float, Field(ge=0.0, le=1.0)]
    labels: Annotated[str, AfterValidator(_within_project)]
    image_size: Annotated[int, Field(ge=0, le=512)]
    color_mode: Literal["auto", "grayscale", "rgb"]
    fit: Literal["crop", "pad", "squash"]
    window: Annotated[str, Field(pattern=r"^(auto|percentiles|full|[-+.\de]+:[-+.\de]+)$")]
    label_by: Annotated[str, Field(pattern=r"^(folder|path|pattern:.+)$")]
    group_by: Annotated[str, Field(pattern=r"^(|folder|burst|pattern:.+|column:.+)$")]
    image_folder: Annotated[str, AfterValidator(_relative)]
    file_column: Column
    label_column: Column
    split_column: Column
    weight_column: Column
    label_thresholds: list[float]
    label_names: list[Annotated[str, Field(min_length=1)]]
    smallest_class: Annotated[int, Field(ge=0, le=1_000_000)]
    unpack_gb: Annotated[float, Field(gt=0.0, le=100_000.0)]
    cache_gb: Annotated[float, Field(ge=0.0, le=100_000.0)]


class ExploreParameters(Parameters, notebook="02_explore"):
    """Parameters of 02_explore."""

    samples_per_class: Annotated[int, Field(ge=1, le=20)]
    embedding_samples: Annotated[int, Field(ge=50, le=60_000)]
    issue_images: Annotated[int, Field(ge=1, le=20)]


class PreprocessParameters(Parameters, notebook="03_preprocess"):
    """Parameters of 03_preprocess."""

    validation_fraction: Fraction
    metric: Literal["auto", "accuracy", "balanced_accuracy", "macro_f1", "mcc", "cost"]
    costs: list[list[float]]
    follow_image: Annotated[int, Field(ge=-1)]  # -1: a hard one, see explore.similarity
    augmentation_strength: Annotated[float, Field(ge=0.0, le=3.0)]
    gallery_images: Annotated[int, Field(ge=1, le=12)]


class BaselineParameters(Parameters, notebook="04_baseline"):
    """Parameters of 04_baseline."""

    classical_samples: Count
    forest_trees: Annotated[int, Field(ge=1, le=5_000)]
    dense_epochs: Epochs
    cnn_epochs: Epochs
    cnn_filters: Annotated[int, Field(ge=4, le=512)]
    from_scratch_images: FromScratchImages
    batch_size: BatchSize
    learning_rate: LearningRate


class TransferLearningParameters(Parameters, notebook="05_transfer_learning"):
    """Parameters of 05_transfer_learning."""

    backbone: Literal["auto"] | BackboneName
    resolution: AutoResolution
    interpolation: Literal["nearest", "bilinear", "bicubic"]
    compared_backbones: Annotated[list[BackboneName], Field(min_length=1, max_length=6)]
    compared_resolutions: Annotated[list[Resolution], Field(max_length=8)]
    samples: Count
    heads: Annotated[list[Literal["logistic", "dense", "lda"]], Field(min_length=1, max_length=3)]
    class_weights: Literal["auto", "none", "balanced", "sqrt"]
    head_images: Annotated[int, Field(ge=0, le=1_000_000)]
    mirrored_copies: Literal["auto", "always", "never"]
    augmented_views: Annotated[int, Field(ge=0, le=20)]
    head_units: Annotated[int, Field(ge=1, le=4_096)]
    dropout: Dropout
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: LearningRate
    few_images: Annotated[int, Field(ge=0, le=100_000)]
    folds: Annotated[int, Field(ge=2, le=20)]
    repeats: Annotated[int, Field(ge=1, le=100)]
    seeds: Annotated[int, Field(ge=1, le=100)]


class FineTuningParameters(Parameters, notebook="06_fine_tuning"):
    """Parameters of 06_fine_tuning."""

    samples: Count
    variants: Annotated[list[Literal["top_blocks", "all_blocks"]], Field(min_length=1, max_length=2)]
    top_blocks: Annotated[int, Field(ge=1, le=100)]
    train_depthwise: bool
    epochs: Annotated[int, Field(ge=0, le=1_000)]
    images_seen: Count
    minutes: Annotated[float, Field(ge=0.0, le=100_000.0)]
    batch_size: Annotated[int, Field(ge=0, le=65_536)]
    learning_rate: LearningRate
    warmup_fraction: Annotated[float, Field(gt=0.0, lt=1.0)]
    rate_decay: Annotated[float, Field(gt=0.0, le=1.0)]
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)]
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)]
    average_decay: Annotated[float, Field(ge=0.0, lt=1.0)]
    augmented: Literal["auto", "always", "never"]
    flips: Literal["auto", "always", "never"]
    crop_fraction: Annotated[float, Field(ge=0.0, le=0.9)]
    rand_augment: Annotated[float, Field(ge=0.0, le=1.0)]
    mixup: Annotated[float, Field(ge=0.0, le=10.0)]
    cutmix: Annotated[float, Field(ge=0.0, le=10.0)]
    class_weights: Literal["auto", "none", "balanced", "sqrt", "sampling", "logit_adjustment"]
    patience: Annotated[int, Field(ge=1, le=1_000)]
    seeds: Annotated[int, Field(ge=1, le=20)]


class TuningParameters(Parameters, notebook="09_tuning"):
    """Parameters of 09_tuning."""

    study: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$")]
    storage: StorageAddress
    trials: Annotated[int, Field(ge=1, le=10_000)]
    trial_samples: Count
    trial_epochs: Epochs
    widths: Annotated[list[Annotated[int, Field(ge=1, le=1_024)]], Field(min_length=1, max_length=8)]
    depths: Annotated[list[Annotated[int, Field(ge=1, le=16)]], Field(min_length=1, max_length=8)]
    epochs: Epochs
    seeds: Annotated[int, Field(ge=1, le=20)]
    default_seeds: Annotated[int, Field(ge=0, le=20)]
    from_scratch_images: FromScratchImages
    batch_size: BatchSize
    early_pooling: bool
    average_flips: bool


class EvaluationParameters(Parameters, notebook="07_evaluation"):
    """Parameters of 07_evaluation."""

    candidate: Literal["", *stages.CANDIDATES]
    grid_images: Annotated[int, Field(ge=1, le=100)]
    wanted_precision: Annotated[float, Field(gt=0.0, lt=1.0)]
    known_rejected: Annotated[float, Field(gt=0.0, lt=0.5)]
    robustness_images: Annotated[int, Field(ge=0, le=100_000)]


class GradCamParameters(Parameters, notebook="08_grad_cam"):
    """Parameters of 08_grad_cam."""

    candidate: Literal["", *stages.CANDIDATES]
    method: Literal["grad_cam", "grad_cam_plus_plus"]
    layer: str
    samples: Annotated[int, Field(ge=10, le=1_000_000)]
    perturbed_images: Annotated[int, Field(ge=2, le=100_000)]
    randomised_images: Annotated[int, Field(ge=2, le=100_000)]


class ExportParameters(Parameters, notebook="10_export"):
    """Parameters of 10_export."""

    champion: Literal["", *stages.CANDIDATES]
    margin: Annotated[float, Field(ge=0.0, le=1e6)]
    latency_calls: Annotated[int, Field(ge=10, le=100_000)]
    calibration_images: Annotated[int, Field(ge=10, le=10_000)]
    integer_loss: Annotated[float, Field(ge=0.0, le=1.0)]
    promote: Literal["unless_worse", "always", "never"]


class ServingParameters(Parameters, notebook="11_serving"):
    """Parameters of 11_serving."""

    request_images: Annotated[int, Field(ge=1, le=100_000)]
    load_seconds: Annotated[float, Field(gt=0.0, le=600.0)]
    connections: Annotated[list[Annotated[int, Field(ge=1, le=256)]], Field(min_length=1, max_length=8)]
    workers: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=4)]
    batches: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=6)]
    drift_images: Annotated[int, Field(ge=100, le=100_000)]
    drift_windows: Annotated[int, Field(ge=1, le=100_000)]
    false_alarm_windows: Annotated[int, Field(ge=1, le=1_000_000)]


class ReportParameters(Parameters, notebook="12_report"):
    """Parameters of 12_report."""

    value_right: Money
    cost_wrong: Money
    cost_check: Annotated[float, Field(gt=0.0, le=1e9)]
    cost_prediction: Money
    person_accuracy: Annotated[float, Field(ge=0.0, le=1.0)]
    currency: Annotated[str, Field(min_length=1, max_length=20)]


def check(stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the parameters of a notebook and return them as a plain dictionary.

    Args:
        stage: the stage or notebook, as it is named in error messages.
        values: the parameters by name.

    Raises:
        UsageError: a name is unknown or missing, a type is wrong, or a value is out of range.
    """
    model = MODELS[stage.partition("/")[0]]
    for name in values:
        if name not in model.model_fields:
            raise UsageError(f"{stage} has no parameter '{name}'.", nearest(name, model.model_fields))
    try:
        return model(**values).model_dump()
    except ValidationError as error:
        problems = "; ".join(_describe(item) for item in error.errors())
        as_text = any(
            isinstance(item["input"], str) and item["type"].endswith("_type") for item in error.errors()
        )
        papermill = "; papermill takes lists with -y 'name: [1, 2]', and there 3.0e-4 for 3e-4" * as_text
        raise UsageError(f"{stage}: {problems}.", f"see the notebook's parameters cell{papermill}") from None


def _describe(item: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "missing":
        return f"parameter '{name}' is missing"
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"parameter '{name}' = {item.get('input')!r} is not valid: {message}"
