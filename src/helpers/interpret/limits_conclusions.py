"""What 07_evaluation establishes about the limits of a candidate, such as images of none of its classes."""

from dataclasses import asdict

import numpy as np

from helpers import scoring
from helpers.interpret.unknown import TITLES
from helpers.interpret.unknown_choice import Learnt
from helpers.series.conclusions import Conclusion
from helpers.wording import interval, percent


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
        f"The {label} has a class for any image, so {TITLES[detector.kind]} tells images of none of its classes: one counts as unknown "
        f"above the value that {percent(learnt.known_rejected, 0)} of {learnt.known:,} validation images exceed. Of {n:,} test images, "
        f"{percent(rejected / n)} are rejected (95% interval {interval(*scoring.wilson_interval(rejected, n))}); of "
        f"{len(others):,} {what}, {percent(caught / len(others))} (AUROC {area.value:.3f}, 95% interval {area.ci95[0]:.3f} to {area.ci95[1]:.3f})."
    )
    if left_out.n > 1:
        hardest = min(by_class, key=by_class.__getitem__)
        text += (
            f" If the score is fitted without a class, which the network has learned, its mean AUROC for this class is {left_out.value:.3f}, "
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
        "others_rejected": caught / len(others),
        "auroc": asdict(area),
        "left_out": {"mean": left_out.value, "by_class": by_class},
        "by_score": learnt.table(),
    }
    return Conclusion(
        "unknown", text, numbers, f"Newcombe's interval of the AUROC, {n:,} and {len(others):,} images"
    )
