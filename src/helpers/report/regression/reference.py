"""The accepted run: the metrics, predictions and small figures that later runs are compared with.

They are committed, so they lie in the project, wherever its outputs go: `reports/accepted/<dataset>/<profile>.json`, and
the figures in the folder of that name beside it. `accepting` writes them.
"""

import base64
import hashlib
import io
import json
import os
import shlex
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from helpers import paths
from helpers.errors import OsemnError
from helpers.report import collect
from helpers.series import manifests, seal, stages

SCHEMA = 1
FOLDER_VARIABLE = "OSEMN_ACCEPTED_DIR"
EVALUATION, PREDICTIONS = "07_evaluation", "test_predictions.npz"
EXPORT = "10_export"
TEST_IMAGES = "/".join(seal.FILE)


@dataclass(frozen=True, eq=False)
class AcceptedCandidate:
    """What one candidate did on the test images.

    Attributes:
        name: "baseline_cnn", "transfer", "fine_tuned" or "tuned".
        label: what it is called.
        accuracy: share of right predictions.
        macro_f1: mean of the F1 of the classes that occur.
        ece: expected calibration error after temperature scaling.
        class_names: K names.
        confusion: `[K, K] int64`, rows are true classes.
        predicted: `[N] int64`.
        labels_sha256: of the true labels, as `[N] int64`, little-endian.
        images_sha256: of the file of test images; empty where a reference of a built-in data set, whose images are always the
            same, was written before it was kept.
        labels: `[N] int64`; None in a reference, which keeps only their hash.
    """

    name: str
    label: str
    accuracy: float
    macro_f1: float
    ece: float
    class_names: tuple[str, ...]
    confusion: np.ndarray
    predicted: np.ndarray
    labels_sha256: str
    images_sha256: str
    labels: np.ndarray | None = None

    @property
    def n(self) -> int:
        """How many test images there are."""
        return len(self.predicted)


@dataclass(frozen=True)
class Picture:
    """A small copy of a figure of the accepted run.

    Attributes:
        stage: the stage that drew it.
        name: the figure's file in that stage, such as `figures/formats.png`.
        file: the copy's file in the reference's folder.
        sha256: of the copy.
        alt: what it shows.
        width: in pixels.
        height: in pixels.
    """

    stage: str
    name: str
    file: str
    sha256: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class AcceptedRun:
    """An accepted run.

    Attributes:
        accepted: when, as an ISO time.
        champion: the candidate that was exported.
        candidates: by name.
        validation: accuracy on the validation images by label, of every compared model.
        seconds: by stage.
        seeds: the seeds of the stages, each once.
        machines: processor and cores, each once.
        versions: by package, each once.
        figures: the sha256 of each figure, by stage and file.
        pictures: small copies of some.
        folder: where the copies are.
    """

    accepted: str
    champion: str
    candidates: Mapping[str, AcceptedCandidate]
    validation: Mapping[str, float]
    seconds: Mapping[str, float]
    seeds: tuple[str, ...]
    machines: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    figures: Mapping[str, Mapping[str, str]]
    pictures: tuple[Picture, ...]
    folder: Path

    @property
    def when(self) -> str:
        """When it was accepted, for readers."""
        return datetime.fromisoformat(self.accepted).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def reference_file(dataset: str, profile: str) -> Path:
    """Return the file of the reference: inside the project, or in the folder that `OSEMN_ACCEPTED_DIR` names."""
    named = os.environ.get(FOLDER_VARIABLE)
    root = Path(named).expanduser().resolve() if named else paths.project_root() / "reports" / "accepted"
    return root / paths.dataset_slug(dataset) / f"{profile}.json"


def reference_sha256(dataset: str, profile: str) -> str:
    """Return the hash of the reference, which names its figures by their hashes; "none" where there is none."""
    file = reference_file(dataset, profile)
    return manifests.sha256(file) if file.is_file() else "none"


def command(dataset: str, profile: str, option: str = "--accept") -> str:
    """Return what to type to accept a run, or to check one."""
    return shlex.join(["osemn", "report", "--dataset", dataset, "--profile", profile, option])


def content_sha256(content: Mapping[str, Any]) -> str:
    """Return the hash of a reference's content without the hash itself, whatever its layout in the file."""
    kept = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def read(dataset: str, profile: str) -> AcceptedRun | None:
    """Return the reference, checked by its hashes; None where no run has been accepted.

    Raises:
        OsemnError: it is damaged, was changed by hand, is of another version, data set or profile, or misses a figure.
    """
    file = reference_file(dataset, profile)
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unfit(dataset, profile, f"cannot be read ({error.strerror})") from None
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise _unfit(dataset, profile, f"has schema {content['schema']!r}, where {SCHEMA} is expected")
        if content["sha256"] != content_sha256(content):
            raise _unfit(dataset, profile, "was changed after it was written (its sha256 differs)")
        if (content["dataset"], content["profile"]) != (paths.dataset_slug(dataset), profile):
            of = f"{content['dataset']} with the profile {content['profile']}"
            raise _unfit(dataset, profile, f"is that of {of}")
        reference = _reference(content, file.with_suffix(""))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, zlib.error):
        raise _unfit(dataset, profile, "is damaged: it does not hold what a reference holds") from None
    for picture in reference.pictures:
        copy = reference.folder / picture.file
        if not copy.is_file() or manifests.sha256(copy) != picture.sha256:
            raise _unfit(dataset, profile, f"names {paths.shown(copy)}, which is missing or was changed")
    return reference


