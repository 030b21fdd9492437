"""What 08_grad_cam establishes about a candidate: each conclusion is worded here and nowhere else."""

import numpy as np

from helpers.interpret.gradcam_checks import Randomised
from helpers.interpret.gradcam_evidence import Energy, Explained, Perturbation, Unmeasured
from helpers.scoring import Mean
from helpers.series.conclusions import Conclusion
from helpers.wording import interval, number, percent, points, signed


def maps(label: str, explained: Explained) -> Conclusion:
    """Return how many images were explained at which layer, or why there are no maps.

    Example:
        `run.conclude(gradcam_conclusions.maps(chosen.label, explained))`
    """
    if explained.reason:
        return Conclusion("maps", f"There are no Grad-CAM maps of the {label}. {explained.reason}")
    empty, n = int((explained.maps.max(axis=(1, 2)) == 0).sum()), len(explained.part)
    count = "no map is" if not empty else "one map is" if empty == 1 else f"{empty:,} maps are"
    why = ", because nothing in that layer supports the predicted class" if empty else ""
    text = f"Predictions of the {label} for {n:,} validation images were explained at layer {explained.layer}; {count} empty{why}."
    return Conclusion("maps", text, {"n": n, "empty": empty, "layer": explained.layer})


def where_it_looks(label: str, energy: Energy | Unmeasured) -> Conclusion:
    """Return whether the maps lie on the object more than on the background.

    Example:
        `run.conclude(gradcam_conclusions.where_it_looks(chosen.label, energy))`
    """
    if isinstance(energy, Unmeasured):
        return Conclusion("where_it_looks", f"Where the {label} looks was not measured. {energy.reason}")
    over = energy.above_pixels
    low, high = over.ci95 or (0.0, 0.0)
    size = f"by {points(100 * abs(over.value or 0))} points, 95% interval {points(100 * low)} to {points(100 * high)}"
    if not over.ci95:
        verdict = "There are too few maps to say whether they prefer the object."
    elif low > 0:
        verdict = f"The maps lie on the object significantly more than chance would place them ({size})."
    elif high < 0:
        verdict = f"The maps lie on the background significantly more than chance would place them ({size})."
    else:
        verdict = (
            f"The maps do not lie on the object significantly more than chance would place them ({size})."
        )
    return Conclusion(
        "where_it_looks",
        f"{_fraction(energy.correct)} of the energy of the {label}'s Grad-CAM maps lies on the object for correct predictions and "
        f"{_fraction(energy.incorrect)} for incorrect ones; the object covers {percent(energy.pixels)} of the pixels. {verdict}",
        energy.as_metrics(),
        f"Student's interval, {over.n:,} validation images",
    )


def _fraction(mean: Mean) -> str:
    if mean.value is None:
        return "an unknown fraction (no such prediction)"
    return percent(mean.value) + (f" ({interval(*mean.ci95)})" if mean.ci95 else "")


def perturbation(label: str, measured: Perturbation | Unmeasured) -> Conclusion:
    """Return whether deleting and inserting pixels in the order of the maps beats random order.

    Example:
        `run.conclude(gradcam_conclusions.perturbation(chosen.label, perturbed))`
    """
    if isinstance(measured, Unmeasured):
        return Conclusion(
            "perturbation", f"The pixels under the {label}'s maps were not tested. {measured.reason}"
        )
    parts = [
        f"{kind} {_gain(mean, expected)}"
        for (kind, mean), expected in zip(measured.gains.items(), (-1, 1), strict=True)
    ]
    return Conclusion(
        "perturbation",
        f"Pixels of {measured.n:,} images were deleted and inserted in the order of the {label}'s maps, and the area under its "
        f"confidence was compared with that of random order: {'; '.join(parts)}.",
        measured.as_metrics(),
        f"Student's interval, {measured.n:,} validation images",
    )


def _gain(mean: Mean, expected: int) -> str:
    """Return how an area compares with random order; `expected` is the sign that good maps give it."""
    if not mean.ci95:
        return f"changes it by {signed(mean.value or 0.0, 3)} (too few images for an interval)"
    low, high = mean.ci95
    change = f"{signed(mean.value, 3)}, 95% interval {signed(low, 3)} to {signed(high, 3)}"
    if low <= 0 <= high:
        return f"does not change it significantly ({change})"
    note = (
        "as expected of good maps" if np.sign(mean.value) == expected else "the opposite of what good maps do"
    )
    return f"{'lowers' if mean.value < 0 else 'raises'} it significantly ({change}), {note}"


def randomisation(label: str, measured: Randomised | Unmeasured) -> Conclusion:
    """Return whether the maps depend on what the model learned.

    Example:
        `run.conclude(gradcam_conclusions.randomisation(chosen.label, randomised))`
    """
    if isinstance(measured, Unmeasured):
        return Conclusion(
            "randomisation", f"The {label}'s maps were not tested with random weights. {measured.reason}"
        )
    last = measured.similarity[-1]
    ends = f" (95% interval {number(last.ci95[0], 2)} to {number(last.ci95[1], 2)})" if last.ci95 else ""
    verdict = (
        "they depend on what the model learned"
        if measured.fit
        else "they reflect the image rather than the model and are not fit for evidence"
    )
    return Conclusion(
        "randomisation",
        f"With all {measured.layers[-1]} weight arrays random, the {label}'s maps have a rank correlation of {number(last.value, 2)} "
        f"with the original maps{ends}: {verdict}.",
        measured.as_metrics(),
        f"Student's interval, {last.n:,} validation images",
    )
