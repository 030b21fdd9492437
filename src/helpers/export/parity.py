"""Parity: every format is scored in a process of its own, from the raw images, and compared with Keras image by image."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers import paths, scoring, wording
from helpers.errors import OsemnError
from helpers.export import browser_runtime, score
from helpers.export.formats import FORMATS, Format
from helpers.obtain import idx, package_registries

TOLERANCE = 1e-4
SECONDS = 1_800.0


@dataclass(frozen=True)
class Scored:
    """What a format's own process found.

    Attributes:
        probabilities: `float32 [N, K]`.
        seconds_to_first: from the start of the process to its first prediction.
        latency_ms: median time of a call, by number of images in it ("1", "64").
    """

    probabilities: np.ndarray
    seconds_to_first: float
    latency_ms: dict[str, float]


@dataclass(frozen=True)
class Agreement:
    """A format's predictions beside Keras's.

    Attributes:
        n: images.
        same_labels: images with the same label.
        ties: of the others, those whose two labels are equally likely by Keras, within the tolerance.
        largest_difference: between any two probabilities.
        accuracy: of this format.
        accuracy_kept: its accuracy minus Keras's, with the interval, image by image.
    """

    n: int
    same_labels: int
    ties: int
    largest_difference: float
    accuracy: float
    accuracy_kept: scoring.Comparison

    @property
    def equal(self) -> bool:
        """Whether labels agree but for ties, and probabilities within the tolerance."""
        return self.same_labels + self.ties == self.n and self.largest_difference <= TOLERANCE


def raw_images(dataset: str, images: np.ndarray, folder: Path) -> Path:
    """Return an IDX file with the test images: the data set's own where there is one, otherwise one made from them.

    Args:
        dataset: as the series is run for.
        images: `uint8 [N, H, W, C]`, the test images.
        folder: where to write a file, if one is made.
    """
    if dataset in idx.DATASETS:
        _, _, test_images, _ = idx.DATASETS[dataset].files
        found = paths.cache_root() / dataset / test_images.name
        if found.is_file() and np.array_equal(score.read_idx(found), images):
            return found
    path = folder / "test-images-idx4-ubyte"
    header = b"\0\0\x08\x04" + b"".join(size.to_bytes(4, "big") for size in images.shape)
    path.write_bytes(header + np.ascontiguousarray(images).tobytes())
    return path


def score_apart(item: Format, version: Path, images_file: Path) -> Scored:
    """Score one format of a version in a process of its own, without this project's code.

    Args:
        item: the format.
        version: the folder that holds its file.
        images_file: an IDX file.

    Raises:
        OsemnError: the process failed; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory() as workspace:
        place = Path(workspace)
        if item.runtime == "tfjs":
            return _score_tfjs(version / item.file, images_file, place / "scored.bin")
        program = shutil.copy(score.__file__, place / "score.py")
        command = [sys.executable, "-I", program, item.runtime, version / item.file, images_file]
        started = time.time()
        said = _call([*command, place / "scored.npz"], item.title)
        if said["project_code"]:
            raise OsemnError(f"Scoring {item.title} loaded this project's code.", "report this as a defect")
        with np.load(place / "scored.npz") as content:
            found = content["probabilities"]
        return Scored(found, said["first"] - started, said["latency_ms"])


def _score_tfjs(model: Path, images_file: Path, scored: Path) -> Scored:
    program = Path(score.__file__).with_name("score.js")
    runtime = browser_runtime.folder()
    started = time.time()
    said = _call([package_registries.node(), program, runtime, model, images_file, scored], "TensorFlow.js")
    found = np.fromfile(scored, "<f4").reshape(-1, said["classes"])
    return Scored(found, said["first"] - started, said["latency_ms"])


def _call(command: Sequence[str | Path], title: str) -> dict:
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OsemnError(
            f"Scoring {title} took more than {SECONDS:g} s.", "try again on a quieter machine"
        ) from None
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])[-400:]
        raise OsemnError(f"Scoring {title} in a process of its own failed: {last}", "mend its export")
    return json.loads(done.stdout.strip().splitlines()[-1])


def agreement(expected: np.ndarray, found: np.ndarray, labels: np.ndarray) -> Agreement:
    """Compare a format's probabilities with Keras's.

    Args:
        expected: `float32 [N, K]`, by Keras.
        found: `float32 [N, K]`, by the format.
        labels: `[N] int64`, the true labels.

    Raises:
        OsemnError: the shapes differ, or a probability is not a number.
    """
    if expected.shape != found.shape or not np.isfinite(found).all():
        raise OsemnError(
            f"Probabilities are {list(found.shape)}, expected {list(expected.shape)}, all of them numbers.",
            "mend the export of this format",
        )
    mine, theirs = found.argmax(axis=1), expected.argmax(axis=1)
    rows = np.flatnonzero(mine != theirs)
    margin = expected[rows, theirs[rows]] - expected[rows, mine[rows]]
    compared = scoring.compare(labels, mine, theirs)
    return Agreement(
        n=len(labels),
        same_labels=len(labels) - len(rows),
        ties=int((margin <= 2 * TOLERANCE).sum()),
        largest_difference=float(np.abs(expected - found).max()),
        accuracy=float((mine == labels).mean()),
        accuracy_kept=compared,
    )


