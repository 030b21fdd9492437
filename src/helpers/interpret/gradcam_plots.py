"""Figures of 08_grad_cam: maps over their images, energy on the object, deletion and insertion, randomised weights."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording
from helpers.interpret import gradcam_conclusions as conclusions
from helpers.interpret.gradcam_checks import Randomised
from helpers.interpret.gradcam_evidence import Energy, Explained, Perturbation, Unmeasured
from helpers.scoring import mean_of


def panel(explained: Explained, rows: np.ndarray, *, true_class: bool = False) -> Figure:
    """Return, for each image, the image, its map, and the map over the image, with the scale of the maps.

    Args:
        explained: the model's predictions and maps.
        rows: the images to draw.
        true_class: whether to draw the map for the true class next to that for the predicted one.

    Example:
        `plots.panel(explained, gradcam_evidence.examples(explained, correct=True))`
    """
    if len(rows) == 0:
        return figures.sentence(explained.reason or "There is no such prediction among these images.")
    names = [figures.label(name, 16) for name in explained.part.class_names]
    labels, predicted = explained.part.labels, explained.predicted
    images, maps = explained.part.images[rows], [explained.maps[rows]]
    if true_class:
        maps.append(explained.cam(images, labels[rows]).maps)
    wide = 1 + 2 * len(maps)
    in_row = max(1, 6 // wide)
    lines = -(-len(rows) // in_row)
    figure, axes = figures.subplots(lines, in_row * wide, width=1.55 * in_row * wide, height=1.95 * lines)
    for axis in axes.flat:
        axis.axis("off")
    for number, row in enumerate(rows.tolist()):
        mine = axes[number // in_row, number % in_row * wide : (number % in_row + 1) * wide]
        mine[0].axis("on")
        figures.draw_image(mine[0], images[number])
        mine[0].set_title(names[labels[row]], fontsize=8.5)
        for kind, label in enumerate((predicted[row], labels[row])[: len(maps)]):
            title = f"{'for' if kind else '→'} {names[label]} {wording.percent(explained.probabilities[row, label], 0)}"
            drawn = _draw_map(mine[1 + 2 * kind : 3 + 2 * kind], images[number], maps[kind][number], title)
    _color_bar(figure, axes, drawn)
    which = "the predicted and the true class" if true_class else "the predicted class"
    names = explained.part.class_names
    shown = (
        f"{names[labels[row]]} predicted as {names[predicted[row]]} "
        f"({wording.percent(explained.probabilities[row, predicted[row]], 0)})"
        for row in rows
    )
    alt = f"Grad-CAM maps for {which} of {len(rows)} images, at most one per true class: {', '.join(shown)}."
    return figures.with_alt(figure, alt)


def maps_of_one(
    image: np.ndarray, maps: Mapping[int, np.ndarray], probabilities: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Return one image, and for each explained class its map and the map over the image.

    Args:
        image: `uint8 [H, W, C]`.
        maps: by class, `float32 [H, W]`, 0 to 1.
        probabilities: `float32 [K]`, the model's.
        class_names: `K` names.

    Example:
        `plots.maps_of_one(image, {3: heat}, probabilities, validation.class_names)`
    """
    wide = 1 + 2 * len(maps)
    figure, axes = figures.subplots(1, wide, width=1.9 * wide, height=2.3)
    for axis in axes.flat:
        axis.axis("off")
    figures.draw_image(axes[0, 0], image)
    shown = []
    for number, (label, heat) in enumerate(maps.items()):
        percent = wording.percent(probabilities[label], 0)
        title = f"for {figures.label(class_names[label], 16)}: {percent}"
        _draw_map(axes[0, 1 + 2 * number :][:2], image, heat, title)
        shown.append(f"for {class_names[label]} ({percent})")
    return figures.with_alt(figure, f"Grad-CAM maps of one image: {', '.join(shown) or 'none'}.")


def _color_bar(figure: Figure, axes: np.ndarray, drawn: AxesImage) -> None:
    """Draw what the colours of maps mean."""
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.5, aspect=40, ticks=[0, 1])
    bar.set_ticklabels(["nothing here supports the class", "supports it most"], fontsize=8.5)


def _draw_map(axes: np.ndarray, image: np.ndarray, values: np.ndarray, title: str) -> AxesImage:
    """Draw a map, and the same map over its image; return the map's drawing."""
    # one value for each pixel of the image; smooth maps of small images would have seven times the bytes
    options = {"cmap": figures.SEQUENTIAL, "vmin": 0, "vmax": 1, "interpolation": "nearest"}
    drawn = axes[0].imshow(values, **options)
    axes[0].set_title(title, fontsize=8.5)
    axes[1].imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes[1].imshow(values, alpha=0.55, **options)
    return drawn


