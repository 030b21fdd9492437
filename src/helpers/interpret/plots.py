"""Figures of 07_evaluation: confusion matrix, scores by class, calibration, curves by class, slices, mistakes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from helpers import figures, wording
from helpers.interpret import conclusions
from helpers.interpret.calibration import BINS, Reliability, Scaling
from helpers.interpret.confusion import Scores
from helpers.interpret.error_analysis import Slice
from helpers.obtain import data

MOST_NAMED = 20  # classes; with more, counts and legends are too small to read
_MOST_TWO_LINES = 12  # classes; with more, a cell holds one line
_SHORT = 24  # characters of a name beside or below others


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return the confusion matrix, `[K, K]`: coloured by the fraction of the true class, with the counts written in.

    Example:
        `plots.confusion_matrix(counts, names)`
    """
    counts = np.asarray(counts)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = _most_confused(counts)
    names = [figures.label(class_names[index], _SHORT) for index in shown]
    block, written = np.ix_(shown, shown), len(names) <= MOST_NAMED
    both = len(names) <= _MOST_TWO_LINES
    cells = zip(counts[block].ravel().tolist(), fractions[block].ravel().tolist(), strict=True)
    texts = np.array(
        [
            f"{count:,}\n{wording.percent(fraction, 0)}" if count and both else f"{count or ''}"
            for count, fraction in cells
        ]
    )
    side = 2.4 + (0.56 if both else 0.37 if written else 0.24) * len(names)
    figure, axes = figures.subplots(width=side + 1.0, height=side)
    sns.heatmap(
        fractions[block],
        ax=axes[0, 0],
        annot=texts.reshape(len(names), len(names)) if written else False,
        fmt="",
        annot_kws={"fontsize": 9},
        cmap="Blues",  # nearly white at zero, so that few mistakes differ from none
        norm=PowerNorm(0.4, 0, 1),  # a root makes small fractions visible: those are the mistakes
        square=True,
        cbar_kws={"shrink": 0.7, "label": "fraction of the true class", "format": PercentFormatter(1.0)},
        xticklabels=names,
        yticklabels=names,
    )
    axes[0, 0].set_xticks(axes[0, 0].get_xticks(), names, rotation=45, ha="right")
    axes[0, 0].tick_params(axis="y", rotation=0)
    axes[0, 0].set(xlabel="predicted", ylabel="true")
    chosen = figures.selection(len(shown), len(counts), "most confused")
    axes[0, 0].set_title(chosen, fontsize=11, loc="left")
    text = conclusions.confusions("model", counts, class_names).text
    alt = f"Confusion matrix, counts and fractions of each true class. {text} {chosen}"
    return figures.with_alt(figure, alt.strip())


def _most_confused(counts: np.ndarray) -> np.ndarray:
    """Return the classes of the most frequent mistakes, as many as a matrix can show, in the order of their labels."""
    mistakes = counts * ~np.eye(len(counts), dtype=bool)
    pairs = np.stack(np.unravel_index(np.argsort(-mistakes, axis=None, kind="stable"), counts.shape), axis=1)
    return (
        np.sort(pd.unique(pairs.ravel())[: figures.MOST_SQUARE])
        if len(counts) > 1
        else np.arange(len(counts))
    )


def scores_by_class(scores: Scores) -> Figure:
    """Return precision, recall and F1 of each class with their intervals, the lowest F1 on top.

    Example:
        `plots.scores_by_class(scores)`
    """
    ordered = sorted(scores.classes, key=lambda one: -1.0 if one.f1 is None else one.f1)[: figures.MOST_ROWS]
    figure, axes = figures.subplots(width=8.5, height=1.6 + 0.46 * len(ordered))
    axis = axes[0, 0]
    for number, (name, marker) in enumerate({"precision": "o", "recall": "s", "f1": "^"}.items()):
        color = figures.COLORS[number]
        axis.plot([], [], marker, color=color, label="F1" if name == "f1" else name)
        for place, one in enumerate(ordered):
            value, interval = getattr(one, name), getattr(one, f"{name}_ci95")
            if value is not None:
                offset = 0.22 * (number - 1)
                figures.draw_interval(axis, value, interval, place + offset, fmt=marker, color=color)
    figures.label_rows(axis, [figures.label(one.name) for one in ordered])
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlabel("score (95% interval)")
    figure.legend(loc="outside upper right", ncols=3)
    chosen = figures.selection(len(ordered), len(scores.classes), "weakest")
    axis.set_title(chosen, fontsize=10, loc="left")
    text = conclusions.weakest_class("model", scores).text
    alt = f"Precision, recall and F1 of {len(ordered)} classes. {text} {chosen}"
    return figures.with_alt(figure, alt.strip())


