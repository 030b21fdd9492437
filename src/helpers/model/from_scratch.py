"""Networks trained from scratch: the little time that they get on few photographs, and what overfitting looks like."""

from collections.abc import Mapping

from helpers import wording
from helpers.model.diagnosis import diagnose
from helpers.obtain.data import Dataset
from helpers.series.conclusions import Conclusion, Conclusions

MINIMAL = {
    "dense_epochs": 4,  # the dense network never becomes the champion
    "cnn_epochs": 4,  # as many as quick asks for of larger sets
    "trials": 1,  # the defaults
    "trial_epochs": 1,  # one trial is compared with nothing
    "epochs": 4,  # as for the CNN of 04, with which the network is compared
    "seeds": 1,
    "default_seeds": 0,  # the only trial has the defaults
}
"""The most that 04 and 09 spend on few photographs, by parameter."""


def budget(train: Dataset, limit: int, **wanted: int) -> tuple[dict[str, int], Conclusions]:
    """Return parameters of 04 or 09 as they are, or at most those of `MINIMAL` if there are few photographs.

    Args:
        train: the training part.
        limit: number of photographs, read from disk, from which on nothing is reduced.
        **wanted: parameters among `MINIMAL`.

    Returns:
        The values, and a conclusion that gives the reason; none if there are enough photographs.

    Example:
        `budget, reason = from_scratch.budget(train, from_scratch_images, cnn_epochs=cnn_epochs)`
    """
    if not train.from_disk or len(train) >= limit:
        return wanted, Conclusions()
    values = {name: min(value, MINIMAL[name]) for name, value in wanted.items()}
    settings = [f"{name.replace('_', ' ')} {value}" for name, value in values.items()]
    text = (
        f"There are {len(train):,} training photographs, fewer than {limit:,}. On so few, networks pretrained on ImageNet "
        "are usually more accurate than networks trained from scratch, so the time goes into 05 and 06, and this notebook "
        f"spends little: {wording.listing(settings)}."
    )
    reduced = Conclusion("from_scratch", text, {"images": len(train), "limit": limit, **values})
    return values, Conclusions([reduced])


def overfitting(histories: Mapping[str, dict[str, list[float]]], images: int) -> Conclusion:
    """Conclude what overfitting looks like, and what each remedy changes.

    Args:
        histories: the training without a remedy, then those with one, by name; as of `keras.Model.fit`.
        images: number of images that each was fitted on.

    Example:
        `run.conclude(from_scratch.overfitting({"no remedy": plain, "dropout": other}, images=6_000))`
    """
    ends = {
        name: {key: 100 * history[key][-1] for key in ("accuracy", "val_accuracy")}
        for name, history in histories.items()
    }
    gaps = {name: end["accuracy"] - end["val_accuracy"] for name, end in ends.items()}
    plain, *remedies = histories
    changes = [
        f"With {name} the difference is {wording.signed(gaps[name])} points, and validation accuracy changes by "
        f"{wording.signed(ends[name]['val_accuracy'] - ends[plain]['val_accuracy'])} points."
        for name in remedies
    ]
    diagnosis = diagnose(histories[plain])
    text = f"On {images:,} images, the learning curves of a dense network with {plain} show {diagnosis}."
    return Conclusion("overfitting", " ".join([text, *changes]), {"ends": ends, "gaps": gaps})
