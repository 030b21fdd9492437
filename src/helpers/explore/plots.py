"""Figures of the warm-up and of the exploration, each with its alt text."""

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

from helpers import figures, wording
from helpers.explore.moons import Moons, Score, Surface
from helpers.explore.similarity import Pair, rank_pairs
from helpers.explore.statistics import Balance, Embedding, Intensities, class_spread
from helpers.obtain.data import Dataset

_CHANNELS = {1: {"grey": "#0072B2"}, 3: {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2"}}
_MARKERS = "o^sDvP*X<>"
_MOST_PICTURED = 20  # classes with images of each: two pages
_MOST_COLOURED = 10  # classes with a colour of their own, where not all have one; there are ten colours
_SHADES = LinearSegmentedColormap.from_list("moons", [figures.COLORS[0], "#ffffff", figures.COLORS[1]])


def class_balance(balance: Balance, class_names: Sequence[str]) -> Figure:
    """Return the number of images by class, with a line at equal class sizes.

    Example:
        `run.show(plots.class_balance(balance, train.class_names), "class_balance")`
    """
    counts = balance.counts
    shown = figures.both_ends(counts, figures.MOST_ROWS)
    figure, axes = figures.subplots(width=8.0, height=1.2 + 0.34 * len(shown))
    axis = axes[0, 0]
    axis.barh(range(len(shown)), counts[shown], color=figures.COLORS[0])
    figures.label_rows(axis, [figures.label(class_names[index]) for index in shown])
    chosen = figures.selection(len(shown), len(counts), "largest and smallest")
    axis.set_title(chosen, fontsize=10, loc="left")
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
        f"{balance.in_words()}. {chosen}".strip(),
    )


def samples_by_class(dataset: Dataset, per_class: int, seed: int) -> Figure:
    """Return a random draw of images of each class, one class in a row.

    Example:
        `run.show(plots.samples_by_class(train, 10, seed), "samples_by_class")`
    """
    shuffled = np.random.default_rng(seed).permutation(len(dataset))
    shown = figures.both_ends(dataset.class_counts(), _MOST_PICTURED)
    rows = [shuffled[dataset.labels[shuffled] == label][:per_class] for label in shown]
    places = np.repeat(np.arange(len(shown)), [len(row) for row in rows])
    names = [dataset.class_names[label] for label in shown]
    labels = [figures.label(name, 24) for name in names]
    figure = figures.class_rows(dataset.images[np.concatenate(rows)], places, labels, per_class)
    chosen = figures.selection(len(shown), dataset.num_classes, "largest and smallest")
    figure.axes[0].set_title(chosen, fontsize=10, loc="left")
    alt = f"{per_class} random images of each of {len(shown)} classes: {', '.join(names)}. {chosen}"
    return figures.with_alt(figure, alt.strip())


def mean_and_variance(means: np.ndarray, variances: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return mean image and standard deviation of each class, `[K, H, W, C]` each, five classes in a row.

    The deviation (root of the variance, mean over the channels) is on the same 0–255 scale as the mean.

    Example:
        `run.show(plots.mean_and_variance(means, variances, train.class_names), "mean_and_variance")`
    """
    deviations = np.sqrt(variances.mean(axis=-1))
    top = max(1.0, float(deviations.max()))
    scale = {"cmap": figures.SEQUENTIAL, "vmin": 0, "vmax": top, "interpolation": "nearest"}
    shown = figures.both_ends(deviations.mean(axis=(1, 2)), _MOST_PICTURED)
    columns = min(5, len(shown))
    blocks = -(-len(shown) // columns)
    figure, axes = figures.subplots(2 * blocks, columns, width=0.9 + 1.55 * columns, height=3.3 * blocks)
    for axis in axes.flat:
        figures.no_axes(axis)
    for place, index in enumerate(shown):
        block, column = divmod(place, columns)
        upper, lower = axes[2 * block : 2 * block + 2, column]
        figures.draw_image(upper, np.clip(means[index].round(), 0, 255).astype(np.uint8))
        spread = lower.imshow(deviations[index], **scale)
        upper.set_title(figures.label(class_names[index], wrap=16), fontsize=10, loc="center")
        if column == 0:
            upper.set_ylabel("mean")
            lower.set_ylabel("spread")
    figure.colorbar(spread, ax=axes, shrink=0.6, label="standard deviation")
    most, *_, least = class_spread(variances, class_names)
    chosen = figures.selection(len(shown), len(means), "most and least varied")
    if chosen:
        figure.suptitle(chosen, fontsize=10)
    alt = f"Mean image and spread of each class; {most} varies most, {least} least. {chosen}"
    return figures.with_alt(figure, alt.strip())


def intensities(pixels: Intensities, class_names: Sequence[str]) -> Figure:
    """Return the distribution of pixel values, of all images by channel and of each class.

    Example:
        `run.show(plots.intensities(pixels, train.class_names), "intensities")`
    """
    shown = figures.both_ends(pixels.by_class @ np.arange(pixels.by_class.shape[1]), figures.MOST_ROWS)
    height = max(3.8, 1.2 + 0.32 * len(shown))
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
    figures.log_scale(left.yaxis, (1.0, 3.0))
    left.set(xlabel="pixel value", ylabel="% of the pixels (log scale)", title="All images")
    names = [figures.label(class_names[index]) for index in shown]
    percentages = pd.DataFrame(100 * pixels.by_class[shown], names, np.arange(0, 256, 16))
    low, high = max(0.1, percentages.to_numpy().min()), max(1.0, percentages.to_numpy().max())
    bar = {"label": "% of the class's pixels", "format": "{x:g}", "ticks": LogLocator(subs=(1.0, 2.0, 5.0))}
    shades = {"cmap": figures.SEQUENTIAL, "norm": LogNorm(low, high, clip=True)}
    sns.heatmap(percentages, **shades, cbar_kws=bar, xticklabels=4, yticklabels=True, ax=right)
    right.collections[0].colorbar.minorticks_off()
    right.tick_params(rotation=0)
    chosen = figures.selection(len(shown), len(class_names), "brightest and darkest")
    right.set(xlabel="pixel value", title=chosen or "By class")
    darkest, *_, brightest = pixels.brightness
    black, white = pixels.proportions[[0, 255]]
    return figures.with_alt(
        figure,
        f"Histogram of pixel values ({wording.percent(black)} are 0, {wording.percent(white)} are 255), for all images and by class; "
        f"{darkest} is the darkest class, {brightest} the brightest. {chosen}".strip(),
    )


def class_correlation(correlation: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return a heatmap of the correlation of mean images, `[K, K]`.

    Example:
        `run.show(plots.class_correlation(correlation, train.class_names), "class_correlation")`
    """
    pairs = rank_pairs(correlation, class_names)
    shown = _in_first_pairs(pairs, class_names)
    names = [figures.label(class_names[index], 24) for index in shown]
    written = len(shown) <= 20  # in more cells, numbers would overlap
    side = max(4.5, (0.62 if written else 0.36) * len(shown))
    figure, axes = figures.subplots(width=side + 2.2, height=side + 0.6)
    axis, values = axes[0, 0], correlation[np.ix_(shown, shown)]
    numbers = np.vectorize(lambda value: f"{value:.2f}".replace("-", "−"))(values)
    sns.heatmap(
        pd.DataFrame(values, names, names), vmin=-1, vmax=1, cmap=figures.DIVERGING, ax=axis,
        annot=numbers if written else None, fmt="", annot_kws={"fontsize": 9},
        cbar_kws={"shrink": 0.8, "label": "correlation of the mean images"}, xticklabels=True, yticklabels=True,
    )  # fmt: skip
    axis.tick_params(axis="y", rotation=0)
    axis.set_xticks(axis.get_xticks(), names, rotation=45, ha="right", rotation_mode="anchor")
    chosen = figures.selection(len(shown), len(correlation), "most alike")
    axis.set_title(chosen, fontsize=11, loc="left")
    one, other, value = pairs[0]
    alt = (
        f"Heatmap of the correlation of mean images; {one} and {other} are most alike ({value:.2f}). {chosen}"
    )
    return figures.with_alt(figure, alt.strip())


def _in_first_pairs(pairs: Sequence[Pair], class_names: Sequence[str]) -> list[int]:
    """Return the classes of the first pairs, as many as a matrix can show, in the order of their labels."""
    if len(class_names) <= figures.MOST_SQUARE:
        return list(range(len(class_names)))
    names = dict.fromkeys(name for one, other, _ in pairs for name in (one, other))
    chosen = set(list(names)[: figures.MOST_SQUARE])
    return [index for index, name in enumerate(class_names) if name in chosen]


def embeddings(parts: Mapping[str, Embedding], labels: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return embeddings side by side, by title, with one colour and marker for each class.

    Example:
        `run.show(plots.embeddings({"PCA": pca, "t-SNE": tsne}, points.labels, train.class_names), "embedding")`
    """
    width = 5.4 * len(parts)
    shown = np.arange(len(class_names))
    if len(class_names) > figures.MOST_ROWS:
        shown = np.argsort(-np.bincount(labels, minlength=len(class_names)), kind="stable")[:_MOST_COLOURED]
    names = [figures.label(class_names[index]) for index in shown]
    across = max(1, min(5, len(names), int(width / (0.7 + 0.095 * max(map(len, names))))))
    rows = -(-len(names) // across)
    figure, axes = figures.subplots(1, len(parts), width=width, height=4.8 + 0.28 * rows)
    for axis, (title, part) in zip(axes.flat, parts.items(), strict=True):
        axis.scatter(*part.points[~np.isin(labels, shown)].T, s=9, color="#cccccc", linewidths=0)
        for place, name in enumerate(names):
            axis.scatter(
                *part.points[labels == shown[place]].T, s=16, label=name, alpha=0.75, linewidths=0.3, edgecolors="#555555",
                color=figures.COLORS[place % 10], marker=_MARKERS[(place + place // 10) % 10],
            )  # fmt: skip
        axis.set_title(title)
        figures.no_axes(axis)
    legend = axes[0, 0].get_legend_handles_labels()
    chosen = figures.selection(len(shown), len(class_names), "largest")
    title = f"{chosen} All others are grey." if chosen else None
    figure.legend(
        *legend, loc="outside lower center", ncols=across, markerscale=2.2, frameon=False, title=title
    )
    agreement = " and ".join(
        f"{wording.percent(part.agreement, 0)} ({title})" for title, part in parts.items()
    )
    return figures.with_alt(
        figure,
        f"{len(labels):,} images as points, coloured by class. Of the ten nearest neighbours of a point, {agreement} "
        f"have the same label. {title or ''}".strip(),
    )


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
            axis.set_title(figures.label(names[dataset.labels[row]], 20), fontsize=8.5)
        line[0].set_ylabel(f"{size:,} images", rotation=0, ha="right", va="center", fontsize=9)
    alt = f"The {rows} largest of {int(np.sum(sizes > 1)):,} groups of images that belong together, with their labels."
    return figures.with_alt(figure, alt)


def _draw_boundary(axes: Axes, surface: Surface, points: np.ndarray, labels: np.ndarray, size: float) -> None:
    grid = surface.x, surface.y, surface.probability
    axes.pcolormesh(*grid, cmap=_SHADES, vmin=0, vmax=1, alpha=0.55, rasterized=True)
    if surface.probability.min() < 0.5 < surface.probability.max():
        axes.contour(*grid, levels=[0.5], colors="black", linewidths=2)
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
        title = f"{name}: {wording.percent(scores[name][0])}"
        axis.set(title=title, xlabel="first coordinate", aspect="equal")
    axes[0, 0].set_ylabel("second coordinate")
    legend = axes[0, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=2, markerscale=1.8)
    accuracies = ", ".join(f"{name} {wording.percent(scores[name][0])}" for name in surfaces)
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
    below.set(xticks=levels, ylabel="test accuracy in %")
    below.set_xlabel("noise (standard deviation of both coordinates)")
    below.legend(frameon=False, loc="lower left")
    name, values = next(iter(accuracies.items()))
    listed = "; ".join(
        f"noise {x:g}: {wording.percent(value[0])}" for x, value in zip(levels, values, strict=True)
    )
    alt = f"The boundary of the {name} at each noise level, and its test accuracy. {listed}."
    return figures.with_alt(figure, alt)
