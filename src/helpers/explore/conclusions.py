"""Conclusions of the warm-up (00) and of the exploration (02), each worded once."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.explore.moons import Score
from helpers.explore.quality import Quality
from helpers.explore.shortcuts import FILE, PIXELS, Shortcuts
from helpers.explore.similarity import Similarity
from helpers.explore.statistics import Balance, Embedding, Intensities
from helpers.series.conclusions import Conclusion
from helpers.wording import capital, class_sizes, interval, listing, p_value, percent, points

# times the images: then always predicting the larger of two classes is correct for three in four
_UNEQUAL = 3.0
LARGE_GROUP = 0.2  # of a class; a split can then no longer keep the proportions of classes


def boundary(scores: Mapping[str, Score], test_points: int) -> Conclusion:
    """Conclude whether the network separates the moons better than a straight line.

    Args:
        scores: test accuracy and interval of the network, of logistic regression and of Bayes's rule, in that order.
        test_points: number of test points.

    Example:
        `run.conclude(conclusions.boundary(scores, test_points=2000))`
    """
    (network, dense), (line, logistic), (_, best) = scores.items()
    apart = dense[1] > logistic[2] or logistic[1] > dense[2]
    told = [
        f"{name} {percent(score[0], 2)} (95% interval {interval(*score[1:])})"
        for name, score in ((network, dense), (line, logistic))
    ]
    return Conclusion(
        "boundary",
        f"Test accuracy on {test_points:,} points of two moons: {' and '.join(told)}; the intervals "
        f"{'do not overlap' if apart else 'overlap'}. The best possible classifier, Bayes's rule, reaches {percent(best[0], 2)}.",
        {"dense": dense, "logistic": logistic, "best": best[0], "test_points": test_points},
        "Wilson's 95% intervals",
    )


def noise(levels: Sequence[float], accuracies: Mapping[str, Sequence[float]]) -> Conclusion:
    """Conclude what noise does to the network, to a straight line and to Bayes's rule.

    Args:
        levels: standard deviations of the noise, rising.
        accuracies: test accuracy at each level, of the network, of logistic regression and of Bayes's rule.

    Example:
        `run.conclude(conclusions.noise(levels, accuracies))`
    """
    network, line, best = map(np.array, accuracies.values())
    lead = 100 * (network - line)
    below = max(0.0, 100 * float(np.max(best - network)))
    return Conclusion(
        "noise",
        f"From noise {levels[0]:g} to {levels[-1]:g} the network's test accuracy goes from {percent(network[0])} to "
        f"{percent(network[-1])}, and its lead over a straight line from {points(lead[0])} to {points(lead[-1])} points. "
        f"It is at most {points(below)} points below Bayes's rule, the best possible classifier.",
        {"levels": list(levels), "lead_points": lead.tolist(), "most_below_best_points": below},
    )


def balance(result: Balance, class_names: Sequence[str]) -> Conclusion:
    """Conclude whether the classes are equally frequent, and what it means if they are far from it.

    Example:
        `run.conclude(conclusions.balance(balance, train.class_names))`
    """
    largest = result.counts.max() / result.counts.sum()
    if result.ratio == 1:
        text = f"All {len(class_names)} classes have the same number of images, {result.counts.max():,}. Always predicting one class"
    else:
        text = (
            f"{capital(result.in_words())} (chi-square {result.statistic:.2f}, {p_value(result.p_value)}, Cohen's w = "
            f"{result.effect_size:.3f}; {class_sizes(result.ratio)}). Always predicting the largest of {len(class_names)} classes"
        )
    text += f" would be correct for {percent(largest)} of the images."
    if result.ratio >= _UNEQUAL:
        text += (
            f" Warning: classes are unequal. {class_names[result.counts.argmax()]} has {result.counts.max():,} images and "
            f"{class_names[result.counts.argmin()]} {result.counts.min():,}, so judge models by balanced accuracy, macro-F1 and the "
            "recall of each class, not by accuracy."
        )
    return Conclusion(
        "balance",
        text,
        {"statistic": result.statistic, "p_value": result.p_value, "effect_size": result.effect_size}
        | {"ratio": result.ratio, "largest_class_proportion": float(largest)},
        "Pearson's chi-square test against equal class sizes",
    )


def pixels(values: Intensities) -> Conclusion:
    """Conclude how to scale the pixel values, and whether brightness alone separates classes.

    Example:
        `run.conclude(conclusions.pixels(pixels))`
    """
    common = int(values.proportions.argmax())
    proportion = float(values.proportions[common])
    (darkest, low), *_, (brightest, high) = values.brightness.items()
    ratio = high / max(low, 1e-9)
    helps = "may separate some classes" if ratio > 1.5 else "says little about the class"
    mean, deviation = (listing([f"{v:.3f}" for v in part / 255]) for part in (values.mean, values.deviation))
    return Conclusion(
        "pixels",
        f"Divided by 255, the training pixels have mean {mean} and standard deviation {deviation}, which models scale to 0 and "
        f"1; the most common value is {common} ({percent(proportion)} of the pixels). Images of {brightest} are {ratio:.1f} "
        f"times as bright as images of {darkest}, so brightness alone {helps}.",
        {"mean": values.mean.tolist(), "standard_deviation": values.deviation.tolist()}
        | {"most_common_value": common, "most_common_proportion": proportion, "brightness_ratio": ratio},
    )


def most_alike(classes: Similarity) -> Conclusion:
    """Conclude which classes will be hardest to tell apart.

    Example:
        `run.conclude(conclusions.most_alike(classes))`
    """
    one, other, value = classes.alike[0]
    text = f"By their mean images, {one} and {other} are most alike (correlation {value:.3f})"
    one, other, rate = classes.confused[0]
    if rate > 0:
        text += (
            f"; a linear classifier most often confuses {one} and {other} ({percent(rate)} of their images)"
        )
    else:
        text += "; a linear classifier confuses no two classes, or has too few images to be trained"
    rank = classes.rank_agreement
    if rank is not None:
        words = "agree well" if rank > 0.7 else "agree in part" if rank > 0.3 else "hardly agree"
        text += f". The two rankings of pairs {words} (Spearman's correlation {rank:.2f})"
    return Conclusion(
        "most_alike",
        f"{text}.",
        {"alike": classes.alike[:5], "confused": classes.confused[:5], "spearman": rank},
        "linear discriminant analysis, 5-fold cross-validated",
    )


def neighbours(pca: Embedding, tsne: Embedding, variance: np.ndarray, counts: np.ndarray) -> Conclusion:
    """Conclude how well classes separate in the plane.

    Args:
        pca: the first two principal components.
        tsne: the t-SNE.
        variance: proportion of variance of each principal component.
        counts: `[K] int64`, images by class.

    Example:
        `run.conclude(conclusions.neighbours(pca, tsne, variance, balance.counts))`
    """
    chance = float(np.sum((counts / counts.sum()) ** 2))
    half = int(np.searchsorted(np.cumsum(variance), 0.5)) + 1
    return Conclusion(
        "neighbours",
        f"Of an image's ten nearest neighbours, {percent(pca.agreement, 0)} have its label in the PCA plane and {percent(tsne.agreement, 0)} "
        f"in the t-SNE plane, against {percent(chance, 0)} by chance (trustworthiness {pca.trustworthiness:.2f} and "
        f"{tsne.trustworthiness:.2f}; 1 is perfect). The number of principal components that hold half of the variance is {half}.",
        {"pca": pca.agreement, "tsne": tsne.agreement, "chance": chance, "components_for_half": half},
    )


def quality(result: Quality) -> Conclusion:
    """Conclude how many image files are suspicious, and why.

    Example:
        `run.conclude(conclusions.quality(files))`
    """
    counts = result.counts
    images = int(result.table["row"].nunique())
    text = f"None of {result.images:,} image files is suspicious by its size, format, brightness, sharpness or information."
    if counts:
        parts = listing([f"{number:,} {name}" for name, number in counts.items()])
        text = (
            f"{images:,} of {result.images:,} image files ({percent(images / result.images)}) are suspicious: {parts}. Look at "
            "them before you remove any; an unusual image may be correct."
        )
    if result.common:
        parts = listing([f"{name} ({percent(part)})" for name, part in result.common.items()])
        text += f" Common in this data set, so that only outliers among the others are listed: {parts}."
    numbers = {"images": result.images, "suspicious": images, "issues": counts, "common": result.common}
    return Conclusion(
        "quality", text, numbers, "limits of CleanVision; modified z-score above 3.5 where an issue is common"
    )


def shortcuts(result: Shortcuts) -> Conclusion:
    """Conclude whether the class can be told from the files without looking at what the images show.

    Example:
        `run.conclude(conclusions.shortcuts(leaks))`
    """
    test = "two-fold cross-validated trees, Holm's correction"
    if result.classes < 2:
        text = "Whether files give their class away is unknown: fewer than two classes have ten independent images."
        return Conclusion("shortcuts", text, {"images": result.images}, test)
    file, pixels = (result.telling(kind) for kind in (FILE, PIXELS))
    text = "Nothing about the files themselves (size, format, mode, camera, time, orientation) tells the classes apart."
    if len(file):
        text = (
            f"Warning: the files give their class away. {_told(file, 3)} A model may learn this instead of the subject, and fail on "
            "images from elsewhere: collect or convert the images of all classes in the same way."
        )
    if len(pixels):
        text += (
            f" Simple measures of the pixels {'tell classes apart, too' if len(file) else 'do'}. {_told(pixels, 2)} That may be the subject itself, such as the "
            "colour of a food, or only how it was photographed."
        )
    if len(file) or len(pixels):
        text += f" Guessing would reach {percent(1 / result.classes)}."
    if result.classes < result.all_classes:
        text += f" Examined: {result.classes} of {result.all_classes} classes, the largest with at least ten independent images."
    numbers = {"images": result.images, "classes": result.classes, "constant": result.constant}
    numbers["properties"] = result.table.drop(columns="example").to_dict("records")
    return Conclusion("shortcuts", text, numbers, test)


def _told(rows: pd.DataFrame, most: int) -> str:
    """Return the first properties in rows of `Shortcuts.table` with their accuracies, and the example of the best."""
    single = rows[~rows["property"].str.startswith("all of")]
    first = (single if len(single) else rows).head(most)
    parts = [
        f"{percent(row.accuracy)} ({interval(row.low, row.high)}) from {row.property}"
        for row in first.itertuples()
    ]
    return f"Balanced accuracy is {listing(parts)} alone. For example, {first.iloc[0].example}."


def copies(together: np.ndarray, labels: np.ndarray) -> Conclusion:
    """Conclude how many images have a copy or group member, and whether one group is suspiciously large.

    Args:
        together: `[N] int64`, the same number for images that must not be split.
        labels: `[N] int64`.

    Example:
        `run.conclude(conclusions.copies(index["together"].to_numpy(), train.labels))`
    """
    by_group = pd.Series(labels).groupby(together)
    sizes, mixed = by_group.size(), int((by_group.nunique() > 1).sum())
    grouped, largest = int(sizes[sizes > 1].sum()), int(sizes.max())
    in_largest = np.bincount(by_group.get_group(sizes.idxmax()), minlength=labels.max() + 1)
    of_class = float(np.max(in_largest / np.maximum(np.bincount(labels), 1)))
    numbers = {
        "images": len(labels),
        "grouped": grouped,
        "groups": int((sizes > 1).sum()),
        "largest": largest,
    }
    numbers |= {"largest_of_its_class": of_class, "groups_with_different_labels": mixed}
    if not grouped:
        text = "No image is a copy of another or in a group with one, so any image may be held out."
        return Conclusion("copies", text, numbers)
    text = (
        f"Of {len(labels):,} images, {grouped:,} ({percent(grouped / len(labels))}) belong together with others as copies or "
        f"group members, in {numbers['groups']:,} groups ({mixed:,} with different labels), the largest of {largest:,} "
        "images. The series never splits a group."
    )
    if largest > 2 and of_class > LARGE_GROUP:
        text += (
            f" The largest group holds {percent(of_class)} of a class: look at its images, because a chain of similar images "
            "may have joined what does not belong together."
        )
    return Conclusion("copies", text, numbers)
