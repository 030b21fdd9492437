"""The reference: the scores and predictions of the accepted run, to which later runs are compared.

It is committed, so it lies in the project wherever the outputs go: `reports/accepted/<dataset>/<profile>.json`, written
by `accept`. Files of earlier versions name figures and times as well; these are ignored.
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
from pathlib import Path
from typing import Any

import numpy as np

from helpers import paths, wording
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
    """The scores and predictions of one candidate on the test images.

    Attributes:
        name: "baseline_cnn", "transfer", "fine_tuned" or "tuned".
        label: its name in sentences.
        accuracy: proportion of test images that are classified correctly.
        macro_f1: mean F1 over the classes that occur.
        ece: expected calibration error after scaling.
        class_names: K names.
        confusion: `[K, K] int64`, rows are true classes.
        predicted: `[N] int64`.
        labels_sha256: of the true labels, as `[N] int64`, little-endian.
        images_sha256: of the file of test images; empty in an early reference of a built-in data set, whose images are fixed.
        labels: `[N] int64`; None in a reference, which holds only their hash.
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
        """Number of test images."""
        return len(self.predicted)


@dataclass(frozen=True, eq=False)
class AcceptedRun:
    """An accepted run.

    Attributes:
        accepted: ISO time.
        champion: the candidate that was exported.
        candidates: by name.
        validation: validation accuracy of every compared model, by label.
        environment: seeds, machines and versions, from `provenance.environment`.
    """

    accepted: str
    champion: str
    candidates: Mapping[str, AcceptedCandidate]
    validation: Mapping[str, float]
    environment: Mapping[str, Any]

    @property
    def when(self) -> str:
        """The date and time of acceptance."""
        return wording.moment(self.accepted)


def reference_file(dataset: str, profile: str) -> Path:
    """Return the reference's file: in the project, or in the folder named by `OSEMN_ACCEPTED_DIR`."""
    named = os.environ.get(FOLDER_VARIABLE)
    root = Path(named).expanduser().resolve() if named else paths.project_root() / "reports" / "accepted"
    return root / paths.dataset_slug(dataset) / f"{profile}.json"


def reference_sha256(dataset: str, profile: str) -> str:
    """Return the hash of the reference; "none" without a reference."""
    file = reference_file(dataset, profile)
    return manifests.sha256(file) if file.is_file() else "none"


def command(dataset: str, profile: str, option: str = "--accept") -> str:
    """Return the command that accepts a run, or checks one."""
    return shlex.join(["osemn", "report", "--dataset", dataset, "--profile", profile, option])


def content_sha256(content: Mapping[str, Any]) -> str:
    """Return the hash of a reference's content without the hash itself, independent of the file's layout."""
    hashed = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def read(dataset: str, profile: str) -> AcceptedRun | None:
    """Return the reference, checked by its hash; None where no run has been accepted.

    Raises:
        OsemnError: it is damaged, was edited, or belongs to another version, data set or profile.
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
            raise _unfit(dataset, profile, f"has schema {content['schema']!r}, expected {SCHEMA}")
        if content["sha256"] != content_sha256(content):
            raise _unfit(dataset, profile, "was edited (its sha256 differs)")
        if (content["dataset"], content["profile"]) != (paths.dataset_slug(dataset), profile):
            of = f"{content['dataset']} with the profile {content['profile']}"
            raise _unfit(dataset, profile, f"belongs to {of}")
        return _reference(content)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, zlib.error):
        raise _unfit(dataset, profile, "is damaged: a field is missing or invalid") from None


def _unfit(dataset: str, profile: str, problem: str) -> OsemnError:
    return OsemnError(
        f"The reference {paths.shown(reference_file(dataset, profile))} {problem}.",
        f"restore it from version control, or accept the present run: {command(dataset, profile)}",
    )


def _reference(content: Mapping[str, Any]) -> AcceptedRun:
    reference = AcceptedRun(
        content["accepted"],
        content["champion"],
        {name: _candidate(name, entry, content["dataset"]) for name, entry in content["candidates"].items()},
        content["validation"],
        {name: content[name] for name in ("seeds", "machines", "versions")},
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
        raise ValueError("the predictions do not match the confusion matrix")
    scores = (float(entry[score]) for score in ("accuracy", "macro_f1", "ece"))
    images = entry.get("images_sha256", "not on record" if paths.is_own(dataset) else "")
    hashes = entry["labels_sha256"], images
    return AcceptedCandidate(name, entry["label"], *scores, names, confusion, predicted, *hashes)


def pack(predicted: np.ndarray, num_classes: int) -> dict[str, str]:
    """Return predicted labels, `[N]`, compressed for a JSON file."""
    kind = "uint8" if num_classes <= 2**8 else "uint16" if num_classes <= 2**16 else "uint32"
    content = np.asarray(predicted).astype(np.dtype(kind).newbyteorder("<")).tobytes()
    return {"dtype": kind, "zlib_base64": base64.b64encode(zlib.compress(content, 9)).decode()}


def unpack(packed: Mapping[str, str]) -> np.ndarray:
    """Return the labels that `pack` compressed, `[N] int64`.

    Raises:
        ValueError: the content is not from `pack`.
        zlib.error: the content is truncated or was changed.
    """
    if packed["dtype"] not in ("uint8", "uint16", "uint32"):
        raise ValueError(f"labels cannot be {packed['dtype']}")
    content = zlib.decompress(base64.b64decode(packed["zlib_base64"], validate=True))
    return np.frombuffer(content, np.dtype(packed["dtype"]).newbyteorder("<")).astype(np.int64)


def evaluated(series: collect.Series) -> dict[str, AcceptedCandidate]:
    """Return the candidates that 07_evaluation tested in a series, by name, without those that left no predictions.

    Raises:
        OsemnError: the files of a stage changed while they were read.
    """
    candidates = {}
    for candidate in stages.CANDIDATES:
        record = series.by_name.get(f"{EVALUATION}/{candidate}")
        if record is not None and record.holds(PREDICTIONS):
            candidates[candidate] = _of_series(candidate, record)
    return candidates


def _of_series(name: str, record: collect.Record) -> AcceptedCandidate:
    with np.load(io.BytesIO(_content_of(record, PREDICTIONS)), allow_pickle=False) as arrays:
        labels, predicted = (arrays[key].astype(np.int64) for key in ("labels", "predicted"))
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


def _content_of(record: collect.Record, name: str) -> bytes:
    """Return a file of a stage, checked against its manifest.

    Raises:
        OsemnError: the file changed since the series was collected.
    """
    content = (record.folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != record.manifest["outputs"][name]["sha256"]:
        raise OsemnError(
            f"{paths.shown(record.folder / name)} changed while it was read.",
            "wait until the run has finished",
        )
    return content


def champion(series: collect.Series) -> str:
    """Return the candidate that 10_export chose; empty where it has not run."""
    return str(series.by_name[EXPORT].metrics.get("candidate", ""))
