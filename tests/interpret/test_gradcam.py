"""Maps are correct where the correct one is known, for every way of building a model."""

import keras
import notebook_code
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from helpers.errors import OsemnError
from helpers.interpret import gradcam
from helpers.model import architectures, layer_hooks

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def detector() -> keras.Model:
    """Return a model whose class 0 depends on the pixel values, and class 1 on their negative: its maps are known."""
    image = keras.Input((6, 6, 1))
    x = layers.Conv2D(2, 1, use_bias=False, name="copy")(image)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(2, activation="softmax", use_bias=False, name="top")(x))
    model.get_layer("copy").kernel.assign(np.array([[[[1.0, -1.0]]]]))
    model.get_layer("top").kernel.assign(np.eye(2) * 3.0)
    return model


def spots() -> np.ndarray:
    images = np.zeros((2, 6, 6, 1), np.float32)
    images[0, 1, 2], images[0, 4, 4] = 1.0, 0.5
    images[1, 3, 3] = 2.0
    return images


@pytest.mark.parametrize("method", gradcam.METHODS)
def test_known_map_is_reproduced_exactly(method):
    images = spots()
    result = gradcam.GradCam(detector(), method=method)(images, np.array([0, 0]))
    wanted = images[..., 0] / images.max(axis=(1, 2, 3))[:, None, None]
    assert result.maps == pytest.approx(wanted, abs=1e-6)
    assert result.layer == "copy"


def test_class_without_support_has_an_empty_map():
    result = gradcam.GradCam(detector())(spots(), np.array([1, 1]))
    assert np.abs(result.maps).max() == 0.0


def test_without_classes_the_predicted_one_is_explained():
    result = gradcam.GradCam(detector())(spots())
    assert result.classes.tolist() == [0, 0]


def test_blocks_that_are_too_coarse_are_skipped():
    def halving(side: int) -> keras.Model:
        image = keras.Input((side, side, 1))
        fine = layers.Conv2D(2, 3, strides=2, padding="same", name="fine")(image)
        fine = layers.ReLU(name="fine_end")(fine)
        coarse = layers.Conv2D(2, 3, strides=2, padding="same", name="coarse")(fine)
        return keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(coarse)))

    assert gradcam.target_layer(halving(16)).name == "coarse"
    assert gradcam.target_layer(halving(12)).name == "fine_end"
    assert gradcam.target_layer(halving(12), "coarse").name == "coarse"
    assert gradcam.target_layer(halving(4)).name == "coarse", "none is fine enough, so the last one is used"


def residual(views: bool = False) -> keras.Model:
    made = architectures.residual_cnn((28, 28, 1), 3, mean=[80.0], standard_deviation=[60.0], width=8)
    return architectures.averaging_views(made, flip=True) if views else made


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Conv2D(8, 3, name="last"),
            layers.ReLU(name="end"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
            layers.Softmax(),
        ]
    )


def nested() -> keras.Model:
    inner_image = keras.Input((24, 24, 1))
    x = layers.Conv2D(5, 3, strides=2, activation="relu", name="inner_convolution")(inner_image)
    base = keras.Model(inner_image, layers.DepthwiseConv2D(3, name="inner_depthwise")(x), name="base")
    image = keras.Input((28, 28, 1))
    x = base(layers.Resizing(24, 24)(image))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Activation("softmax")(layers.Dense(3)(x)))


BUILDERS = {
    "residual": (residual, "stage_3_block_1_add"),
    "averaged views": (lambda: residual(views=True), "stage_3_block_1_add"),
    "sequential": (sequential, "end"),
    "nested": (nested, "inner_depthwise"),
}


def random_images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28, 1), dtype=np.uint8)


@pytest.mark.parametrize("kind", BUILDERS)
def test_layer_is_found_in_every_kind_of_model_and_the_model_stays_as_it_was(kind):
    build, name = BUILDERS[kind]
    model, images = build(), random_images(5)
    before = model(images.astype("float32")).numpy()
    cam = gradcam.GradCam(model)
    result = cam(images)
    assert result.layer == name
    assert result.maps.shape == (5, 28, 28)
    assert result.maps.dtype == np.float32
    assert result.maps.min() >= 0.0
    assert result.maps.max() <= 1.0 + 1e-6
    assert result.classes.tolist() == before.argmax(axis=1).tolist()
    after = model(images.astype("float32")).numpy()
    assert np.array_equal(before, after)
    assert after.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)


@pytest.mark.parametrize("kind", BUILDERS)
def test_map_that_the_notebook_writes_out_is_the_map_of_the_package(kind):
    model, images = BUILDERS[kind][0](), random_images(2)
    written_out = notebook_code.functions("08_grad_cam")["grad_cam"]
    cam = gradcam.GradCam(model)
    for image, label in zip(images, (0, 2), strict=True):
        wanted = cam(image[np.newaxis], np.array([label])).maps[0]
        assert written_out(model, cam.target, image, label) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("kind", ["residual", "sequential", "nested"])
def test_weights_are_the_gradients_of_the_logit_by_finite_differences(kind):
    model, images = BUILDERS[kind][0](), random_images(1).astype(np.float32)
    cam = gradcam.GradCam(model)
    result = cam(images, np.array([2]))
    layer = cam.target

    def logit(channel: int, added: float) -> float:
        call = layer.call

        def moved(*arguments, **options):
            output = call(*arguments, **options)
            return output + added * tf.one_hot(channel, output.shape[-1])

        # taped, the model returns logits; the tape itself is not used
        with (
            layer_hooks.replaced(layer, "call", moved),
            tf.GradientTape() as tape,
            gradcam.taped(model, layer, tape),
        ):
            return float(model(images, training=False)[0, 2])

    positions = np.prod(layer.output.shape[1:3])
    for channel in range(3):
        slope = (logit(channel, 1e-2) - logit(channel, -1e-2)) / 2e-2
        assert result.weights[0, channel] * positions == pytest.approx(slope, rel=2e-2, abs=1e-3)


@pytest.mark.parametrize("kind", BUILDERS)
def test_batch_gives_each_image_the_map_that_it_gets_alone(kind):
    cam, images = gradcam.GradCam(BUILDERS[kind][0](), method="grad_cam_plus_plus"), random_images(7)
    together = cam(images, batch_size=4)
    alone = np.concatenate([cam(images[row : row + 1]).maps for row in range(7)])
    assert together.maps == pytest.approx(alone, abs=1e-4)


def test_named_layer_is_used_and_unknown_ones_are_refused():
    model = nested()
    assert gradcam.GradCam(model, "inner_convolution")(random_images(1)).layer == "inner_convolution"
    with pytest.raises(
        OsemnError, match=r"no layer 'inner_convolutoin'(?s:.)*did you mean 'inner_convolution'"
    ):
        gradcam.GradCam(model, "inner_convolutoin")


def test_model_without_convolution_says_so():
    dense = notebook_code.functions("04_baseline")["dense_network"]((28, 28, 1), 3)
    with pytest.raises(OsemnError, match="'dense' has no convolutional layer"):
        gradcam.GradCam(dense)


@pytest.mark.parametrize("classes", [np.array([0]), np.array([0, 3]), np.array([-1, 0])])
def test_classes_that_do_not_fit_are_refused(classes):
    with pytest.raises(OsemnError, match="2 images and 2 classes"):
        gradcam.GradCam(detector())(spots(), classes)
