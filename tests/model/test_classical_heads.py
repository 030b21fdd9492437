"""Heads fitted in one go compute what scikit-learn computes, as Keras layers."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.model import classical_heads, transfer

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def clusters(n: int, classes: int, features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % classes
    centres = np.random.default_rng(9).normal(size=(classes, features))
    values = 5 + 3 * (centres[labels] + generator.normal(size=(n, features)))
    return values.astype(np.float32), labels


@pytest.mark.parametrize("features", [6, 90])  # more images than features, and fewer
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", ["logistic", "lda"])
def test_linear_heads_give_the_probabilities_of_scikit_learn(name, classes, features):
    values, labels = clusters(60, classes, features)
    models = {
        "logistic": LogisticRegression(C=0.05, tol=1e-3, max_iter=500),
        "lda": LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.05),
    }
    expected = make_pipeline(StandardScaler(), models[name]).fit(values.astype(float), labels)
    top = classical_heads.fit(name, 0.05, values, labels, classes)
    unseen = clusters(40, classes, features, seed=1)[0]
    predicted = transfer.head_probabilities(top, unseen)
    assert np.abs(predicted - expected.predict_proba(unseen.astype(float))).max() < 1e-5


@pytest.mark.parametrize("name", classical_heads.STRENGTHS)
def test_an_image_of_weight_two_counts_as_two_images_and_one_of_weight_zero_not_at_all(name):
    values, labels = clusters(40, 2)
    weights = np.ones(40)
    weights[:8], weights[8:12] = 2.0, 0.0
    rows = np.concatenate([np.arange(8), np.arange(8), np.arange(12, 40)])
    strength = classical_heads.STRENGTHS[name][1]
    # the penalty of a logistic regression is weighed against the mean image, not against their sum
    other = strength * len(rows) / np.sum(weights > 0) if name == "logistic" else strength
    weighted = classical_heads.fit(name, other, values, labels, 2, weights)
    copied = classical_heads.fit(name, strength, values[rows], labels[rows], 2)
    one, two = (transfer.head_probabilities(top, values) for top in (weighted, copied))
    assert np.abs(one - two).max() < 1e-4
    plain = transfer.head_probabilities(classical_heads.fit(name, strength, values, labels, 2), values)
    assert np.abs(one - plain).max() > 1e-3


@pytest.mark.parametrize("name", classical_heads.STRENGTHS)
def test_class_without_images_gets_the_probability_zero(name):
    values, labels = clusters(30, 3)
    present = labels != 1
    top = classical_heads.fit(name, classical_heads.STRENGTHS[name][1], values[present], labels[present], 3)
    predicted = transfer.head_probabilities(top, values)
    assert predicted[:, 1].max() == 0
    assert np.allclose(predicted.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", classical_heads.STRENGTHS)
def test_single_class_and_constant_features_are_not_a_problem(name):
    values = np.ones((5, 4), np.float32)
    top = classical_heads.fit(name, 0.1, values, np.ones(5, np.int64), 2)
    assert np.allclose(transfer.head_probabilities(top, values), [0, 1], atol=1e-6)


@pytest.mark.parametrize("name", classical_heads.STRENGTHS)
def test_a_feature_that_hardly_varies_makes_no_steep_head(name):
    """Its variation is rounding, which differs between formats; scaled up, it would decide."""
    values, labels = clusters(60, 2)
    values[:, 0] = 5 + 1e-6 * np.arange(60) % 7
    kernel, _ = classical_heads.fit(name, 0.05, values, labels, 2).layers[-1].get_weights()
    assert np.abs(kernel[0]).max() < 100 * np.abs(kernel[1:]).max()
