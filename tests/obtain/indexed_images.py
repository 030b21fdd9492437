"""Small folders of images, listed by class folder, for the tests of the index and of the catalogue."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from helpers.obtain.layouts.listing import COLUMNS, Listing


def write_images(root: Path, count: int = 6) -> Path:
    """Write PNGs of random pixels, half of them in each of two classes."""
    generator = np.random.default_rng(0)
    for number in range(count):
        path = root / ("cat" if number < count // 2 else "dog") / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (10, 20, 3), dtype=np.uint8)).save(path)
    return root


def listed(root: Path, **columns: list) -> Listing:
    """Return every file of a folder, labelled by its sub-folder."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())
    files = pd.DataFrame({"path": pd.Series(names, dtype="str")}).assign(
        label=[name.partition("/")[0] for name in names], part="", group="", weight=1.0
    )
    files = files.assign(**columns)[list(COLUMNS)]
    return Listing(root, files, pd.DataFrame({"path": [], "reason": []}), "class folders")
