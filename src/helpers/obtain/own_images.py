"""One's own images: located, listed, indexed, split with copies and groups together, and decoded."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain import (
    catalogue,
    copies,
    data,
    data_card,
    formats,
    image_facts,
    index,
    layouts,
    locations,
    pictures,
    splits,
)
from helpers.obtain.acquired import Acquired, Source
from helpers.obtain.listing import PARTS, Listing
from helpers.obtain.options import Options

DEFAULT_SIZE = 64  # pixels; small enough to train on a laptop
BURST_SECONDS = 2.0  # cameras take several pictures a second in a burst; a new subject takes longer
MIN_PER_CLASS = 3  # one each for training, validation and test


class OwnImages(Source):
    """Images in a folder, a table, an archive, or at an address."""

    def check(self, options: Options) -> None:
        """Check the place, and its layout where nothing has to be downloaded or unpacked to see it."""
        paths.check_dataset(self.dataset)
        if not paths.is_address(self.dataset) and paths.file_kind(self.dataset) != "archive":
            layouts.read(paths.local_path(self.dataset), options)

    def fingerprint(self, options: Options) -> str:
        """Return a hash of the paths, labels and contents of the listed images; unchanged files are not read."""
        of_place = locations.fingerprint(self.dataset, options)
        if of_place:
            return of_place
        return catalogue.fingerprint(layouts.read(paths.local_path(self.dataset), options), _catalogues())

    def load(self, options: Options) -> Acquired:
        """Return the readable images, indexed, split and shuffled."""
        place = locations.locate(self.dataset, options)
        listing = layouts.read(place.path, options)
        table, unreadable = index.build(listing, options, _catalogues(), options.network.progress)
        skipped = pd.concat(
            [unreadable.assign(unreadable=True), listing.skipped.assign(unreadable=False)], ignore_index=True
        )
        _demand_enough(listing, table, skipped)
        table, labels = _split(table, listing, options)
        everything = data.Dataset(_decode(listing, table, options), labels, listing.class_names)
        in_test = (table["part"] == "test").to_numpy()
        train, test = (everything.subset(np.flatnonzero(rows)) for rows in (~in_test, in_test))
        table["row"] = np.where(in_test, np.cumsum(in_test), np.cumsum(~in_test)) - 1
        origin = {
            "dataset": paths.dataset_slug(self.dataset),
            "title": place.title,
            "about": f"Images as people bring them: {listing.layout}.",
            "licence": "the images' own; not known here",
            "source": place.source,
            "tried": [{"source": place.source, "result": place.note or "used"}],
            "files": {},
            "preparation": pictures.Preparation(options.fit, options.window).facts(),
            "split": _described_split(listing, labels, in_test, options),
        }
        return Acquired(train, test, table, skipped, data_card.build(origin, train, test, table, skipped))


def _catalogues() -> Path:
    """Return the folder that remembers the facts of all image files between runs."""
    return paths.cache_root() / "index"


def _split(
    table: pd.DataFrame, listing: Listing, options: Options
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table shuffled, with `together` and a part for each image, and the labels `[N] int64`."""
    if options.group_by == "burst":
        table = table.assign(group=index.bursts(table, BURST_SECONDS))
    files = [listing.root / path for path in table["path"]]
    pairs = copies.near(table["phash"], lambda row: image_facts.thumbnail_of(files[row], options.window))
    table = table.assign(together=copies.together(table["group"], table["sha256"], pairs))
    # files are listed class by class; the first few, or a batch in order, must not hold one class only
    shuffled = np.random.default_rng(options.seed).permutation(len(table))
    table = table.iloc[shuffled].reset_index(drop=True)
    codes = {name: code for code, name in enumerate(listing.class_names)}
    labels = table["label"].map(codes).to_numpy(np.int64)
    return splits.assign(table, labels, options), labels


def _described_split(listing: Listing, labels: np.ndarray, in_test: np.ndarray, options: Options) -> str:
    """Return in words where the parts come from, and by how much class proportions differ between them."""
    ready = set(listing.files["part"]) - {""}
    if "test" in ready:
        return f"the data set's own: {', '.join(name for name in PARTS if name in ready)}"
    made = f"{options.test_fraction:g} held out for the test by class, copies and groups together, seed {options.seed}"
    points = splits.deviation(labels, np.flatnonzero(in_test)).points
    return f"{made}; class proportions differ by at most {points:.1f} points"


def _decode(listing: Listing, table: pd.DataFrame, options: Options) -> np.ndarray:
    """Return the images `[N, S, S, C] uint8` in the order of the table.

    Raises:
        AcquisitionError: a file has changed since it was indexed.
    """
    size = options.image_size or DEFAULT_SIZE
    preparation = pictures.Preparation(options.fit, options.window)

    def decoded(path: str) -> np.ndarray:
        try:
            return formats.decode(listing.root / path, size, preparation)
        except Exception as error:  # on damaged files Pillow raises almost any exception
            reason = formats.reason(error, listing.root / path)
            raise AcquisitionError(
                f"{path} was readable when it was indexed and is not now: {reason}.",
                "leave the images unchanged while the series reads them, and run this again",
            ) from None

    images = np.empty((len(table), size, size, 3), np.uint8)
    with warnings.catch_warnings(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow's warnings about odd files; `formats.opened` checks sizes
        results = pool.map(decoded, table["path"])
        bar = tqdm(results, total=len(table), desc="images", disable=not options.network.progress, delay=2.0)
        for row, image in enumerate(bar):
            images[row] = image
    if options.color_mode == "rgb":
        return images
    grey = all((images[part, ..., :1] == images[part, ..., 1:]).all() for part in data.chunks(images))
    if options.color_mode == "auto" and grey:
        return images[..., :1].copy()
    return pictures.to_grey(images) if options.color_mode == "grayscale" else images


def _demand_enough(listing: Listing, table: pd.DataFrame, skipped: pd.DataFrame) -> None:
    """Refuse classes with too few readable images for the parts that are still to be made."""
    counts = table["label"].value_counts().reindex(listing.class_names, fill_value=0)
    few = counts[counts < MIN_PER_CLASS]
    if few.empty:
        return
    shown, named = paths.shown(listing.root), [f"'{name}' has {count}" for name, count in few.items()]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    problem = f"Too few readable images in {shown}: {', '.join(named[:5])}{more}; at least {MIN_PER_CLASS} are needed"
    if not counts.sum():
        problem = f"No image of {shown} is readable"
    first = "; ".join(f"{row.path}: {row.reason}" for row in skipped.head(5).itertuples())
    listed = f". Left out: {len(skipped)} ({first})" if len(skipped) else ""
    raise AcquisitionError(f"{problem}{listed}.", "add images to these classes, or leave the classes out")
