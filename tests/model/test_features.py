"""The cache of features, with a small network in the place of a backbone."""

import json
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from helpers.errors import OsemnError, UsageError
from helpers.model import frozen_graph
from helpers.model.backbones import features
from helpers.scrub import augment

SHAPE = (8, 8, 1)
POLICY = augment.AugmentationPolicy(horizontal_flip=True, shift_fraction=0.2)


pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path))
    return tmp_path


def source(seed: int = 0, name: str = "efficientnet_lite0", resolution: int = 32) -> features.Extractor:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(5, 3, name="conv")(inputs)
    base = keras.Model(inputs, layers.BatchNormalization(name="bn")(x))
    return features.Extractor(name, resolution, "bilinear", base, f"hash of seed {seed}")


def pictures(n: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE)).astype(np.uint8)


@pytest.fixture
def no_pass(monkeypatch):
    """Make a pass through the network an error."""

    def forget():
        monkeypatch.setattr(features.frozen_graph, "freeze", lambda model: pytest.fail("a pass was made"))

    return forget


def test_features_are_what_the_network_computes():
    network, images = source(), pictures()
    values = features.extract(network, images, batch_size=16).values
    expected = network.pooled().predict(images.astype("float32"), verbose=0)
    assert values.dtype == np.float32
    assert values.shape == (50, 5)
    assert np.allclose(values, expected, rtol=1e-4, atol=1e-4)


def test_features_are_streamed_to_disk_and_memory_mapped(cache):
    result = features.extract(source(), pictures(), batch_size=16)
    assert isinstance(result.values, np.memmap)
    assert not result.values.flags.writeable
    assert sorted(file.name for file in result.folder.iterdir()) == [".lock", "features.json", "features.npy"]


def test_second_call_makes_no_pass_and_gives_the_same(no_pass):
    first = features.extract(source(), pictures())
    no_pass()
    second = features.extract(source(), pictures())
    assert not first.from_cache
    assert second.from_cache
    assert np.array_equal(first.values, second.values)
    assert second.seconds == pytest.approx(first.seconds)


def test_everything_that_features_depend_on_makes_another_cache():
    made = [
        features.extract(source(), pictures()),
        features.extract(source(seed=1), pictures()),
        features.extract(source(name="efficientnet_lite1"), pictures()),
        features.extract(source(resolution=64), pictures()),
        features.extract(source(), pictures(seed=1)),
        features.extract(source(), pictures(), view=features.View(POLICY, 0, 1)),
        features.extract(source(), pictures(), view=features.View(POLICY, 0, 2)),
        features.extract(source(), pictures(), view=features.View(POLICY, 7, 1)),
    ]
    assert len({result.folder for result in made}) == len(made)
    assert not any(result.from_cache for result in made)


def test_augmented_views_differ_from_the_images_and_from_each_other_but_repeat():
    network, images = source(), pictures()
    plain = features.extract(network, images).values
    one = features.extract(network, images, view=features.View(POLICY, 0, 1))
    two = features.extract(network, images, view=features.View(POLICY, 0, 2))
    assert not np.allclose(plain, one.values)
    assert not np.allclose(one.values, two.values)
    for file in one.folder.glob("features.*"):
        file.unlink()
    assert np.array_equal(
        one.values, features.extract(network, images, view=features.View(POLICY, 0, 1)).values
    )


def test_the_mirrored_view_has_the_features_of_the_mirrored_images():
    network, images = source(), pictures()
    (view,) = features.further_views(True, 0, POLICY, 0)
    mirrored = features.extract(network, images, view=view).values
    expected = features.extract(network, np.ascontiguousarray(images[:, :, ::-1])).values
    assert np.array_equal(mirrored, expected)
    assert not np.allclose(mirrored, features.extract(network, images).values)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def rewrite_record(folder, **changes):
    record = json.loads((folder / "features.json").read_text())
    (folder / "features.json").write_text(json.dumps(record | changes))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: flip_a_byte(folder / "features.npy"),
        lambda folder: (folder / "features.npy").write_bytes(b"short"),
        lambda folder: (folder / "features.npy").unlink(),
        lambda folder: (folder / "features.json").write_text("{"),
        lambda folder: rewrite_record(folder, weights_sha256="0" * 64),
        lambda folder: rewrite_record(folder, images_sha256="0" * 64),
        lambda folder: rewrite_record(folder, layout=0),
    ],
)
def test_cache_that_does_not_belong_is_an_error_and_left_as_it_is(spoil, no_pass):
    folder = features.extract(source(), pictures()).folder
    spoil(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    no_pass()
    with pytest.raises(OsemnError, match="incomplete or were modified") as caught:
        features.extract(source(), pictures())
    assert "delete that folder" in str(caught.value)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_pass_that_was_cut_off_leaves_nothing_that_counts(monkeypatch):
    def stop(done, total, note=""):
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.extract(source(), pictures(), batch_size=16, progress=stop)
    again = features.extract(source(), pictures(), batch_size=16)
    assert not again.from_cache
    assert not list(again.folder.glob("*.partial"))


def test_two_processes_do_not_make_the_same_features_twice():
    network, images, results = source(), pictures(400), []
    threads = [
        threading.Thread(target=lambda: results.append(features.extract(network, images))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.from_cache for each in results) == [False, True]


def test_cache_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OsemnError, match="OSEMN_CACHE_DIR"):
        features.extract(source(), pictures())


def test_progress_tells_every_image():
    told = []
    features.extract(
        source(), pictures(), batch_size=16, progress=lambda done, total, note="": told.append((done, total))
    )
    assert told == [(16, 50), (32, 50), (48, 50), (50, 50)]


def test_cached_features_tell_that_they_are_cached():
    features.extract(source(), pictures())
    told = []
    features.extract(source(), pictures(), progress=lambda *all_of_it: told.append(all_of_it))
    assert told == [(50, 50, "from the cache")]


def test_unknown_backbone_is_an_error_before_anything_is_fetched(cache):
    with pytest.raises(UsageError, match="efficientnet_lite"):
        features.extractor("efficientnet_lite9", (28, 28, 1), 64)
    assert not list(cache.iterdir())


def test_frozen_graph_computes_what_the_model_does_in_inference():
    model = source().pooled()
    images = pictures(7).astype("float32")
    assert np.allclose(
        frozen_graph.freeze(model)(tf.constant(images)).numpy(),
        model(images, training=False),
        rtol=1e-4,
        atol=1e-4,
    )
