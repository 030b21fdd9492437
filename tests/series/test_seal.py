"""While a stage is at work that may not see the test images, no way leads to them."""

from pathlib import Path

import numpy as np
import pytest

from helpers.errors import SealedTestSetError
from helpers.obtain import data, sources
from helpers.series import manifests, seal, stages

MAY_NOT = sorted(set(stages.NOTEBOOKS) - {*seal.TEST_STAGES, seal.SOURCE_STAGE})
WAYS = {
    "the loader": data.load,
    "NumPy": np.load,
    "a path": lambda path: path.read_bytes(),
    "text of a path": lambda path: open(str(path), "rb"),  # noqa: PTH123, SIM115 - this way, too
    "memory map": lambda path: np.load(str(path), mmap_mode="r"),
}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "digits" / "smoke" / "01_acquire" / "test.npz"
    path.parent.mkdir(parents=True)
    rows = data.Dataset(np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 1]), ("a", "b"))
    data.save(path, rows)
    return path


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch):
    """Says that a stage is at work in this process; forgotten after the test."""
    monkeypatch.setattr(seal, "_at_work", [])
    return seal.begin


@pytest.mark.parametrize("stage", MAY_NOT)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_shut_for_every_stage_that_may_not(sealed, at_work, stage, way):
    at_work(stage)
    with pytest.raises(SealedTestSetError, match=f"{stage} opened 01_acquire/test.npz"):
        WAYS[way](sealed)


@pytest.mark.parametrize("stage", MAY_NOT)
def test_source_of_the_test_images_is_shut_too(at_work, stage):
    at_work(stage)
    with pytest.raises(SealedTestSetError, match=f"{stage} asked the data set's source"):
        sources.acquire("digits")


@pytest.mark.parametrize("stage", [*seal.TEST_STAGES, seal.SOURCE_STAGE])
def test_evaluation_and_acquisition_open_it(sealed, at_work, stage):
    at_work(stage)
    assert len(data.load(sealed)) == 3


def test_hash_is_still_verified_and_other_files_stay_open(sealed, at_work):
    at_work("04_baseline")
    assert len(manifests.sha256(sealed)) == 64
    other = sealed.with_name("train.npz")
    data.save(other, data.Dataset(np.zeros((1, 8, 8, 1), np.uint8), np.array([0]), ("a", "b")))
    assert len(data.load(other)) == 1


def test_it_opens_when_the_stage_has_ended(sealed, at_work):
    at_work("04_baseline")
    seal.end("04_baseline")
    assert len(data.load(sealed)) == 3
