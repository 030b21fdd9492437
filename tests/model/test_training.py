import dataclasses
import hashlib

import keras
import notebook_code
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.errors import OsemnError
from helpers.model import training
from helpers.obtain import data
from helpers.obtain.images import from_disk
from helpers.scrub import augment
from helpers.series import seeds

NETWORKS = notebook_code.functions("04_baseline")


def fit(
    model: keras.Model, train: data.Dataset, validation: data.Dataset, *, epochs: int, batch_size: int = 16
) -> training.Fit:
    """Train a network by the function that stands in notebook 04."""
    of_run = {"train": train, "validation": validation, "batch_size": batch_size}
    code = notebook_code.functions("04_baseline", **of_run, learning_rate=0.01, seed=0)
    return code["train_network"](model, epochs)


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    seeds.seed_tensorflow(0)


def numbered(n: int, shape=(8, 8, 1)) -> data.Dataset:
    """Images whose every pixel is the image's own number."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, *shape)).copy()
    return data.Dataset(images, np.arange(n, dtype=np.int64) % 2, ("even", "odd"))


def halves(n: int = 120, shape=(8, 8, 1)) -> data.Dataset:
    """Two classes that are easy to tell apart: the upper or the lower half is bright."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 60, (n, *shape)).astype(np.uint8)
    labels = np.arange(n, dtype=np.int64) % 2
    images[labels == 0, : shape[0] // 2] += 150
    images[labels == 1, shape[0] // 2 :] += 150
    return data.Dataset(images, labels, ("up", "down"))


def epochs(dataset, batch_size, count=1, **options):
    """Return the batches of the first epochs."""
    stream, steps = training.batches(dataset, batch_size, **options)
    return list(stream.take(count * steps))


def order(batches) -> list[int]:
    return [int(image[0, 0, 0]) for images, _ in batches for image in images.numpy()]


def test_order_follows_the_seed_and_changes_from_epoch_to_epoch():
    dataset = numbered(50)
    one, same, other = (order(epochs(dataset, 16, 2, seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one[:50] != one[50:]
    assert one != other


def test_augmented_batches_keep_labels_and_repeat_by_seed():
    dataset = halves(64)
    policy = augment.policy_for("fashion_mnist", 1.0, dataset.image_shape)

    def draw(seed):
        return [(x.numpy(), y.numpy()) for x, y in epochs(dataset, 32, seed=seed, policy=policy)]

    for (images, labels), (again, labels_again) in zip(draw(3), draw(3), strict=True):
        assert np.array_equal(images, again)
        assert np.array_equal(labels, labels_again)
        assert images.min() >= 0
        assert images.max() <= 255
    plain = np.concatenate([x.numpy() for x, _ in epochs(dataset, 32, seed=3)])
    assert not np.array_equal(plain, np.concatenate([x for x, _ in draw(3)]))


def test_one_cycle_warms_up_to_its_peak_and_ends_at_zero():
    schedule = training.one_cycle(0.01, 100)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == pytest.approx(0.01)
    assert int(np.argmax(rates)) == 20
    assert rates[100] == pytest.approx(0.0, abs=1e-9)


def test_cnn_learns_easy_classes_and_repeats_bit_for_bit():
    train, validation = halves(), halves(40)

    def fitted():
        seeds.seed_tensorflow(0)
        model = NETWORKS["baseline_cnn"]((8, 8, 1), 2, mean=[100.0], standard_deviation=[70.0], filters=4)
        return fit(model, train, validation, epochs=4), training.predict(model, validation.images)

    (first, probabilities), (_, again) = fitted(), fitted()
    assert set(first.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 4 for values in first.history.values())
    assert np.mean(probabilities.argmax(axis=1) == validation.labels) > 0.9
    assert np.array_equal(probabilities, again)


def test_training_that_diverges_is_an_error_that_says_what_to_do():
    model = NETWORKS["dense_network"]((8, 8, 1), 2, units=4)
    model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, np.nan))
    with pytest.raises(OsemnError, match="smaller learning_rate"):
        fit(model, halves(), halves(), epochs=2)


@pytest.mark.parametrize(("shape", "classes"), [((28, 28, 1), 10), ((8, 8, 1), 10), ((64, 48, 3), 2)])
def test_models_take_raw_pixels_of_any_size_and_give_probabilities(shape, classes):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.float32)
    channels = shape[-1]
    for model in (
        NETWORKS["dense_network"](shape, classes),
        NETWORKS["baseline_cnn"](
            shape, classes, mean=[70.0] * channels, standard_deviation=[90.0] * channels
        ),
    ):
        probabilities = model(images).numpy()
        assert probabilities.shape == (3, classes)
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_dense_network_is_784_128_10_with_dropout():
    model = NETWORKS["dense_network"]((28, 28, 1), 10)
    assert model.count_params() == 784 * 128 + 128 + 128 * 10 + 10
    assert model.get_layer("dropout").rate == pytest.approx(0.3)


def test_channel_that_never_changes_does_not_break_normalisation():
    model = NETWORKS["baseline_cnn"]((8, 8, 1), 2, mean=[0.0], standard_deviation=[0.0])
    assert np.isfinite(model(np.zeros((1, 8, 8, 1), np.float32)).numpy()).all()


@pytest.mark.parametrize(
    "policy", [None, augment.AugmentationPolicy(shift_fraction=0.2, horizontal_flip=True)]
)
def test_an_epoch_depends_on_seed_and_number_alone(policy):
    dataset = halves(50)

    def epoch(number, first_epoch=0, seed=3):
        stream, steps = training.batches(dataset, 16, seed=seed, policy=policy, first_epoch=first_epoch)
        skipped = stream.skip((number - first_epoch) * steps).take(steps)
        return [(images.numpy(), labels.numpy()) for images, labels in skipped]

    def same(one, other):
        return all(
            np.array_equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True)
        )

    assert same(epoch(2), epoch(2, first_epoch=2))
    assert same(epoch(2), epoch(2, first_epoch=1))
    assert not same(epoch(2), epoch(1))
    assert not same(epoch(2), epoch(2, seed=4))


def test_an_epoch_holds_every_image_once_with_its_own_label():
    stream, steps = training.batches(numbered(50), 16, seed=1)
    assert steps == 4
    batches = list(stream.take(steps))
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 2]
    assert sorted(order(batches)) == list(range(50))
    for images, labels in batches:
        assert images.dtype.name == "float32"
        assert np.array_equal(images.numpy()[:, 0, 0, 0].astype(int) % 2, labels.numpy())


