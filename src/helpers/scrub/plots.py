"""The augmentation gallery."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from helpers import figures


def gallery(rows: Mapping[str, np.ndarray], cell: float = 0.95) -> Figure:
    """Return one row of images for each transform, the same images in every row.

    Args:
        rows: `[N, H, W, C]` images, 0–255, by label; the originals first.
        cell: side of a cell in inches.

    Example:
        `run.show(plots.gallery(augment.demonstrate(images, policy, seed)), "augmentation")`
    """
    columns = len(next(iter(rows.values())))
    figure, axes = figures.subplots(len(rows), columns, width=2.3 + cell * columns, height=cell * len(rows))
    for row, (label, images) in enumerate(rows.items()):
        for axis, image in zip(axes[row], np.clip(np.rint(images), 0, 255).astype(np.uint8), strict=True):
            figures.draw_image(axis, image)
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    labels = "; ".join(label.replace("\n", " ") for label in rows)
    return figures.with_alt(figure, f"{columns} images in {len(rows)} rows: {labels}.")
