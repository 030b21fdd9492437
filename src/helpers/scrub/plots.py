"""The augmentation gallery."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from helpers import figures


def gallery(rows: Mapping[str, np.ndarray]) -> Figure:
    """Return one row of images for each transform or training step.

    Args:
        rows: `[N, H, W, C]` images, 0–255, by label; a row may have fewer than the first, such as the last step of an epoch.

    Example:
        `run.show(plots.gallery(augment.demonstrate(images, policy, seed)), "augmentation")`
    """
    columns = len(next(iter(rows.values())))
    images = np.clip(np.rint(np.concatenate(list(rows.values()))), 0, 255).astype(np.uint8)
    places = np.repeat(np.arange(len(rows)), [len(row) for row in rows.values()])
    figure = figures.class_rows(images, places, list(rows), columns)
    labels = "; ".join(label.replace("\n", " ") for label in rows)
    return figures.with_alt(figure, f"{columns} images in {len(rows)} rows: {labels}.")
