"""Every head on frozen features is expressed by every format."""

import keras
import numpy as np
import pytest
from keras import layers

from helpers.export import formats, score
from helpers.model import classical_heads, transfer
from helpers.model.backbones import features

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def backbone() -> keras.Model:
    """Return two stages, so that there are features of an inner map too."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16, 16, 1), name="image")
    x = layers.Rescaling(1 / 255)(x)
    for name, channels in (("stem", 4), ("block0", 6), ("block1", 8)):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu", name=f"{name}_conv")(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("name", classical_heads.STRENGTHS)
def test_joined_model_predicts_the_same_in_other_formats(name, tmp_path):
    base, labels = backbone(), np.arange(30, dtype=np.int64) % 3
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), dtype=np.uint8)
    images[labels == 1, :8], images[labels == 2, :, :8] = 0, 0
    values = features.pooled(base)(images.astype(np.float32)).numpy()
    assert values.shape == (30, 14)
    top = classical_heads.fit(name, classical_heads.STRENGTHS[name][1], values, labels, 3)
    model = transfer.join(base, top, "transfer")
    model.save(tmp_path / "model.keras")
    formats.write_all(model, tmp_path / "model.keras", tmp_path / "version", images[:20])
    expected = transfer.head_probabilities(top, values)
    again = keras.models.load_model(tmp_path / "model.keras")(images.astype(np.float32)).numpy()
    assert np.abs(again - expected).max() < 1e-5
    for runtime, file in (("onnx", "model.onnx"), ("litert", "model.tflite")):
        predicted = score.LOADERS[runtime](str(tmp_path / "version" / file))(images)
        assert np.abs(predicted - expected).max() < 1e-5, runtime
    integers = score.LOADERS["litert"](str(tmp_path / "version" / "model_int8.tflite"))(images)
    assert np.mean(integers.argmax(axis=1) == expected.argmax(axis=1)) > 0.9
