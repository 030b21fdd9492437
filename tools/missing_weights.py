"""Print pytest's options that leave out the notebooks which need weights or TensorFlow.js, where no registry answers."""

import sys

from helpers.errors import AcquisitionError
from helpers.export import browser_runtime
from helpers.model.backbones import weights
from helpers.series import stages

BACKBONE = "efficientnet_lite0"
FIRST, FIRST_IN_BROWSER = "05_transfer_learning", "10_export"


def weights_are_available() -> bool:
    """Return whether the weights are cached or can be downloaded; True for wrong content, so that the tests fail."""
    try:
        weights.fetch(BACKBONE)
    except AcquisitionError as error:
        return "wrong content" in str(error)
    return True


def runtime_is_available() -> bool:
    """Return whether TensorFlow.js is cached or can be downloaded; True for wrong content, so that the tests fail."""
    try:
        browser_runtime.folder()
    except AcquisitionError as error:
        return "wrong content" in str(error)
    return True


def notebooks_from(stage: str) -> list[str]:
    """Return the notebook of a stage and the notebooks that depend on it."""
    return list(dict.fromkeys(stage.notebook for stage in stages.downstream(stage)))


def notebooks_left_out() -> list[str]:
    """Return the notebooks that cannot run here without a registry."""
    if not weights_are_available():
        return notebooks_from(FIRST)
    return [] if runtime_is_available() else notebooks_from(FIRST_IN_BROWSER)


def main() -> None:
    """Print the options, and on stderr the notebooks left out."""
    left_out = notebooks_left_out()
    if left_out:
        print(f"skipped: no registry: {', '.join(left_out)}", file=sys.stderr)
        print(" ".join(f"--ignore=notebooks/{name}.ipynb" for name in left_out))


if __name__ == "__main__":
    main()
