"""The one figure style: colour-blind safe, readable at half size, the same in notebooks and reports."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color Universal Design", with two greys so that ten classes have ten colours.
COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#000000",
    "#8C6D31",
    "#999999",
)
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"

STYLE = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "legend.frameon": False,
    "image.cmap": "gray",
    "axes.prop_cycle": mpl.cycler(color=COLORS),
}


def subplots(
    rows: int = 1, columns: int = 1, *, width: float = 8.0, height: float = 4.0, **options: object
) -> tuple[Figure, np.ndarray]:
    """Return a figure in the project's style and its axes as an array `[rows, columns]`.

    Args:
        rows: number of rows.
        columns: number of columns.
        width: width in inches.
        height: height in inches.
        **options: passed on to `matplotlib.pyplot.subplots`.
    """
    with mpl.rc_context(STYLE):
        return plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
        )


def no_axes(axes: Axes) -> None:
    """Take ticks, grid and frame away, as for a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
