"""A stage that may not see the test images can load neither their file nor the data set's source."""

import pytest

from helpers.errors import SealedTestSetError
from helpers.obtain import sources
from helpers.series import seal, stages
from helpers.series.runs import Run

SEALED = [stage for stage in stages.STAGES if stage.notebook not in seal.TEST_STAGES]
MAY_NOT = sorted({stage.notebook for stage in SEALED} - {seal.SOURCE_STAGE})
UPSTREAM = {"01_acquire": {"outputs": {"test.npz": {"sha256": "0" * 64}}}}


def make_run(stage: stages.Stage) -> Run:
    """Return a run that could read everything that 01_acquire wrote."""
    return Run(stage, {"dataset": "digits", "profile": "smoke", "seed": 0}, upstream=UPSTREAM)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch):
    """Records that a stage is running in this process; forgotten after the test."""
    monkeypatch.setattr(seal, "_running", [])
    return seal.begin


@pytest.mark.parametrize("file", seal.FILES, ids=lambda file: file[1])
@pytest.mark.parametrize("stage", SEALED, ids=lambda stage: stage.name)
def test_test_images_are_refused_to_every_stage_that_may_not_see_them(
    stage: stages.Stage, file: tuple[str, str]
) -> None:
    run = make_run(stage)
    with pytest.raises(SealedTestSetError, match=f"{stage.name} asked for the test set"):
        run.input(*file)
    assert not run.inputs


def test_test_images_are_open_to_the_stages_that_may_see_them() -> None:
    for stage in stages.STAGES:
        if stage.notebook in seal.TEST_STAGES:
            run = make_run(stage)
            assert run.input(*seal.FILE) == run.root / "01_acquire" / "test.npz"
            assert list(run.inputs) == ["01_acquire/test.npz"]


@pytest.mark.parametrize("notebook", MAY_NOT)
def test_source_of_the_test_images_is_refused_too(running, notebook: str) -> None:
    running(notebook)
    with pytest.raises(SealedTestSetError, match=f"{notebook} asked for the data set's source"):
        sources.acquire("digits")


@pytest.mark.parametrize("notebook", [*seal.TEST_STAGES, seal.SOURCE_STAGE])
def test_source_is_open_to_evaluation_and_acquisition(running, notebook: str) -> None:
    running(notebook)
    seal.refuse_source()


def test_source_is_open_again_when_the_stage_has_ended(running) -> None:
    running("04_baseline")
    seal.end("04_baseline")
    seal.refuse_source()
