"""What 09_tuning concludes: whether the search paid, how good the tuned network is, and which parameters matter."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import optuna

from helpers.model.tuning import study
from helpers.model.tuning.gain import Gain
from helpers.scoring import Comparison
from helpers.series.conclusions import Conclusion
from helpers.wording import TWO_NETWORKS, difference, duration, estimate, interval, listing, percent

if TYPE_CHECKING:  # so that it stays free of TensorFlow
    from helpers.model.baselines import Result

NETWORK = "residual CNN"  # not "tuned": what the search gained is a conclusion of its own


def search_gain(trials: optuna.Study, gain: Gain, *, training_seconds: float = 0.0) -> Conclusion:
    """Return what a search gained over the defaults, and what it cost.

    Args:
        trials: the finished study.
        gain: what its best settings gain.
        training_seconds: of one training at full length; 0 to leave the comparison out.

    Example:
        `run.conclude(conclusions.search_gain(study, gain, training_seconds=fit.seconds))`
    """
    table = study.summary(trials)
    seconds = float(table["seconds"].sum())
    numbers = {"trials": len(table), "seconds": seconds, "points": gain.points, "ci95": list(gain.ci95)}
    if len(table) == 1:
        return Conclusion("search_gain", "Only the defaults were tried, so nothing was searched.", numbers)
    cost = f"{len(table)} settings of the residual CNN in {duration(seconds)}"
    if training_seconds:
        cost += f", {seconds / training_seconds:.1f} times as long as one training at full length"
    text, test = _gain(gain)
    return Conclusion("search_gain", f"The search tried {cost}. {text}", numbers, test)


def _gain(gain: Gain) -> tuple[str, str]:
    """Return the gain in words, and the test behind it."""
    if gain.basis == "defaults":
        return "Nothing did better than the defaults.", ""
    significant = gain.ci95[0] > 0 or gain.ci95[1] < 0
    compared = {"points": gain.points, "ci95": gain.ci95, "shown": significant, "unit": gain.metric.unit}
    if gain.basis == "images":
        return (
            f"In short trials its best settings differ from the defaults on validation by {estimate(compared)}. They were chosen on "
            f"these same {gain.count:,} validation images, so this overestimates the gain and does not establish one.",
            f"bootstrap of {gain.count:,} validation images",
        )
    used = " The defaults did better, so they are used." if gain.favours_defaults else ""
    return (
        f"Trained at full length from the same {gain.count} seeds, its best settings differ from the defaults on validation by "
        f"{difference(compared)}.{used}",
        f"Student's t interval over {gain.count} seeds of each and the validation images",
    )


def tuned_network(row: "Result", *, averages_flips: bool = False) -> Conclusion:
    """Return how accurate the tuned network is on the validation images.

    Example:
        `run.conclude(conclusions.tuned_network(row, averages_flips=flips))`
    """
    score = row.score
    averaged = " Its predictions average each image and its mirror image." if averages_flips else ""
    text = (
        f"The {NETWORK} ({row.parameters:,} parameters) classifies {percent(score.accuracy)} of {score.n:,} validation "
        f"images correctly (95% interval {interval(*score.accuracy_ci95)}), macro-F1 {score.macro_f1:.3f}, after "
        f"{duration(row.fit_seconds)} of training.{averaged}"
    )
    test = f"Wilson interval, {score.n:,} validation images"
    return Conclusion("tuned_network", text, row.as_metrics(), test)


def against_baseline(pair: Comparison, baseline: Mapping[str, object], images: int) -> Conclusion:
    """Return how the tuned network compares with the baseline on the same images.

    Args:
        pair: the tuned network's predictions compared with the baseline's.
        baseline: the baseline's logged metrics: `label` and `accuracy`.
        images: number of validation images.

    Example:
        `run.conclude(conclusions.against_baseline(pair, baseline, len(validation)))`
    """
    text = (
        f"On the same {images:,} validation images, the accuracy of the {NETWORK} differs from that of the {baseline['label']} "
        f"({percent(baseline['accuracy'])}) by {difference(pair.as_metrics())}. {TWO_NETWORKS}"
    )
    numbers = {"points": 100 * pair.difference, "p_value": pair.p_value}
    test = f"McNemar's exact test, {images:,} validation images"
    return Conclusion("against_baseline", text, numbers, test)


def importances(trials: optuna.Study) -> Conclusion:
    """Return which parameters matter most, or why the trials cannot say.

    Example:
        `run.conclude(conclusions.importances(study))`
    """
    fractions, count = study.importances(trials), len(study.complete_trials(trials))
    numbers = {"complete_trials": count, **fractions}
    if not fractions:
        few = f"To rank parameters, {study.ENOUGH} complete trials are needed; this study has {count}."
        text = (
            few
            if count < study.ENOUGH
            else f"The {count} complete trials are too similar to rank parameters."
        )
        return Conclusion("importances", text, numbers)
    largest = [f"{name.replace('_', ' ')} {percent(part, 0)}" for name, part in list(fractions.items())[:3]]
    text = f"The most important parameters are {listing(largest)}, by {count} complete trials."
    return Conclusion("importances", text, numbers, "PED-ANOVA")