def reliability(before: Reliability, after: Reliability, scaling: Scaling) -> Figure:
    """Return accuracy against confidence, before and after scaling.

    Example:
        `plots.reliability(before, after, scaling)`
    """
    figure, axes = figures.subplots(1, 2, width=10.5, height=4.6, sharey=True)
    titles = ("as trained", f"at {scaling}")
    for axis, measured, title in zip(axes[0], (before, after), titles, strict=True):
        CalibrationDisplay(measured.accuracy, measured.confidence, None).plot(ax=axis, name="measured")
        ends = np.abs(measured.accuracy_ci95.T - measured.accuracy)
        bars = {"fmt": "none", "capsize": 3, "color": figures.COLORS[0]}
        axis.errorbar(measured.confidence, measured.accuracy, ends, **bars)
        heights = 0.25 * measured.count / measured.count.max()
        label = "images in the bin\n(highest bar: most)"
        axis.bar(measured.low + 0.5 / BINS, heights, 0.9 / BINS, color="#d9d9d9", zorder=0, label=label)
        axis.set(title=f"{title}: error {measured.error:.3f}", xlabel="confidence", ylabel="")
        axis.set(xlim=(0, 1), ylim=(0, 1.02), aspect="auto")
        axis.get_legend().remove()
    axes[0, 0].set_ylabel("accuracy (95% interval)")
    axes[0, 0].legend(loc="upper left", fontsize=9)
    text = conclusions.calibration("model", before, after, scaling).text
    return figures.with_alt(figure, f"Accuracy against confidence in {BINS} bins. {text}")


def curves(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], table: pd.DataFrame
) -> Figure:
    """Return precision-recall and ROC curves by class.

    Args:
        probabilities: `[N, K]`.
        labels: `[N] int64`.
        class_names: K names.
        table: from `confusion.areas`.

    Example:
        `plots.curves(probabilities, test.labels, names, table)`
    """
    figure, axes = figures.subplots(1, 2, width=10, height=5.6)
    areas = table.dropna().astype(float)
    order = np.argsort(areas["average_precision"], kind="stable")[:MOST_NAMED]
    shown = [
        class_names.index(name) for name in areas.index[order]
    ]  # the weakest first, in the strongest colours
    for place, index in enumerate(shown):
        mine, name = labels == index, class_names[index]
        turn, color = divmod(place, len(figures.COLORS))
        style = {"color": figures.COLORS[color], "linestyle": ("-", "--", ":")[turn % 3]}
        style |= {"linewidth": 2.4 if place < 3 else 1.2, "zorder": 3 - place / len(shown)}
        displays = {"average_precision": PrecisionRecallDisplay, "roc_auc": RocCurveDisplay}
        for axis, (area, display) in zip(axes[0], displays.items(), strict=True):
            drawn = display.from_predictions(
                mine, probabilities[:, index], ax=axis, drop_intermediate=True, curve_kwargs=style
            )
            shown_name = figures.label(name, _SHORT)
            drawn.line_.set_label(
                f"{shown_name} {table.loc[name, area]:.4f}"
            )  # four digits: many are above 0.99
    axes[0, 0].set(xlabel="recall", ylabel="precision", ylim=(0, 1.02), aspect="auto")
    axes[0, 1].set(xlabel="false positive rate (log scale)", ylabel="true positive rate")
    # from ten false positives on: a curve of fewer is a matter of single images
    start = min(10 / max(len(labels) - np.bincount(labels).min(), 1), 0.1)
    axes[0, 1].set(xscale="log", xlim=(start, 1), ylim=(0, 1.02), aspect="auto")
    for axis, area in zip(axes[0], ("average precision", "area under ROC"), strict=True):
        axis.legend(fontsize=9, title=area)
    ends = ", ".join(f"{areas[name].min():.3f} ({areas[name].idxmin()})" for name in areas if len(areas))
    text = f"Lowest average precision and area under ROC: {ends or 'none'}."
    chosen = figures.selection(len(shown), len(areas), "lowest in average precision")
    axes[0, 0].set_title(chosen, fontsize=10, loc="left")
    alt = f"Precision-recall and ROC curves of {len(areas)} classes. {text} {chosen}"
    return figures.with_alt(figure, alt.strip())


