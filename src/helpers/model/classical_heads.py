"""Heads that are fitted in one go: logistic regression and linear discriminant analysis.

Each becomes one dense layer with a softmax, with the standardisation of the features folded into it, so that `transfer.join`
makes it part of a model that every export format expresses.
"""

from collections.abc import Callable

import keras
import numpy as np
import scipy
import threadpoolctl
from keras import Model, layers
from sklearn.linear_model import LogisticRegression

STRENGTHS: dict[str, tuple[float, ...]] = {
    # C: below, 2,000 photographs are underfitted; above, the solver takes longer and no set tried was more accurate
    "logistic": (0.003, 0.01, 0.03),
    # fraction of the covariance that is replaced by its mean variance
    "lda": (0.3, 0.6, 0.9),
}
"""The settings of each head that are compared; the middle one is used where nothing is compared."""

_TOLERANCE = 1e-3  # the labels are those of scikit-learn's 1e-4, in two thirds of the steps
# of the features' typical deviation; on digits, Keras and ONNX then agree four times as closely
_FLATTEST = 0.01
_ABSENT = -1e4  # logit of a class without training images, which a fold may lack: its probability is 0


def fit(
    name: str,
    strength: float,
    values: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    weights: np.ndarray | None = None,
) -> Model:
    """Fit a head on features and return it as a Keras model, `float32 [N, F]` → `float32 [N, K]`.

    Args:
        name: a key of `STRENGTHS`.
        strength: one of its settings.
        values: features of the training images, `float32 [N, F]`.
        labels: `[N] int64`.
        num_classes: number of classes, K. A class without training images gets the probability 0.
        weights: how much each image counts, `[N] float64`; None if all count the same.

    Example:
        `top = classical_heads.fit("logistic", 0.01, features, train.labels, train.num_classes)`
    """
    if weights is None:
        weights = np.ones(len(labels))
    values, labels, weights = (array[weights > 0] for array in (values, labels, weights))
    weights = weights / weights.mean()
    mean = np.average(values, axis=0, weights=weights)
    deviation = np.sqrt(np.average(np.square(values - mean), axis=0, weights=weights))
    # a feature that hardly varies is mostly rounding; scaled up, it would make a head whose formats disagree
    deviation = np.maximum(deviation, _FLATTEST * np.sqrt(np.mean(np.square(deviation))) or 1.0)
    rows = (values - mean) / deviation
    present, numbers = np.unique(labels, return_inverse=True)
    kernel, bias = np.zeros((values.shape[1], num_classes)), np.full(num_classes, _ABSENT)
    bias[present] = 0.0
    if len(present) > 1:
        # the solver's many small products take ten times as long in several threads that wait for each other
        with threadpoolctl.threadpool_limits(1 if name == "logistic" else None):
            kernel[:, present], bias[present] = _LINEAR[name](rows, numbers, weights, strength)
    kernel /= deviation[:, None]
    inputs = keras.Input((values.shape[1],), name="features")
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(inputs)
    top = Model(inputs, outputs, name="head")
    top.get_layer("probabilities").set_weights([kernel, bias - mean @ kernel])
    return top


def _logistic(
    rows: np.ndarray, numbers: np.ndarray, weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel `[F, K]` and bias `[K]` of a logistic regression with an L2 penalty."""
    model = LogisticRegression(C=strength, tol=_TOLERANCE, max_iter=500).fit(rows, numbers, weights)
    if len(model.coef_) == 1:  # two classes: scikit-learn fits the logit of the second against the first
        return np.vstack([0 * model.coef_, model.coef_]).T, np.append(0.0, model.intercept_)
    return model.coef_.T, model.intercept_


def _lda(
    rows: np.ndarray, numbers: np.ndarray, weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of a linear discriminant analysis with a shrunk covariance.

    The same as scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr")`, which takes no weights, in a tenth of its time.
    Source: T. Hastie, R. Tibshirani and J. Friedman (2009), "The elements of statistical learning", section 4.3.
    """
    of_class = np.bincount(numbers, weights)
    member = scipy.sparse.csr_array((weights, (numbers, np.arange(len(numbers)))))
    means = (member @ rows) / of_class[:, None]
    centred = (rows - means[numbers]) * np.sqrt(weights / weights.sum())[:, None]
    # at least a thousandth of the features' variance: with one image of each class there is none within classes
    ridge = max(strength * np.square(centred).sum() / rows.shape[1], 1e-3)
    if len(rows) < rows.shape[1]:  # the inverse by Woodbury's identity: a matrix of images, not of features
        gram = (1 - strength) * (centred @ centred.T) + ridge * np.eye(len(rows))
        inner = scipy.linalg.solve(gram, centred @ means.T, assume_a="pos")
        kernel = (means.T - (1 - strength) * (centred.T @ inner)) / ridge
    else:
        covariance = (1 - strength) * (centred.T @ centred) + ridge * np.eye(rows.shape[1])
        kernel = scipy.linalg.solve(covariance, means.T, assume_a="pos")
    return kernel, np.log(of_class / of_class.sum()) - 0.5 * np.sum(means.T * kernel, axis=0)


_LINEAR: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {"logistic": _logistic, "lda": _lda}
