"""What 07_evaluation establishes about the limits of a candidate, such as images of none of its classes."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from helpers import scoring
from helpers.interpret.unknown import TITLES
from helpers.interpret.unknown_choice import Learnt
from helpers.series.conclusions import Conclusion
from helpers.wording import count, interval, listing, percent, signed

_MOST_NAMES = 8  # of classes in a sentence


def class_thresholds(label: str, accepted: pd.DataFrame, precision: float) -> Conclusion:
    """Return from which confidence on the predictions of a class reach a precision, and what that is worth on the test images.

    Args:
        label: the candidate's label.
        accepted: from `tables.accepted`.
        precision: that was to be shown on validation images.

    Example:
        `run.conclude(limits_conclusions.class_thresholds(chosen.label, accepted, wanted_precision))`
    """
    limits = accepted["threshold"]
    parts = [f"{name} from {percent(limit)} on" for name, limit in limits[limits > 0].items()]
    free, never = limits.index[limits == 0], limits.index[limits.isna()]
    parts += [f"{listing(free, most=_MOST_NAMES)} at any confidence"] if len(free) else []
    text = (
        f"Whoever needs a precision of {percent(precision, 0)} in every class can accept these predictions of the {label} by their confidence: "
        f"{listing(parts, most=_MOST_NAMES) if parts else 'none'}. On validation images, a binomial test of each class rejects a lower precision (5% level)."
    )
    if len(never):
        text += f" It rejects none, at any confidence, for {listing(never, most=_MOST_NAMES)}."
    n, correct, total = (int(accepted[column].sum()) for column in ("accepted", "correct", "predicted"))
    if n:
        worst = accepted.loc[accepted["precision"].idxmin()]
        text += (
            f" Of {total:,} test images, {percent(n / total)} are accepted, and {percent(correct / n)} of these are classified correctly (95% interval "
            f"{interval(*scoring.wilson_interval(correct, n))}). The lowest precision on them is that of {worst.name}: {percent(worst.precision)} ({interval(worst.low, worst.high)})."
        )
    classes = accepted.astype(object).where(accepted.notna(), None).to_dict("index")
    numbers = {"precision": precision, "classes": classes}
    return Conclusion("class_thresholds", text, numbers, f"Wilson's interval, {n:,} test images")


def unknown(
    label: str, learnt: Learnt, embeddings: np.ndarray, correct: np.ndarray, strange: np.ndarray, what: str
) -> Conclusion:
    """Return how well the candidate recognises images that show none of its classes.

    Args:
        label: the candidate's label.
        learnt: its score and threshold.
        embeddings: of the test images, `[N, D]`.
        correct: whether each of these is classified correctly, `[N] bool`.
        strange: embeddings of images of another data set, `[M, D]`.
        what: what those images show, in the plural.

    Example:
        `run.conclude(limits_conclusions.unknown(chosen.label, learnt, embeddings, predicted == test.labels, strange, title))`
    """
    detector, n = learnt.detector, len(embeddings)
    known, others = detector.score(embeddings), detector.score(strange)
    rejected, caught = (int(np.sum(values > detector.threshold)) for values in (known, others))
    area, by_class = scoring.auroc(known, others), learnt.left_out[detector.kind]
    left_out = scoring.mean_of(np.array(list(by_class.values())))
    text = (
        f"The {label} gives any image one of its classes. Images of none of them are recognised by {TITLES[detector.kind]}: one counts as unknown "
        f"above the value that {percent(learnt.known_rejected, 0)} of {learnt.known:,} validation images exceed. Of {n:,} test images, "
        f"{percent(rejected / n)} are rejected (95% interval {interval(*scoring.wilson_interval(rejected, n))}); of "
        f"{len(others):,} {what}, {percent(caught / len(others))} (AUROC {area.value:.3f}, 95% interval {area.ci95[0]:.3f} to {area.ci95[1]:.3f})."
    )
    if left_out.n > 1:
        hardest = min(by_class, key=by_class.__getitem__)
        text += (
            f" As a check, the score was fitted without one class after another, all of which the network has learned: its mean AUROC for the hidden class is {left_out.value:.3f}, "
            f"and at worst {by_class[hardest]:.3f} ({hardest})."
        )
    numbers = {
        "score": detector.kind,
        "threshold": detector.threshold,
        "known_rejected": learnt.known_rejected,
        "test_rejected": rejected / n,
        "mistakes_rejected": float(np.mean(known[~correct] > detector.threshold))
        if (~correct).any()
        else None,
        "others": what,
        "others_n": len(others),
        "others_rejected": caught / len(others),
        "auroc": asdict(area),
        "left_out": {"mean": left_out.value, "by_class": by_class},
        "by_score": learnt.table(),
    }
    return Conclusion(
        "unknown",
        text,
        numbers,
        f"Newcombe's interval of the AUROC (too wide near 1), {n:,} and {len(others):,} images",
    )


def agreement(labels: np.ndarray, predictions: Sequence[np.ndarray]) -> Conclusion:
    """Return how many images all candidates misclassify, next to what independent mistakes would give.

    Args:
        labels: of the test images, `[N] int64`.
        predictions: of this candidate and of those evaluated before it, `[N] int64` each.

    Example:
        `run.conclude(limits_conclusions.agreement(test.labels, [predicted, *others]))`
    """
    if len(predictions) < 2:
        text = (
            "No other candidate was evaluated before, so it is unknown which images all of them misclassify."
        )
        return Conclusion("agreement", text)
    wrong = np.stack([predicted != labels for predicted in predictions])
    n, of_all = len(labels), int(wrong.all(axis=0).sum())
    alike = int(np.sum(wrong.all(axis=0) & (np.stack(predictions) == predictions[0]).all(axis=0)))
    by_chance, best = n * float(np.prod(wrong.mean(axis=1))), 1 - float(wrong.mean(axis=1).min())
    every = "Both" if len(predictions) == 2 else f"All {len(predictions)}"
    low, high = scoring.wilson_interval(of_all, n)
    text = (
        f"{every} candidates evaluated so far misclassify {count(of_all, 'test image')} in common: {percent(of_all / n)} of {n:,} "
        f"(95% interval {interval(low, high)}); independent mistakes would have left {by_chance:,.0f}. On {alike:,} of these they agree on "
        f"the same incorrect class, so look at the labels first. Taking the correct candidate for each image, if somebody knew it, would "
        f"reach {percent(1 - of_all / n)}, where the best one reaches {percent(best)}."
    )
    numbers = {
        "candidates": len(predictions),
        "misclassified_by_all": of_all,
        "alike": alike,
        "by_chance": by_chance,
    }
    return Conclusion("agreement", text, numbers, f"Wilson's interval, {n:,} test images")


def robustness(label: str, table: pd.DataFrame | None) -> Conclusion:
    """Return which changes of the images cost how much accuracy.

    Args:
        label: the candidate's label.
        table: from `robustness.measure`; None if it was not measured.

    Example:
        `run.conclude(limits_conclusions.robustness(chosen.label, table))`
    """
    if table is None:
        text = f"How the {label} does on worse images was not measured in this run (07_evaluation.robustness_images is 0)."
        return Conclusion("robustness", text)
    unchanged, changed = table.iloc[0], table.iloc[1:]
    parts = [
        f"{row.kind} {row.strength}: {signed(row.points)} ({signed(row.points_low)} to {signed(row.points_high)})"
        for row in changed.groupby("kind", sort=False).tail(1).itertuples()
    ]
    worst = changed.loc[changed["points"].idxmin()]
    text = (
        f"On {unchanged.n:,} test images the {label} classifies {percent(unchanged.accuracy)} correctly. The strongest change of each kind "
        f"costs or gains, in percentage points with the 95% interval: {'; '.join(parts)}. Of all changes that were tried, "
        f"{worst.kind} {worst.strength} is the worst, with {percent(worst.accuracy)} left."
    )
    numbers = {"n": int(unchanged.n), "rows": table.to_dict("records")}
    return Conclusion(
        "robustness",
        text,
        numbers,
        f"Agresti and Min's interval of paired proportions, {unchanged.n:,} test images",
    )
