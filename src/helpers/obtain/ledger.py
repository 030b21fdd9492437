"""The ledger of the sealed test images: every opening and every model scored on them, on this machine.

A line of JSON for each opening, in a file of the cache folder that is named after the hash of the test images. So all
profiles and all copies of the project that share the cache add to the same record, and deleting a run does not shorten it.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import paths
from helpers.series import manifests, records

if TYPE_CHECKING:
    from helpers.series.runs import Run

_TEST_IMAGES = "01_acquire/test.npz"
CANNOT_KNOW = (
    "The record cannot know of openings on other machines or with another cache folder, of images that were moved to another "
    "folder since, and of programs that read the files without this project."
)


def of_manifest(acquired: dict[str, Any] | None) -> Path:
    """Return the ledger's file, which need not exist, for the test images in a manifest of 01_acquire."""
    return _file(manifests.output_sha256(acquired or None, "test.npz") or manifests.ABSENT)


def _file(test_sha256: str) -> Path:
    return paths.cache_root() / "test_openings" / f"{test_sha256}.jsonl"


def record(run: "Run", model_sha256: Sequence[str]) -> None:
    """Append an opening of the test images.

    Args:
        run: of a stage that may open them, with their hash among its inputs.
        model_sha256: hashes of the models that will be scored on them.
    """
    entry = {
        "opened": records.iso_time(time.time()),
        "stage": run.stage.name,
        "dataset": run.parameters["dataset"],
        "profile": run.parameters["profile"],
        "copy": this_copy(),
        "models": list(model_sha256),
        "called_by": run.called_by,
    }
    file = _file(run.inputs[_TEST_IMAGES])
    file.parent.mkdir(parents=True, exist_ok=True)
    # one write for each line, so that lines of two processes never mix
    with file.open("ab", buffering=0) as stream:
        stream.write((json.dumps(entry, sort_keys=True) + "\n").encode())
        os.fsync(stream.fileno())


def read(file: Path) -> list[dict[str, Any]]:
    """Return the openings in a file of the ledger, earliest first: `opened`, `stage`, `profile`, `copy`, `models` and more."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return sorted((json.loads(line) for line in lines), key=lambda entry: entry["opened"])


def this_copy() -> str:
    """Return a name of this output folder, which tells copies of the project apart without naming a private path."""
    return hashlib.sha256(str(paths.output_root()).encode()).hexdigest()[:8]
