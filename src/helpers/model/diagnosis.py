"""The diagnosis of learning curves: bias, variance or divergence."""

from collections.abc import Mapping, Sequence

import numpy as np

from helpers import wording

# chosen by the curves of tests/model/test_diagnosis.py, which people judged
_RISEN = 1.02  # times its lowest value: a validation loss moves by about 1% from epoch to epoch
_DIVERGED = 1.1  # times its lowest value: batches alone move a training loss by less
# of what it had fallen since the first epoch: of few images, a loss near zero doubles by a single one
_REGAINED = 0.1
# between the logarithms of the losses, and between the accuracies: less is usual of a good fit
_MUCH, _MUCH_POINTS = 0.15, 2.0
_APART, _APART_POINTS = 0.3, 4.0  # from here on the curves are apart even if both still improve
# of the rate at which the training loss falls: slower, the validation loss has all but stopped
_SLOWER = 0.25
# training accuracy below validation accuracy: more than an epoch's average lags behind its end
_BELOW_POINTS = 3.0


def diagnose(history: Mapping[str, Sequence[float]]) -> str:
    """Return the diagnosis of learning curves as a noun phrase, with the last epoch's numbers.

    It compares the two losses over the last third of the epochs: how fast each falls, how far they are apart, and since when the
    validation loss has hardly improved. That accuracy still rises at the end is left out of it: when the learning rate falls to
    zero, it always does.

    Args:
        history: `{"loss": […], "accuracy": […], "val_loss": […], "val_accuracy": […]}`, one value per epoch; and "converged" for
            a head that was fitted in one go.

    Example:
        `diagnosis.diagnose(fit.history)`
    """
    # Keras's values have single precision: unrounded, they could be displayed with another last digit than elsewhere
    fitted, held_out = (round(history[name][-1], 6) for name in ("accuracy", "val_accuracy"))
    gap = 100 * (fitted - held_out)
    when = "" if "converged" in history else "last epoch: "
    return (
        f"{_verdict(history, gap)} ({when}training accuracy {wording.percent(fitted)}, validation "
        f"{wording.percent(held_out)}, a difference of "
        f"{wording.signed(gap)} points)"
    )


def _verdict(history: Mapping[str, Sequence[float]], gap: float) -> str:
    losses, held_out = (np.asarray(history[name], np.float64) for name in ("loss", "val_loss"))
    epochs = len(losses)
    if epochs == 1 and "converged" not in history:
        return "too little to tell bias from variance, as there is only one epoch"
    lowest = np.nanmin(losses)
    if not losses[-1] <= max(
        _DIVERGED * lowest, lowest + _REGAINED * (losses[0] - lowest)
    ):  # true of NaN, too
        return f"divergence, as the training loss has risen since epoch {int(np.nanargmin(losses)) + 1}"
    apart, last = float(np.log(held_out[-1] / losses[-1])), max(3, round(epochs / 3))
    ratio = f"the validation loss is now {np.exp(apart):.1f} times the training loss"
    best = int(held_out.argmin())
    if (apart > _MUCH or gap > _MUCH_POINTS) and held_out[-1] > _RISEN * held_out[best]:
        return (
            f"overfitting: the validation loss was lowest after epoch {best + 1} and has risen by "
            f"{wording.percent(held_out[-1] / held_out[best] - 1, 0)} since, while the training loss fell"
        )
    fitted_rate, held_out_rate = (_fall(values[-last:]) for values in (losses, held_out))
    if apart > _MUCH and held_out_rate < _SLOWER * fitted_rate:
        # the first epoch that is about as good as the best one
        stopped = int(np.argmax(held_out <= _RISEN * held_out[best]))
        start = min(stopped, max(epochs - last, 0))
        changes = (
            f"{wording.signed(100 * (values[-1] / values[start] - 1), 0)}%" for values in (losses, held_out)
        )
        return (
            f"growing variance: from epoch {start + 1} to {epochs} the training loss changed by {next(changes)} and the validation "
            f"loss by {next(changes)}; {ratio}"
        )
    if apart > _APART or gap > _APART_POINTS:
        return f"high variance: {ratio}"
    if gap < -_BELOW_POINTS:
        return (
            "high bias: the model does not yet fit its training images, which dropout or augmentation makes harder than the "
            "validation images"
        )
    return f"no overfitting: {ratio}"


def _fall(losses: np.ndarray) -> float:
    """Return how fast a loss's logarithm falls per epoch, by least squares; 0 for one epoch."""
    return -float(np.polyfit(np.arange(len(losses)), np.log(losses), 1)[0]) if len(losses) > 1 else 0.0