def _unfit(dataset: str, profile: str, problem: str) -> OsemnError:
    return OsemnError(
        f"The reference {paths.shown(reference_file(dataset, profile))} {problem}.",
        f"restore it from version control, or accept the present run: {command(dataset, profile)}",
    )


def _reference(content: Mapping[str, Any], folder: Path) -> AcceptedRun:
    pictures = tuple(Picture(**picture) for picture in content["pictures"])
    if any(Path(picture.file).name != picture.file for picture in pictures):
        raise ValueError("a picture outside of the reference's folder")
    reference = AcceptedRun(
        content["accepted"],
        content["champion"],
        {name: _candidate(name, entry, content["dataset"]) for name, entry in content["candidates"].items()},
        content["validation"],
        content["seconds"],
        tuple(content["seeds"]),
        tuple(content["machines"]),
        {name: tuple(found) for name, found in content["versions"].items()},
        content["figures"],
        pictures,
        folder,
    )
    if not reference.when or reference.champion not in reference.candidates:
        raise ValueError("the champion was not evaluated")
    return reference


def _candidate(name: str, entry: Mapping[str, Any], dataset: str) -> AcceptedCandidate:
    names = tuple(entry["class_names"])
    confusion = np.array([row.split() for row in entry["confusion"]], np.int64)
    predicted = unpack(entry["predicted"])
    columns = np.bincount(predicted, minlength=len(names))
    if confusion.shape != (len(names),) * 2 or not np.array_equal(confusion.sum(axis=0), columns):
        raise ValueError("the predictions are not those of the confusion matrix")
    scores = (float(entry[score]) for score in ("accuracy", "macro_f1", "ece"))
    images = entry.get("images_sha256", "not on record" if paths.is_image_folder(dataset) else "")
    hashes = entry["labels_sha256"], images
    return AcceptedCandidate(name, entry["label"], *scores, names, confusion, predicted, *hashes)


def pack(predicted: np.ndarray, num_classes: int) -> dict[str, str]:
    """Return predicted labels, `[N]`, in a form that a JSON file can hold at a few bits each."""
    kind = "uint8" if num_classes <= 2**8 else "uint16" if num_classes <= 2**16 else "uint32"
    content = np.asarray(predicted).astype(np.dtype(kind).newbyteorder("<")).tobytes()
    return {"dtype": kind, "zlib_base64": base64.b64encode(zlib.compress(content, 9)).decode()}


def unpack(packed: Mapping[str, str]) -> np.ndarray:
    """Return what `pack` was given, `[N] int64`.

    Raises:
        ValueError: it is not what `pack` returns.
        zlib.error: it was cut short or changed.
    """
    if packed["dtype"] not in ("uint8", "uint16", "uint32"):
        raise ValueError(f"labels are no {packed['dtype']}")
    content = zlib.decompress(base64.b64decode(packed["zlib_base64"], validate=True))
    return np.frombuffer(content, np.dtype(packed["dtype"]).newbyteorder("<")).astype(np.int64)


def evaluated(series: collect.Series) -> dict[str, AcceptedCandidate]:
    """Return the candidates that 07_evaluation tested in a series, by name; those without predictions are left out.

    Raises:
        OsemnError: the files of a stage changed while they were read.
    """
    found = {}
    for candidate in stages.CANDIDATES:
        record = series.by_name.get(f"{EVALUATION}/{candidate}")
        if record is not None and record.holds(PREDICTIONS):
            found[candidate] = _of_series(candidate, record)
    return found


def _of_series(name: str, record: collect.Record) -> AcceptedCandidate:
    with np.load(io.BytesIO(content_of(record, PREDICTIONS)), allow_pickle=False) as kept:
        labels, predicted = (kept[key].astype(np.int64) for key in ("labels", "predicted"))
    names = tuple(record.metrics["class_names"])
    confusion = np.bincount(labels * len(names) + predicted, minlength=len(names) ** 2)
    return AcceptedCandidate(
        name,
        record.metrics["label"],
        record.metrics["accuracy"],
        record.metrics["macro_f1"],
        record.metrics["ece_scaled"],
        names,
        confusion.reshape(len(names), len(names)),
        predicted,
        hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
        record.manifest["inputs"].get(TEST_IMAGES, ""),
        labels,
    )


def content_of(record: collect.Record, name: str) -> bytes:
    """Return a file of a stage, checked against its manifest.

    Raises:
        OsemnError: the file changed since the series was collected.
    """
    content = (record.folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != record.manifest["outputs"][name]["sha256"]:
        raise OsemnError(
            f"{paths.shown(record.folder / name)} changed while it was read.", "wait until the run has ended"
        )
    return content


def champion(series: collect.Series) -> str:
    """Return the candidate that 10_export chose; empty where it has not been run."""
    return str(series.by_name[EXPORT].metrics.get("candidate", ""))
