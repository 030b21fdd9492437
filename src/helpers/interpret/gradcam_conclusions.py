"""What 08_grad_cam establishes about a candidate: each conclusion is worded here and nowhere else."""

import numpy as np

from helpers.interpret.gradcam_checks import Randomised
from helpers.interpret.gradcam_evidence import Energy, Explained, Perturbation, Unmeasured
from helpers.scoring import Mean
from helpers.series.conclusions import Conclusion
from helpers.wording import listing, number, percent, signed

_MOST_CLASSES = 4  # in a sentence


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
    text = f"Grad-CAM explained {n:,} validation images at layer {explained.layer} of the {label}; {count} empty{why}."
    return Conclusion("maps", text, {"n": n, "empty": empty, "layer": explained.layer})


def where_it_looks(label: str, energy: Energy | Unmeasured) -> Conclusion:
    """Return whether the maps lie on the object more than the object covers, image by image, and in which classes they do not.

    Example:
        `run.conclude(conclusions.where_it_looks(chosen.label, energy))`
    """
    if isinstance(energy, Unmeasured):
        return Conclusion("where_it_looks", f"Where the {label} looks was not measured. {energy.reason}")
    verdict, over = "There are too few maps to say whether they prefer the object.", energy.overall
    if over.ci95:
        side = "prefer neither object nor background significantly"
        if over.ci95[0] > 0 or over.ci95[1] < 0:
            side = f"prefer the {'object' if over.value > 0 else 'background'} significantly"
        verdict = f"On average the maps {side}."
    mixed = "" if energy.incorrect.value is None else " (the two are not of the same classes)"
    text = (
        f"Each Grad-CAM map of the {label} was compared with its own image: the fraction of its energy on the object minus the "
        f"object's fraction of the pixels (on average {percent(energy.pixels)}) is {_points(energy.correct)} where the prediction is "
        f"correct and {_points(energy.incorrect)} where it is incorrect{mixed}. {verdict}{_failing(energy)}"
    )
    test = f"Student's interval, {over.n:,} validation images"
    return Conclusion("where_it_looks", text, energy.as_metrics(), test)


def _points(mean: Mean, *, short: bool = False) -> str:
    """Return a mean difference in points with its interval; `short` where others before it said what the numbers are."""
    if mean.value is None:
        return "unknown (no such prediction)"
    text, ends = f"{signed(100 * mean.value, 1)} points", ""
    if mean.ci95:
        ends = f"{signed(100 * mean.ci95[0], 1)} to {signed(100 * mean.ci95[1], 1)}"
    return f"{text}, {ends}" if short else f"{text} (95% interval {ends})" if ends else text


def _failing(energy: Energy) -> str:
    """Return the classes whose correct predictions have maps that do not prefer the object, as a sentence."""
    rows = energy.table.xs("correct", level="prediction")
    means = {name: Mean(row["n"], row["value"], row["ci95"]) for name, row in rows.iterrows() if row["ci95"]}
    if not means or not energy.overall.ci95:
        return ""
    away = sorted((mean.value, name) for name, mean in means.items() if mean.ci95[1] < 0)
    neither = sorted((mean.value, name) for name, mean in means.items() if mean.ci95[0] <= 0 <= mean.ci95[1])
    if not away and not neither:
        return " In every class with enough images, those of correct predictions prefer the object."
    parts = []
    for failing, verb in ((away, "prefer the background"), (neither, "prefer neither significantly")):
        names = [f"{name} ({_points(means[name], short=True)})" for _, name in failing]
        parts += [f"{verb} in {listing(names, most=_MOST_CLASSES)}"] if failing else []
    return f" Those of correct predictions {'; they '.join(parts)}."


def perturbation(label: str, measured: Perturbation | Unmeasured) -> Conclusion:
    """Return whether deleting and inserting pixels in the order of the maps beats random order.

    Example:
        `run.conclude(conclusions.perturbation(chosen.label, perturbed))`
    """
    if isinstance(measured, Unmeasured):
        text = f"Whether the pixels under the maps of the {label} matter was not measured. {measured.reason}"
        return Conclusion("perturbation", text)
    deletion, insertion = (measured.gains[kind] for kind in ("deletion", "insertion"))
    return Conclusion(
        "perturbation",
        f"For the {label}, the pixels of {measured.n:,} images were deleted and inserted in the order of its maps. Compared with random "
        f"order, deletion {_gain(deletion, -1)}; insertion {_gain(insertion, 1)}.",
        measured.as_metrics(),
        f"Student's interval, {measured.n:,} validation images",
    )


def _gain(mean: Mean, expected: int) -> str:
    """Return how the area under the confidence compares with random order; `expected` is the sign that good maps give it."""
    area = "the area under the confidence curve"
    if not mean.ci95:
        return f"changes {area} by {signed(mean.value or 0.0, 3)} (too few images for an interval)"
    low, high = mean.ci95
    change = f"({signed(mean.value, 3)}, 95% interval {signed(low, 3)} to {signed(high, 3)})"
    if low <= 0 <= high:
        return f"does not change {area} significantly {change}"
    good = np.sign(mean.value) == expected
    note = "as expected of good maps" if good else "the opposite of what good maps do"
    return f"{'lowers' if mean.value < 0 else 'raises'} {area} significantly {change}, {note}"


def randomisation(label: str, measured: Randomised | Unmeasured) -> Conclusion:
    """Return whether the maps depend on what the model learned.

    Example:
        `run.conclude(conclusions.randomisation(chosen.label, randomised))`
    """
    if isinstance(measured, Unmeasured):
        text = f"Whether the maps of the {label} depend on its weights was not measured. {measured.reason}"
        return Conclusion("randomisation", text)
    last, verdict = measured.similarity[-1], "they depend on what the model learned"
    if not measured.fit:
        verdict = "they reflect the image rather than the model"
    ends = f", 95% interval {number(last.ci95[0], 2)} to {number(last.ci95[1], 2)}" if last.ci95 else ""
    return Conclusion(
        "randomisation",
        f"With all {measured.layers[-1]} weight arrays of the {label} random, its maps have a rank correlation of "
        f"{number(last.value, 2)} with the original maps{ends}: {verdict}.",
        measured.as_metrics(),
        f"Student's interval, {last.n:,} validation images",
    )


def evidence(
    label: str, perturbed: Perturbation | Unmeasured, randomised: Randomised | Unmeasured
) -> Conclusion:
    """Return whether the maps are fit for evidence: they depend on the weights, and deletion lowers the confidence.

    Example:
        `run.conclude(conclusions.evidence(chosen.label, perturbed, randomised))`
    """
    why = "deleting what they mark does not lower the confidence significantly faster than random order"
    fit = False
    if isinstance(perturbed, Unmeasured):
        text = f"There are no Grad-CAM maps of the {label} that could serve as evidence. {perturbed.reason}"
        return Conclusion("evidence", text, {"fit": False})
    if isinstance(randomised, Unmeasured) or not randomised.fit:
        why = "they do not depend on its weights"
    elif (deletion := perturbed.gains["deletion"].ci95) and deletion[1] < 0:
        why = "they depend on its weights, and deleting what they mark lowers the confidence faster than random order"
        fit = True
    text = f"The Grad-CAM maps of the {label} are {'fit' if fit else 'not fit'} for evidence: {why}."
    return Conclusion("evidence", text, {"fit": fit})
