"""Read a folder of images with one sub-folder for each class.

Conventions: the images of a class are directly in its sub-folder; classes are numbered in the order of their names. Hidden
files and folders are skipped, and so are files without an image's suffix. Each image is rotated by its EXIF orientation,
laid on white where it is transparent, cropped to the largest centred square and resized; 16-bit values are divided by 257;
of an animation the first frame is used. An image is grey if its three channels are equal in every pixel.
"""

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import paths
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain import data, formats, pictures

DEFAULT_SIZE = 64  # pixels; small enough to train on a laptop
MIN_PER_CLASS = 3  # one each for training, validation and test


@dataclass(frozen=True)
class FolderContent:
    """The content of a folder of images.

    Attributes:
        dataset: all readable images, in the order of their paths.
        files: their paths relative to the folder.
        unreadable: path and reason of each unreadable image file.
        ignored: number of files skipped because their names are not those of images.
    """

    dataset: data.Dataset
    files: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    ignored: int


def load(folder: Path, image_size: int = 0, color_mode: str = "auto", progress: bool = True) -> FolderContent:
    """Read every image of a folder.

    Args:
        folder: holds one sub-folder for each class.
        image_size: side of the square images in pixels; 0 means 64.
        color_mode: `"grayscale"`, `"rgb"`, or `"auto"` (grey if all images are grey).
        progress: whether to show a bar when it takes longer than two seconds.

    Raises:
        UsageError: there is no such folder, it has no sub-folders, or only one.
        AcquisitionError: no image is readable, or a class has fewer than three readable images.
    """
    classes = class_folders(folder)
    listed = [(label, path) for label, name in enumerate(classes) for path in image_files(folder / name)]
    size = image_size or DEFAULT_SIZE
    results = _read_all([path for _, path in listed], size, progress)
    names = [path.relative_to(folder).as_posix() for _, path in listed]
    readable = [index for index, result in enumerate(results) if isinstance(result, np.ndarray)]
    unreadable = tuple(
        (names[i], str(result)) for i, result in enumerate(results) if not isinstance(result, np.ndarray)
    )
    labels = np.array([listed[index][0] for index in readable], dtype=np.int64)
    _demand_enough(folder, classes, labels, unreadable)
    images = _in_colour_mode(np.stack([results[index] for index in readable]), color_mode)
    return FolderContent(
        data.Dataset(images, labels, tuple(classes)),
        tuple(names[index] for index in readable),
        unreadable,
        _count_files(folder, classes) - len(listed),
    )


def fingerprint(folder: Path) -> str:
    """Return a hash of the path, size and modification time of every file that `load` would read."""
    digest = hashlib.sha256()
    for name in class_folders(folder):
        digest.update(f"{name}/\0".encode())
        for path in image_files(folder / name):
            status = path.stat() if path.exists() else os.lstat(path)
            facts = f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0"
            digest.update(facts.encode(errors="surrogateescape"))
    return digest.hexdigest()


def class_folders(folder: Path) -> list[str]:
    """Return the sorted names of the sub-folders, one for each class.

    Raises:
        UsageError: there is no such folder, or fewer than two sub-folders.
    """
    remedy = "put the images of each class into a sub-folder of their own, named after the class"
    shown = paths.shown(folder)
    if not folder.is_dir():
        raise UsageError(
            f"There is no folder {shown}.", "check the path; a relative one starts at the project's root"
        )
    entries = [entry for entry in folder.iterdir() if not formats.is_hidden(entry.name)]
    classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        loose = sum(formats.is_image(entry) for entry in entries)
        holds = f"{loose} images but no sub-folders" if loose else "no sub-folders" if entries else "nothing"
        raise UsageError(f"The folder {shown} holds {holds}; expected one for each class.", remedy)
    if len(classes) == 1:
        holds = f"one class, '{classes[0]}'; at least two are needed"
        raise UsageError(f"The folder {shown} holds {holds}.", remedy)
    return classes


def image_files(folder: Path) -> list[Path]:
    """Return the files of one class whose names are those of images, sorted."""
    return sorted(path for path in folder.iterdir() if formats.is_image(path) and not path.is_dir())


def _in_colour_mode(images: np.ndarray, color_mode: str) -> np.ndarray:
    if color_mode == "rgb":
        return images
    if color_mode == "grayscale":
        return pictures.to_grey(images)
    grey = bool((images[..., :1] == images[..., 1:]).all())
    return images[..., :1].copy() if grey else images


def _read_all(files: list[Path], size: int, progress: bool) -> list[np.ndarray | str]:
    """Return each file's image, or the reason why it is unreadable."""
    from tqdm import tqdm

    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's warnings about odd files; `opened` checks sizes
        results = pool.map(lambda path: _image_or_reason(path, size), files)
        return list(tqdm(results, total=len(files), desc="images", disable=not progress, delay=2.0))


def _image_or_reason(path: Path, size: int) -> np.ndarray | str:
    try:
        return formats.decode(path, size)
    except Exception as error:  # on damaged files Pillow raises almost any exception
        return formats.reason(error, path)


def _demand_enough(
    folder: Path, classes: list[str], labels: np.ndarray, unreadable: tuple[tuple[str, str], ...]
) -> None:
    """Refuse classes with too few images for training, validation and test."""
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"'{classes[label]}' has {counts[label]}" for label in np.flatnonzero(counts < MIN_PER_CLASS)]
    if not few:
        return
    shown = paths.shown(folder)
    problem = f"Too few readable images in {shown}: {', '.join(few)}; at least {MIN_PER_CLASS} are needed"
    if not counts.sum():
        problem = f"The folder {shown} holds no readable image in its {len(classes)} sub-folders"
    first = "; ".join(f"{name}: {reason}" for name, reason in unreadable[:5])
    listed = f". Unreadable: {len(unreadable)} ({first})" if unreadable else ""
    raise AcquisitionError(
        f"{problem}{listed}.",
        f"add images ({', '.join(sorted(formats.SUFFIXES))}) directly in each class's sub-folder, or remove the sub-folder",
    )


def _count_files(folder: Path, classes: list[str]) -> int:
    return sum(
        not formats.is_hidden(path.name) and not path.is_dir()
        for name in classes
        for path in (folder / name).iterdir()
    )
