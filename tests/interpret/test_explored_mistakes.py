"""The most confident mistakes have maps of where the model looked, and the training images with the most similar features."""

import numpy as np
import pandas as pd
import pytest

from helpers.interpret import candidates, explored, explored_mistakes
from helpers.obtain.data import Dataset

keras = pytest.importorskip("keras")
SIDE, CLASSES = 12, 3


def part(count: int, seed: int) -> tuple[Dataset, pd.DataFrame]:
    images = np.random.default_rng(seed).integers(0, 255, (count, SIDE, SIDE, 1)).astype(np.uint8)
    index = pd.DataFrame({"path": [f"{row}.png" for row in range(count)], "group": "", "sha256": f"{0:064x}"})
    return Dataset(images, np.arange(count) % CLASSES, tuple("abc")), index


def network(*, convolution: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    first = [keras.layers.Conv2D(4, 3, activation="relu")] if convolution else []
    inside = [keras.layers.Rescaling(1 / 255), *first, keras.layers.Flatten(), keras.layers.Dense(6)]
    return keras.Sequential(
        [keras.Input((SIDE, SIDE, 1)), *inside, keras.layers.Dense(CLASSES, activation="softmax")]
    )


@pytest.mark.parametrize("convolution", [True, False])
def test_mistakes_have_maps_and_their_nearest_training_images(convolution: bool, monkeypatch) -> None:
    monkeypatch.setattr(explored_mistakes, "MOST_MISTAKES", 10)
    (test, of_test), (training, of_training) = part(60, 1), part(40, 2)
    model = network(convolution=convolution)
    scorer = candidates.scorer(model)
    probabilities, embeddings = scorer(test.images)
    shown = explored.of_test(test, embeddings, of_test, np.array([], int), seed=0)
    searched = np.arange(3, 40)
    known = scorer(training.images[searched])[1]
    explained = explored_mistakes.explain(
        shown, model, test, (probabilities, embeddings), training, of_training, (searched, known)
    ).mistakes
    assert len(explained.images) == 10
    assert (probabilities.argmax(axis=1)[explained.images] != test.labels[explained.images]).all()
    wrong = probabilities.argmax(axis=1) != test.labels
    assert probabilities[explained.images].max(axis=1).min() >= np.sort(probabilities[wrong].max(axis=1))[-10]
    assert explained.maps.shape[0] == 10
    assert (explained.maps.size > 0) == convolution
    unit = [
        values / np.linalg.norm(values, axis=1, keepdims=True)
        for values in (embeddings[explained.images], known)
    ]
    alike = unit[0] @ unit[1].T
    assert np.array_equal(
        explained.rows[explained.near], searched[np.argsort(-alike, axis=1)[:, : explored_mistakes.NEAR]]
    )


def test_without_a_mistake_there_is_nothing_to_explain() -> None:
    (test, index), model = part(20, 1), network(convolution=True)
    scorer = candidates.scorer(model)
    probabilities, embeddings = scorer(test.images)
    right = Dataset(test.images, probabilities.argmax(axis=1), test.class_names)
    shown = explored.of_test(right, embeddings, index, np.array([], int), seed=0)
    again = explored_mistakes.explain(
        shown, model, right, (probabilities, embeddings), right, index, (np.arange(20), embeddings)
    )
    assert again is shown