def check(item: Format, found: Agreement, tolerance: float) -> None:
    """Stop an export that does not predict what Keras does.

    Args:
        item: the format.
        found: its agreement with Keras.
        tolerance: share of accuracy that a format of integers may lose.

    Raises:
        OsemnError: labels or probabilities of a float format differ, or one of integers loses more than allowed, and that is
            more than noise (McNemar's exact test, α = 0.05).
    """
    if item.exact and not found.equal:
        raise OsemnError(
            f"{item.title} disagrees with Keras: {found.n - found.same_labels} of {found.n:,} labels differ ({found.ties} of "
            f"them ties), probabilities by up to {found.largest_difference:.2g} (allowed: {TOLERANCE:g}).",
            "no version was made; mend the export of this format",
        )
    lost = -found.accuracy_kept.difference
    if not item.exact and lost > tolerance and found.accuracy_kept.significant:
        raise OsemnError(
            f"{item.title} loses {100 * lost:.2f} points of accuracy ({wording.p_value(found.accuracy_kept.p_value)}; allowed: "
            f"{100 * tolerance:g}).",
            "no version was made; allow more (--set 10_export.integer_loss=0.01), or choose another champion",
        )


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if path.is_dir()
        else path.stat().st_size
    )


def prove(
    version: Path,
    images_file: Path,
    expected: np.ndarray,
    labels: np.ndarray,
    *,
    integer_loss: float,
    progress: Callable[[int, int, str], None] = lambda done, total, title: None,
) -> list[dict[str, Any]]:
    """Score every format of a version apart and compare it with Keras; return a row of plain values for each.

    Args:
        version: the folder with all formats.
        images_file: IDX file with the test images.
        expected: `float32 [N, K]`, what Keras predicted for them in 07_evaluation.
        labels: `[N] int64`, their labels.
        integer_loss: as for `check`.
        progress: told how many formats are scored, of how many, and the title of the last.

    Raises:
        OsemnError: as for `score_apart` and `check`.
    """
    rows = []
    for number, item in enumerate(FORMATS, start=1):
        scored = score_apart(item, version, images_file)
        found = agreement(expected, scored.probabilities, labels)
        check(item, found, integer_loss)
        rows.append(
            {
                "format": item.name,
                "title": item.title,
                "n": found.n,
                "same_labels": found.same_labels,
                "ties": found.ties,
                "largest_difference": found.largest_difference,
                "accuracy": found.accuracy,
                "accuracy_change": found.accuracy_kept.difference,
                "accuracy_change_ci95": list(found.accuracy_kept.ci95),
                "bytes": size(version / item.file),
                "seconds_to_first": scored.seconds_to_first,
                "latency_ms_1": scored.latency_ms["1"],
                "latency_ms_64": scored.latency_ms["64"],
            }
        )
        progress(number, len(FORMATS), item.title)
    return rows


def for_people(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `prove` as texts that can be read at a glance."""
    return pd.DataFrame(
        {
            "same label as Keras": [f"{row.same_labels:,} of {row.n:,}" for row in rows.itertuples()],
            "ties": rows["ties"],
            "largest difference": [f"{value:.1g}" for value in rows["largest_difference"]],
            "test accuracy": [wording.percent(value) for value in rows["accuracy"]],
            "size": [f"{value / 1e6:.2f} MB" for value in rows["bytes"]],
            "first after": [wording.duration(value) for value in rows["seconds_to_first"]],
        },
        index=rows.index,
    )


def sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the rows of `prove` say, in words."""
    exact = {item.name: item.exact for item in FORMATS}
    floats = [row for row in rows if exact[row["format"]]]
    worst = max(row["largest_difference"] for row in floats)
    ties = sum(row["ties"] for row in floats)
    text = (
        f"All {len(floats)} formats of floating-point numbers, Keras among them, give the label that Keras gives for all {floats[0]['n']:,} test images"
        f"{f' but {ties} ties' if ties else ''}, probabilities within {wording.bound(worst)}."
    )
    by_name = {row["format"]: row for row in rows}
    whole, small = by_name["litert"], by_name["litert_int8"]
    low, high = (wording.points(100 * end) for end in small["accuracy_change_ci95"])
    return (
        f"{text} The integer variant has {small['bytes'] / whole['bytes']:.0%} of the float one's size and changes accuracy "
        f"by {wording.points(100 * small['accuracy_change'])} points ({low} to {high})."
    )
