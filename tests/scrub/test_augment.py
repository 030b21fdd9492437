"""Augmentation changes images as its policy says, repeats by seed, and never breaks a label."""

import json

import numpy as np
import pytest

from helpers.errors import OsemnError
from helpers.scrub import augment
from helpers.scrub.augment import AugmentationPolicy, augment_batch, policy_for
from helpers.series import seeds


@pytest.fixture(scope="module", autouse=True)
def deterministic_tensorflow() -> None:
    seeds.seed_tensorflow(0)


@pytest.fixture(params=[(28, 28, 1), (32, 24, 3), (8, 8, 1)], ids=str)
def images(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, *request.param)).astype(np.uint8)


EVERYTHING = AugmentationPolicy(20.0, 0.2, 0.2, True, 0.1, 0.5, 0.3, 0.5)


@pytest.mark.parametrize("dataset", ["fashion_mnist", "mnist", "digits", "my_photos"])
def test_strength_zero_is_exactly_the_identity(images: np.ndarray, dataset: str) -> None:
    result = augment_batch(images, 3, policy_for(dataset, 0.0, images.shape[1:])).numpy()
    assert result.dtype == np.float32
    assert np.array_equal(result, images.astype(np.float32))


def test_flip_is_an_exact_mirror_of_about_half_of_the_images(images: np.ndarray) -> None:
    result = augment_batch(images, 1, AugmentationPolicy(horizontal_flip=True)).numpy()
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (result == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 16 < mirrored.sum() < 48


def test_shift_moves_pixels_exactly_and_brings_in_black(images: np.ndarray) -> None:
    height, width = images.shape[1:3]
    result = augment_batch(images, 5, AugmentationPolicy(shift_fraction=2 / min(height, width))).numpy()
    most_down, most_right = round(2 * height / min(height, width)), round(2 * width / min(height, width))
    shifts = set()
    for before, after in zip(images, result, strict=True):
        padded = np.pad(before, ((most_down, most_down), (most_right, most_right), (0, 0)))
        matches = [
            (down, right)
            for down in range(-most_down, most_down + 1)
            for right in range(-most_right, most_right + 1)
            if np.array_equal(
                after,
                padded[
                    most_down - down : most_down - down + height,
                    most_right - right : most_right - right + width,
                ],
            )
        ]
        assert len(matches) == 1
        shifts.update(matches)
    assert len(shifts) > 10
    assert max(down for down, _ in shifts) == most_down
    assert min(right for _, right in shifts) == -most_right


def test_rotation_by_a_right_angle_turns_a_square_image_exactly() -> None:
    """The draw is taken out of the test by looking for an image that was turned by nearly 90 degrees."""
    image = np.zeros((4000, 9, 9, 1), np.uint8)
    image[:, 1, 4] = 255
    result = augment_batch(image, 2, AugmentationPolicy(rotation_degrees=90.0)).numpy()
    places = np.stack(np.unravel_index(result.reshape(4000, -1).argmax(axis=1), (9, 9)), axis=1)
    distance = np.linalg.norm(places - 4, axis=1)
    assert np.all(np.abs(distance - 3) < 0.9)
    assert {(1, 4), (4, 1), (4, 7)} <= set(map(tuple, places.tolist()))


def test_zoom_changes_the_size_of_what_is_shown() -> None:
    image = np.zeros((200, 28, 28, 1), np.uint8)
    image[:, 9:19, 9:19] = 255
    areas = augment_batch(image, 2, AugmentationPolicy(zoom_fraction=0.3)).numpy().sum(axis=(1, 2, 3)) / 255
    assert areas.min() < 100 * 0.75**2
    assert areas.max() > 100 * 1.25**2


def test_erasing_covers_the_stated_fraction_on_average() -> None:
    white = np.full((4000, 28, 28, 1), 255, np.uint8)
    policy = AugmentationPolicy(erase_fraction=64 / 784, erase_probability=0.5)
    erased = (augment_batch(white, 7, policy).numpy() == 0).mean(axis=(1, 2, 3))
    assert (erased > 0).mean() == pytest.approx(0.5, abs=0.03)
    assert erased[erased > 0].mean() == pytest.approx(64 / 784, rel=0.03)


def test_erased_part_is_one_rectangle() -> None:
    white = np.full((50, 28, 20, 3), 255, np.uint8)
    result = augment_batch(white, 7, AugmentationPolicy(erase_fraction=0.1, erase_probability=1.0)).numpy()
    for image in result:
        rows, columns = np.nonzero((image == 0).all(axis=-1))
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_values_stay_between_0_and_255(images: np.ndarray) -> None:
    for fill in ("black", "reflect"):
        policy = AugmentationPolicy(
            **{**EVERYTHING.to_dict(), "brightness": 0.5, "contrast": 0.9, "fill": fill}
        )
        result = augment_batch(images, 11, policy).numpy()
        assert result.shape == images.shape
        assert result.dtype == np.float32
        assert 0 <= result.min() <= result.max() <= 255


def test_reflect_brings_in_no_black() -> None:
    white = np.full((64, 16, 16, 3), 200, np.uint8)
    policy = AugmentationPolicy(rotation_degrees=20, shift_fraction=0.2, fill="reflect")
    assert augment_batch(white, 0, policy).numpy().min() == pytest.approx(200, abs=0.01)


def test_same_seed_repeats_and_another_seed_differs(images: np.ndarray) -> None:
    first, again, other, step = (
        augment_batch(images, seed, EVERYTHING).numpy() for seed in (4, 4, 5, [4, 1])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, step)


def test_each_image_of_a_batch_gets_its_own_draws() -> None:
    one = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1)).astype(np.uint8)
    result = augment_batch(np.repeat(one, 64, axis=0), 0, EVERYTHING).numpy()
    assert len(np.unique(result.reshape(64, -1), axis=0)) == 64


