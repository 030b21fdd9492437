"""One's own images: located, listed, indexed, and split with copies and groups together. They stay where they are."""

import hashlib
import zipfile
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import paths, wording
from helpers.errors import AcquisitionError
from helpers.obtain import catalogue, copies, data, data_card, image_facts, index, splits
from helpers.obtain.acquired import Acquired, Source
from helpers.obtain.images import formats, from_disk, pictures
from helpers.obtain.layouts import folder_scan, recognise
from helpers.obtain.layouts.listing import PARTS, Listing, spelled_alike
from helpers.obtain.options import Options
from helpers.obtain.places import locations
from helpers.series import disk, manifests

DEFAULT_SIZE = 64  # pixels; small enough to train on a laptop
BURST_SECONDS = 2.0  # cameras take several images a second in a burst; a new subject takes longer
MIN_PER_CLASS = 3  # one each for training, validation and test


class OwnImages(Source):
    """Images in a folder, a table, an archive, or at an address."""

    _checked: tuple[Options, Listing] | None = None

    def check(self, options: Options) -> None:
        """Check the place, and its layout where nothing has to be downloaded or unpacked to see it."""
        paths.check_dataset(self.dataset)
        if not paths.is_address(self.dataset) and paths.file_kind(self.dataset) != "archive":
            self._checked = options, recognise.read(paths.local_path(self.dataset), options)

    def fingerprint(self, options: Options) -> str:
        """Return a hash of the paths, labels and contents of the listed images; unchanged files are not read."""
        of_place = locations.fingerprint(self.dataset, options)
        if of_place:
            return of_place
        return catalogue.fingerprint(self._listed(paths.local_path(self.dataset), options), _catalogues())

    def load(self, options: Options) -> Acquired:
        """Return the readable images, indexed, split and shuffled."""
        place = locations.locate(self.dataset, options)
        listing = self._listed(place.path, options)
        table, unreadable = index.build(listing, options, _catalogues(), options.network.progress)
        parts = unreadable.assign(unreadable=True), listing.skipped.assign(unreadable=False)
        skipped = pd.concat(parts, ignore_index=True)
        listing, table, skipped = _without_small_classes(listing, table, skipped, options.smallest_class)
        skipped["ending"] = skipped["path"].map(folder_scan.ending)
        table, near = _with_copies(table, listing, options)
        table, labels = _split(table, listing, options)
        in_test = (table["part"] == "test").to_numpy()
        root = paths.recorded_folder(listing.root, self.dataset)
        train, test = (_part(listing, table, labels, rows, options, root) for rows in (~in_test, in_test))
        train = replace(train, images=train.images.cached())  # the stages that may see the test part cache it
        table["row"] = np.where(in_test, np.cumsum(in_test), np.cumsum(~in_test)) - 1
        origin = {
            "dataset": paths.dataset_slug(self.dataset),
            "title": place.title,
            "about": f"Your own images, from {listing.layout}.",
            "licence": "the images' own; not known here",
            "source": place.source,
            "tried": [{"source": place.source, "result": place.note or "used"}],
            "files": {},
            "preparation": pictures.Preparation(options.fit, options.window).facts(),
            "split": _described_split(listing, labels, in_test, options),
            "near_copies": {"capped": near.capped, "alike": near.alike},
        }
        return Acquired(train, test, table, skipped, data_card.build(origin, train, test, table, skipped))

    def _listed(self, path: Path, options: Options) -> Listing:
        """Return the listing, for which a folder of 100,000 files takes a second; once it is that of the check just made."""
        checked, self._checked = self._checked, None
        return checked[1] if checked and checked[0] == options else recognise.read(path, options)


def _catalogues() -> Path:
    """Return the folder that remembers the facts of all image files between runs."""
    return paths.cache_root() / "index"


def _with_copies(
    table: pd.DataFrame, listing: Listing, options: Options
) -> tuple[pd.DataFrame, copies.NearCopies]:
    """Return the table with complete groups and `together`, and the near copies."""
    if options.group_by == "burst":
        table = table.assign(group=index.bursts(table, BURST_SECONDS))
    files = [folder_scan.real_path(listing.root, path) for path in table["path"]]
    table = table.assign(group=_patients(table, files))
    record = catalogue.Catalogue(_catalogues(), listing.root).folder
    pairs = _near_copies(table, files, options.window, record)
    return table.assign(together=copies.together(table["group"], table["sha256"], pairs)), pairs


def _near_copies(table: pd.DataFrame, files: list[Path], window: str, folder: Path) -> copies.NearCopies:
    """Return the near copies; those on record in a folder if the images are the same as the last time."""
    parts = (manifests.code_sha256("obtain.copies"), window, *table["sha256"])
    record = folder / f"near-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}.npz"
    with suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile), np.load(record) as kept:
        values = {name: kept[name] for name in kept}
        return copies.NearCopies(**values | {name: values[name].item() for name in ("capped", "alike")})
    pairs = copies.near(table["phash"], lambda row: image_facts.thumbnail_of(files[row], window))
    for old in folder.glob("near-*.npz"):
        old.unlink(missing_ok=True)
    with disk.replacing(record) as stream:
        np.savez(stream, **asdict(pairs))
    return pairs


