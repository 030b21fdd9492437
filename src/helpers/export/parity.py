"""Check parity: compare every format with Keras on the raw images, image by image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers import paths, scoring, wording
from helpers.errors import OsemnError
from helpers.export import format_scores, score
from helpers.export.formats import FORMATS, Format
from helpers.obtain import data
from helpers.obtain.places import idx
from helpers.series.conclusions import Conclusion

TOLERANCE = 1e-4  # of probabilities: far above rounding in float32, far below any difference that matters


@dataclass(frozen=True)
class Agreement:
    """A format's predictions compared with Keras's.

    Attributes:
        n: images.
        same_labels: images with the same label.
        ties: of the others, those whose two labels are equally likely according to Keras, within the tolerance.
        largest_difference: between any two probabilities.
        accuracy: of this format.
        accuracy_change: its accuracy minus Keras's, image by image.
        accuracy_change_ci95: 95% interval of the change.
        p_value: of McNemar's exact test of the change.
    """

    n: int
    same_labels: int
    ties: int
    largest_difference: float
    accuracy: float
    accuracy_change: float
    accuracy_change_ci95: tuple[float, float]
    p_value: float

    @property
    def equal(self) -> bool:
        """Whether labels agree apart from ties, and probabilities within the tolerance."""
        return self.same_labels + self.ties == self.n and self.largest_difference <= TOLERANCE


def write_raw_images(dataset: str, images: np.ndarray, folder: Path) -> Path:
    """Return an IDX file with the test images: the data set's own if it is cached, otherwise a new one.

    Args:
        dataset: the data set of the series.
        images: `uint8 [N, H, W, C]`, the test images; those on disk are read in parts.
        folder: where a new file is written.

    Example:
        `raw = parity.write_raw_images(dataset, test.images, run.scratch())`
    """
    if dataset in idx.DATASETS:
        _, _, test_images, _ = idx.DATASETS[dataset].files
        cached = paths.cache_root() / dataset / test_images.name
        if cached.is_file() and np.array_equal(score.read_idx(cached), images):
            return cached
    path = folder / "test-images-idx4-ubyte"
    header = b"\0\0\x08\x04" + b"".join(size.to_bytes(4, "big") for size in images.shape)
    with path.open("wb") as stream:
        stream.write(header)
        for part in data.chunks(images):
            stream.write(np.ascontiguousarray(images[part]))
    return path


def compare(expected: np.ndarray, actual: np.ndarray, labels: np.ndarray) -> Agreement:
    """Compare a format's probabilities with Keras's.

    Args:
        expected: `float32 [N, K]`, from Keras.
        actual: `float32 [N, K]`, from the format.
        labels: `[N] int64`, the true labels.

    Raises:
        OsemnError: the shapes differ, or a probability is not a finite number.
    """
    if expected.shape != actual.shape or not np.isfinite(actual).all():
        raise OsemnError(
            f"Probabilities are {list(actual.shape)}, expected {list(expected.shape)}, all of them finite numbers.",
            "fix the export of this format",
        )
    mine, theirs = actual.argmax(axis=1), expected.argmax(axis=1)
    rows = np.flatnonzero(mine != theirs)
    margin = expected[rows, theirs[rows]] - expected[rows, mine[rows]]
    change = scoring.compare(labels, mine, theirs)
    return Agreement(
        n=len(labels),
        same_labels=len(labels) - len(rows),
        ties=int((margin <= 2 * TOLERANCE).sum()),
        largest_difference=float(np.abs(expected - actual).max()),
        accuracy=float((mine == labels).mean()),
        accuracy_change=change.difference,
        accuracy_change_ci95=change.ci95,
        p_value=change.p_value,
    )


def check(item: Format, agreement: Agreement, tolerance: float) -> bool:
    """Return whether a format may be part of a version, and stop an export whose predictions differ from Keras's.

    Args:
        item: the format.
        agreement: its comparison with Keras.
        tolerance: accuracy that an integer format may lose, as a fraction.

    Returns:
        False for an integer format that loses more than allowed, if the loss is significant (McNemar's exact test at 5%).

    Raises:
        OsemnError: labels or probabilities of a single-precision format differ, or half precision loses more than allowed.
    """
    if item.exact and not agreement.equal:
        raise OsemnError(
            f"{item.title} disagrees with Keras: {agreement.n - agreement.same_labels} of {agreement.n:,} labels differ "
            f"({agreement.ties} of them ties), probabilities by up to {agreement.largest_difference:.2g} (allowed: {TOLERANCE:g}).",
            "no version was written; fix the export of this format",
        )
    lost = -agreement.accuracy_change
    if item.exact or lost <= tolerance or agreement.p_value >= scoring.LEVEL:
        return True
    if item.runtime == "tfjs":  # the page in the browser needs it
        raise OsemnError(
            f"{item.title} loses {wording.points(100 * lost)} points of accuracy ({wording.p_value(agreement.p_value)}; allowed: "
            f"{100 * tolerance:g}).",
            "no version was written; allow more (--set 10_export.integer_loss=0.01), or choose another champion",
        )
    return False


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def compare_formats(
    version: Path,
    images_file: Path,
    expected: np.ndarray,
    labels: np.ndarray,
    *,
    integer_loss: float,
    progress: Callable[[int, int, str], None] = lambda done, total, title: None,
) -> list[dict[str, Any]]:
    """Score every format of a version in its own process and compare it with Keras; return a row of plain values for each.

    An integer format that loses too much is removed from the version, and its row says so (`left_out`).

    Args:
        version: the folder with all formats.
        images_file: IDX file with the test images.
        expected: `float32 [N, K]`, Keras's predictions from 07_evaluation.
        labels: `[N] int64`, their labels.
        integer_loss: the tolerance of `check`.
        progress: called with the number of formats that have predicted, their total, and the title of the last.

    Raises:
        OsemnError: as for `format_scores.score_formats` and `check`.

    Example:
        `rows = parity.compare_formats(version, raw, expected, test.labels, integer_loss=0.003)`
    """
    rows = []
    scored = format_scores.score_formats(FORMATS, version, images_file, progress)
    for item, (probabilities, times) in zip(FORMATS, scored, strict=True):
        agreement = compare(expected, probabilities, labels)
        row = {"format": item.name, "title": item.title, **asdict(agreement)}
        rows.append({**row, "bytes": size(version / item.file), "left_out": False, **times})
        if not check(item, agreement, integer_loss):
            rows[-1]["left_out"] = True
            (version / item.file).unlink()
    return rows


def readable_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the rows of `compare_formats` as text.

    Example:
        `parity.readable_table(rows)`
    """
    return pd.DataFrame(
        {
            "same label as Keras": f"{row['same_labels']:,} of {row['n']:,}",
            "ties": row["ties"],
            "largest difference": wording.bound(row["largest_difference"]),
            "test accuracy": wording.percent(row["accuracy"]),
            "size": f"{row['bytes'] / 1e6:.2f} MB",
            "time to first prediction": wording.duration(row["seconds_to_first"]),
            "left out": "yes" if row["left_out"] else "",
        }
        for row in rows
    ).set_axis([row["title"] for row in rows])


def conclusions(rows: Sequence[Mapping[str, Any]]) -> tuple[Conclusion, Conclusion]:
    """Return whether the formats predict the same, and what the integer format saves and costs.

    Args:
        rows: from `compare_formats`.

    Example:
        `run.conclude(*parity.conclusions(rows))`
    """
    by_name = {row["format"]: row for row in rows}
    exact = [by_name[item.name] for item in FORMATS if item.exact]
    n, ties = exact[0]["n"], sum(row["ties"] for row in exact)
    difference = max(row["largest_difference"] for row in exact)
    parity = Conclusion(
        "parity",
        f"All {len(exact)} single-precision formats, Keras included, predict the same label for all {n:,} test images"
        f"{f' apart from {ties} ties' if ties else ''}; their probabilities differ by at most {wording.bound(difference)}.",
        {"formats": len(exact), "n": n, "ties": ties, "largest_difference": difference},
        f"labels and probabilities of {n:,} test images",
    )
    full, small = by_name["litert"], by_name["litert_int8"]
    change = {
        "points": 100 * small["accuracy_change"],
        "ci95": [100 * end for end in small["accuracy_change_ci95"]],
    }
    tested = {**change, "p_value": small["p_value"], "shown": small["p_value"] < scoring.LEVEL}
    sizes = Conclusion(
        "sizes",
        f"The integer LiteRT file is {small['bytes'] / full['bytes']:.0%} as large as the floating-point one "
        f"({small['bytes'] / 1e6:.2f} MB instead of {full['bytes'] / 1e6:.2f} MB), and test accuracy changes by "
        f"{wording.difference(tested)}."
        f"{' It loses more than integer_loss allows, so the file is left out.' if small['left_out'] else ''}",
        {"bytes": {row["format"]: row["bytes"] for row in rows}, **change},
        f"McNemar's exact test, {n:,} test images",
    )
    return parity, sizes