def test_a_change_receives_the_rows_and_the_step():
    seen = epochs(
        numbered(10),
        4,
        2,
        seed=1,
        change=lambda images, rows, step: tf.cast(rows, tf.float32) + 100.0 * tf.cast(step, tf.float32),
    )
    values = [images.numpy() for images, _ in seen]
    assert sorted(np.concatenate(values) % 100) == sorted([*range(10), *range(10)])
    assert [int(images[0] // 100) for images in values] == [0, 1, 2, 3, 4, 5]


@pytest.fixture(params=[20.0, 0.0], ids=["cached", "decoded when read"])
def on_disk(request, tmp_path, monkeypatch) -> data.Dataset:
    """The images of `halves`, on disk."""
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    part = halves(40)
    for number, image in enumerate(part.images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    contents = [hashlib.sha256((tmp_path / f"{number}.png").read_bytes()).hexdigest() for number in range(40)]
    how = {
        "root": str(tmp_path),
        "fit": "crop",
        "window": "auto",
        "channels": 1,
        "side": 8,
        "cache_gb": request.param,
    }
    files = from_disk.ImageFiles.listed([f"{number}.png" for number in range(40)], contents, **how)
    data.save(tmp_path / "train.npz", dataclasses.replace(part, images=from_disk.DiskImages(files)))
    return data.load(tmp_path / "train.npz")


def test_images_from_disk_are_trained_and_scored_like_an_array(on_disk):
    part = halves(40)
    policy = augment.policy_for("fashion_mnist", 1.0, part.image_shape)
    for batch_size in (16, 64):  # also one that is larger than the set
        pairs = zip(
            epochs(on_disk, batch_size, 2, seed=1, policy=policy),
            epochs(part, batch_size, 2, seed=1, policy=policy),
            strict=True,
        )
        assert all(np.array_equal(one, other) for both in pairs for one, other in zip(*both, strict=True))
    cnn = NETWORKS["baseline_cnn"](part.image_shape, 2, mean=[90.0], standard_deviation=[80.0], filters=4)
    fit(cnn, on_disk, on_disk.subset(range(9)), epochs=1, batch_size=64)
    for predict in (training.predict, lambda model, images: training.predictor(model, 16)(images)):
        assert np.array_equal(predict(cnn, on_disk.images), predict(cnn, part.images))


def test_large_images_are_predicted_fewer_at_a_time():
    assert training.batch_size_for((28, 28, 1)) == training.batch_size_for((64, 64, 3)) == 512
    assert training.batch_size_for((224, 224, 3)) == 41
    assert training.batch_size_for((4_000, 4_000, 3)) == 1
