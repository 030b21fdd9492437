"""The checks distinguish maps of what the model uses from maps of the image and from empty maps."""

import keras
import numpy as np
import pytest
from keras import layers

from helpers import scoring
from helpers.errors import OsemnError
from helpers.interpret import gradcam, gradcam_checks

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def test_energy_is_the_fraction_of_the_map_on_the_object():
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0, :2], maps[1, 0, 0], maps[1, 3, 3] = 1.0, 0.75, 0.25
    objects = np.zeros((3, 4, 4), bool)
    objects[:, 0] = True
    result = gradcam_checks.energy_on_object(maps, objects)
    assert result[:2] == pytest.approx([0.5, 0.75])
    assert np.isnan(result[2])


def test_mean_has_students_interval_and_few_values_have_none():
    values = np.array([1.0, 2.0, 4.0])
    result = scoring.mean_of(values)
    half = 4.302652729911275 * values.std(ddof=1) / 3**0.5
    assert result.ci95 == pytest.approx((values.mean() - half, values.mean() + half))
    assert scoring.mean_of(values[:1]) == scoring.Mean(1, 1.0, None)
    assert scoring.mean_of(values[:0]) == scoring.Mean(0, None, None)


def centre_predict(images: np.ndarray) -> np.ndarray:
    """Predict class 0 by the brightness of the centre alone."""
    confidence = images[:, 3:5, 3:5].mean(axis=(1, 2, 3)) / 255
    return np.stack([confidence, 1 - confidence], axis=1)


def test_deletion_and_insertion_rank_the_best_order_before_random_and_worst():
    images, classes = np.full((20, 8, 8, 1), 255, np.uint8), np.zeros(20, int)
    best = np.zeros((20, 8, 8))
    best[:, 3:5, 3:5] = 1.0
    generator = np.random.default_rng(0)
    orders = {"best": best, "random": generator.random((20, 8, 8)), "worst": -best}
    deletion = {
        name: gradcam_checks.perturbed(centre_predict, images, order, classes).areas.mean()
        for name, order in orders.items()
    }
    insertion = {
        name: gradcam_checks.perturbed(centre_predict, images, order, classes, insert=True).areas.mean()
        for name, order in orders.items()
    }
    assert deletion["best"] < 0.1 < deletion["random"] < 0.9 < deletion["worst"]
    assert insertion["best"] > 0.9 > insertion["random"] > 0.1 > insertion["worst"]


def test_curves_begin_and_end_with_the_original_and_the_black_image():
    images = np.full((2, 8, 8, 1), 255, np.uint8)
    gone = gradcam_checks.perturbed(centre_predict, images, np.zeros((2, 8, 8)), np.zeros(2, int), steps=4)
    assert gone.share.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert gone.confidence[:, 0].tolist() == [1.0, 1.0]
    assert gone.confidence[:, -1].tolist() == [0.0, 0.0]


def network() -> keras.Model:
    image = keras.Input((16, 16, 1))
    x = layers.Rescaling(1 / 255)(image)
    for number, width in enumerate((8, 16, 16)):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"convolution_{number}")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def test_randomised_weights_change_the_maps_and_are_restored():
    model = network()
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 1), dtype=np.uint8)
    before = model.get_weights()
    result = gradcam_checks.randomise_weights(gradcam.GradCam(model), images, steps=4)
    assert result.layers == (1, 2, 3, 4)
    assert result.names[-1] == "convolution_0"
    assert all(-1 <= one.value <= 1 for one in result.similarity)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_maps_that_do_not_depend_on_the_weights_are_called_unfit():
    class ImageAsMap(gradcam.GradCam):
        def __call__(self, images, classes=None, *, batch_size=256):
            result = super().__call__(images, classes)
            return gradcam.Maps(
                images[..., 0] / np.float32(255), result.weights, result.classes, result.layer
            )

    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 1), dtype=np.uint8)
    result = gradcam_checks.randomise_weights(ImageAsMap(network()), images)
    assert result.similarity[-1].value == pytest.approx(1.0)
    assert not result.fit


def test_weights_are_restored_when_a_map_fails():
    model = network()
    before = model.get_weights()
    cam = gradcam.GradCam(model)
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)
    calls = iter(range(3))

    class Failing:
        def __init__(self):
            self.model = model

        def __call__(self, *arguments):
            if next(calls) == 1:
                raise RuntimeError
            return cam(*arguments)

    with pytest.raises(RuntimeError):
        gradcam_checks.randomise_weights(Failing(), images)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_images_without_any_map_are_refused():
    model = network()
    model.set_weights([np.zeros_like(values) for values in model.get_weights()])
    with pytest.raises(OsemnError, match="Every map is empty"):
        gradcam_checks.randomise_weights(gradcam.GradCam(model), np.ones((3, 16, 16, 1), np.uint8))


def test_rank_correlation_is_scipys_and_zero_for_a_flat_map():
    from scipy import stats

    generator = np.random.default_rng(0)
    one, other = generator.random((2, 5, 4, 4))
    result = gradcam_checks.rank_correlations(one, other)
    wanted = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]
    assert result == pytest.approx(wanted, abs=1e-9)
    assert gradcam_checks.rank_correlations(one, np.ones_like(one)).tolist() == [0.0] * 5


def test_values_are_split_by_class_and_by_correctness():
    values = np.array([0.1, 0.3, np.nan, 0.5, 0.9])
    labels, correct = np.array([0, 0, 0, 1, 1]), np.array([True, True, False, False, True])
    result = gradcam_checks.by_class(values, labels, correct, ("a", "b"))
    assert result.loc[("a", "correct"), "value"] == pytest.approx(0.2)
    assert result.loc[("a", "incorrect"), "n"] == 0
    assert result.loc[("b", "incorrect"), "value"] == pytest.approx(0.5)