def test_graph_of_unknown_batch_size_is_traced_once_and_equals_eager(images: np.ndarray) -> None:
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *images.shape[1:]], tf.uint8), tf.TensorSpec([2], tf.int64)]
    compiled = tf.function(
        lambda batch, seed: augment_batch(batch, seed, EVERYTHING), input_signature=signature
    )
    for size in (64, 17, 1):
        seed = tf.constant([3, size], tf.int64)
        eager = augment_batch(images[:size], seed, EVERYTHING).numpy()
        np.testing.assert_allclose(compiled(images[:size], seed).numpy(), eager, atol=1e-3)
    assert compiled.experimental_get_tracing_count() == 1


def test_digits_are_never_mirrored() -> None:
    for dataset in ("mnist", "digits"):
        for strength in (0.5, 1.0, 3.0):
            assert not policy_for(dataset, strength).horizontal_flip
    assert policy_for("fashion_mnist").horizontal_flip


def test_an_unknown_folder_is_neither_mirrored_nor_erased() -> None:
    active = policy_for("my_photos").active()
    assert not active["flip"]
    assert not active["erasing"]
    assert active["shift"]


@pytest.mark.parametrize("dataset", ["fashion_mnist", "mnist", "my_photos"])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_every_kind_has_a_reason(dataset: str, strength: float) -> None:
    reasons = policy_for(dataset, strength).reasons
    assert set(reasons) >= set(augment.KINDS)
    assert all(reasons.values())


def test_policy_survives_json() -> None:
    policy = policy_for("fashion_mnist", 1.5)
    assert AugmentationPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


def test_strength_scales_the_policy_within_limits() -> None:
    assert policy_for("mnist", 2.0).rotation_degrees == pytest.approx(20.0)
    assert policy_for("mnist", 100.0).shift_fraction == 0.5


def test_images_too_small_to_augment_are_refused() -> None:
    with pytest.raises(OsemnError, match="too small"):
        policy_for("mnist", 1.0, (2, 8, 1))


def test_each_demonstration_shows_one_kind_alone() -> None:
    for kind, policy in augment.demonstrations(policy_for("digits")).items():
        assert [name for name, on in policy.active().items() if on] == [kind]


def test_the_demonstration_starts_with_the_originals_and_says_what_is_used(images: np.ndarray) -> None:
    rows = augment.demonstrate(images[:2], policy_for("digits"), seed=0)
    assert len(rows) == len(augment.KINDS) + 2
    assert np.array_equal(rows["original"], images[:2])
    assert "rotation\n(used)" in rows
    assert "flip\n(not used)" in rows