def robustness(table: pd.DataFrame) -> Figure:
    """Plot the accuracy against the strength of each change, with 95% intervals; the line is that of unchanged images.

    Args:
        table: from `robustness.measure`.

    Example:
        `run.show(plots.robustness(table), "robustness")`
    """
    unchanged, groups = table.iloc[0], list(table.iloc[1:].groupby("kind", sort=False))
    figure, axes = figures.subplots(1, len(groups), width=2.1 * len(groups), height=3.2, sharey=True)
    for axis, (kind, rows) in zip(axes[0], groups, strict=True):
        ends = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        axis.errorbar(
            rows["strength"], rows["accuracy"], yerr=ends, fmt="o-", color=figures.COLORS[0], capsize=3
        )
        axis.axhline(unchanged["accuracy"], color=figures.COLORS[1], linestyle="--")
        axis.set_title(kind, fontsize=11)
        axis.margins(x=0.15)
    axes[0, 0].set_ylabel("accuracy")
    axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    rows = [
        f"{row.kind} {row.strength} {wording.percent(row.accuracy)}" for row in table.iloc[1:].itertuples()
    ]
    alt = f"Accuracy on changed test images, unchanged {wording.percent(unchanged['accuracy'])}: {'; '.join(rows)}."
    return figures.with_alt(figure, alt)


def made_up(images: np.ndarray, changed: np.ndarray) -> Figure:
    """Return images above what was made of them, `uint8 [N, H, W, C]` each.

    Example:
        `run.show(plots.made_up(examples, unknown_choice.made_up(examples, seed)), "made_up_images")`
    """
    titles = [*["known"] * len(images), *["made up"] * len(changed)]
    grid = figures.image_grid(np.concatenate([images, changed]), titles, columns=len(images))
    return figures.with_alt(
        grid, f"{len(images)} validation images, and below each an image unlike it, made from it."
    )


def slices(parts: Sequence[Slice], accuracy: float) -> Figure:
    """Return the accuracy of each slice with its interval, what its classes reach elsewhere, and the overall accuracy.

    Example:
        `plots.slices(parts, scores.accuracy)`
    """
    figure, axes = figures.subplots(width=8.5, height=1.4 + 0.36 * max(len(parts), 1))
    axis = axes[0, 0]
    names = list(dict.fromkeys(part.property for part in parts))
    for place, part in enumerate(parts):
        axis.plot(part.expected, place, "|", color="#333333", markersize=14, markeredgewidth=2)
        style = {"fmt": "D"} if part.significant else {"fmt": "o", "mfc": "white"}
        color = figures.COLORS[names.index(part.property)]
        figures.draw_interval(axis, part.accuracy, part.accuracy_ci95, place, color=color, **style)
    axis.axvline(accuracy, color="#777777", linestyle="--")
    figures.label_rows(axis, [f"{part.name} (n = {part.n:,})" for part in parts])
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    key = "bar: same classes elsewhere\nfilled: significant difference\ndashed: all images"
    axis.set_xlabel(f"accuracy (95% interval)\n{key}")
    return figures.with_alt(figure, conclusions.slices("model", parts).text)