def _split(table: pd.DataFrame, listing: Listing, options: Options) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table shuffled, with a part for each image, and the labels `[N] int64`."""
    # files are listed class by class; the first few, or a batch in order, must not hold one class only
    shuffled = np.random.default_rng(options.seed).permutation(len(table))
    table = table.iloc[shuffled].reset_index(drop=True)
    codes = {name: code for code, name in enumerate(listing.class_names)}
    labels = table["label"].map(codes).to_numpy(np.int64)
    return splits.assign(table, labels, options), labels


def _patients(table: pd.DataFrame, files: list[Path]) -> pd.Series:
    """Return the groups, with a number for each patient where DICOM files have none; identifiers are not written down."""
    of_dicom = (table["format"] == "DICOM") & (table["group"] == "")
    patients = [formats.patient(files[row]) for row in np.flatnonzero(of_dicom)]
    numbers = dict(zip(dict.fromkeys(patients), range(1, len(files) + 1), strict=False))
    groups = table["group"].copy()
    groups[of_dicom] = [f"patient {numbers[patient]}" if patient else "" for patient in patients]
    return groups


def _described_split(listing: Listing, labels: np.ndarray, in_test: np.ndarray, options: Options) -> str:
    """Return in words where the parts come from, and by how much class proportions differ between them."""
    ready = set(listing.files["part"]) - {""}
    if "test" in ready:
        return f"the data set's own: {', '.join(name for name in PARTS if name in ready)}"
    made = f"{options.test_fraction:g} held out for the test by class, copies and groups together, seed {options.seed}"
    points = splits.class_deviation(labels, np.flatnonzero(in_test))
    return f"{made}; class proportions differ by at most {points:.1f} points"


def _part(
    listing: Listing, table: pd.DataFrame, labels: np.ndarray, rows: np.ndarray, options: Options, root: str
) -> data.Dataset:
    """Return the images of a part, `rows` `[N] bool`, on disk below `root`."""
    colours, weights = (table[name].to_numpy() for name in (["red", "green", "blue"], "weight"))
    # the sums of a grey image's three channels are equal to the last digit
    grey = options.color_mode == "auto" and bool((colours[:, :1] == colours[:, 1:]).all())
    files = from_disk.ImageFiles.listed(
        table["path"].to_numpy()[rows],
        table["sha256"].to_numpy()[rows],
        root=root,
        fit=options.fit,
        window=options.window,
        channels=1 if grey or options.color_mode == "grayscale" else 3,
        side=options.image_size or DEFAULT_SIZE,
        cache_gb=options.cache_gb,
    )
    weights = None if (weights == 1).all() else weights[rows]
    return data.Dataset(from_disk.DiskImages(files), labels[rows], listing.class_names, weights)


def _without_small_classes(
    listing: Listing, table: pd.DataFrame, skipped: pd.DataFrame, smallest: int
) -> tuple[Listing, pd.DataFrame, pd.DataFrame]:
    """Leave out classes with fewer readable images than `smallest`, and refuse those that cannot be split."""
    counts = table["label"].value_counts().reindex(listing.class_names, fill_value=0)
    small = table["label"].map(counts) < smallest
    gone = counts.index[counts < smallest]
    named = [f"its class {label} has fewer than {smallest} images" for label in table.loc[small, "label"]]
    left_out = pd.DataFrame({"path": table.loc[small, "path"], "reason": named, "unreadable": False})
    skipped = pd.concat([skipped, left_out], ignore_index=True)
    files = listing.files[~listing.files["label"].isin(gone)]
    listing, table = replace(listing, files=files), table[~small].reset_index(drop=True)
    few = counts[~counts.index.isin(gone) & (counts < MIN_PER_CLASS)]
    if few.empty and len(counts) - len(gone) > 1 and len(table):
        return listing, table.assign(id=np.arange(len(table))), skipped
    shown = paths.shown(listing.root)
    small_ones = [f"'{name}' has {count}" for name, count in few.items()]
    more = f" and {len(few) - 5} more classes" if len(few) > 5 else ""
    problem = f"Too few readable images in {shown}: {', '.join(small_ones[:5])}{more}; at least {MIN_PER_CLASS} are needed"
    if not counts.sum():
        problem = f"No image of {shown} is readable"
    elif few.empty:
        problem = f"Fewer than two classes of {shown} have {smallest} images"
    first = "; ".join(f"{row.path}: {row.reason}" for row in skipped.head(5).itertuples())
    listed = f". Left out: {len(skipped)} ({first})" if len(skipped) else ""
    remedy = (
        f"add images to these classes, or leave them out: --set 01_acquire.smallest_class={MIN_PER_CLASS}"
    )
    spellings = [alike for alike in spelled_alike(counts.index) if set(alike) & set(few.index)]
    if spellings:
        remedy = f"if {wording.listing(spellings[0])} are one class, give it one name; otherwise {remedy}"
    raise AcquisitionError(f"{problem}{listed}.", remedy)
