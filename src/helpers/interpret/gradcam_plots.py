"""Figures of 08_grad_cam: maps over their images, energy on the object, deletion and insertion, randomised weights."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers import figures
from helpers.interpret.gradcam_checks import Curves, Randomised
from helpers.scoring import Mean, mean_of


def panel(
    images: np.ndarray, maps: Sequence[np.ndarray], captions: Sequence[Sequence[str]], *, nothing: str
) -> Figure:
    """Return, for each image, the image, and for each kind of map the map and its overlay.

    Args:
        images: `[N, H, W, C] uint8`.
        maps: one or more arrays `[N, H, W]`, 0–1, such as for the predicted and for the true class.
        captions: for each image, a text for the image and one for each map.
        nothing: what to say where there is no image.
    """
    if len(images) == 0:
        return figures.sentence(nothing)
    wide = 1 + 2 * len(maps)
    in_row = max(1, 6 // wide)
    rows = -(-len(images) // in_row)
    figure, axes = figures.subplots(rows, in_row * wide, width=1.55 * in_row * wide, height=1.95 * rows)
    for axis in axes.flat:
        axis.axis("off")
    for number, image in enumerate(images):
        mine = axes[number // in_row, number % in_row * wide : (number % in_row + 1) * wide]
        figures.draw_image(mine[0], image)
        mine[0].axis("on")
        mine[0].set_title(captions[number][0], fontsize=8.5)
        grey = image.mean(axis=-1)
        for kind, values in enumerate(maps):
            alone, over = mine[1 + 2 * kind : 3 + 2 * kind]
            alone.imshow(values[number], cmap=figures.SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
            alone.set_title(captions[number][1 + kind], fontsize=8.5)
            over.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            over.imshow(
                values[number], cmap=figures.SEQUENTIAL, vmin=0, vmax=1, alpha=0.55, interpolation="nearest"
            )
            over.set_title("over the image", fontsize=8.5)
    return figure


def energy(by_class: Mapping[str, Mapping[str, Mean]], pixels: Mapping[str, float]) -> Figure:
    """Return the share of the maps' energy on the object by class, right and wrong, beside the object's share of pixels.

    Args:
        by_class: from `cam_checks.by_class`.
        pixels: mean share of the pixels that are the object's, by class.
    """
    figure, axes = figures.subplots(width=8.5, height=1.6 + 0.42 * len(by_class))
    axis = axes[0, 0]
    for place, (name, found) in enumerate(by_class.items()):
        for offset, (word, marker) in enumerate((("right", "o"), ("wrong", "s"))):
            mean = found[word]
            if mean.value is None:
                continue
            ends = None if mean.ci95 is None else [[mean.value - mean.ci95[0]], [mean.ci95[1] - mean.value]]
            axis.errorbar(
                mean.value,
                place + 0.2 * (offset - 0.5),
                xerr=ends,
                fmt=marker,
                capsize=3,
                color=figures.COLORS[(0, 3)[offset]],
                label=f"map, {word} predictions"
                if f"map, {word} predictions" not in axis.get_legend_handles_labels()[1]
                else None,
            )
        axis.plot(
            pixels[name],
            place,
            "|",
            ms=16,
            mew=3,
            color="#555555",
            label="object's share of the pixels" if place == 0 else None,
        )
    axis.set_yticks(range(len(by_class)), list(by_class))
    axis.invert_yaxis()
    axis.set_xlim(0, 1.02)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlabel("share on the object (95% interval)")
    figure.legend(loc="outside upper right", ncols=3, fontsize=9)
    return figure


def perturbation(curves: Mapping[str, Mapping[str, Curves]]) -> Figure:
    """Return confidence against the share of pixels that are gone, or there.

    Args:
        curves: `{"deletion": {order: curves}, "insertion": {…}}`.
    """
    figure, axes = figures.subplots(1, len(curves), width=10.5, height=4.2, sharey=True)
    for axis, (kind, orders) in zip(axes[0], curves.items(), strict=True):
        for color, (order, found) in zip(figures.COLORS, orders.items(), strict=False):
            means = [mean_of(column) for column in found.confidence.T]
            middle = np.array([mean.value for mean in means])
            low, high = np.array([mean.ci95 or (mean.value, mean.value) for mean in means]).T
            axis.plot(found.share, middle, "o-", ms=4, color=color, label=order)
            axis.fill_between(found.share, low, high, color=color, alpha=0.2, linewidth=0)
        axis.set_title(kind, fontsize=11)
        axis.set_xlabel("share of the pixels that are " + ("gone" if kind == "deletion" else "there"))
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
        axis.legend(fontsize=9)
    axes[0, 0].set_ylabel("confidence in the class (95% interval)")
    return figure


def randomised(found: Randomised) -> Figure:
    """Return how alike maps stay as ever more layers become random."""
    figure, axes = figures.subplots(width=8.5, height=3.8)
    axis = axes[0, 0]
    middle = np.array([mean.value for mean in found.similarity])
    ends = np.array([mean.ci95 or (mean.value, mean.value) for mean in found.similarity]).T
    places = np.arange(1, len(middle) + 1)
    axis.errorbar(
        [0, *places],
        [1.0, *middle],
        yerr=np.concatenate([[[0], [0]], np.abs(ends - middle)], axis=1),
        fmt="o-",
        capsize=4,
    )
    axis.axhline(0.5, color="#777777", linestyle="--", label="above: unfit, the map shows the image")
    axis.set_xticks(
        [0, *places],
        ["none", *(f"{count}: …{name[-18:]}" for count, name in zip(found.layers, found.names, strict=True))],
        rotation=20,
        ha="right",
    )
    axis.set_xlabel("layers with random weights, from the output down")
    axis.set_ylabel("rank correlation\nwith the real maps")
    axis.set_ylim(min(-0.2, float(ends.min()) - 0.05), 1.05)
    axis.legend(fontsize=9)
    return figure
