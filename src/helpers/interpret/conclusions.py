"""What 07_evaluation establishes about a candidate: each conclusion is worded here and nowhere else.

Every function takes the candidate's label, such as "three-layer CNN", and numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from helpers import scoring, wording
from helpers.interpret.calibration import Reliability, Scaling
from helpers.interpret.confusion import (
    Confused,
    Scores,
    groups,
    mistakes_within,
    most_confused,
    most_overpredicted,
)
from helpers.interpret.error_analysis import Slice
from helpers.scoring import Mean
from helpers.series.conclusions import Conclusion
from helpers.wording import TWO_NETWORKS, difference, interval, listing, p_value, percent, points, signed

_FEW = 5  # test images of a class: of 4, all correct, the recall may still be 51%
CLEAR_GAP = 0.005  # of confidence and accuracy; a smaller one is not called over- or underconfident
_MOST_GROUPS = 3  # of confused classes in a sentence; Fashion-MNIST has two or three
_MOST_NAMES = 8  # of a group
CLOSE = 0.03  # an interval of the gap within ± 3 points counts as evidence that confidence fits accuracy


def test_accuracy(label: str, scores: Scores) -> Conclusion:
    """Return the accuracy and macro-F1 on the test images.

    Example:
        `run.conclude(conclusions.test_accuracy(chosen.label, scores))`
    """
    absent = f" No test image shows {listing(scores.absent)}." if scores.absent else ""
    low, high = scores.macro_f1_ci95
    balanced = ""
    if abs(scores.balanced_accuracy - scores.accuracy) >= 0.0005:  # else they are printed alike
        balanced = f"a balanced accuracy of {percent(scores.balanced_accuracy)} ({interval(*scores.balanced_accuracy_ci95)}) and "
    return Conclusion(
        "test_accuracy",
        f"The {label} classifies {percent(scores.accuracy)} of {scores.n:,} test images correctly (95% interval "
        f"{interval(*scores.accuracy_ci95)}), with {balanced}a macro-F1 of {scores.macro_f1:.3f} ({low:.3f} to {high:.3f}). The test set "
        f"was not used to choose the model.{absent}",
        {name: value for name, value in vars(scores).items() if name != "classes"},
        f"Wilson's interval, {scores.n:,} test images",
    )


def weakest_class(label: str, scores: Scores) -> Conclusion:
    """Return the class with the lowest F1.

    Example:
        `run.conclude(conclusions.weakest_class(chosen.label, scores))`
    """
    worst = scores.weakest
    ratios = ("precision", worst.precision, worst.precision_ci95), ("recall", worst.recall, worst.recall_ci95)
    known = [f"{name} {percent(value)} ({interval(*ends)})" for name, value, ends in ratios if ends]
    few = [each.name for each in scores.classes if 0 < each.support < _FEW and each is not worst]
    more = f" With fewer than {_FEW} test images, {listing(few, most=3)} may be weaker." if few else ""
    return Conclusion(
        "weakest_class",
        f"The weakest class of the {label} is {worst.name}: F1 {worst.f1:.3f} ({worst.f1_ci95[0]:.3f} to {worst.f1_ci95[1]:.3f}), "
        f"{listing(known)}, each with its 95% interval.{more}",
        asdict(worst),
        f"Wilson's interval, {worst.support:,} test images of the class",
    )


def seed_spread(label: str, accuracies: Sequence[float], ci95: tuple[float, float]) -> Conclusion:
    """Return how far test accuracy varies with the seed of training, next to how far it varies with the images.

    Args:
        label: the candidate's label.
        accuracies: on the same test images, one for each seed; the first is the candidate's own.
        ci95: Wilson's interval of the candidate's accuracy.

    Example:
        `run.conclude(conclusions.seed_spread(chosen.label, accuracies, scores.accuracy_ci95))`
    """
    numbers = {"accuracies": list(accuracies)}
    if len(accuracies) < 2:
        text = f"How far the test accuracy of the {label} varies with the seed is unknown: this run trained one seed only."
        return Conclusion("seed_spread", text, numbers)
    mean = scoring.mean_of(np.array(accuracies))
    low, high = np.clip(mean.ci95, 0, 1)  # Student's interval of few seeds may exceed what an accuracy can be
    student = f", 95% interval of the mean {100 * low:.2f} to {high:.2%}" if low < high else ""
    return Conclusion(
        "seed_spread",
        f"Over {mean.n} seeds of training, the {label} reaches a mean test accuracy of {mean.value:.2%} ({100 * min(accuracies):.2f} "
        f"to {max(accuracies):.2%}{student}). This measures the training recipe; the interval over images, "
        f"{interval(*ci95)}, measures this one model.",
        numbers | asdict(mean),
        f"Student's interval, {mean.n} seeds",
    )


def confusions(label: str, counts: np.ndarray, class_names: Sequence[str]) -> Conclusion:
    """Return which classes are confused, and whether the predictions collapse into one class.

    Example:
        `run.conclude(conclusions.confusions(chosen.label, counts, names))`
    """
    n, mistakes = int(counts.sum()), int(counts.sum() - np.trace(counts))
    if not mistakes:
        text = f"The {label} classifies all {n:,} test images correctly."
        return Conclusion("confusions", text, {"n": n, "mistakes": 0})
    most, worst = most_overpredicted(counts, class_names), most_confused(counts, class_names, top=1)[0]
    verb = "collapses" if most.collapsed else "does not collapse"
    within = {name: mistakes_within(counts, class_names, name) for name in groups(counts, class_names)}
    largest = list(within.items())[:_MOST_GROUPS]
    parts = [f"{percent(count / mistakes, 0)} stay in the group ({_first(name)})" for name, count in largest]
    if others := len(within) - len(parts):
        rest = percent((sum(within.values()) - sum(count for _, count in largest)) / mistakes, 0)
        parts.append(f"{rest} in {wording.count(others, 'more group')}")
    text = (
        f"The {label} misclassifies {mistakes:,} of {n:,} test images, most often {worst.true} as {worst.predicted} "
        f"({wording.count(worst.count, 'time')})"
        f"{f'; of the mistakes, {listing(parts)}' if parts else ''}. It {verb} into one class: {most.name}, the most "
        f"overpredicted class, is {percent(most.of_predictions)} of its predictions and {percent(most.of_images)} of the images."
    )
    numbers = {"n": n, "mistakes": mistakes, "most_frequent": asdict(worst), "overpredicted": asdict(most)}
    numbers["within_groups"] = [{"classes": list(name), "mistakes": count} for name, count in within.items()]
    return Conclusion("confusions", text, numbers)


def _first(names: Sequence[str]) -> str:
    """Return the first names of a group of classes as a list, and how many more there are."""
    more = [f"{len(names) - _MOST_NAMES:,} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*names[:_MOST_NAMES], *more])


def calibration(
    label: str, before: Reliability, after: Reliability, scaling: Scaling, gain: Mean | None = None
) -> Conclusion:
    """Return whether the probabilities are overconfident or underconfident, and what scaling them changes.

    Args:
        label: the candidate's label.
        before: of the model's own probabilities.
        after: of the scaled ones.
        scaling: fitted on validation images.
        gain: in log loss, of an exponent beside the temperature, from `calibration.fit_scaling`.

    Example:
        `run.conclude(conclusions.calibration(chosen.label, before, after, scaling, gain))`
    """
    gap, (low, high) = before.gap.value, before.gap.ci95 or (-1.0, 1.0)
    if gap > CLEAR_GAP and low > 0:
        verdict = "overconfident"
    elif gap < -CLEAR_GAP and high < 0:
        verdict = "underconfident"
    elif max(-low, high) < CLOSE:
        verdict = "about as confident as it is accurate"
    else:
        verdict = "neither significantly overconfident nor significantly underconfident"
    helps = "reduces" if after.error < before.error else "does not reduce"
    worst, tried = after.most_overconfident(), ""
    if gain and gain.ci95:
        change, most, least = (signed(-value, 3) for value in (gain.value, *gain.ci95))
        tried = (
            f" An exponent beside the temperature changes the log loss by {change} (95% interval {least} to {most}) where halves of the "
            f"validation images are each scaled as the other one asks, so it is {'used' if scaling.exponent != 1 else 'not used'}."
        )
    text = (
        f"The {label} is {verdict}: on average its confidence is {points(100 * abs(gap))} points {'above' if gap > 0 else 'below'} its "
        f"accuracy (confidence minus accuracy, 95% interval: {signed(100 * low)} to {signed(100 * high)}). "
        f"Scaling its probabilities ({scaling}, fitted on validation images) {helps} the expected calibration error: {before.error:.3f} before, "
        f"{after.error:.3f} after, {after.error_by_chance:.3f} expected of perfect calibration on as many images.{tried}"
    )
    if worst:
        text += (
            f" The average hides where the scaled confidence is furthest too high: {percent(worst['confidence'])} on {worst['n']:,} "
            f"predictions, of which {percent(worst['accuracy'])} are correct ({interval(*worst['accuracy_ci95'])}, 95% for all bins together)."
        )
    numbers = {"gap": asdict(before.gap), "gain": asdict(gain) if gain else None, **scaling._asdict()}
    numbers |= {"error": before.error, "error_scaled": after.error}
    numbers |= {"error_by_chance": after.error_by_chance, "worst_bin": worst}
    return Conclusion("calibration", text, numbers, f"Student's interval, {before.gap.n:,} test images")


def against_others(label: str, compared: Sequence[Mapping[str, Any]]) -> Conclusion:
    """Return how the candidate does against others on the same test images.

    Args:
        label: the candidate's label.
        compared: from `candidates.compare_with_others`.

    Example:
        `run.conclude(conclusions.against_others(chosen.label, compared))`
    """
    if not compared:
        text = f"No other candidate was evaluated before the {label}, so there is nothing to compare it with."
        return Conclusion("against_others", text)
    parts = [f"from the {row['label']} by {difference(row['by_metric'])}" for row in compared]
    text = f"On the same test images, the {label} differs {'; '.join(parts)}. {TWO_NETWORKS}"
    methods = [
        f"from that of the {row['label']} by {difference(row['methods'])}"
        for row in compared
        if "methods" in row
    ]
    if methods:
        text += f" Over seeds and images together, its method of training differs {'; '.join(methods)}."
    test = "McNemar's exact test, or a bootstrap over images where the metric is not accuracy"
    return Conclusion("against_others", text, {"compared": list(compared)}, test)


def slices(label: str, parts: Sequence[Slice]) -> Conclusion:
    """Return on which kinds of image the accuracy differs from what the same classes reach elsewhere.

    Example:
        `run.conclude(conclusions.slices(chosen.label, parts))`
    """
    differing = [part for part in parts if part.significant]
    if not parts:
        text = f"The test images could not be sliced, so the accuracy of the {label} by kind of image is unknown."
        return Conclusion("slices", text)
    where = f"of {len(parts)} slices by {_properties(parts)}"
    text = f"In none {where} does the accuracy of the {label} differ significantly from that of the same classes on all other images."
    if differing:
        text = f"In {len(differing)} {where}, the accuracy of the {label} differs significantly from that of the same classes on all other images."
    worst = _worst(parts)
    if differing and not worst:
        text += " It is better in all of these."
    if worst:
        text += f" The worst is {worst.name}: {percent(worst.accuracy)}, {points(-100 * worst.gap)} points below ({p_value(worst.p_value)})."
    numbers = {"slices": len(parts), "significant": [asdict(part) for part in differing]}
    test = f"z-test standardised by class, corrected for {len(parts)} slices"
    return Conclusion("slices", text, numbers, test)


def _properties(parts: Sequence[Slice]) -> str:
    return listing(list(dict.fromkeys(part.property for part in parts)))


def _worst(parts: Sequence[Slice]) -> Slice | None:
    """Return the slice with the largest significant loss of accuracy."""
    worse = [part for part in parts if part.gap < 0 and part.significant]
    return min(worse, key=lambda part: part.gap, default=None)


def with_and_without_copies(label: str, correct: np.ndarray, shared: np.ndarray) -> Conclusion:
    """Return the accuracy with and without the test images that have a copy or group member in the training part.

    Args:
        label: the candidate's label.
        correct: `[N] bool`, of all test images.
        shared: `[M] int64`, the rows of those with a copy or group member, from `splits.shared_with_training`.

    Example:
        `run.conclude(conclusions.with_and_without_copies(chosen.label, predicted == test.labels, shared["row"]))`
    """
    alone = np.ones(len(correct), bool)
    alone[shared] = False
    numbers: dict[str, Any] = {"n": len(correct), "shared": int(np.sum(~alone))}
    if alone.all():
        text = f"None of the {len(correct):,} test images has a copy or group member in the training part."
        return Conclusion("with_and_without_copies", text, numbers)
    texts = []
    for name, chosen in (("all", np.ones_like(alone)), ("alone", alone), ("only_shared", ~alone)):
        n, hits = int(chosen.sum()), int(correct[chosen].sum())
        ends = scoring.wilson_interval(hits, n) if n else (0.0, 1.0)
        numbers[name] = {"n": n, "accuracy": hits / n if n else None, "ci95": ends}
        texts.append(
            f"{percent(hits / n)} (95% interval {interval(*ends)})" if n else "unknown (no image is left)"
        )
    return Conclusion(
        "with_and_without_copies",
        f"{numbers['shared']:,} of {len(correct):,} test images have a copy or group member in the training part. The accuracy of "
        f"the {label} is {texts[0]} with them and {texts[1]} without them; on them alone it is {texts[2]}.",
        numbers,
        f"Wilson's interval, {len(correct):,} test images",
    )


def random_split(leak: np.ndarray, shared: int, test_images: int) -> Conclusion:
    """Return what a split that ignores copies and groups would have claimed.

    Args:
        leak: from `splits.random_split_leak`, the proportion of test images for each seed.
        shared: number of test images that have a copy or group member in training now.
        test_images: number of test images.

    Example:
        `run.conclude(conclusions.random_split(leak, len(shared), len(test)))`
    """
    numbers = {
        "mean": float(leak.mean()),
        "by_seed": leak.tolist(),
        "shared": shared,
        "test_images": test_images,
    }
    if not leak.any():
        text = "No image has a copy or group member, so a random split stratified by label would have done as well."
        return Conclusion("random_split", text, numbers, f"{len(leak)} random splits")
    now = f"in this split {shared:,} of {test_images:,} have" if shared else "in this split none has"
    text = (
        f"A random split stratified by label would have put a copy or group member of {percent(leak.mean())} of the test images "
        f"({interval(leak.min(), leak.max())} over {len(leak)} seeds) into the training part, and would have counted them as images never "
        f"seen before; {now}."
    )
    return Conclusion("random_split", text, numbers, f"{len(leak)} random splits")


def recommendations(
    label: str, confused: Sequence[Confused], parts: Sequence[Slice], mistakes: int
) -> list[Conclusion]:
    """Return up to two next steps: from the most frequent confusion, and from the slice in which classes do worst.

    Args:
        label: the candidate's label.
        confused: the most frequent kinds of mistake, most frequent first.
        parts: slices of the test images.
        mistakes: number of misclassified images.

    Example:
        `run.conclude(*conclusions.recommendations(chosen.label, confused, parts, mistakes))`
    """
    if not confused:
        text = f"Look for harder images: the {label} makes no mistake on the test images."
        return [Conclusion("recommendation_1", text)]
    first = confused[0]
    pairs = {(item.true, item.predicted): item for item in confused}
    back = pairs.get((first.predicted, first.true))
    both = first.count + (back.count if back else 0)
    kind = "confuse the two" if back else f"predict {first.predicted} for {first.true}"
    start = f"{first.true} and {first.predicted}, first with their labels: {both:,} of {mistakes:,} mistakes ({percent(both / mistakes, 0)}) {kind}"
    if back and both == mistakes:  # of two classes, all mistakes confuse the two
        start = f"the labels of its {mistakes:,} mistakes: {first.count:,} of {first.true}, {back.count:,} of {back.true}"
    texts = [f"To improve the {label}, begin with {start}. Whether more images would help was not measured."]
    worst = _worst(parts)
    other = next((item for item in confused[1:] if item is not back), None)
    if worst:
        texts.append(
            f"Then try to train the {label} with more images whose {worst.property} is between {worst.low:.3g} and {worst.high:.3g}, or augment "
            f"towards them: there its accuracy is {percent(worst.accuracy)}, {points(-100 * worst.gap)} points below what the same "
            f"classes reach elsewhere ({p_value(worst.p_value)} after correction for {len(parts)} slices)."
        )
    elif other and parts:
        texts.append(
            f"Then check why the {label} classifies {other.true} as {other.predicted} ({wording.count(other.count, 'image')}, {percent(other.share)} of "
            f"the class). In no slice by {_properties(parts)} is its accuracy significantly below that of the same classes on all other images."
        )
    return [Conclusion(f"recommendation_{number}", text) for number, text in enumerate(texts, start=1)]