def mistakes(part: data.Dataset, rows: np.ndarray, probabilities: np.ndarray, order: str) -> Figure:
    """Return misclassified images with their index, true and predicted class, and confidence.

    Args:
        part: the images.
        rows: those to draw.
        probabilities: `[N, K]`, of all images.
        order: how they were chosen, such as "most confident"; for the alt text.

    Example:
        `plots.mistakes(test, rows, probabilities, "most confident")`
    """
    names = [figures.label(name, _SHORT) for name in part.class_names]
    titles = [
        f"#{row}: {names[part.labels[row]]}\n→ {names[probabilities[row].argmax()]} {wording.percent(probabilities[row].max(), 0)}"
        for row in rows.tolist()
    ]
    nothing = "No image is misclassified."
    figure = figures.image_grid(part.images[rows], titles, columns=6, cell=1.7, nothing=nothing)
    listed = [
        f"{row}, {part.class_names[part.labels[row]]} as {part.class_names[probabilities[row].argmax()]}"
        for row in rows[: figures.MOST_IMAGES].tolist()
    ]
    alt = f"The {len(rows)} {order} mistakes, by index: {'; '.join(listed)}."
    return figures.with_alt(figure, alt) if len(rows) else figure


def copies_in_training(
    test: data.Dataset, train: data.Dataset, shared: pd.DataFrame, most: int = 12
) -> Figure:
    """Return test images, each beside a copy or group member of the training part.

    Args:
        test: the test part.
        train: the complete training part.
        shared: from `splits.shared_with_training`, at least one row.
        most: pairs to draw at most.

    Example:
        `run.show(plots.copies_in_training(test, data.load_training(run), shared), "copies_in_training")`
    """
    drawn = shared.head(most)
    left, right = test.images[drawn["row"]], train.images[drawn["training_row"]]
    gap = np.full((*left.shape[:2], max(1, left.shape[2] // 14), left.shape[3]), 255, np.uint8)
    names = [
        [part.class_names[label] for label in part.labels[drawn[column]]]
        for part, column in ((test, "row"), (train, "training_row"))
    ]
    titles = [
        f"test: {figures.label(one, 24)}\ntraining: {figures.label(other, 20)}"
        for one, other in zip(*names, strict=True)
    ]
    both = np.concatenate([left, gap, right], axis=2)
    figure = figures.image_grid(both, titles, columns=4, cell=1.75)
    alt = f"{len(drawn)} of {len(shared)} test images, each beside its copy or group member in the training part."
    return figures.with_alt(figure, alt)


def possible_label_errors(train: data.Dataset, test: data.Dataset, errors: pd.DataFrame, most: int) -> Figure:
    """Return images whose label is possibly an error, at most `most` of them.

    Args:
        train: the complete training part.
        test: the test part.
        errors: from `helpers.model.label_errors.possible_label_errors`.
        most: number of images.

    Example:
        `plots.possible_label_errors(everything, test, label_errors, grid_images)`
    """
    drawn, names = errors.head(most), [figures.label(name, _SHORT) for name in test.class_names]
    places = zip(drawn["part"], drawn["row"], strict=True)
    images = [(test if part == "test" else train).images[row] for part, row in places]
    titles = [
        f"#{index}\nlabel {names[label]}\nsuggested {names[suggested]}"
        for index, label, suggested in drawn[["index", "label", "suggested"]].to_numpy()
    ]
    nothing = "No label contradicts the predictions."
    figure = figures.image_grid(np.array(images), titles, columns=6, cell=1.7, nothing=nothing)
    listed = [
        f"{index}, {test.class_names[label]} or {test.class_names[suggested]}"
        for index, label, suggested in drawn[["index", "label", "suggested"]].to_numpy()
    ]
    alt = (
        f"{len(drawn)} of {len(errors)} images whose label contradicts the predictions, least probable label first, each with its "
        f"label and the suggested class: {'; '.join(listed)}."
    )
    return figures.with_alt(figure, alt) if len(drawn) else figure
