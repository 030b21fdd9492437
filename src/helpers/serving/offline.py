"""Predictions at the command line: image files, samples of the data, folders checked for drift. Without TensorFlow."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from helpers import paths, wording
from helpers.errors import OsemnError, UsageError
from helpers.export import registry
from helpers.interpret import drift
from helpers.obtain import data
from helpers.obtain.images import formats, pictures
from helpers.obtain.images.framing import BlankError
from helpers.obtain.images.pictures import ImageOptions
from helpers.series import output_paths
from helpers.serving.model import Served


@dataclass(frozen=True, eq=False)
class FilePrediction:
    """The prediction for an image.

    Attributes:
        name: of the file, or the number of the sample.
        image: `uint8 [H, W, C]` as the model takes it; None if it could not be read.
        prediction: from `Served.describe`; empty if the image could not be read.
        problem: why it could not be read; empty otherwise.
        true_class: empty if it is not known.
    """

    name: str
    image: np.ndarray | None = None
    prediction: dict = field(default_factory=dict)
    problem: str = ""
    true_class: str = ""


def current(dataset: str) -> Served:
    """Return the registry's current version, proven.

    Raises:
        OsemnError: there is none, or it is damaged.
    """
    return Served.load(registry.Registry(dataset).current())


def read(served: Served, path: Path, options: ImageOptions | None = None) -> FilePrediction:
    """Return an image file as the model takes it, in any format that 01_acquire reads, or why it cannot be read; not predicted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and odd files
            with formats.opened(path) as image:
                pixels = pictures.prepare(image, *served.shape, options, served.preparation)
        return FilePrediction(str(path), pixels)
    except BlankError as error:
        return FilePrediction(str(path), problem=f"it is blank: {error}")
    except Exception as error:  # Pillow raises almost any exception on damaged files
        return FilePrediction(str(path), problem=formats.reason(error, path))


def of_files(
    served: Served, files: Iterable[Path], options: ImageOptions | None = None
) -> list[FilePrediction]:
    """Return a prediction for each file, in order; a file that cannot be read has a problem instead."""
    predictions = []
    for item in (read(served, path, options) for path in files):
        if item.image is not None:
            (prediction,) = served.describe(*served.predict(item.image[np.newaxis]))
            item = replace(item, prediction=prediction)
        predictions.append(item)
    return predictions


def of_samples(served: Served, dataset: str, count: int, seed: int) -> list[FilePrediction]:
    """Return predictions for random validation images of the run that trained the served version.

    Args:
        served: the version.
        dataset: as the series is run for.
        count: how many.
        seed: of the draw.

    Raises:
        OsemnError: the run's files are missing.
    """
    profile = served.version.manifest["profile"]
    folder = paths.run_folder(dataset, profile)
    try:
        acquired = data.load(folder / "01_acquire" / "train.npz", served.shape[0])
        with np.load(folder / "03_preprocess" / "split.npz", allow_pickle=False) as split:
            validation = acquired.subset(split["validation_index"])
    except FileNotFoundError:
        raise OsemnError(
            f"The images of {dataset} at profile {profile} are missing.",
            f"run: osemn run --dataset {dataset} --profile {profile} --until 03_preprocess",
        ) from None
    rows = np.random.default_rng(seed).choice(len(validation), min(count, len(validation)), replace=False)
    images, names = validation.images[rows], validation.class_names
    predictions = served.describe(*served.predict(images))
    return [
        FilePrediction(f"validation image {row}", image, prediction, true_class=names[validation.labels[row]])
        for row, image, prediction in zip(rows.tolist(), images, predictions, strict=True)
    ]


def folder_drift(
    served: Served, folder: Path
) -> tuple[drift.DriftResult, float | None, Sequence[FilePrediction]]:
    """Return whether the images in a folder (not in its subfolders) have drifted, and the files that could not be read.

    Between them stands the proportion of images that seem to show none of the classes; None for a version that cannot tell.

    Raises:
        UsageError: there is no such folder.
        OsemnError: it holds too few images, or the version has no drift reference.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "name a folder of images")
    reference = served.drift_reference()
    if reference is None:
        raise OsemnError(
            f"Version {served.version.name} has no drift reference: there were too few validation images.",
            "hold out more of them (03_preprocess.validation_fraction) and export again",
        )
    items = [read(served, file) for file in sorted(folder.iterdir()) if formats.is_image(file)]
    images = [item.image for item in items if item.image is not None]
    if not images:
        endings = ", ".join(sorted(formats.SUFFIXES))
        raise OsemnError(f"{folder} holds no readable image.", f"name a folder of images ({endings})")
    # shuffled, as one of the tests uses the first images only, and file names may be sorted by class
    stacked = np.random.default_rng(0).permutation(np.stack(images))
    sample = drift.sample(*served.predict(stacked), stacked)
    unknown = float(served.detector.rejects(sample.embeddings).mean()) if served.detector else None
    return reference.examine(sample), unknown, [item for item in items if item.problem]


def check_grid(path: Path) -> None:
    """Refuse an image grid that cannot be written, before anything is predicted.

    Raises:
        UsageError: its folder is missing or not writable, it is a folder itself, or its name does not end in .png.
    """
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} for {path.name}.", "create it, or name another")
    output_paths.check_file(path, ".png")


def grid(predictions: Sequence[FilePrediction], path: Path, columns: int = 6) -> None:
    """Draw the first images with their predictions into a PNG; those known to be misclassified are marked.

    Args:
        predictions: those without an image are left out.
        path: the file to write.
        columns: images in a row.
    """
    from helpers import figures

    drawn = [one for one in predictions if one.image is not None]
    if not drawn:
        raise OsemnError("There is no image to draw.", "name images that can be read")
    shown, titles = drawn[: figures.MOST_IMAGES], []
    for one in shown:
        title = (
            f"{figures.label(one.prediction['class'], 20)} {wording.percent(one.prediction['confidence'], 0)}"
        )
        title += ", unknown" if one.prediction["unknown"] else ""
        misclassified = one.true_class and one.true_class != one.prediction["class"]
        titles.append(f"✗ {title}\n(is {figures.label(one.true_class, 20)})" if misclassified else title)
    images = np.stack([one.image for one in shown])
    figure = figures.image_grid(images, titles, columns=columns, cell=1.6)
    if len(shown) < len(drawn):
        figure.suptitle(f"The first {len(shown)} of {len(drawn):,} images.", fontsize=11)
    figure.savefig(path)
