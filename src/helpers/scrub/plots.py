"""The augmentation gallery."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from helpers import figures


def gallery(rows: Sequence[tuple[str, np.ndarray]], cell: float = 0.95) -> Figure:
    """Return one row of images for each transform, the same images in every row.

    Args:
        rows: a label and `[N, H, W, C]` images, 0–255, for each row; the originals first.
        cell: side of a cell in inches.
    """
    columns = len(rows[0][1])
    figure, axes = figures.subplots(len(rows), columns, width=2.3 + cell * columns, height=cell * len(rows))
    for row, (label, images) in enumerate(rows):
        for axis, image in zip(axes[row], np.clip(np.rint(images), 0, 255).astype(np.uint8), strict=True):
            figures.draw_image(axis, image)
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    return figure
