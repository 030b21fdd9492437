"""Figures of the warm-up and of the exploration, each with its alt text."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from helpers import figures
from helpers.explore.moons import Moons, Score, Surface
from helpers.explore.similarity import rank_pairs
from helpers.explore.statistics import Balance, Embedding, Intensities, class_spread
from helpers.obtain.data import Dataset

_CHANNELS = {1: {"grey": "#0072B2"}, 3: {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2"}}
_MARKERS = "o^sDvP*X<>"
_SHADES = LinearSegmentedColormap.from_list("moons", [figures.COLORS[0], "#ffffff", figures.COLORS[1]])


def class_balance(balance: Balance, class_names: Sequence[str]) -> Figure:
    """Return the number of images by class, with a line at equal class sizes.

    Example:
        `run.show(plots.class_balance(balance, train.class_names), "class_balance")`
    """
    counts = balance.counts
    figure, axes = figures.subplots(width=8.0, height=1.2 + 0.34 * len(counts))
    axis = axes[0, 0]
    sns.barplot(x=counts, y=list(class_names), color=figures.COLORS[0], saturation=1, ax=axis)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # covers the dashed line
    axis.bar_label(axis.containers[0], fmt="{:,.0f}", padding=4, fontsize=10, bbox=paper)
    axis.axvline(counts.mean(), color=figures.COLORS[3], linestyle="--", linewidth=2, label="equal sizes")
    axis.set(xlabel="images", xlim=(0, counts.max() * 1.14))  # room for the numbers beside the bars
    axis.grid(False, axis="y")
    figure.legend(loc="outside upper right", frameon=False)
    smallest, largest = (class_names[index] for index in (counts.argmin(), counts.argmax()))
    return figures.with_alt(
        figure,
        f"Bar chart of images by class, from {counts.min():,} ({smallest}) to {counts.max():,} ({largest}); "
        f"{balance.in_words()}.",
    )


def samples_by_class(dataset: Dataset, per_class: int, seed: int) -> Figure:
    """Return a random draw of images of each class, one class in a row.

    Example:
        `run.show(plots.samples_by_class(train, 10, seed), "samples_by_class")`
    """
    shuffled = np.random.default_rng(seed).permutation(len(dataset))
    first = [shuffled[dataset.labels[shuffled] == label][:per_class] for label in range(dataset.num_classes)]
    sample = dataset.subset(np.concatenate(first))
    figure = figures.class_rows(sample.images, sample.labels, dataset.class_names, per_class)
    names = ", ".join(dataset.class_names)
    alt = f"{per_class} random images of each of {dataset.num_classes} classes: {names}."
    return figures.with_alt(figure, alt)


def mean_and_variance(means: np.ndarray, variances: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return mean image and standard deviation of each class, `[K, H, W, C]` each, five classes in a row.

    The deviation (root of the variance, mean over the channels) is on the same 0–255 scale as the mean.

    Example:
        `run.show(plots.mean_and_variance(means, variances, train.class_names), "mean_and_variance")`
    """
    deviations = np.sqrt(variances.mean(axis=-1))
    top = max(1.0, float(deviations.max()))
    scale = {"cmap": figures.SEQUENTIAL, "vmin": 0, "vmax": top, "interpolation": "nearest"}
    columns = min(5, len(means))
    blocks = -(-len(means) // columns)
    figure, axes = figures.subplots(2 * blocks, columns, width=0.9 + 1.55 * columns, height=3.3 * blocks)
    for axis in axes.flat:
        figures.no_axes(axis)
    for index, name in enumerate(class_names):
        block, column = divmod(index, columns)
        upper, lower = axes[2 * block : 2 * block + 2, column]
        figures.draw_image(upper, np.clip(means[index].round(), 0, 255).astype(np.uint8))
        spread = lower.imshow(deviations[index], **scale)
        upper.set_title(textwrap.fill(name, 16), fontsize=10, loc="center")
        if column == 0:
            upper.set_ylabel("mean")
            lower.set_ylabel("spread")
    figure.colorbar(spread, ax=axes, shrink=0.6, label="standard deviation")
    most, *_, least = class_spread(variances, class_names)
    alt = f"Mean image and spread of each class; {most} varies most, {least} least."
    return figures.with_alt(figure, alt)


def intensities(pixels: Intensities, class_names: Sequence[str]) -> Figure:
    """Return the distribution of pixel values, of all images by channel and of each class.

    Example:
        `run.show(plots.intensities(pixels, train.class_names), "intensities")`
    """
    height = max(3.8, 1.2 + 0.32 * len(class_names))
    figure, axes = figures.subplots(1, 2, width=11.0, height=height, width_ratios=(1, 1.15))
    left, right = axes[0]
    counts = pixels.histogram.reshape(len(pixels.histogram), 64, 4).sum(axis=2)
    colors = _CHANNELS[len(counts)]
    edges, alone = np.arange(0, 257, 4), len(colors) == 1
    for (name, color), channel in zip(colors.items(), counts, strict=True):
        percentage = 100 * channel / channel.sum()
        left.stairs(percentage, edges, color=color, linewidth=2, label=name, fill=alone)
    if not alone:
        left.legend()
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("")
    left.set(xlabel="pixel value", ylabel="% of the pixels (log scale)", title="All images")
    percentages = pd.DataFrame(100 * pixels.by_class, class_names, np.arange(0, 256, 16))
    low, high = max(0.1, percentages.to_numpy().min()), max(1.0, percentages.to_numpy().max())
    bar = {"label": "% of the class's pixels", "format": "{x:g}", "ticks": LogLocator(subs=(1.0, 2.0, 5.0))}
    shades = {"cmap": figures.SEQUENTIAL, "norm": LogNorm(low, high, clip=True)}
    sns.heatmap(percentages, **shades, cbar_kws=bar, xticklabels=4, ax=right)
    right.collections[0].colorbar.minorticks_off()
    right.tick_params(rotation=0)
    right.set(xlabel="pixel value", title="By class")
    darkest, *_, brightest = pixels.brightness
    black, white = pixels.proportions[[0, 255]]
    return figures.with_alt(
        figure,
        f"Histogram of pixel values ({black:.0%} are 0, {white:.1%} are 255), for all images and by class; "
        f"{darkest} is the darkest class, {brightest} the brightest.",
    )


def class_correlation(correlation: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return a heatmap of the correlation of mean images, `[K, K]`.

    Example:
        `run.show(plots.class_correlation(correlation, train.class_names), "class_correlation")`
    """
    side = max(4.5, 0.62 * len(correlation))
    figure, axes = figures.subplots(width=side + 2.2, height=side + 0.6)
    axis = axes[0, 0]
    numbers = np.vectorize(lambda value: f"{value:.2f}".replace("-", "−"))(correlation)
    sns.heatmap(
        pd.DataFrame(correlation, class_names, class_names), vmin=-1, vmax=1, cmap=figures.DIVERGING, ax=axis,
        annot=numbers if len(numbers) <= 20 else None, fmt="", annot_kws={"fontsize": 9},  # more would overlap
        cbar_kws={"shrink": 0.8, "label": "correlation of the mean images"},
    )  # fmt: skip
    axis.tick_params(axis="y", rotation=0)
    axis.set_xticks(axis.get_xticks(), class_names, rotation=45, ha="right", rotation_mode="anchor")
    one, other, value = rank_pairs(correlation, class_names)[0]
    alt = f"Heatmap of the correlation of mean images; {one} and {other} are most alike ({value:.2f})."
    return figures.with_alt(figure, alt)


def embeddings(parts: Mapping[str, Embedding], labels: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return embeddings side by side, by title, with one colour and marker for each class.

    Example:
        `run.show(plots.embeddings({"PCA": pca, "t-SNE": tsne}, points.labels, train.class_names), "embedding")`
    """
    width = 5.4 * len(parts)
    across = max(1, min(5, len(class_names), int(width / (0.7 + 0.095 * max(map(len, class_names))))))
    rows = -(-len(class_names) // across)
    figure, axes = figures.subplots(1, len(parts), width=width, height=4.8 + 0.28 * rows)
    for axis, (title, part) in zip(axes.flat, parts.items(), strict=True):
        for label, name in enumerate(class_names):
            axis.scatter(
                *part.points[labels == label].T, s=16, label=name, alpha=0.75, linewidths=0.3, edgecolors="#555555",
                color=figures.COLORS[label % 10], marker=_MARKERS[(label + label // 10) % 10],
            )  # fmt: skip
        axis.set_title(title)
        figures.no_axes(axis)
    legend = axes[0, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=across, markerscale=2.2, frameon=False)
    agreement = " and ".join(f"{part.agreement:.0%} ({title})" for title, part in parts.items())
    return figures.with_alt(
        figure,
        f"{len(labels):,} images as points, coloured by class. Of the ten nearest neighbours of a point, {agreement} "
        "have the same label.",
    )


def duplicate_pairs(
    images: np.ndarray, pairs: pd.DataFrame, class_names: Sequence[str], most: int = 12
) -> Figure:
    """Return the closest pairs of a table of duplicates, side by side with distance and labels.

    Args:
        images: `[N, H, W, C] uint8`.
        pairs: table with `index_a`, `index_b`, `label_a`, `label_b`, `distance`, `kind`.
        class_names: names by label.
        most: pairs to draw at most.

    Example:
        `run.show(plots.duplicate_pairs(train.images, pairs, train.class_names), "duplicates")`
    """
    closest = pairs.head(most)
    left, right = (images[closest[name].to_numpy(np.int64)] for name in ("index_a", "index_b"))
    gap = np.full((*left.shape[:2], max(1, left.shape[2] // 14), left.shape[3]), 255, np.uint8)
    captions = []
    for pair in closest.itertuples():
        names = dict.fromkeys(class_names[label] for label in (pair.label_a, pair.label_b))
        captions.append(f"{' / '.join(names)}\n{pair.kind}, {pair.distance:.3f}")
    nothing = "There are no duplicates."
    side_by_side = np.concatenate([left, gap, right], axis=2)
    figure = figures.image_grid(side_by_side, captions, columns=4, cell=1.75, nothing=nothing)
    drawn = f"The {len(closest)} closest pairs of images side by side, with label and distance."
    return figures.with_alt(figure, drawn if len(closest) else nothing)


def copy_groups(dataset: Dataset, together: np.ndarray, most: int = 8, across: int = 6) -> Figure:
    """Return the largest groups of images that belong together, one group in a row.

    Args:
        dataset: the images.
        together: `[N] int64`, the same number for images of a group.
        most: groups to draw at most.
        across: images of a group to draw at most.

    Example:
        `run.show(plots.copy_groups(train, index["together"].to_numpy()), "copies")`
    """
    numbers, sizes = np.unique(together, return_counts=True)
    order = np.argsort(-sizes, kind="stable")[: min(most, int(np.sum(sizes > 1)))]
    if not len(order):
        return figures.sentence("No image belongs together with another.")
    members = [np.flatnonzero(together == number)[:across] for number in numbers[order]]
    rows, names = len(members), dataset.class_names
    figure, axes = figures.subplots(rows, across, width=1.6 + 1.3 * across, height=1.5 * rows)
    for line, group, size in zip(axes, members, sizes[order].tolist(), strict=True):
        for axis in line:
            figures.no_axes(axis)
        for axis, row in zip(line, group, strict=False):
            figures.draw_image(axis, dataset.images[row])
            axis.set_title(textwrap.shorten(names[dataset.labels[row]], 20), fontsize=8)
        line[0].set_ylabel(f"{size:,} images", rotation=0, ha="right", va="center", fontsize=9)
    alt = f"The {rows} largest of {int(np.sum(sizes > 1)):,} groups of images that belong together, with their labels."
    return figures.with_alt(figure, alt)


def _draw_boundary(axes: Axes, surface: Surface, points: np.ndarray, labels: np.ndarray, size: float) -> None:
    axes.pcolormesh(
        surface.x, surface.y, surface.probability, cmap=_SHADES, vmin=0, vmax=1, alpha=0.55, rasterized=True
    )
    if surface.probability.min() < 0.5 < surface.probability.max():
        axes.contour(surface.x, surface.y, surface.probability, levels=[0.5], colors="black", linewidths=2)
    for label in (0, 1):
        axes.scatter(
            *points[labels == label].T, s=size, marker=_MARKERS[label], color=figures.COLORS[label],
            edgecolors="white", linewidths=0.3, label=f"class {label}",
        )  # fmt: skip
    axes.grid(False)


def decision_boundaries(
    surfaces: Mapping[str, Surface], scores: Mapping[str, Score], points: Moons, most: int = 600
) -> Figure:
    """Return the classifiers' boundaries side by side, with test points.

    Args:
        surfaces: a probability surface for each classifier.
        scores: the test accuracy of each classifier, with its interval.
        points: the moons.
        most: test points to draw at most.

    Example:
        `run.show(plots.decision_boundaries(surfaces, scores, points), "decision_boundary")`
    """
    figure, axes = figures.subplots(1, len(surfaces), width=5.2 * len(surfaces), height=4.4, sharey=True)
    for axis, (name, surface) in zip(axes.flat, surfaces.items(), strict=True):
        _draw_boundary(axis, surface, points.test_points[:most], points.test_labels[:most], 16)
        axis.set(title=f"{name}: {scores[name][0]:.1%}", xlabel="first coordinate", aspect="equal")
    axes[0, 0].set_ylabel("second coordinate")
    legend = axes[0, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=2, markerscale=1.8)
    accuracies = ", ".join(f"{name} {scores[name][0]:.1%}" for name in surfaces)
    return figures.with_alt(
        figure,
        f"Decision boundaries on the test points of two moons at noise {points.noise:g}. Test accuracy: {accuracies}.",
    )


def noise_sweep(
    levels: Sequence[float],
    surfaces: Sequence[Surface],
    tests: Sequence[Moons],
    accuracies: Mapping[str, Sequence[Score]],
) -> Figure:
    """Return the boundary at each noise level and, below, each classifier's accuracy against noise.

    Args:
        levels: noise, as standard deviations.
        surfaces: the first classifier's surface at each level.
        tests: the moons at each level.
        accuracies: test accuracy of each classifier at each level, with its interval.

    Example:
        `run.show(plots.noise_sweep(levels, maps, moons_by_level, accuracies), "noise")`
    """
    width = max(7.0, 2.9 * len(levels))
    with mpl.rc_context(figures.STYLE):
        figure, axes = plt.subplot_mosaic(
            [list(levels), ["below"] * len(levels)], figsize=(width, 6.2), height_ratios=(1, 1.25), layout="constrained"
        )  # fmt: skip
    for level, surface, points in zip(levels, surfaces, tests, strict=True):
        _draw_boundary(axes[level], surface, points.test_points[:300], points.test_labels[:300], 9)
        axes[level].set_title(f"noise {level:g}", fontsize=11)
        figures.no_axes(axes[level])
    below = axes["below"]
    for index, (name, values) in enumerate(accuracies.items()):
        middle, low, high = np.array(values).T * 100
        below.errorbar(
            levels, middle, yerr=np.clip([middle - low, high - middle], 0, None), capsize=4, linewidth=2,
            marker="osD^"[index % 4], linestyle=("-", "--", ":", "-.")[index % 4],
            color=figures.COLORS[(0, 3, 7, 2)[index % 4]], label=name,
        )  # fmt: skip
    below.set(
        xticks=levels, xlabel="noise (standard deviation of both coordinates)", ylabel="test accuracy in %"
    )
    below.legend(frameon=False, loc="lower left")
    name, values = next(iter(accuracies.items()))
    listed = "; ".join(f"noise {x:g}: {value[0]:.1%}" for x, value in zip(levels, values, strict=True))
    alt = f"The boundary of the {name} at each noise level, and its test accuracy. {listed}."
    return figures.with_alt(figure, alt)