def energy(measured: Energy | Unmeasured) -> Figure:
    """Return the preference of the maps for the object by class: the energy on it minus its pixels, image by image.

    Example:
        `plots.energy(gradcam_evidence.measure_energy(explained))`
    """
    if isinstance(measured, Unmeasured):
        return figures.sentence(measured.reason)
    correct = measured.table["value"].astype(float).xs("correct", level="prediction")
    shown = correct.index[np.sort(np.argsort(correct, kind="stable")[: figures.MOST_ROWS])]
    figure, axes = figures.subplots(width=8.5, height=1.6 + 0.42 * len(shown))
    axis, styles = axes[0, 0], {"correct": ("o", figures.COLORS[0]), "incorrect": ("s", figures.COLORS[3])}
    for offset, (kind, (marker, color)) in zip((-0.1, 0.1), styles.items(), strict=True):
        axis.plot([], [], marker, color=color, label=f"map, {kind} predictions")
        for place, mean in enumerate(measured.table.xs(kind, level="prediction").loc[shown].itertuples()):
            if mean.value is not None:
                figures.draw_interval(axis, mean.value, mean.ci95, place + offset, fmt=marker, color=color)
    axis.axvline(0, color="#555555", linewidth=1.2)
    figures.label_rows(axis, [figures.label(name) for name in shown])
    chosen = figures.selection(len(shown), len(correct), "lowest")
    axis.set_title(chosen, fontsize=10, loc="left")
    axis.xaxis.set_major_formatter(lambda value, _: wording.number(100 * value, 0))
    axis.set_xlabel("energy on the object minus its pixels, in points (95% interval)")
    figure.legend(loc="outside upper right", ncols=2, fontsize=9)
    text = conclusions.where_it_looks("model", measured).text
    alt = f"The maps' energy on the object minus the object's pixels, by class. {text} {chosen}"
    return figures.with_alt(figure, alt.strip())


def perturbation(measured: Perturbation | Unmeasured) -> Figure:
    """Return confidence against the fraction of pixels that are deleted or inserted.

    Example:
        `plots.perturbation(gradcam_evidence.perturb(explained, 120, seed=seed))`
    """
    if isinstance(measured, Unmeasured):
        return figures.sentence(measured.reason)
    figure, axes = figures.subplots(1, 2, width=10.5, height=4.2, sharey=True)
    for axis, (kind, orders) in zip(axes[0], measured.curves.items(), strict=True):
        for color, (order, curves) in zip(figures.COLORS, orders.items(), strict=False):
            _draw_curve(axis, curves.share, curves.confidence, color=color, label=order)
        axis.set_title(kind, fontsize=11)
        axis.set_xlabel("deleted pixels" if kind == "deletion" else "inserted pixels")
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
        axis.legend(fontsize=9)
    axes[0, 0].set_ylabel("confidence in the class (95% interval)")
    text = conclusions.perturbation("model", measured).text
    return figures.with_alt(figure, f"Confidence while pixels are deleted and inserted. {text}")


def _draw_curve(axis: Axes, x: np.ndarray, values: np.ndarray, **options: object) -> None:
    """Draw the mean of `[N, S]` values with its interval as a band."""
    means = [mean_of(column) for column in values.T]
    low, high = np.array([mean.ci95 or (mean.value, mean.value) for mean in means]).T
    axis.plot(x, [mean.value for mean in means], "o-", ms=4, **options)
    axis.fill_between(x, low, high, color=options["color"], alpha=0.2, linewidth=0)


def randomisation(measured: Randomised | Unmeasured) -> Figure:
    """Return how similar the maps stay to the original ones while more and more layers are randomised.

    Example:
        `plots.randomisation(gradcam_evidence.randomise(explained, 100, seed=seed))`
    """
    if isinstance(measured, Unmeasured):
        return figures.sentence(measured.reason)
    figure, axes = figures.subplots(width=8.5, height=3.8)
    axis = axes[0, 0]
    middle = np.array([mean.value for mean in measured.similarity])
    ends = np.array([mean.ci95 or (mean.value, mean.value) for mean in measured.similarity]).T
    places = np.arange(len(middle) + 1)
    errors = np.concatenate([[[0], [0]], np.abs(ends - middle)], axis=1)
    axis.errorbar(places, [1.0, *middle], yerr=errors, fmt="o-", capsize=4)
    axis.axhline(0.5, color="#777777", linestyle="--", label="above: unfit, the map shows the image")
    steps = zip(measured.layers, measured.names, strict=True)
    ticks = ["none", *(f"{count}: …{name[-18:]}" for count, name in steps)]
    axis.set_xticks(places, ticks, rotation=20, ha="right")
    axis.set_xlabel("randomised layers, from the output down")
    axis.set_ylabel("rank correlation\nwith the original maps")
    axis.set_ylim(min(-0.2, float(ends.min()) - 0.05), 1.05)
    axis.legend(fontsize=9)
    text = conclusions.randomisation("model", measured).text
    return figures.with_alt(figure, f"Similarity of the maps while layers are randomised. {text}")
