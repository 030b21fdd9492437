"""The diagnosis of learning curves says what a person sees in them, and no more."""

import numpy as np
import pytest

from helpers import wording
from helpers.model.diagnosis import diagnose

EPOCHS = np.arange(1, 21)


def curves(loss, val_loss, accuracy=0.9, val_accuracy=0.9) -> dict[str, list[float]]:
    """Return a history; an accuracy may be that of the last epoch."""
    accuracies = {"accuracy": accuracy, "val_accuracy": val_accuracy}
    filled = {name: [*[0.5] * (len(loss) - 1), value] for name, value in accuracies.items()}
    return {"loss": list(loss), "val_loss": list(val_loss), **filled}


# the three curves that were once called flat and close, read off the figures of a standard run on Fashion-MNIST
CNN = curves(
    [0.63, 0.37, 0.31, 0.275, 0.248, 0.23, 0.205, 0.185, 0.165, 0.143, 0.128, 0.119],
    [0.40, 0.387, 0.286, 0.29, 0.291, 0.267, 0.279, 0.243, 0.232, 0.232, 0.231, 0.233],
    0.957, 0.922,
)  # fmt: skip
DENSE = curves(
    [0.72, 0.462, 0.425, 0.417, 0.405, 0.386, 0.372, 0.357, 0.342, 0.331,
     0.312, 0.30, 0.288, 0.277, 0.268, 0.257, 0.249, 0.246, 0.241, 0.239],
    [0.482, 0.425, 0.423, 0.401, 0.407, 0.362, 0.372, 0.358, 0.353, 0.355,
     0.344, 0.329, 0.333, 0.323, 0.323, 0.319, 0.323, 0.317, 0.316, 0.316],
    0.911, 0.888,
)  # fmt: skip
HEAD = curves(
    [0.59, 0.444, 0.427, 0.393, 0.36, 0.327, 0.298, 0.266, 0.246, 0.231],
    [0.366, 0.39, 0.36, 0.354, 0.354, 0.322, 0.307, 0.303, 0.298, 0.297],
    0.912, 0.893,
)  # fmt: skip
# both fall together, and once more as the learning rate falls to zero
ANNEALED = curves(
    [0.987, 0.812, 0.761, 0.735, 0.702, 0.675, 0.654],
    [0.776, 0.719, 0.696, 0.682, 0.673, 0.663, 0.658],
    0.930, 0.931,
)  # fmt: skip
UNDERFITTED = curves(1.5 - 0.02 * EPOCHS, 1.3 - 0.02 * EPOCHS, 0.61, 0.66)
OVERFITTED = curves(0.8**EPOCHS, 0.4 + 0.002 * (EPOCHS - 6) ** 2, 0.99, 0.85)
WELL_FITTED = curves(0.2 + 0.8**EPOCHS, 0.21 + 0.8**EPOCHS, 0.93, 0.925)
STILL_IMPROVING_BUT_APART = curves([0.9, 0.5, 0.3], [1.0, 0.75, 0.55], 0.93, 0.85)
# fine-tuning on 109 photographs
MEMORISED = curves(
    [0.110, 0.056, 0.028, 0.056, 0.024, 0.013, 0.018],
    [0.667, 0.787, 1.04, 1.28, 1.26, 1.227, 1.228],
    0.991,
    0.769,
)
DIVERGING = curves([0.9, 0.5, 0.4, 0.7, 2.0], [0.8, 0.5, 0.5, 0.9, 2.2], 0.3, 0.3)
NOT_A_NUMBER = curves([0.9, 0.5, np.nan], [0.8, 0.5, 0.6], 0.3, 0.3)


@pytest.mark.parametrize(
    ("history", "said"),
    [
        (CNN, "growing variance: from epoch 9 to 12 the training loss changed by −28% and the validation loss by +0.4%; the "
              "validation loss is now 2.0 times the training loss"),
        (DENSE, "growing variance: from epoch 14 to 20 the training loss changed by −14%"),
        (HEAD, "growing variance: from epoch 8 to 10 the training loss changed by −13%"),
        (ANNEALED, "no overfitting: the validation loss is now 1.0 times the training loss"),
        (MEMORISED, "overfitting: the validation loss was lowest after epoch 1 and has risen by 84% since"),
        (WELL_FITTED, "no overfitting"),
        (UNDERFITTED, "high bias"),
        (OVERFITTED, "overfitting: the validation loss was lowest after epoch 6 and has risen by 98% since"),
        (STILL_IMPROVING_BUT_APART, "high variance: the validation loss is now 1.8 times the training loss"),
        (DIVERGING, "divergence, as the training loss has risen since epoch 3"),
        (NOT_A_NUMBER, "divergence, as the training loss has risen since epoch 2"),
        (curves([0.7], [0.7]), "too little to tell bias from variance"),
        (curves([0.10], [0.39], 0.99, 0.82) | {"converged": [1.0]}, "high variance"),
        (curves([0.30], [0.31]) | {"converged": [1.0]}, "no overfitting"),
    ],
)  # fmt: skip
def test_diagnosis_is_what_a_person_sees(history, said):
    text = diagnose(history)
    assert text.startswith(said), text
    assert f"{history['val_accuracy'][-1]:.1%}" in text


def test_diagnosis_does_not_depend_on_the_scale_of_time():
    """Each value twice is the same picture."""
    for history in (CNN, OVERFITTED, WELL_FITTED, UNDERFITTED):
        stretched = {name: np.repeat(values, 2).tolist() for name, values in history.items()}
        assert diagnose(stretched).split(":")[0] == diagnose(history).split(":")[0]


def test_diagnosis_rounds_an_accuracy_like_the_rest_of_the_project():
    accuracy = float(np.float32(0.9085))
    assert wording.percent(accuracy) != wording.percent(0.9085), "no example of what is meant"
    assert f"validation {wording.percent(0.9085)}" in diagnose(curves([0.5], [0.5], 0.9, accuracy))


def test_difference_of_the_diagnosis_has_one_digit_more_than_the_numbers_beside_it():
    text = diagnose(curves([0.5, 0.4], [0.5, 0.4], 0.93049, 0.92949))
    assert text.endswith(
        "(last epoch: training accuracy 93.0%, validation 92.9%, a difference of +0.10 points)"
    )
