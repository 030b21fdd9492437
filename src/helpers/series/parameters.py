"""A notebook's parameters: their types and ranges, where their values come from, and the checks on them.

A notebook's cell tagged `parameters` holds names, defaults and a comment for each; the class here holds
type and range. Values come from the cell, then the profile, then the command line, and are checked
before a kernel starts (and once more by `Run.start`, for those who run a notebook by hand).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from helpers import paths
from helpers.errors import UsageError, nearest
from helpers.series import backbone_names, notebook_cells, stages

Fraction = Annotated[float, Field(gt=0.0, lt=0.5)]
Epochs = Annotated[int, Field(ge=1, le=1_000)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
LearningRate = Annotated[float, Field(gt=0.0, le=10.0)]
Money = Annotated[float, Field(ge=0.0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class _Yaml(yaml.SafeLoader):
    """YAML that reads `3e-4` as a number, as people write it; YAML 1.1 wants `3.0e-4` and takes it for text."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, _Yaml)  # a SafeLoader


class Parameters(BaseModel):
    """What every stage takes."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    dataset: Annotated[str, Field(min_length=1)]
    profile: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]


class WarmUp(Parameters):
    """00_warm_up."""

    samples: Annotated[int, Field(ge=100, le=1_000_000)]
    noise: Annotated[float, Field(ge=0.0, le=2.0)]
    noise_levels: Annotated[list[Annotated[float, Field(ge=0.0, le=2.0)]], Field(min_length=1, max_length=8)]
    epochs: Epochs
    batch_size: BatchSize


class Acquire(Parameters):
    """01_acquire."""

    image_size: Annotated[int, Field(ge=0, le=512)]
    color_mode: Literal["auto", "grayscale", "rgb"]
    test_fraction: Fraction


class Explore(Parameters):
    """02_explore."""

    samples_per_class: Annotated[int, Field(ge=1, le=20)]
    embedding_samples: Annotated[int, Field(ge=50, le=60_000)]
    near_duplicate_distance: Annotated[float, Field(ge=0.0, le=1.0)]


class Preprocess(Parameters):
    """03_preprocess."""

    validation_fraction: Fraction
    augmentation_strength: Annotated[float, Field(ge=0.0, le=3.0)]
    gallery_images: Annotated[int, Field(ge=1, le=12)]


class Baseline(Parameters):
    """04_baseline."""

    classical_samples: Count
    forest_trees: Annotated[int, Field(ge=1, le=5_000)]
    dense_epochs: Epochs
    cnn_epochs: Epochs
    cnn_filters: Annotated[int, Field(ge=4, le=512)]
    batch_size: BatchSize
    learning_rate: LearningRate


Resolution = Annotated[int, Field(ge=32, le=1_024)]
BackboneName = Annotated[str, AfterValidator(lambda name: backbone_names.find(name).name)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class TransferLearning(Parameters):
    """05_transfer_learning."""

    backbone: BackboneName
    resolution: Resolution
    interpolation: Literal["nearest", "bilinear", "bicubic"]
    compared_backbones: Annotated[list[BackboneName], Field(min_length=1, max_length=6)]
    compared_resolutions: Annotated[list[Resolution], Field(min_length=1, max_length=8)]
    samples: Count
    augmented_views: Annotated[int, Field(ge=0, le=20)]
    head_units: Annotated[int, Field(ge=1, le=4_096)]
    dropout: Dropout
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: LearningRate


class FineTuning(Parameters):
    """06_fine_tuning."""

    samples: Count
    variants: Annotated[list[Literal["top_blocks", "all_blocks"]], Field(min_length=1, max_length=2)]
    top_blocks: Annotated[int, Field(ge=1, le=100)]
    train_depthwise: bool
    top_epochs: Epochs
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: LearningRate
    warmup_fraction: Annotated[float, Field(gt=0.0, lt=1.0)]
    rate_decay: Annotated[float, Field(gt=0.0, le=1.0)]
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)]
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)]
    augmented: bool
    patience: Annotated[int, Field(ge=1, le=1_000)]


def _without_password(storage: str) -> str:
    if urlsplit(storage).password:
        raise UsageError(
            "storage holds a password, which would be written into the run's files and pages.",
            "leave it out of the address and put it into ~/.pgpass or the variable PGPASSWORD",
        )
    return storage


class Tuning(Parameters):
    """09_tuning."""

    study: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$")]
    storage: Annotated[str, AfterValidator(_without_password)]
    trials: Annotated[int, Field(ge=1, le=10_000)]
    trial_samples: Count
    trial_epochs: Epochs
    widths: Annotated[list[Annotated[int, Field(ge=1, le=1_024)]], Field(min_length=1, max_length=8)]
    depths: Annotated[list[Annotated[int, Field(ge=1, le=16)]], Field(min_length=1, max_length=8)]
    epochs: Epochs
    seeds: Annotated[int, Field(ge=1, le=20)]
    default_seeds: Annotated[int, Field(ge=0, le=20)]
    batch_size: BatchSize
    early_pooling: bool
    average_flips: bool
    head_trials: Annotated[int, Field(ge=0, le=10_000)]


class Evaluation(Parameters):
    """07_evaluation."""

    candidate: Literal[tuple(stages.CANDIDATES)]
    neighbour_samples: Annotated[int, Field(ge=10, le=1_000_000)]
    grid_images: Annotated[int, Field(ge=1, le=100)]
    label_agreement: Annotated[float, Field(gt=0.5, le=1.0)]


class GradCam(Parameters):
    """08_grad_cam."""

    candidate: Literal[tuple(stages.CANDIDATES)]
    method: Literal["grad_cam", "grad_cam_plus_plus"]
    layer: str
    samples: Annotated[int, Field(ge=10, le=1_000_000)]
    perturbed_images: Annotated[int, Field(ge=2, le=100_000)]
    randomised_images: Annotated[int, Field(ge=2, le=100_000)]


class Export(Parameters):
    """10_export."""

    champion: Literal["", *stages.CANDIDATES]
    latency_calls: Annotated[int, Field(ge=10, le=100_000)]
    calibration_images: Annotated[int, Field(ge=10, le=10_000)]
    integer_loss: Annotated[float, Field(ge=0.0, le=1.0)]
    promote: Literal["unless_worse", "always", "never"]


class Serving(Parameters):
    """11_serving."""

    request_images: Annotated[int, Field(ge=1, le=100_000)]
    load_seconds: Annotated[float, Field(gt=0.0, le=600.0)]
    connections: Annotated[list[Annotated[int, Field(ge=1, le=256)]], Field(min_length=1, max_length=8)]
    workers: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=4)]
    batches: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=6)]
    drift_images: Annotated[int, Field(ge=100, le=100_000)]
    drift_windows: Annotated[int, Field(ge=1, le=100_000)]
    false_alarm_windows: Annotated[int, Field(ge=1, le=1_000_000)]


class Report(Parameters):
    """12_report."""

    value_right: Money
    cost_wrong: Money
    cost_check: Annotated[float, Field(gt=0.0, le=1e9)]
    cost_prediction: Money
    currency: Annotated[str, Field(min_length=1, max_length=20)]


MODELS: dict[str, type[Parameters]] = {
    "00_warm_up": WarmUp,
    "01_acquire": Acquire,
    "02_explore": Explore,
    "03_preprocess": Preprocess,
    "04_baseline": Baseline,
    "05_transfer_learning": TransferLearning,
    "06_fine_tuning": FineTuning,
    "07_evaluation": Evaluation,
    "08_grad_cam": GradCam,
    "09_tuning": Tuning,
    "10_export": Export,
    "11_serving": Serving,
    "12_report": Report,
}


def check(stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked parameters of a stage as a plain dictionary.

    Raises:
        UsageError: a name is unknown or missing, a type is wrong, or a value is out of range.
    """
    model = MODELS[stages.notebook_of(stage)]
    for name in values:
        if name not in model.model_fields:
            raise UsageError(f"{stage} has no parameter '{name}'.", nearest(name, model.model_fields))
    try:
        return model(**values).model_dump()
    except ValidationError as error:
        problems = "; ".join(_describe(item) for item in error.errors())
        raise UsageError(
            f"{stage}: {problems}.", "the parameters cell of the notebook says what each one means"
        ) from None


