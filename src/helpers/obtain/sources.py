"""Where data sets come from: Fashion-MNIST, MNIST, scikit-learn's digits, a folder of one's own images.

Each is given back verified, as arrays with a data card. Source of the digits: `sklearn.datasets.load_digits`.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers import paths
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain import data, idx
from helpers.obtain.download import Network
from helpers.series import seal

OWN_TEST_FRACTION = 0.2
DIGITS_SEED = 0
DIGITS_SHA256 = "47a6aba49781e65e177a59356f0d40d983011c608eca797546816792dcf7785d"


@dataclass(frozen=True)
class Acquired:
    """A data set with its data card.

    Attributes:
        train: the images for training and validation.
        test: the images for the final test; they belong into `test.npz` and nowhere else.
        card: what is in it and where it comes from, as plain JSON types.
    """

    train: data.Dataset
    test: data.Dataset
    card: dict[str, Any]


def acquire(
    dataset: str,
    *,
    image_size: int = 0,
    color_mode: str = "auto",
    test_fraction: float = OWN_TEST_FRACTION,
    seed: int = 0,
    network: Network | None = None,
) -> Acquired:
    """Return a data set, verified, from the first source that has it.

    Args:
        dataset: `"fashion_mnist"`, `"mnist"`, `"digits"`, or the path of a folder with one sub-folder a class.
        image_size: side in pixels to which a folder's images are resized; 0 means 64.
        color_mode: `"auto"`, `"grayscale"` or `"rgb"`, for a folder's images.
        test_fraction: share of a folder's images, or of the digits, held out for the test.
        seed: decides which of a folder's images are held out. (The digits are always split in the same way.)
        network: time limits and progress of downloads.

    Raises:
        UsageError: there is no such data set, or a parameter does not apply to it.
        AcquisitionError: no source has it, or it cannot be kept; the message says what to do.
        SealedTestSetError: a stage is at work that may not see the test images.
    """
    seal.refuse_source()
    check(dataset, image_size=image_size, color_mode=color_mode, test_fraction=test_fraction)
    network = network or Network()
    if paths.is_image_folder(dataset):
        return _acquire_folder(dataset, image_size, color_mode, test_fraction, seed, network)
    return (
        _acquire_digits(test_fraction)
        if dataset == "digits"
        else _acquire_idx(idx.DATASETS[dataset], network)
    )


def fingerprint(dataset: str) -> str:
    """Return a hash that changes when what `acquire` would read changes; quick, as no image is opened.

    Raises:
        UsageError: there is no such data set.
    """
    if paths.is_image_folder(dataset):
        from helpers.obtain import folders

        check(dataset)
        return folders.fingerprint(paths.image_folder(dataset))
    if dataset == "digits":
        return DIGITS_SHA256
    expected = [[file.name, file.shape, file.sha256] for file in idx.DATASETS[dataset].files]
    return hashlib.sha256(json.dumps(expected).encode()).hexdigest()


def check(
    dataset: str, *, image_size: int = 0, color_mode: str = "auto", test_fraction: float = OWN_TEST_FRACTION
) -> None:
    """Check what can be known of a data set and its parameters before anything is fetched or read.

    A parameter that would do nothing is an error: nobody should believe that it did something.

    Raises:
        UsageError: there is no such data set or folder, the folder has fewer than two sub-folders, or a parameter
            does not apply to a built-in data set.
    """
    paths.check_dataset(dataset)
    if paths.is_image_folder(dataset):
        from helpers.obtain import folders

        folders.class_folders(paths.image_folder(dataset))
        return
    given = {"image_size": (image_size, 0), "color_mode": (color_mode, "auto")}
    if dataset != "digits":
        given["test_fraction"] = (test_fraction, OWN_TEST_FRACTION)
    for name, (value, default) in given.items():
        if value != default:
            raise UsageError(
                f"The built-in data set '{dataset}' comes with its own size, colours and parts: "
                f"{name} = {value!r} cannot apply to it.",
                f"leave {name} at {default!r}, or name a folder of images as the data set",
            )


def _acquire_idx(spec: idx.IdxDataset, network: Network) -> Acquired:
    from helpers.obtain import download

    found = download.fetch(spec, network)
    arrays = [file.array(found.content[file.name]) for file in spec.files]
    train, test = (
        data.Dataset(images[..., np.newaxis], labels.astype(np.int64), spec.class_names)
        for images, labels in (arrays[:2], arrays[2:])
    )
    files = {file.name: {"sha256": file.sha256, "bytes": file.size} for file in spec.files}
    origin = {
        "dataset": spec.name,
        "title": spec.title,
        "about": spec.about,
        "licence": spec.licence,
        "source": ", ".join(dict.fromkeys(found.origin.values())),
        "first_source": ", ".join(dict.fromkeys(download.first_sources(spec).values())) or "not on record",
        "tried": found.tried,
        "files": {name: {**facts, "source": found.origin[name]} for name, facts in files.items()},
        "split": "the data set's own training and test parts",
    }
    return Acquired(train, test, _card(origin, train, test))


def _acquire_digits(test_fraction: float) -> Acquired:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int64)
    if data.array_sha256(images, labels) != DIGITS_SHA256:
        raise AcquisitionError(
            "scikit-learn's digits are not those of 1998: their sha256 differs.",
            "install scikit-learn again; its copy of the data set is damaged",
        )
    whole = data.Dataset(images, labels, tuple(str(name) for name in bunch.target_names))
    origin = {
        "dataset": "digits",
        "title": "Digits",
        "about": "Handwritten digits from scikit-learn (Alpaydin and Kaynak, 1998, UCI); values 0–16 scaled to 0–255.",
        "licence": "Creative Commons Attribution 4.0 (UCI Machine Learning Repository)",
        "source": "scikit-learn",
        "tried": [{"source": "scikit-learn", "result": "used"}],
        "files": {"digits.csv.gz (decoded and scaled)": {"sha256": DIGITS_SHA256, "bytes": images.nbytes}},
        "split": f"stratified, {test_fraction:g} held out, seed {DIGITS_SEED}",
    }
    return _split(whole, test_fraction, DIGITS_SEED, origin)


def _acquire_folder(
    dataset: str, image_size: int, color_mode: str, test_fraction: float, seed: int, network: Network
) -> Acquired:
    from helpers.obtain import folders

    folder = paths.image_folder(dataset)
    content = folders.load(folder, image_size, color_mode, network.progress)
    origin = {
        "dataset": paths.dataset_slug(dataset),
        "title": folder.name,
        "about": "A folder of images, one sub-folder for each class, cropped to squares and resized.",
        "licence": "the images' own; not known here",
        "source": "folder",
        "tried": [{"source": f"folder {folder.name}", "result": "used"}],
        "files": {},
        "split": f"stratified, {test_fraction:g} held out, seed {seed}",
        "unreadable": [{"file": name, "reason": reason} for name, reason in content.unreadable],
        "ignored_files": content.ignored,
    }
    # files come class by class; whoever takes the first few, or batches in order, must not get one class only
    mixed = np.random.default_rng(seed).permutation(len(content.dataset))
    return _split(content.dataset.subset(mixed), test_fraction, seed, origin)


def _split(whole: data.Dataset, test_fraction: float, seed: int, origin: dict[str, Any]) -> Acquired:
    kept, held_out = data.stratified_split(whole.labels, test_fraction, seed)
    train, test = whole.subset(kept), whole.subset(held_out)
    return Acquired(train, test, _card(origin, train, test))


def _card(origin: dict[str, Any], train: data.Dataset, test: data.Dataset) -> dict[str, Any]:
    """Return the data card: the origin, and what the arrays hold."""
    mean, sd = data.pixel_mean_and_sd(train.images)
    parts = {"train": train, "test": test}
    return {
        "unreadable": [],
        "ignored_files": 0,
        "first_source": origin["source"],
        **origin,
        "class_names": list(train.class_names),
        "image_shape": list(train.image_shape),
        "dtype": str(train.images.dtype),
        "counts": {name: len(part) for name, part in parts.items()},
        "class_counts": {
            name: dict(zip(part.class_names, part.class_counts().tolist(), strict=True))
            for name, part in parts.items()
        },
        "sha256": {name: data.array_sha256(part.images, part.labels) for name, part in parts.items()},
        "pixel_mean": mean,
        "pixel_sd": sd,
        "test_images_also_in_training": _shared_images(train.images, test.images),
    }


def card_rows(card: dict[str, Any]) -> dict[str, str]:
    """Return a data card's main facts as texts for people, by what they are."""
    height, width, channels = card["image_shape"]
    counts = card["counts"]
    return {
        "data set": card["title"],
        "about": card["about"],
        "licence": card["licence"],
        "first fetched from": card["first_source"],
        "source of this run": card["source"],
        "images": f"{sum(counts.values()):,}: {counts['train']:,} for training, {counts['test']:,} for the test",
        "parts": card["split"],
        "classes": f"{len(card['class_names'])}: {', '.join(card['class_names'])}",
        "an image": f"{height} × {width} pixels, {'grey' if channels == 1 else 'colour'}, {card['dtype']}",
        "pixel mean and deviation": f"{card['pixel_mean']:.5f} and {card['pixel_sd']:.5f} (0–1, training part)",
        "unreadable files": str(len(card["unreadable"])),
        "files left alone": str(card["ignored_files"]),
        "test images also in training": str(card["test_images_also_in_training"]),
    }


def _shared_images(train: np.ndarray, test: np.ndarray) -> int:
    """Return how many test images occur, pixel for pixel, among the training images."""
    known = {hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in train}
    return sum(hashlib.blake2b(image.tobytes(), digest_size=16).digest() in known for image in test)
