"""The two moons of the warm-up."""

import numpy as np
import pytest

from helpers.explore import moons


def test_moons_are_split_stratified_and_repeat_by_seed() -> None:
    first, again, other = moons.make(800, 0.2, 0), moons.make(800, 0.2, 0), moons.make(800, 0.2, 1)
    assert first.train_points.shape == (600, 2)
    assert np.bincount(first.test_labels).tolist() == [100, 100]
    assert np.array_equal(first.train_points, again.train_points)
    assert not np.array_equal(first.train_points, other.train_points)


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 1.0, 1.0), (0.2, 0.955, 0.985), (0.4, 0.84, 0.89)])
def test_bayes_rule_does_as_well_as_the_noise_allows(noise: float, low: float, high: float) -> None:
    points = moons.make(8000, noise, 0)
    accuracy = np.mean(moons.best_labels(points.test_points, noise) == points.test_labels)
    assert low <= accuracy <= high


def test_surface_covers_all_points_and_keeps_rows_for_y() -> None:
    points = moons.make(400, 0.1, 0).test_points
    surface = moons.surface(lambda places: places[:, 1], points, steps=20)
    assert surface.x[0] < points[:, 0].min()
    assert surface.y[-1] > points[:, 1].max()
    np.testing.assert_allclose(surface.probability[:, 0], surface.y)