def _describe(item: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in item["loc"])
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"parameter '{name}' = {item.get('input')!r} is not valid: {message}"


def profiles() -> list[str]:
    """Return the names of the profiles."""
    return sorted(path.stem for path in (paths.project_root() / "profiles").glob("*.yaml"))


def load_profile(profile: str) -> dict[str, dict[str, Any]]:
    """Return a profile: `{stage: {parameter: value}}`.

    Raises:
        UsageError: the profile does not exist, or names a stage or a parameter that does not.
    """
    if profile not in profiles():
        raise UsageError(f"There is no profile '{profile}'.", nearest(profile, profiles()))
    path = paths.profile_file(profile)
    try:
        content = _read_yaml(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{paths.shown(path)} is not readable YAML: {error}.", "mend the file") from None
    for stage, values in content.items():
        stages.of_notebook(stage)
        if not isinstance(values, dict):
            raise UsageError(
                f"{paths.shown(path)}: '{stage}' must hold 'parameter: value' lines.", "mend the file"
            )
    return content


def resolve(
    stage: str, dataset: str, profile: str, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return a stage's checked parameters: the notebook's defaults, then the profile, then the overrides.

    Of a notebook that is run for several candidates, profile and overrides may name the notebook or one of its stages.

    Raises:
        UsageError: a name is unknown, a type is wrong or a value is out of range.
    """
    check_dataset(dataset)
    names = dict.fromkeys((stages.notebook_of(stage), stage))
    values = notebook_cells.defaults(stage)
    for given in (load_profile(profile), overrides or {}):
        for name in names:
            values.update(given.get(name, {}))
    values.update(dataset=dataset, profile=profile)
    candidate = stage.partition("/")[2]
    if candidate:
        values.update(candidate=candidate)
    return check(stage, values)


def check_dataset(dataset: str) -> None:
    """Check that a data set is built in or is a folder that exists.

    Raises:
        UsageError: it is neither.
    """
    if not paths.is_image_folder(dataset) or paths.image_folder(dataset).is_dir():
        return
    if "/" in dataset or "\\" in dataset:
        raise UsageError(
            f"There is no folder '{dataset}'.",
            "name a folder that holds one sub-folder of images for each class",
        )
    raise UsageError(
        f"There is no data set '{dataset}'.",
        f"{nearest(dataset, paths.BUILT_IN_DATASETS)}; or name a folder of images, one sub-folder for each class",
    )


def parse_overrides(settings: list[str]) -> dict[str, dict[str, Any]]:
    """Read `STAGE.parameter=value` settings; values are YAML scalars or lists.

    Raises:
        UsageError: a setting has another form, or names an unknown stage.
    """
    overrides: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        stage, dot, parameter = name.partition(".")
        if not equals or not dot or not parameter:
            raise UsageError(
                f"'{setting}' is not of the form STAGE.parameter=value.",
                "for example: --set 04_baseline.cnn_epochs=5",
            )
        stages.of_notebook(stage)
        if parameter == "candidate":
            raise UsageError(
                "The series runs for every candidate.", "choose with --until, for example 07_evaluation/tuned"
            )
        if parameter in ("dataset", "profile"):
            raise UsageError(f"'{parameter}' holds for the whole run.", f"use --{parameter} instead of --set")
        try:
            overrides.setdefault(stage, {})[parameter] = _read_yaml(text)
        except yaml.YAMLError:
            raise UsageError(f"The value in '{setting}' cannot be read.", "quote it for your shell") from None
    return overrides
