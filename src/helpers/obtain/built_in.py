"""The built-in data sets: the digits of scikit-learn, and the IDX files of `idx.DATASETS`."""

import hashlib
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from helpers.errors import AcquisitionError
from helpers.obtain.acquired import Acquired, Source
from helpers.obtain.options import Options
from helpers.obtain.places import download, files, idx

if TYPE_CHECKING:  # what these import takes a second, which `osemn status` does not need
    import numpy as np

    from helpers.obtain import data

DIGITS_SEED = 0  # the digits are always split in the same way
DIGITS_SHA256 = "47a6aba49781e65e177a59356f0d40d983011c608eca797546816792dcf7785d"
_FOR_ALL = ("test_fraction", "near_duplicate_distance", "labels", "seed", "network")
OWN_IMAGES_ONLY = tuple(item.name for item in fields(Options) if item.name not in _FOR_ALL)


class Digits(Source):
    """The digits that come with scikit-learn (`sklearn.datasets.load_digits`)."""

    fixed = OWN_IMAGES_ONLY

    def fingerprint(self, options: Options) -> str:
        """Return the hash of the arrays."""
        return DIGITS_SHA256

    def load(self, options: Options) -> Acquired:
        """Return the digits, scaled to 0–255; refuse a copy whose hash differs."""
        import numpy as np
        from sklearn.datasets import load_digits

        from helpers.obtain import copies, data, splits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        labels = bunch.target.astype(np.int64)
        if data.array_sha256(images, labels) != DIGITS_SHA256:
            raise AcquisitionError(
                "scikit-learn's digits are not the published ones: their sha256 differs.",
                "install scikit-learn again; its copy of the data set is damaged",
            )
        everything = data.Dataset(images, labels, tuple(str(name) for name in bunch.target_names))
        origin = {
            "dataset": "digits",
            "title": "Digits",
            "about": "Handwritten digits from scikit-learn (Alpaydin and Kaynak, 1998, UCI); values 0–16 scaled to 0–255.",
            "licence": "Creative Commons Attribution 4.0 (UCI Machine Learning Repository)",
            "source": "scikit-learn",
            "tried": [{"source": "scikit-learn", "result": "used"}],
            "files": {
                "digits.csv.gz (decoded and scaled)": {"sha256": DIGITS_SHA256, "bytes": images.nbytes}
            },
        }
        together = copies.together_of_arrays(everything.images, options.near_duplicate_distance)
        parts = splits.hold_out(everything.labels, together, options.test_fraction, DIGITS_SEED)
        held_out = f"{options.test_fraction:g} held out, seed {DIGITS_SEED}"
        origin["split"] = f"stratified, {held_out}; copies stay together"
        train, test = (everything.subset(part) for part in parts)
        return _acquired(train, test, together[np.concatenate(parts)], origin)


class IdxFiles(Source):
    """A data set of `idx.DATASETS`, from the cache or downloaded."""

    fixed = (*OWN_IMAGES_ONLY, "test_fraction")

    @property
    def item(self) -> idx.IdxDataset:
        """The entry in the table of downloads."""
        return idx.DATASETS[self.dataset]

    def fingerprint(self, options: Options) -> str:
        """Return a hash of the names, shapes and hashes of the expected files."""
        expected = [[file.name, file.shape, file.sha256] for file in self.item.files]
        return hashlib.sha256(json.dumps(expected).encode()).hexdigest()

    def load(self, options: Options) -> Acquired:
        """Return the data set with its own training and test parts."""
        import numpy as np

        from helpers.obtain import copies, data

        item = self.item
        fetched = download.fetch(item, options.network)
        arrays = [file.array(fetched.content[file.name]) for file in item.files]
        train, test = (
            data.Dataset(images[..., np.newaxis], labels.astype(np.int64), item.class_names)
            for images, labels in (arrays[:2], arrays[2:])
        )
        origin = {
            "dataset": item.name,
            "title": item.title,
            "about": item.about,
            "licence": item.licence,
            "people": item.people,
            "source": ", ".join(dict.fromkeys(fetched.origin.values())),
            "first_source": ", ".join(dict.fromkeys(files.first_sources(item.folder).values()))
            or "not on record",
            "tried": fetched.tried,
            "files": {
                file.name: {"sha256": file.sha256, "bytes": file.size, "source": fetched.origin[file.name]}
                for file in item.files
            },
            "split": "the data set's own training and test parts",
        }
        images = np.concatenate([train.images, test.images])
        together = copies.together_of_arrays(images, options.near_duplicate_distance)
        return _acquired(train, test, together, origin)


def _acquired(
    train: "data.Dataset", test: "data.Dataset", together: "np.ndarray", origin: dict[str, Any]
) -> Acquired:
    import numpy as np
    import pandas as pd

    from helpers.obtain import data_card, index

    table = index.of_arrays(train, test).assign(together=together)
    skipped = pd.DataFrame({"path": [], "reason": [], "ending": [], "unreadable": np.zeros(0, bool)})
    return Acquired(train, test, table, skipped, data_card.build(origin, train, test, table, skipped))
