"""Figures of the evaluation: confusion matrix, scores by class, calibration, curves by class, slices, mistakes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn import metrics

from helpers import figures
from helpers.interpret.calibration import BINS, Reliability
from helpers.interpret.confusion import Scores
from helpers.interpret.error_analysis import Slice


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return the confusion matrix, `[K, K]`: coloured by share of the true class, with the counts written in."""
    counts = np.asarray(counts)
    size = len(class_names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.2 + 0.62 * size
    figure, axes = figures.subplots(width=side + 1.0, height=side)
    axis = axes[0, 0]
    # a power below one: small shares of mistakes are what one looks for
    picture = axis.imshow(shares**0.5, cmap=figures.SEQUENTIAL, vmin=0, vmax=1)
    if size <= 20:
        for row in range(size):
            for column in range(size):
                if counts[row, column]:
                    color = "black" if shares[row, column] ** 0.5 > 0.6 else "white"
                    text = f"{counts[row, column]:,}\n{shares[row, column]:.0%}"
                    axis.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    axis.set_xticks(range(size), class_names, rotation=45, ha="right")
    axis.set_yticks(range(size), class_names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.grid(False)
    bar = figure.colorbar(picture, ax=axis, shrink=0.7, label="share of the true class")
    ticks = np.array([0.0, 0.01, 0.05, 0.2, 0.5, 1.0])
    bar.set_ticks(ticks**0.5, labels=[f"{tick:.0%}" for tick in ticks])
    return figure


def scores_by_class(scores: Scores) -> Figure:
    """Return precision, recall and F1 of each class with their intervals, the worst F1 on top."""
    ordered = sorted(scores.classes, key=lambda found: -1.0 if found.f1 is None else found.f1)
    figure, axes = figures.subplots(width=8.5, height=1.6 + 0.46 * len(ordered))
    axis = axes[0, 0]
    for offset, (name, title) in enumerate((("precision", "precision"), ("recall", "recall"), ("f1", "F1"))):
        for place, found in enumerate(ordered):
            value, interval = getattr(found, name), getattr(found, f"{name}_ci95")
            if value is None:
                continue
            ends = [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]
            axis.errorbar(
                value,
                place + 0.22 * (offset - 1),
                xerr=ends,
                fmt="os^"[offset],
                color=figures.COLORS[offset],
                capsize=3,
                label=title if place == 0 else None,
            )
    axis.set_yticks(range(len(ordered)), [found.name for found in ordered])
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlabel("score (95% interval)")
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def reliability(before: Reliability, after: Reliability, temperature: float) -> Figure:
    """Return accuracy against confidence, as the model is and after temperature scaling."""
    figure, axes = figures.subplots(1, 2, width=10.5, height=4.6, sharey=True)
    titles = ("as the model is", f"at temperature {temperature:.2f}")
    for axis, found, title in zip(axes[0], (before, after), titles, strict=True):
        axis.plot([0, 1], [0, 1], "--", color="#777777", label="perfect")
        ends = np.abs(found.accuracy_ci95.T - found.accuracy)
        axis.errorbar(
            found.confidence,
            found.accuracy,
            yerr=ends,
            fmt="o-",
            capsize=3,
            color=figures.COLORS[0],
            label="measured",
        )
        axis.bar(
            found.low + 0.5 / BINS,
            0.25 * found.count / found.count.max(),
            width=0.9 / BINS,
            color="#d9d9d9",
            zorder=0,
            label="images in the bin\n(highest bar: the most)",
        )
        axis.set_title(f"{title}: error {found.error:.3f}", fontsize=11)
        axis.set_xlabel("confidence")
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1.02)
    axes[0, 0].set_ylabel("accuracy (95% interval)")
    axes[0, 0].legend(loc="upper left", fontsize=9)
    return figure


def curves(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], table: pd.DataFrame
) -> Figure:
    """Return precision-recall and ROC curves by class; the legend names areas.

    Args:
        probabilities: `[N, K]`.
        labels: `[N] int64`.
        class_names: K names.
        table: from `confusion.areas`.
    """
    figure, axes = figures.subplots(1, 2, width=11, height=5.6)
    for index, name in enumerate(class_names):
        mine = labels == index
        if not 0 < mine.sum() < len(mine):
            continue
        options = {
            "color": figures.COLORS[index % len(figures.COLORS)],
            "linestyle": ("-", "--", ":")[index // len(figures.COLORS) % 3],
        }
        precision, recall, _ = metrics.precision_recall_curve(mine, probabilities[:, index])
        false, true, _ = metrics.roc_curve(mine, probabilities[:, index])
        row = table.loc[name]
        axes[0, 0].plot(
            recall, precision, label=f"{name} {row.average_precision:.3f} / {row.roc_auc:.4f}", **options
        )
        axes[0, 1].plot(np.maximum(false, 1e-5), true, **options)
    axes[0, 0].set_xlabel("recall")
    axes[0, 0].set_ylabel("precision")
    axes[0, 1].set_xlabel("false positive rate (log scale)")
    axes[0, 1].set_ylabel("true positive rate")
    axes[0, 1].set_xscale("log")
    for axis in axes[0]:
        axis.set_ylim(0, 1.02)
    if len(class_names) <= 20:
        figure.legend(
            loc="outside lower center", ncols=3, title="average precision / area under ROC", fontsize=9
        )
    return figure


def slices(found: Sequence[Slice], accuracy: float) -> Figure:
    """Return the accuracy of each slice with its interval, what its classes reach elsewhere, and the accuracy of all images."""
    figure, axes = figures.subplots(width=8.5, height=1.4 + 0.36 * max(len(found), 1))
    axis = axes[0, 0]
    names = list(dict.fromkeys(item.property for item in found))
    for place, item in enumerate(found):
        ends = [[item.accuracy - item.accuracy_ci95[0]], [item.accuracy_ci95[1] - item.accuracy]]
        axis.plot(item.expected, place, "|", color="#333333", markersize=14, markeredgewidth=2)
        axis.errorbar(
            item.accuracy,
            place,
            xerr=ends,
            fmt="D" if item.shown else "o",
            capsize=3,
            color=figures.COLORS[names.index(item.property)],
            mfc=None if item.shown else "white",
        )
    axis.axvline(accuracy, color="#777777", linestyle="--")
    axis.set_yticks(range(len(found)), [f"{item.name} (n = {item.n:,})" for item in found])
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlabel(
        "accuracy (95% interval)\nbar: what the same classes reach elsewhere\nfilled: a difference between the two is shown"
    )
    return figure
