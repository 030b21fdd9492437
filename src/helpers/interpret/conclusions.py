"""What 07_evaluation says of a candidate: tables, sentences and metrics, all made from the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers import scoring
from helpers.interpret.calibration import Reliability
from helpers.interpret.confusion import ClassScore, Scores
from helpers.obtain import data
from helpers.series import stages
from helpers.series.runs import Run
from helpers.wording import listing

# Share that people got right, and who measured it.
HUMAN_ACCURACY = {
    "fashion_mnist": (
        0.835,
        "1,000 images labelled by crowd workers, in the data set's own README (H. Xiao et al., 2017)",
    )
}
PREDICTIONS = "test_predictions.npz"


def references(
    dataset: str, labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> list[tuple[str, float, str, str]]:
    """Return accuracy beside what it must be measured against: name, value, interval, remark.

    Args:
        dataset: its name, for the accuracy of people where it is known.
        labels: `[N] int64`.
        predicted: `[N] int64`.
        probabilities: `[N, K]`.
    """
    n, classes = len(labels), probabilities.shape[1]
    right = int(np.sum(labels == predicted))
    majority = int(np.bincount(labels).max())
    second = labels == np.argsort(-probabilities, axis=1, kind="stable")[:, : min(2, classes)].T
    in_two = int(second.any(axis=0).sum())
    rows = [
        ("accuracy", right / n, _shown(scoring.wilson_interval(right, n)), "of the candidate"),
        (
            "majority class",
            majority / n,
            _shown(scoring.wilson_interval(majority, n)),
            "always the same answer",
        ),
        (
            "top-2 accuracy",
            in_two / n,
            _shown(scoring.wilson_interval(in_two, n)),
            "the truth is among its two best",
        ),
    ]
    if dataset in HUMAN_ACCURACY:
        value, source = HUMAN_ACCURACY[dataset]
        rows.append(("people", value, _shown(scoring.wilson_interval(round(1_000 * value), 1_000)), source))
    return rows


def _shown(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def spread(accuracies: Sequence[float], interval: tuple[float, float]) -> str:
    """Say how far test accuracy varies with the seed of training, beside what it varies with the images.

    Args:
        accuracies: on the same test images, one for each seed; the first is the candidate's own.
        interval: Wilson's, of the candidate.
    """
    of_images = (
        f"On all images of this kind its accuracy lies within {_shown(interval)} (95% interval over images)"
    )
    if len(accuracies) < 2:
        return (
            f"{of_images}. How far another seed of training would move it is not known: this run trained one."
        )
    found = scoring.mean_of(np.array(accuracies))
    low, high = found.ci95
    student = f" (Student's interval of the mean {low:.2%} to {high:.2%})" if low < high else ""
    return (
        f"{of_images}. Over {found.n} seeds of training, accuracy is {found.value:.2%} on average, {min(accuracies):.2%} to "
        f"{max(accuracies):.2%}{student}. These are two different questions: "
        "how good is this one model, and how good is the way it was made."
    )


def calibration_sentence(before: Reliability, after: Reliability, temperature: float) -> str:
    """Say whether the probabilities are too bold or too timid, and what scaling mends."""
    gap, ends = before.gap.value, before.gap.ci95 or (-1.0, 1.0)
    words = (
        "too sure of itself"
        if gap > 0.005 and ends[0] > 0
        else "not sure enough"
        if gap < -0.005 and ends[1] < 0
        else "about as sure as it is right"
        if max(-ends[0], ends[1]) < 0.03
        else "not shown to be too sure or not sure enough"
    )
    mended = (
        f"Temperature scaling ({temperature:.2f}, fitted on validation) brings the error from {before.error:.3f} to {after.error:.3f}."
        if after.error < before.error
        else f"Temperature scaling ({temperature:.2f}, fitted on validation) does not help: {before.error:.3f} before, {after.error:.3f} after."
    )
    side = "above" if gap > 0 else "below"
    return (
        f"The candidate is **{words}**: on average its confidence lies {100 * abs(gap):.1f} points {side} its accuracy (95% interval of "
        f"confidence − accuracy {100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}). {mended} A model whose confidence is exactly right would "
        f"show {after.error_by_chance:.3f} on as many images."
    )


def against_others(run: Run, labels: np.ndarray, predicted: np.ndarray) -> list[dict[str, Any]]:
    """Compare with the evaluated candidates before this one, on the same test images.

    Returns:
        For each: `other`, its `label`, `points`, `ci95` (points), `p_value`, `shown`, `only_this`, `only_other`.
    """
    found = []
    for name in run.stage.may_read:
        if name not in run.upstream:
            continue
        with np.load(run.input(name, PREDICTIONS), allow_pickle=False) as kept:
            theirs = scoring.compare(labels, predicted, kept["predicted"])
            label = str(kept["label"])
        found.append(
            {
                "other": stages.find(name).candidate,
                "label": label,
                **theirs.as_metrics(),
                "only_this": theirs.only_one,
                "only_other": theirs.only_other,
            }
        )
    return found


def comparison_text(compared: Sequence[Mapping[str, Any]]) -> str:
    """Say how the candidate does against others; "no difference shown" where that is so."""
    if not compared:
        return "No candidate has been evaluated before this one: there is nothing to compare with."
    lines = []
    for found in compared:
        low, high = found["ci95"]
        verdict = ("better" if found["points"] > 0 else "worse") if found["shown"] else "no difference shown"
        lines.append(
            f"- against the **{found['label']}**: {found['points']:+.2f} points, 95% interval {low:+.2f} to {high:+.2f}, "
            f"p = {found['p_value']:.2g}: **{verdict}**; {found['only_this']:,} images only this one gets right, "
            f"{found['only_other']:,} only the other."
        )
    return "\n".join(lines)


def captions(
    rows: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> list[str]:
    """Return a caption for each of some images: index, true class, predicted class and confidence."""
    return [
        f"#{row}: {class_names[labels[row]]}\n→ {class_names[probabilities[row].argmax()]} {probabilities[row].max():.0%}"
        for row in rows.tolist()
    ]


def metrics(
    candidate: str,
    scores: Scores,
    counts: np.ndarray,
    class_names: Sequence[str],
    before: Reliability,
    after: Reliability,
    temperature: float,
    predicted: np.ndarray,
) -> dict[str, Any]:
    """Return the metrics that every evaluation logs, by the names that reports and registries look for."""
    return {
        "candidate": candidate,
        "n": scores.n,
        "accuracy": scores.accuracy,
        "accuracy_ci95": scores.accuracy_ci95,
        "macro_f1": scores.macro_f1,
        "macro_f1_ci95": scores.macro_f1_ci95,
        "weighted_f1": scores.weighted_f1,
        "weighted_f1_ci95": scores.weighted_f1_ci95,
        "ece": before.error,
        "ece_scaled": after.error,
        "ece_by_chance": after.error_by_chance,
        "temperature": temperature,
        "boldest_bin": after.boldest(),
        "per_class": {found.name: _of_class(found) for found in scores.classes},
        "confusion": counts,
        "class_names": list(class_names),
        "predictions_sha256": data.array_sha256(predicted.astype(np.int64)),
    }


def _of_class(found: ClassScore) -> dict[str, Any]:
    return {name: value for name, value in vars(found).items() if name != "name"}


def classification_report(scores: Scores) -> str:
    """Return the scores as the table that scikit-learn made familiar, with intervals."""
    width = max(len("weighted average"), *(len(found.name) for found in scores.classes))
    columns = ("precision", "recall", "F1")
    lines = [" " * width + "".join(f"{name:>22}" for name in columns) + f"{'support':>10}"]
    for found in scores.classes:
        cells = "".join(
            _cell(getattr(found, name), getattr(found, f"{name}_ci95"))
            for name in ("precision", "recall", "f1")
        )
        lines.append(f"{found.name:>{width}}{cells}{found.support:>10,}")
    rest = " " * 44
    lines += [
        "",
        f"{'accuracy':>{width}}{rest}{_cell(scores.accuracy, scores.accuracy_ci95)}{scores.n:>10,}",
        f"{'macro average':>{width}}{rest}{_cell(scores.macro_f1, scores.macro_f1_ci95)}{scores.n:>10,}",
        f"{'weighted average':>{width}}{rest}{_cell(scores.weighted_f1, scores.weighted_f1_ci95)}{scores.n:>10,}",
    ]
    if scores.absent:
        lines.append(f"no image of: {', '.join(scores.absent)} (left out of the macro average)")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, interval: tuple[float, float] | None) -> str:
    return f"{'–':>22}" if value is None else f"{f'{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})':>22}"


def learned(
    label: str,
    scores: Scores,
    worst: ClassScore,
    before: Reliability,
    after: Reliability,
    compared: Sequence[Mapping[str, Any]],
) -> str:
    """Return the three lessons of an evaluation, in Markdown."""
    better = [f"the {found['label']}" for found in compared if found["shown"] and found["points"] > 0]
    equal = [f"the {found['label']}" for found in compared if not found["shown"]]
    worse = [f"the {found['label']}" for found in compared if found["shown"] and found["points"] < 0]
    parts = [
        f"{word} {listing(names)}"
        for word, names in (
            ("better than", better),
            ("not shown to differ from", equal),
            ("worse than", worse),
        )
        if names
    ]
    beside = (
        f"On the same images it is {'; '.join(parts)}." if parts else "No candidate was evaluated before it."
    )
    absent = f" No test image shows {', '.join(scores.absent)}." if scores.absent else ""
    return (
        f"- The {label} is right on **{scores.accuracy:.1%}** of {scores.n:,} test images (95% interval "
        f"{_shown(scores.accuracy_ci95)}), macro-F1 {scores.macro_f1:.3f}.{absent} {beside}\n"
        f"- Its weakest class is **{worst.name}**: F1 {worst.f1:.3f} ({worst.f1_ci95[0]:.3f} to {worst.f1_ci95[1]:.3f}).\n"
        f"- Its expected calibration error is {before.error:.3f}, {after.error:.3f} after temperature scaling."
    )
