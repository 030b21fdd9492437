"""The augmentation gallery."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from helpers import figures


def gallery(rows: Mapping[str, np.ndarray]) -> Figure:
    """Return one row of images for each transform, the same images in every row.

    Args:
        rows: `[N, H, W, C]` images, 0–255, by label; the originals first.

    Example:
        `run.show(plots.gallery(augment.demonstrate(images, policy, seed)), "augmentation")`
    """
    columns = len(next(iter(rows.values())))
    images = np.clip(np.rint(np.concatenate(list(rows.values()))), 0, 255).astype(np.uint8)
    places = np.repeat(np.arange(len(rows)), columns)
    figure = figures.class_rows(images, places, list(rows), columns)
    labels = "; ".join(label.replace("\n", " ") for label in rows)
    return figures.with_alt(figure, f"{columns} images in {len(rows)} rows: {labels}.")
