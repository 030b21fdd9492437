"""What may explain the mistakes in the report's explorer: where the model looked, and the training images most like them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import tensorflow as tf
from keras import Model
from sklearn.neighbors import NearestNeighbors

from helpers.interpret import gradcam_evidence
from helpers.interpret.explored import MOST_MISTAKES, SMALL_SIDE, Explored
from helpers.obtain.data import Dataset
from helpers.obtain.splits import stratified_sample

NEAR = 3  # training images beside a mistake: half a row on a phone
MOST_SMALL, MOST_LARGE = 3_000, 400  # training images searched: seconds for a backbone at 64 and at 224 px
MAP_SIDE = 12  # pixels of a saved map: last feature maps have 4 to 14, and four candidates then take 0.3 MB


def explain(
    explorer: Explored,
    model: Model,
    scorer: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    test: Dataset,
    scored: tuple[np.ndarray, np.ndarray],
    training: Dataset,
    index: pd.DataFrame,
    seed: int,
) -> Explored:
    """Return an explorer with what may explain its most confident mistakes.

    For each there is the Grad-CAM map of the predicted class, and the training images with the most similar features, by
    the cosine. They are looked for in a stratified sample.

    Args:
        explorer: of the test part.
        model: the candidate.
        scorer: `candidates.scorer(model)`.
        test: the test part, at the model's side.
        scored: probabilities, `[N, K]`, and embeddings, `[N, D]`, of the test images, as `scorer` returns them.
        training: the complete training part, at the model's side.
        index: its rows of the index, in its order.
        seed: of the sample.

    Example:
        `explorer = explored_mistakes.explain(explorer, chosen.model, scorer, test, scored, everything, index_table, seed)`
    """
    probabilities, embeddings = (np.asarray(values)[explorer.rows] for values in scored)
    wrong = probabilities.argmax(axis=1) != test.labels[explorer.rows]
    images = np.argsort(-np.where(wrong, probabilities.max(axis=1), 0), kind="stable")[:MOST_MISTAKES]
    images = images[wrong[images]]
    if not len(images):
        return explorer
    maps = gradcam_evidence.explain(model, test.subset(explorer.rows[images])).maps
    maps = _reduced(maps) if len(maps) else np.zeros((len(images), 0, 0), np.float32)
    most = MOST_SMALL if min(training.image_shape[:2]) <= SMALL_SIDE else MOST_LARGE
    sample = stratified_sample(training.labels, most, seed)
    known = scorer(training.images[sample])[1]
    search = NearestNeighbors(n_neighbors=min(NEAR, len(sample)), metric="cosine").fit(known)
    near = sample[search.kneighbors(embeddings[images], return_distance=False)]
    return explorer.with_mistakes(images, maps, near, training, index)


def _reduced(maps: np.ndarray) -> np.ndarray:
    """Return maps at the size at which they are saved, as means of their pixels, `float32 [N, h, w]`."""
    size = [min(MAP_SIDE, side) for side in maps.shape[1:]]
    return tf.image.resize(maps[..., None], size, "area").numpy()[..., 0]
