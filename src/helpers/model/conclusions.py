"""What the baselines, transfer learning and fine-tuning establish, worded once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers import wording
from helpers.model.baselines import Result
from helpers.model.diagnosis import diagnose
from helpers.model.fine_tuning import FROZEN, FineTuned
from helpers.model.head_choice import Choice
from helpers.model.head_results import HeadResult
from helpers.model.out_of_fold import OutOfFold
from helpers.scoring import Comparison, Score, compare
from helpers.series.conclusions import Conclusion
from helpers.series.metrics import TITLES, Metric

# factor between the blocks' gradient norms: about where training signals vanish or explode
HEALTHY_SPREAD = 1_000


def learning_curves(histories: Mapping[str, dict[str, list[float]]]) -> Conclusion:
    """Conclude what the learning curves show: bias, variance or neither.

    Args:
        histories: by the name of each model in a sentence, such as `three-layer CNN`; `training.Fit.history`.

    Example:
        `run.conclude(conclusions.learning_curves({"three-layer CNN": fit.history}))`
    """
    diagnoses = {label: diagnose(history) for label, history in histories.items()}
    text = " ".join(f"The learning curves of the {label} show {words}." for label, words in diagnoses.items())
    if any(len(history["val_loss"]) > 1 for history in histories.values()):
        text += (
            " Whether more epochs would help they cannot say: as the learning rate falls to zero, every training improves at "
            "its end."
        )
    return Conclusion("learning_curves", text, diagnoses)


def baselines(rows: Mapping[str, Result], metric: Metric) -> Conclusion:
    """Conclude which baseline is best by the metric of the series, and whether its accuracy lies above that of the next.

    Args:
        rows: by name; one of them is `majority`.
        metric: of the series; accuracy stands in for one that rows do not hold.

    Example:
        `run.conclude(conclusions.baselines(rows, metric))`
    """
    name = metric.name if metric.name in Score.__annotations__ else "accuracy"
    second, best = sorted(rows.values(), key=lambda row: getattr(row.score, name))[-2:]
    overlap = second.score.accuracy_ci95[1] >= best.score.accuracy_ci95[0]
    by = f" by {TITLES[name]} ({getattr(best.score, name):.3f})" if name != "accuracy" else ""
    text = (
        f"The best baseline{by}, the {best.label}, classifies {_score(best.score)}. The next, the {second.label}, reaches "
        f"{_accuracy(second.score)}; the intervals {'overlap' if overlap else 'do not overlap'}. "
        f"Always predicting the most frequent class reaches {wording.percent(rows['majority'].score.accuracy)}."
    )
    numbers = {
        "best": best.as_metrics(),
        "second": second.as_metrics(),
        "majority_accuracy": rows["majority"].score.accuracy,
        "intervals_overlap": overlap,
    }
    return Conclusion("baselines", text, numbers, f"Wilson's intervals, {best.score.n:,} validation images")


def cnn_against_forest(cnn: Result, forest: Result) -> Conclusion:
    """Conclude what the CNN costs and gains beside the random forest.

    Example:
        `run.conclude(conclusions.cnn_against_forest(rows["baseline_cnn"], rows["random_forest"]))`
    """
    points = 100 * (cnn.score.accuracy - forest.score.accuracy)
    text = (
        f"The {forest.label} reaches {wording.percent(forest.score.accuracy)} in {wording.duration(forest.fit_seconds)} "
        f"on {forest.samples:,} images; the {cnn.label} takes {wording.duration(cnn.fit_seconds)} on {cnn.samples:,} "
        f"images for a difference of {wording.signed(points)} points."
    )
    numbers = {"points": points, "cnn_seconds": cnn.fit_seconds, "forest_seconds": forest.fit_seconds}
    return Conclusion("cnn_against_forest", text, numbers)


def frozen_features(row: Result, result: HeadResult) -> Conclusion:
    """Conclude how accurate a head on frozen features is, and what it costs.

    Args:
        row: the joined model on the validation images.
        result: the head in it.

    Example:
        `run.conclude(conclusions.frozen_features(row, result))`
    """
    text = (
        f"A head ({result.head.title}) with {result.top.count_params():,} parameters on the frozen features of {result.title} classifies "
        f"{_score(row.score)}. Extracting the features of {row.samples:,} training images took "
        f"{wording.duration(result.extraction_seconds)}{_when(result)}, training the head "
        f"{wording.duration(result.fit.seconds)}."
    )
    numbers = {**row.as_metrics(), "head_parameters": result.top.count_params()}
    test = f"Wilson's interval, {row.score.n:,} validation images"
    return Conclusion("frozen_features", text, numbers, test)


def heads(choice: Choice) -> Conclusion:
    """Conclude which head is best by cross-validation on the training images.

    Example:
        `run.conclude(conclusions.heads(choice))`
    """
    if not choice.compared:
        text = f"The head is {choice.head.title}. Heads were not compared, because {choice.reason}."
        return Conclusion("heads", text, {"head": vars(choice.head)})
    rows = choice.best_of_each()
    scores = [f"{row.head.title} {row.score:.3f} ± {row.spread:.3f}" for row in rows]
    text = (
        f"By {choice.metric.title}, cross-validated on the {choice.images:,} training images, the best head is "
        f"{choice.head.title}: {wording.listing(scores)} (± the standard deviation between folds)."
    )
    if choice.head.class_weights != "none":
        text += " It is fitted with class weights, so its probabilities are higher for rare classes than these are frequent."
    numbers = {"head": vars(choice.head), "compared": [{**vars(row), "head": vars(row.head)} for row in rows]}
    return Conclusion("heads", text, numbers, f"stratified group cross-validation, {choice.images:,} images")


def resolution(labels: np.ndarray, results: Sequence[HeadResult]) -> Conclusion:
    """Conclude which backbone and resolution is best, and whether it pays to extract more expensive features.

    The test compares the best of the more expensive settings with the one that is fastest to extract, with Bonferroni's
    correction, as it was selected from several.

    Args:
        labels: of the validation images, `[N] int64`.
        results: one for each setting, scored on these images.

    Example:
        `run.conclude(conclusions.resolution(held_out.labels, list(results.values())))`
    """
    best = max(results, key=lambda result: result.score.accuracy)
    fastest = min(results, key=lambda result: result.train.seconds)
    others = [result for result in results if result is not fastest]
    numbers: dict[str, Any] = {"best": best.as_row(), "fastest": fastest.as_row()}
    if not others:
        text = f"A frozen {best.title}, the only setting in this run, classifies {_score(best.score)}."
        return Conclusion("resolution", text, numbers)
    rival = max(others, key=lambda result: result.score.accuracy)
    gain = compare(labels, rival.predicted, fastest.predicted).corrected(len(others))
    numbers |= {"from": fastest.title, "to": rival.title, **gain.as_metrics()}
    text = (
        f"Of {_settings(results)}, with heads fitted on {len(best.train.values):,} images, a frozen {best.title} is the "
        f"most accurate: it classifies {_score(best.score)}. "
        f"From {fastest.title} to {rival.title} the difference is {_difference(gain, len(others))}. Extraction took "
        f"{wording.duration(rival.train.seconds)} instead of {wording.duration(fastest.train.seconds)}"
        f"{_when(rival, fastest)}. {wording.TWO_NETWORKS}"
    )
    return Conclusion("resolution", text, numbers, _mcnemar(labels))


def further_views(
    labels: np.ndarray, plain: HeadResult, with_views: HeadResult | None, mirrored: bool, augmented: int
) -> Conclusion:
    """Conclude whether mirrored or augmented copies of the training images help the head.

    Args:
        labels: of the validation images, `[N] int64`.
        plain: the head trained on the images as they are.
        with_views: the head that also saw copies; None where there are none.
        mirrored: whether a mirrored copy of each image is among them.
        augmented: number of augmented copies of each image.

    Example:
        `run.conclude(conclusions.further_views(validation.labels, plain, copied, mirror, augmented_views))`
    """
    if with_views is None:
        text = "The head saw each training image once, without mirrored or augmented copies."
        return Conclusion("further_views", text)
    gain = compare(labels, with_views.predicted, plain.predicted)
    copies = ["a mirrored copy"] * mirrored + [
        wording.count(augmented, "augmented copy", "augmented copies")
    ] * bool(augmented)
    text = (
        f"With {' and '.join(copies)} of each training image, the accuracy of a head on {plain.title} changes by "
        f"{_difference(gain)}. {wording.TWO_NETWORKS}"
    )
    numbers = {"mirrored": mirrored, "augmented": augmented, **gain.as_metrics()}
    return Conclusion("further_views", text, numbers, _mcnemar(labels))


def out_of_fold(result: OutOfFold | None, alone: Score, part: str, class_names: Sequence[str]) -> Conclusion:
    """Conclude how accurate heads on frozen features are by cross-validation over all images, if there are few.

    Args:
        result: of the cross-validation; None if there was none.
        alone: the score on a single part of the images, for comparison.
        part: its name, such as `validation`.
        class_names: names by label.

    Example:
        `run.conclude(conclusions.out_of_fold(few, row.score, "validation", validation.class_names))`
    """
    if result is None:
        text = (
            f"Accuracy is measured on the {alone.n:,} {part} images alone: only heads on frozen features are cross-validated "
            "over all images, and only if there are fewer training and validation images than few_images."
        )
        return Conclusion("out_of_fold", text)
    n, repeats = int(result.estimable.sum()), len(result.predicted)
    (accuracy, ci95), (balanced, balanced_ci95) = result.accuracy, result.balanced_accuracy
    ratio = np.ptp(alone.accuracy_ci95) / np.ptp(ci95)
    text = (
        f"Cross-validated over {wording.count(n, 'image')} ({result.folds} folds, {wording.count(repeats, 'repeat')}), heads "
        f"on frozen features classify {wording.percent(accuracy)} correctly (95% interval "
        f"{wording.interval(*ci95)}); the balanced accuracy is {wording.percent(balanced)} "
        f"({wording.interval(*balanced_ci95)}). Each head was trained on {1 - 1 / result.folds:.0%} of the images. The interval from "
        f"the {alone.n:,} {part} images alone is {ratio:.1f} times as wide: {wording.interval(*alone.accuracy_ci95)}."
    )
    left_out = [class_names[label] for label in np.unique(result.labels[~result.estimable])]
    if left_out:
        text += f" Left out: {wording.listing(left_out)}, as all images of {'it' if len(left_out) < 2 else 'each'} are in one group."
    numbers = {"n": n, "folds": result.folds, "repeats": repeats, "left_out": left_out}
    numbers |= {"accuracy": accuracy, "accuracy_ci95": ci95, "accuracies": result.accuracies.tolist()}
    numbers |= {"balanced_accuracy": balanced, "balanced_accuracy_ci95": balanced_ci95}
    numbers["times_as_wide"] = float(ratio)
    test = f"Nadeau and Bengio's corrected variance in Wilson's interval, {n:,} images"
    return Conclusion("out_of_fold", text, numbers, test)


def fine_tuning(
    label: str, before: float, after: Mapping[str, Any], gain: Comparison, variants: int
) -> Conclusion:
    """Conclude whether fine-tuning is more accurate than the frozen network.

    Args:
        label: the fine-tuned model in a sentence.
        before: accuracy of the frozen network.
        after: the fine-tuned model's row: `accuracy`, `n`, `samples`, `seconds`.
        gain: of the fine-tuned model over the frozen network, from `fine_tuning.compare_variants`.
        variants: number of fine-tuned variants that the model was selected from.

    Example:
        `run.conclude(conclusions.fine_tuning(label, before, row, differences[chosen, "frozen"], len(variants)))`
    """
    text = (
        f"The {label} classifies {wording.percent(after['accuracy'])} of {after['n']:,} validation images correctly, "
        f"the frozen network {wording.percent(before)}: a difference of {_difference(gain, variants)}. "
        f"{wording.TWO_NETWORKS} Training took {wording.duration(after['seconds'])} on {after['samples']:,} images."
    )
    numbers = {"frozen_accuracy": before, "accuracy": after["accuracy"], **gain.as_metrics()}
    return Conclusion("fine_tuning", text, numbers, f"McNemar's test, {after['n']:,} validation images")


def unfrozen_blocks(
    titles: Mapping[str, str], differences: Mapping[tuple[str, str], Comparison]
) -> Conclusion:
    """Conclude what each fine-tuned variant gains over the others that it was compared with.

    Args:
        titles: by name, the variants in a sentence.
        differences: from `fine_tuning.compare_variants`.

    Example:
        `run.conclude(conclusions.unfrozen_blocks(titles, differences))`
    """
    variants = sum(other == FROZEN for _, other in differences)
    sentences = [
        f"{wording.capital(titles[one])} against {titles[other]}: "
        f"{_difference(gain, variants if other == FROZEN else 1)}."
        for (one, other), gain in differences.items()
    ]
    numbers = {f"{one}_against_{other}": gain.as_metrics() for (one, other), gain in differences.items()}
    test = "McNemar's test on the validation images"
    return Conclusion("unfrozen_blocks", " ".join(sentences), numbers, test)


def gradients(title: str, result: FineTuned) -> Conclusion:
    """Conclude whether gradients vanish or explode between the blocks at the end of the training.

    Args:
        title: what was trained, such as `all blocks`.
        result: of the fine-tuning.

    Example:
        `run.conclude(conclusions.gradients("all blocks", result))`
    """
    last = {name: values[-1] for name, values in result.gradient_norms["blocks"].items()}
    smallest, largest = min(last, key=last.__getitem__), max(last, key=last.__getitem__)
    spread = last[largest] / max(last[smallest], 1e-30)
    healthy = spread < HEALTHY_SPREAD
    text = (
        f"At the end of training {title}, the gradient norms of the blocks lie between {last[smallest]:.3g} ({smallest}) "
        f"and {last[largest]:.3g} ({largest}), a factor of {spread:,.0f}: "
        f"{'gradients neither vanish nor explode' if healthy else 'look at the blocks at both ends'}."
    )
    return Conclusion("gradients", text, {"spread": spread, "smallest": smallest, "largest": largest})


def _settings(results: Sequence[HeadResult]) -> str:
    """Return the compared settings in words: the resolutions of a single backbone, or their number."""
    if len({result.source.backbone for result in results}) > 1:
        return f"{len(results)} backbones and resolutions"
    return f"the resolutions {wording.listing([str(result.source.resolution) for result in results])} px"


def _accuracy(score: Score) -> str:
    return f"{wording.percent(score.accuracy)} ({wording.interval(*score.accuracy_ci95)})"


def _score(score: Score) -> str:
    """Return an accuracy in words, such as `88.1% of 8,572 validation images correctly (95% interval …)`."""
    return (
        f"{wording.percent(score.accuracy)} of {score.n:,} validation images correctly (95% interval "
        f"{wording.interval(*score.accuracy_ci95)}, macro-F1 {score.macro_f1:.3f})"
    )


def _difference(gain: Comparison, candidates: int = 1) -> str:
    """Return a difference of accuracies with its interval and test as words; `candidates` as for `corrected`."""
    note = f" after correction for {candidates} candidates" if candidates > 1 else ""
    return wording.difference(gain.as_metrics(), note=note)


def _mcnemar(labels: np.ndarray) -> str:
    return f"McNemar's test, {len(labels):,} validation images"


def _when(*results: HeadResult) -> str:
    """Return a note on times that were measured in an earlier run."""
    return ", timed when the cache was made" if any(result.train.from_cache for result in results) else ""
