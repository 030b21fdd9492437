"""MixUp, CutMix, RandAugment, crops: shapes, ranges, targets, and that a seed decides."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from helpers.scrub import augment, mixing, rand_augment
from helpers.scrub.augment import AugmentationPolicy

SEED = (3, 7)


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).uniform(0, 255, (12, 16, 24, 3)).astype(np.float32)
    return images, np.eye(4, dtype=np.float32)[np.arange(12) % 4]


@pytest.mark.parametrize("kinds", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_targets_sum_to_one_and_shapes_stay(batch, kinds):
    images, targets = batch
    mixed, shares = (part.numpy() for part in mixing.mix(images, targets, SEED, **kinds))
    assert mixed.shape == images.shape
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert np.all((shares * targets).sum(axis=1) >= 0.5 - 1e-6), "an image keeps most of itself"
    assert (shares.max(axis=1) < 1).sum() >= 6, "most images are mixed"
    again, same = (part.numpy() for part in mixing.mix(images, targets, SEED, **kinds))
    other = mixing.mix(images, targets, (3, 8), **kinds)[0].numpy()
    assert np.array_equal(mixed, again)
    assert np.array_equal(shares, same)
    assert not np.array_equal(mixed, other)


def test_mixup_blends_images_as_it_blends_targets(batch):
    images, targets = batch
    mixed, shares = (part.numpy() for part in mixing.mix(images, targets, SEED, mixup=0.4))
    kept = (shares * targets).sum(axis=1)[:, None, None, None]
    assert mixed == pytest.approx(kept * images + (1 - kept) * np.roll(images, 1, axis=0), abs=1e-3)


def test_cutmix_takes_a_rectangle_whose_area_is_the_targets_proportion(batch):
    images, targets = batch
    mixed, shares = (part.numpy() for part in mixing.mix(images, targets, SEED, cutmix=1.0))
    own = (mixed == images).all(axis=3)
    assert own.mean(axis=(1, 2)) == pytest.approx((shares * targets).sum(axis=1), abs=1e-6)
    assert np.all(own | (mixed == np.roll(images, 1, axis=0)).all(axis=3))
    for pasted in ~own:
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        assert pasted.sum() == len(rows) * len(columns)


def test_nothing_is_mixed_by_default_and_a_single_image_mixes_with_itself(batch):
    images, targets = batch
    assert mixing.mix(images, targets, SEED)[0] is images
    alone, share = mixing.mix(images[:1], targets[:1], SEED, mixup=0.4)
    assert alone.numpy() == pytest.approx(images[:1], abs=1e-3)
    assert share.numpy() == pytest.approx(targets[:1])


def test_rand_augment_changes_most_images_within_their_range_and_repeats(batch):
    images = batch[0]
    changed = augment.augment_batch(images, SEED, AugmentationPolicy(rand_augment=0.5)).numpy()
    assert changed.shape == images.shape
    assert 0 <= changed.min() <= changed.max() <= 255
    differences = np.abs(changed - images).max(axis=(1, 2, 3))
    assert (differences > 1).mean() > 0.7
    again = augment.augment_batch(images, SEED, AugmentationPolicy(rand_augment=0.5)).numpy()
    assert np.array_equal(changed, again)
    none = rand_augment.rand_augment(images, tf.constant(SEED, tf.int64), 0.0).numpy()
    assert none == pytest.approx(images, abs=1e-3), "without strength, nothing happens"


def test_crop_shows_a_part_of_the_image_of_at_least_the_area_left():
    """Pixels hold their place: those of a crop lie inside the image, and span a part of it."""
    down, right = np.mgrid[0:64, 0:64].astype(np.float32)
    images = np.repeat(np.stack([down, right, right], axis=-1)[None], 50, axis=0)
    cropped = augment.augment_batch(images, SEED, AugmentationPolicy(crop_fraction=0.6, fill="reflect"))
    spans = np.ptp(cropped.numpy(), axis=(1, 2))[:, :2] / 63
    areas = spans.prod(axis=1)
    assert 0.35 < areas.min() < 0.6
    assert 0.9 < areas.max() <= 1.0
    assert np.all(np.diff(cropped.numpy()[..., 0], axis=1) > 0), "nothing is reflected: crops stay inside"
    corners = cropped.numpy()[:, 0, 0, :2]
    assert np.ptp(corners, axis=0).min() > 10, "crops lie in different places"


def test_flips_happen_only_where_they_are_allowed():
    rising = np.linspace(
        60, 180, 16, dtype=np.float32
    )  # from left to right, away from where values are clipped
    images = np.repeat(rising[None, None, :, None], 40, axis=0).repeat(16, axis=1)
    photographs = AugmentationPolicy(crop_fraction=0.5, saturation=0.4, brightness=0.1, contrast=0.1)
    for allowed in (False, True):
        policy = dataclasses.replace(photographs, horizontal_flip=allowed)
        changed = augment.augment_batch(images, SEED, policy).numpy()
        mirrored = changed[:, 8, -1, 0] < changed[:, 8, 0, 0]
        assert mirrored.mean() == pytest.approx(0.5 if allowed else 0.0, abs=0.25 if allowed else 0.0)


def test_saturation_changes_colours_but_not_grey_images():
    policy, generator = AugmentationPolicy(saturation=0.5), np.random.default_rng(0)
    colour = generator.uniform(100, 150, (8, 4, 4, 3)).astype(np.float32)
    grey = generator.uniform(0, 255, (8, 4, 4, 1)).astype(np.float32)
    assert np.array_equal(augment.augment_batch(grey, SEED, policy), grey)
    changed = augment.augment_batch(colour, SEED, policy).numpy()
    luminance = np.array([0.299, 0.587, 0.114])
    assert changed @ luminance == pytest.approx(colour @ luminance, abs=0.01)
    assert not np.allclose(changed, colour)


def test_fine_tunings_own_kinds_leave_the_draws_of_the_others_alone():
    """A flip is drawn for the same images, with and without a crop that cuts nothing visible off."""
    images = np.repeat(np.arange(16, dtype=np.float32)[None, None, :, None], 40, axis=0).repeat(16, axis=1)
    flip = AugmentationPolicy(horizontal_flip=True)
    plain = augment.augment_batch(images, SEED, flip).numpy()
    cropped = augment.augment_batch(images, SEED, dataclasses.replace(flip, crop_fraction=1e-6)).numpy()
    assert np.array_equal(plain[:, 0, 0] > 8, cropped[:, 0, 0] > 8)


def test_description_names_what_fine_tuning_adds():
    words = AugmentationPolicy(crop_fraction=0.5, saturation=0.2, rand_augment=0.3).describe()
    assert words["random resized crop"] == "up to 50% of the area"
    assert words["RandAugment"] == "strength 0.3"
    assert "random resized crop" not in AugmentationPolicy().describe()
