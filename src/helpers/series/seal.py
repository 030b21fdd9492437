"""The seal on the test images: a stage that may not see them can load neither their file nor the data set's source.

It guards against mistakes, not against someone who opens the file by its path on purpose.
"""

from helpers.errors import SealedTestSetError

TEST_STAGE = "07_evaluation"
# After the champion is chosen, the exported and the served model are compared with the evaluation on the same images.
TEST_STAGES = (TEST_STAGE, "10_export", "11_serving")
SOURCE_STAGE = "01_acquire"
FILE = (SOURCE_STAGE, "test.npz")
FILES = (FILE, (SOURCE_STAGE, "index.parquet"))  # the index has a row for each test image, with its label

_running: list[str] = []


def begin(notebook: str) -> None:
    """Record that a stage of this notebook is running in this process."""
    _running.append(notebook)


def end(notebook: str) -> None:
    """Record that it has ended."""
    if notebook in _running:
        _running.remove(notebook)


def refuse_file(stage: str, notebook: str) -> None:
    """Refuse to hand the test images to a stage of a notebook that may not see them.

    Raises:
        SealedTestSetError: the notebook is not one of `TEST_STAGES`.
    """
    if notebook not in TEST_STAGES:
        raise SealedTestSetError(
            f"{stage} asked for the test set, which is sealed until {TEST_STAGE}.",
            "choose models on the validation images: data.load_split(run)",
        )


def refuse_source() -> None:
    """Refuse to load the data set's source while a stage is running that may not see the test images.

    Raises:
        SealedTestSetError: only such stages are running in this process.
    """
    if _running and not {SOURCE_STAGE, *TEST_STAGES}.intersection(_running):
        raise SealedTestSetError(
            f"{_running[-1]} asked for the data set's source, which holds the test images too.",
            "load the output of 01_acquire instead: data.load_split(run)",
        )
