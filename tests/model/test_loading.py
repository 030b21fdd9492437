"""Only Keras's own layers are loaded, and nothing that may contain code."""

import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from helpers.errors import OsemnError
from helpers.model import architectures, loading

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


@keras.saving.register_keras_serializable(package="elsewhere")
class Doubled(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def saved(path: Path, layer: layers.Layer) -> Path:
    image = keras.Input((4,))
    keras.Model(image, layers.Dense(2)(layer(image))).save(path)
    return path


def test_weights_have_one_hash_whatever_their_file(tmp_path):
    model = architectures.residual_cnn((12, 12, 1), 3, mean=[80.0], standard_deviation=[60.0], width=8)
    known = loading.weights_sha256(model)
    for name in ("first", "second"):
        model.save(tmp_path / f"{name}.keras")
        assert loading.weights_sha256(loading.load(tmp_path / f"{name}.keras")) == known
    weights = model.get_weights()
    model.set_weights([*weights[:-1], weights[-1] + 1e-6])
    assert loading.weights_sha256(model) != known


def test_model_of_this_project_is_loaded_and_predicts_the_same(tmp_path):
    model = architectures.averaging_views(
        architectures.residual_cnn((12, 12, 1), 3, mean=[80.0], standard_deviation=[60.0], width=8),
        flip=True,
        shift=1,
    )
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 1)).astype(np.float32)
    loaded = loading.load(tmp_path / "model.keras")
    assert np.array_equal(loaded(images).numpy(), model(images).numpy())


def test_lambda_layer_is_refused_and_its_code_not_run(tmp_path):
    path = saved(tmp_path / "model.keras", layers.Lambda(lambda x: x + 1, output_shape=(4,)))
    with pytest.raises(OsemnError, match="Lambda"):
        loading.load(path)


def test_class_that_is_not_keras_own_is_refused_by_name_even_where_it_is_registered(tmp_path):
    path = saved(tmp_path / "model.keras", Doubled())
    with pytest.raises(OsemnError, match="elsewhere>Doubled"):
        loading.load(path)


def test_class_inside_a_nested_model_is_refused(tmp_path):
    image = keras.Input((4,))
    inner = keras.Model(image, Doubled()(image))
    outer = keras.Input((4,))
    keras.Model(outer, layers.Dense(2)(inner(outer))).save(tmp_path / "model.keras")
    with pytest.raises(OsemnError, match="elsewhere>Doubled"):
        loading.check(tmp_path / "model.keras")


def test_hdf5_and_pickles_are_refused_under_any_name(tmp_path):
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save(tmp_path / "model.h5")
    for name in ("model.h5", "model.keras"):
        path = (tmp_path / "model.h5").replace(tmp_path / name)
        with pytest.raises(OsemnError, match=r"HDF5 file \(\.h5\), which may contain code"):
            loading.load(path)
        path.replace(tmp_path / "model.h5")
    (tmp_path / "model.keras").write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(OsemnError, match="is a pickle, which may run code"):
        loading.load(tmp_path / "model.keras")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"some text"])
def test_file_that_is_not_an_archive_is_refused(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(OsemnError, match="is not a model in Keras's format"):
        loading.load(tmp_path / "model.keras")


def test_incomplete_archive_and_missing_file_are_errors(tmp_path):
    path = saved(tmp_path / "model.keras", layers.ReLU())
    with zipfile.ZipFile(path) as archive:
        configuration = archive.read("config.json")
    with zipfile.ZipFile(tmp_path / "bare.keras", "w") as archive:
        archive.writestr("config.json", configuration)
    with pytest.raises(OsemnError, match=r"bare\.keras cannot be loaded"):
        loading.load(tmp_path / "bare.keras")
    with pytest.raises(OsemnError, match="cannot be read"):
        loading.load(tmp_path / "nowhere.keras")
