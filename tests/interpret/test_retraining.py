"""The sample that shows a loss of accuracy has the error rates that its sentence claims."""

import numpy as np
import pytest

from helpers.interpret import retraining


@pytest.mark.parametrize(("accuracy", "n"), [(0.7, 10_000), (0.92, 1_000), (0.98, 360)])
def test_the_sample_to_label_has_the_claimed_error_rates_however_few_test_images(accuracy, n):
    images, limit = retraining.labelled_sample(accuracy, n, 0.03)
    draw = np.random.default_rng(0)
    true = draw.beta(accuracy * n + 0.5, (1 - accuracy) * n + 0.5, 100_000)  # the accuracy is uncertain
    unchanged = draw.binomial(images, true)
    worse = draw.binomial(images, np.clip(true - 0.03, 0, 1))
    assert 0.02 < np.mean(unchanged < limit) < 0.053
    assert np.mean(worse < limit) > 0.79


def test_with_few_test_images_no_sample_detects_a_loss():
    assert retraining.labelled_sample(0.9, 100, 0.03) is None
    assert "no sample can distinguish" in retraining.retraining("net", 0.9, 100).text
    assert retraining.labelled_sample(0.02, 10_000, 0.03) is None


def test_a_perfect_model_has_a_sample_to_label_too():
    images, limit = retraining.labelled_sample(1.0, 360, 0.03)
    assert 0 < limit <= images
    text = retraining.retraining("net", 1.0, 360).text
    assert f"label a new random sample of {images:,} images" in text
    assert f"fewer than {limit:,} of them" in text
