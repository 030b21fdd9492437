"""What may explain the mistakes in the report's explorer: where the model looked, and the training images most like them."""

import numpy as np
import pandas as pd
import tensorflow as tf
from keras import Model
from sklearn.neighbors import NearestNeighbors

from helpers.errors import OsemnError
from helpers.interpret import gradcam
from helpers.interpret.explored import MOST_MISTAKES, Explored
from helpers.obtain.data import Dataset

NEAR = 3  # training images beside a mistake: half a row on a phone
MAP_SIDE = 12  # pixels of a saved map: last feature maps have 4 to 14, and four candidates then take 0.3 MB


def explain(
    explorer: Explored,
    model: Model,
    test: Dataset,
    scored: tuple[np.ndarray, np.ndarray],
    training: Dataset,
    index: pd.DataFrame,
    searched: tuple[np.ndarray, np.ndarray],
) -> Explored:
    """Return an explorer with what may explain its most confident mistakes.

    For each there is the Grad-CAM map of the predicted class, and the training images with the most similar features, by
    the cosine.

    Args:
        explorer: of the test part.
        model: the candidate.
        test: the test part, at the model's side.
        scored: probabilities, `[N, K]`, and embeddings, `[N, D]`, of the test images, as `candidates.scorer` returns them.
        training: the complete training part, at the model's side.
        index: its rows of the index, in its order.
        searched: rows of the training images among which the most similar ones are looked for, `[M] int64`, and their
            embeddings, `[M, D]`.

    Example:
        `explored_mistakes.explain(explorer, chosen.model, test, scored, everything, index_table, (learnt.rows, learnt.embeddings))`
    """
    probabilities, embeddings = (np.asarray(values)[explorer.rows] for values in scored)
    wrong = probabilities.argmax(axis=1) != test.labels[explorer.rows]
    images = np.argsort(-np.where(wrong, probabilities.max(axis=1), 0), kind="stable")[:MOST_MISTAKES]
    images = images[wrong[images]]
    if not len(images):
        return explorer
    maps = _maps(model, test.images[explorer.rows[images]], probabilities[images].argmax(axis=1))
    rows, known = searched
    search = NearestNeighbors(n_neighbors=min(NEAR, len(rows)), metric="cosine").fit(known)
    near = rows[search.kneighbors(embeddings[images], return_distance=False)]
    return explorer.with_mistakes(images, maps, near, training, index)


def _maps(model: Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return Grad-CAM maps at the size at which they are saved, as means of their pixels, `float32 [N, h, w]`."""
    try:
        maps = gradcam.GradCam(model)(images, classes).maps
    except OsemnError:  # it has no convolution
        return np.zeros((len(images), 0, 0), np.float32)
    size = [min(MAP_SIDE, side) for side in maps.shape[1:]]
    return tf.image.resize(maps[..., None], size, "area").numpy()[..., 0]
