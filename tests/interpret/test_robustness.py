"""Test images are changed as stated, and what that costs is measured image by image."""

import numpy as np
import pytest

from helpers.interpret import limits_conclusions, plots, robustness
from helpers.interpret.changes import CHANGES, JPEG, add_noise, blur, compress, rotate, scale_brightness


def images_of_two_classes(n: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return images of which the upper half is bright or the left one."""
    generator, labels = np.random.default_rng(0), np.arange(n) % 2
    images = generator.integers(0, 60, (n, 12, 12, channels))
    images[labels == 0, :6] += 120
    images[labels == 1, :, :6] += 120
    return images.astype(np.uint8), labels.astype(np.int64)


def by_halves(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stand for a model that is not disturbed by brightness, and confused by a rotation."""
    upper, left = (images[:, :6].mean(axis=(1, 2, 3)), images[:, :, :6].mean(axis=(1, 2, 3)))
    scores = np.stack([upper, left], axis=1)
    return scores / scores.sum(axis=1, keepdims=True), scores


@pytest.mark.parametrize("channels", [1, 3])
def test_changes_are_what_they_are_called(channels):
    images, _ = images_of_two_classes(5, channels)
    assert np.array_equal(rotate(images, 90.0, 0), np.rot90(images, axes=(1, 2)))
    assert add_noise(images, 10.0, 0).astype(int).std() > images.std()
    assert blur(images, 1.0, 0).std() < images.std()
    assert scale_brightness(images, 0.5, 0) == pytest.approx(images // 2)
    errors = [np.abs(compress(images, quality, 0).astype(int) - images).mean() for quality in (95, 30, 5)]
    assert 0 < errors[0] < errors[1] < errors[2]
    for change, strengths, _ in (CHANGES | JPEG).values():
        changed = change(images, strengths[-1], 0)
        assert (changed.dtype, changed.shape) == (np.uint8, images.shape)


def test_each_change_is_compared_with_the_unchanged_images(monkeypatch):
    images, labels = images_of_two_classes(200)
    turn = (lambda given, strength, seed: rotate(given, 90 * strength, seed), (1.0,), "{:g} turn")
    monkeypatch.setattr(robustness, "CHANGES", {"turn": turn, "brightness": CHANGES["brightness"]})
    table = robustness.measure(by_halves, images, labels, seed=0)
    assert len(table) == 1 + 1 + 3 + 3
    rows = table.set_index(["kind", "strength"])
    assert rows.loc[("unchanged", ""), "accuracy"] == 1.0
    # a quarter turn makes the left half of one class the lower one, and the upper half of the other the left one
    assert rows.loc[("turn", "1 turn"), "points"] == pytest.approx(-50, abs=2)
    assert rows.loc[("turn", "1 turn"), "points_high"] < -40
    assert rows.loc[("brightness", "× 0.5"), "points"] == 0
    said = limits_conclusions.robustness("network", table)
    assert "turn 1 turn: −" in said.text
    assert "turn 1 turn is the worst" in said.text
    assert "On 200 test images the network classifies 100.0% correctly" in said.text
    assert "turn 1 turn" in plots.robustness(table).get_label()


def test_what_was_not_measured_is_called_so():
    said = limits_conclusions.robustness("network", None)
    assert "was not measured" in said.text
