"""Predictions at the command line: picture files, samples of the data, folders watched for drift. Without TensorFlow."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import paths
from helpers.errors import OsemnError, UsageError
from helpers.export import registry, versions
from helpers.interpret import drift
from helpers.obtain import data, folders, pictures
from helpers.obtain.framing import BlankError
from helpers.obtain.pictures import ImageOptions
from helpers.series import output_paths
from helpers.serving import drift_power
from helpers.serving.model import Served


@dataclass(frozen=True, eq=False)
class Answer:
    """What is said of a picture.

    Attributes:
        name: of the file, or the number of the sample.
        image: `uint8 [H, W, C]` as the model takes it; None where it could not be read.
        answer: as `Served.answers` gives it; empty where it could not be read.
        problem: why it could not be read; empty otherwise.
        true_class: where it is known, otherwise empty.
    """

    name: str
    image: np.ndarray | None
    answer: dict
    problem: str = ""
    true_class: str = ""


def current(dataset: str) -> Served:
    """Return the registry's current version, proven.

    Raises:
        OsemnError: there is none, or it is not whole.
    """
    return Served.load(registry.Registry(dataset).current())


def read(served: Served, path: Path, wishes: ImageOptions | None = None) -> np.ndarray:
    """Return a picture file as the model takes it, `uint8 [H, W, C]`; all is read that 01_acquire reads.

    Raises:
        ValueError: it cannot be read, is no picture, too large, damaged or blank; the message says which.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on large pictures and odd files
            with folders.opened(path) as picture:
                return pictures.prepare(picture, *served.shape, wishes, served.framing)
    except BlankError as error:
        raise ValueError(f"it is blank: {error}") from None
    except Exception as error:  # damaged files make Pillow's readers raise almost anything
        raise ValueError(folders.reason(error, path)) from None


def of_files(served: Served, files: Iterable[Path], wishes: ImageOptions | None = None) -> list[Answer]:
    """Return an answer for each file, in order; a file that cannot be read has a problem instead."""
    found = []
    for path in files:
        try:
            image = read(served, path, wishes)
        except ValueError as error:
            found.append(Answer(str(path), None, {}, str(error)))
            continue
        (answer,) = served.answers(served.predict(image[np.newaxis])[0])
        found.append(Answer(str(path), image, answer))
    return found


def of_samples(served: Served, dataset: str, count: int, seed: int) -> list[Answer]:
    """Return answers for validation images of the run that trained the served version, drawn at random.

    Args:
        served: the version.
        dataset: as the series is run for.
        count: how many.
        seed: decides which.

    Raises:
        OsemnError: the run is not there any more.
    """
    profile = served.version.manifest["profile"]
    folder = paths.run_folder(dataset, profile)
    try:
        whole = data.load(folder / "01_acquire" / "train.npz")
        with np.load(folder / "03_preprocess" / "split.npz", allow_pickle=False) as split:
            validation = whole.subset(split["validation_index"])
    except FileNotFoundError:
        raise OsemnError(
            f"The images of {dataset} at profile {profile} are not here.",
            f"run: osemn run --dataset {dataset} --profile {profile} --until 03_preprocess",
        ) from None
    rows = np.random.default_rng(seed).choice(len(validation), min(count, len(validation)), replace=False)
    images, names = validation.images[rows], validation.class_names
    answers = served.answers(served.predict(images)[0])
    return [
        Answer(f"validation image {row}", image, answer, true_class=names[validation.labels[row]])
        for row, image, answer in zip(rows.tolist(), images, answers, strict=True)
    ]


def folder_drift(served: Served, folder: Path) -> tuple[drift.DriftResult, Sequence[Answer]]:
    """Return whether the pictures in a folder (not in folders inside) have drifted, and what could not be read.

    Raises:
        UsageError: there is no such folder.
        OsemnError: it holds too few pictures, or the version has no drift reference.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "name a folder of pictures")
    path = served.version.folder / versions.DRIFT
    if not path.is_file():
        raise OsemnError(
            f"Version {served.version.name} has no drift reference, for want of validation images.",
            "hold out more of them (03_preprocess.validation_fraction) and export again",
        )
    reference = drift.DriftReference.load(path)
    images, bad = [], []
    for file in folders.image_files(folder):
        try:
            images.append(read(served, file))
        except ValueError as error:
            bad.append(Answer(file.name, None, {}, str(error)))
    if not images:
        endings = ", ".join(sorted(folders.SUFFIXES))
        raise OsemnError(
            f"{folder} holds no picture that can be read.", f"name a folder of pictures ({endings})"
        )
    # one of the tests looks at the first pictures only, and names may be in the order of their classes
    stacked = np.random.default_rng(0).permutation(np.stack(images))
    known = drift.sample(*drift_power.in_chunks(served.predict)(stacked), stacked)
    return reference.examine(known), bad


def check_grid(path: Path) -> None:
    """Refuse a drawing that cannot be written, before anything is predicted.

    Raises:
        UsageError: its folder is not there or cannot be written to, it is a folder itself, or its name does not end in .png.
    """
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} for {path.name}.", "make it, or name another")
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "name a PNG file for --grid")
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no name of a PNG file.", "let it end in .png")
    output_paths.check_file(path)


def grid(answers: Sequence[Answer], path: Path, columns: int = 6) -> None:
    """Draw pictures with their answers into a PNG; those known to be wrong are marked.

    Args:
        answers: those that could be read are drawn.
        path: the file to write.
        columns: pictures in a row.
    """
    from helpers import figures

    drawn = [answer for answer in answers if answer.image is not None]
    if not drawn:
        raise OsemnError("There is no picture to draw.", "name pictures that can be read")
    titles = []
    for found in drawn:
        said = f"{found.answer['class']} {found.answer['confidence']:.0%}"
        wrong = found.true_class and found.true_class != found.answer["class"]
        titles.append(f"✗ {said}\n(is {found.true_class})" if wrong else said)
    figure = figures.image_grid(
        np.stack([found.image for found in drawn]), titles, columns=min(columns, len(drawn)), cell=1.6
    )
    figure.savefig(path)
