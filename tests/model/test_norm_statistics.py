"""Every training ends with the batch-norm statistics of its weights: another pass over training images moves nothing."""

from collections.abc import Callable

import keras
import notebook_code
import numpy as np
import pytest
from keras import layers

from helpers.errors import AcquisitionError
from helpers.model import architectures, fine_tuning, recipe, training, transfer, weight_averaging
from helpers.obtain import data, sources

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
EPOCHS = 4  # on few images these are few steps, after which running averages are far from the statistics


def digits() -> tuple[data.Dataset, data.Dataset]:
    acquired = sources.acquire("digits")
    return acquired.train, acquired.test


def fashion(size: int) -> tuple[data.Dataset, data.Dataset]:
    try:
        images = sources.acquire("fashion_mnist").train
    except AcquisitionError:
        pytest.skip("skipped: no registry")
    rows = np.random.default_rng(0).permutation(len(images))
    return images.subset(rows[:size]), images.subset(rows[size : size + 2_000])


def folder(size: int = 150) -> tuple[data.Dataset, data.Dataset]:
    """Coloured images of three classes, sorted by class as those of a folder are."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), size)
    images = generator.normal(90, 60, (3 * size, 16, 20, 3))
    images += 40 * np.eye(3)[labels][:, None, None, :]
    everything = data.Dataset(np.clip(images, 0, 255).astype(np.uint8), labels, ("red", "green", "blue"))
    return everything.subset(np.arange(0, 3 * size, 2)), everything.subset(np.arange(1, 3 * size, 2))


DATA: dict[str, Callable[[], tuple[data.Dataset, data.Dataset]]] = {
    "digits": digits,
    "500 images": lambda: fashion(500),
    "2,000 images": lambda: fashion(2_000),
    "folder": folder,
}


def pixel_statistics(images: np.ndarray) -> dict[str, list[float]]:
    channels = images.reshape(-1, images.shape[-1])
    return {"mean": list(channels.mean(0)), "standard_deviation": list(channels.std(0))}


def plain(build: Callable[..., keras.Model]) -> Callable[..., tuple[keras.Model, training.Fit]]:
    def fit(train: data.Dataset, validation: data.Dataset) -> tuple[keras.Model, training.Fit]:
        model = build(train)
        of_run = {
            "train": train,
            "validation": validation,
            "batch_size": 128,
            "learning_rate": 0.004,
            "seed": 0,
        }
        return model, notebook_code.functions("04_baseline", **of_run)["train_network"](model, EPOCHS)

    return fit


def dense(train: data.Dataset) -> keras.Model:
    return notebook_code.functions("04_baseline")["dense_network"](train.image_shape, train.num_classes)


def cnn(train: data.Dataset) -> keras.Model:
    build = notebook_code.functions("04_baseline")["baseline_cnn"]
    return build(train.image_shape, train.num_classes, **pixel_statistics(train.images), filters=8)


def by_recipe(**options) -> Callable[..., tuple[keras.Model, training.Fit]]:
    def fit(train: data.Dataset, validation: data.Dataset) -> tuple[keras.Model, training.Fit]:
        size = (train.image_shape, train.num_classes)
        model = architectures.residual_cnn(*size, **pixel_statistics(train.images), width=8)
        return model, recipe.train(model, train, validation, recipe.Recipe(epochs=EPOCHS, **options))

    return fit


TRAININGS = {
    "dense": plain(dense),
    "CNN": plain(cnn),
    "recipe": by_recipe(),
    "recipe without average": by_recipe(average_decay=0.0),
    "recipe by AdamW": by_recipe(optimizer="adamw", learning_rate=0.01, batch_size=64),
}


def accuracy(model: keras.Model, part: data.Dataset) -> float:
    return float(np.mean(training.predict(model, part.images).argmax(1) == part.labels))


def set_exact_statistics(model: keras.Model, images: np.ndarray) -> None:
    """Set each norm to the statistics of its inputs over all images, with the norms before it as in a prediction."""
    for norm in model.layers:
        if isinstance(norm, layers.BatchNormalization):
            inputs = keras.Model(model.input, norm.input).predict(images.astype("float32"), verbose=0)
            axes = tuple(range(inputs.ndim - 1))
            norm.moving_mean.assign(inputs.mean(axes, dtype=np.float64))
            norm.moving_variance.assign(inputs.var(axes, dtype=np.float64))


@pytest.mark.parametrize("given", DATA)
@pytest.mark.parametrize("name", TRAININGS)
def test_exact_statistics_move_no_accuracy_by_more_than_a_point(name, given):
    train, validation = DATA[given]()
    keras.utils.set_random_seed(0)
    model, fit = TRAININGS[name](train, validation)
    after = accuracy(model, validation)
    assert fit.history["val_accuracy"][-1] == pytest.approx(after, abs=1e-6)
    set_exact_statistics(model, train.images)
    assert accuracy(model, validation) == pytest.approx(after, abs=0.01)


@pytest.mark.parametrize("rows", [30, 1_000])
def test_a_head_ends_with_the_statistics_of_all_its_features(rows):
    generator = np.random.default_rng(0)
    values = generator.gamma(2.0, 3.0, (rows, 5)).astype(np.float32)
    labels = generator.integers(0, 2, rows)
    top = transfer.head(5, 2, units=8)
    settings = transfer.HeadSettings(8, 0.3, EPOCHS, 256, 0.01, 0)
    transfer.fit_head(top, [values], labels, (values, labels), settings)
    norm = top.get_layer("classifier_norm")
    assert norm.moving_mean.numpy() == pytest.approx(values.mean(0, dtype=np.float64), rel=1e-5)
    assert norm.moving_variance.numpy() == pytest.approx(values.var(0, dtype=np.float64), rel=1e-4)


def test_fine_tuning_trains_the_function_that_it_leaves(tmp_path):
    """Its norms are frozen: a training step uses the same statistics as a prediction."""
    train, validation = folder()
    inputs = keras.Input(train.image_shape, name="image")
    x = layers.Conv2D(8, 3, name="stem_conv")(layers.Rescaling(1 / 255)(inputs))
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    model = transfer.join(keras.Model(inputs, x), transfer.head(8, 3, units=8, dropout=0.0), "transfer")
    settings = fine_tuning.FineTuningSettings(EPOCHS, 32, 0.01)
    fine_tuning.fine_tune(model, train, validation, settings, unfrozen=None, folder=tmp_path)
    images = validation.images.astype("float32")
    assert np.array_equal(model(images, training=True), model(images, training=False))


def test_order_of_the_images_does_not_change_the_statistics_of_a_network():
    """Batches of one class each, as in a folder, would be normalised by other statistics than those of training."""
    train, _ = folder(400)
    statistics = []
    for images in (train.images, train.images[np.random.default_rng(1).permutation(len(train))]):
        keras.utils.set_random_seed(0)
        model = cnn(train)
        weight_averaging.NormStatistics(model, images, 100).recompute()
        statistics.append(model.get_layer("batch_norm_2").moving_variance.numpy())
    assert statistics[0] == pytest.approx(statistics[1], rel=0.02)


@pytest.mark.parametrize("images", [1, 20, 64, 130])
def test_every_image_counts_the_same_whatever_the_size_of_a_batch(images):
    train, _ = folder(60)
    model = cnn(train)
    weight_averaging.NormStatistics(model, train.images[:images], 64).recompute()
    norm = model.get_layer("batch_norm_1")
    inputs = keras.Model(model.input, norm.input)(train.images[:images].astype("float32"), training=False)
    assert norm.moving_mean.numpy() == pytest.approx(np.mean(inputs, axis=(0, 1, 2)), abs=1e-3)
    assert norm.moving_variance.numpy() == pytest.approx(np.var(inputs, axis=(0, 1, 2)), rel=1e-3)
