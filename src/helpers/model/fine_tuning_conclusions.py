"""What fine-tuning establishes about its budget, its augmentation and unequal classes, worded once."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from helpers import wording
from helpers.model import class_balance
from helpers.model.class_balance import AUTO, Adjustment
from helpers.model.fine_tuning import FineTuned
from helpers.model.interpolation import Mixture
from helpers.scrub.augment import AugmentationPolicy
from helpers.series.conclusions import Conclusion
from helpers.series.metrics import Metric

_STRATEGIES = {
    "none": "All images count the same",
    "balanced": "Classes are weighted by the inverse of their number of images",
    "sqrt": "Classes are weighted by the inverse square root of their number of images",
    "sampling": "Images are drawn so that all classes are equally frequent in training",
    "logit_adjustment": "The classes' proportions are added to the logits in training",
}


def epochs(titles: Mapping[str, str], tuned: Mapping[str, FineTuned], most: int) -> Conclusion:
    """Conclude how many epochs were planned and trained, and why.

    Args:
        titles: by name, the variants in a sentence.
        tuned: by name, their fine-tuning.
        most: the largest number of epochs.

    Example:
        `run.conclude(fine_tuning_conclusions.epochs(titles, tuned, most))`
    """
    sentences, numbers = [], {}
    for name, result in tuned.items():
        done, plan = len(result.fit.history["loss"]), result.plan
        text = f"{wording.capital(titles[name])} {'were' if name.endswith('s') else 'was'} trained for {wording.count(done, 'epoch')}"
        if result.stopped_early:
            text += ", as the metric no longer rose on the validation images"
        elif plan is None:
            text += ", as set: there is no budget in minutes"
        else:
            text += (
                f": by its first steps an epoch takes {wording.duration(plan.epoch_seconds)}, so {plan.epochs} of "
                f"{plan.most} fit into the budget of {plan.minutes:g} min"
            )
        sentences.append(f"{text}. Epoch {result.best_epoch + 1} is the best one.")
        numbers[name] = {"epochs": done, "most": most, "plan": None if plan is None else asdict(plan)}
    return Conclusion("epochs", " ".join(sentences), numbers)


def augmentation(policy: AugmentationPolicy | None, mixup: float = 0.0, cutmix: float = 0.0) -> Conclusion:
    """Conclude how the training images are changed.

    Args:
        policy: as used; None for no augmentation.
        mixup: α of MixUp, 0 for none.
        cutmix: α of CutMix, 0 for none.

    Example:
        `run.conclude(fine_tuning_conclusions.augmentation(policy, mixup, cutmix))`
    """
    described = {} if policy is None else policy.describe()
    kinds = {kind: size for kind, size in described.items() if size != "off"}
    kinds |= {name: f"α = {alpha:g}" for name, alpha in (("MixUp", mixup), ("CutMix", cutmix)) if alpha}
    text = "Training images are not augmented."
    if kinds:
        changes = wording.listing([f"{kind} ({size})" for kind, size in kinds.items()])
        text = f"Training images are changed by {changes}."
    return Conclusion("augmentation", text, {"kinds": kinds})


def mixture(title: str, mixed: Mixture, metric: Metric) -> Conclusion:
    """Conclude which mixture of the weights before and after fine-tuning the model has.

    Args:
        title: the variant in a sentence.
        mixed: from `interpolation.choose`.
        metric: of the series.

    Example:
        `run.conclude(fine_tuning_conclusions.mixture(titles[name], mixtures[name], metric))`
    """
    best, scores = mixed.fraction, mixed.scores
    described = wording.listing(
        [f"{score:.3f} at {wording.percent(fraction, 0)}" for fraction, score in scores.items()]
    )
    result = {
        0.0: "Fine-tuning did not raise it, so the model has the weights of 05_transfer_learning",
        1.0: "The model has the fine-tuned weights",
    }
    text = (
        f"On the way from the frozen to the fine-tuned weights ({title}), the {metric.title} on {mixed.images:,} validation "
        f"images is {described}. {result.get(best, f'The model has the weights at {wording.percent(best, 0)}')}."
    )
    numbers = {"fraction": best, "scores": {f"{key:g}": value for key, value in scores.items()}}
    return Conclusion("mixture", text, numbers, "Chosen on the validation images")


def class_weights(
    strategy: str, metric: Metric, counts: np.ndarray, adjustment: Adjustment, as_in_05: bool
) -> Conclusion:
    """Conclude what was done about unequal classes.

    Args:
        strategy: as set.
        metric: of the series.
        counts: training images of each class, `[K] int64`.
        adjustment: from `class_balance.choose`.
        as_in_05: whether the model has the weights of 05_transfer_learning.

    Example:
        `run.conclude(fine_tuning_conclusions.class_weights(class_weights, metric, counts, adjustment, as_in_05))`
    """
    ratio = counts.max() / max(1, counts.min())
    text = f"{wording.capital(wording.class_sizes(ratio))}. "
    if as_in_05:
        text += "The model is that of 05_transfer_learning, whose head was chosen with its class weights."
    elif strategy != AUTO:
        text += f"{_STRATEGIES[strategy]}, as set."
    elif not adjustment.scores:
        if class_balance.unequal(counts):
            text += "This head has no logits that could be adjusted. "
        text += "All images count the same."
    else:
        best, plain = adjustment.scores[adjustment.exponent], adjustment.scores[0.0]
        tried = wording.listing([f"{exponent:g}" for exponent in adjustment.scores])
        text += (
            f"Of the exponents {tried} of a logit adjustment, {adjustment.exponent:g} has the best {metric.title} on the "
            f"validation images: {best:.3f}, against {plain:.3f} without an adjustment. "
        )
        text += (
            "Probabilities are those of the training images' proportions."
            if not adjustment.exponent
            else (
                "It is part of the model; metrics.json holds the numbers that restore the probabilities of the proportions."
            )
        )
    numbers = {"strategy": strategy, "ratio": float(ratio), **adjustment.as_metrics()}
    return Conclusion(
        "class_weights", text, numbers, "Chosen on the validation images" if adjustment.scores else ""
    )
