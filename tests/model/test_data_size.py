"""Accuracy against the number of training images follows a law, and what it says of more images comes with an interval."""

import numpy as np
import pytest
from scipy import stats

from helpers.model import data_size, transfer_plots
from helpers.model.data_size import DataSize

FLOOR, SCALE, RATE = 0.05, 2.0, 0.5


def head_of(law: tuple[float, float, float], labels: np.ndarray, seed: int):
    """Return a head whose error follows a law: the images are more or less hard, and the head adds some chance."""
    generator = np.random.default_rng(seed)
    hardness = generator.normal(size=len(labels))

    def fit_predict(rows: np.ndarray) -> np.ndarray:
        error = float(data_size.predicted(np.array(law), np.array([len(rows)]))[0])
        seen = 0.9 * hardness + (1 - 0.9**2) ** 0.5 * generator.normal(size=len(labels))
        return np.where(seen < stats.norm.ppf(error), 1 - labels, labels)

    return fit_predict


def measured(
    law=(FLOOR, SCALE, RATE), images: int = 8_000, validation: int = 2_000, seed: int = 0
) -> DataSize:
    labels = np.arange(validation) % 2
    return data_size.measure(head_of(law, labels, seed), np.arange(images) % 2, labels, seed)


def test_a_law_without_noise_is_recovered():
    sizes = np.array([250, 500, 1_000, 2_000, 4_000, 8_000])
    law = np.array([FLOOR, SCALE, RATE])
    fitted = data_size.fit_law(sizes, data_size.predicted(law, sizes))
    np.testing.assert_allclose(fitted, law, rtol=0.02)


def test_images_for_one_point_are_those_at_which_the_error_is_one_point_lower():
    law = np.array([FLOOR, SCALE, RATE])
    size = DataSize(np.array([4_000]), np.array([0.1]), law, law[None])
    times = size.further(law)
    now, then = data_size.predicted(law, np.array([4_000, 4_000 * times]))
    assert now - then == pytest.approx(0.01)
    assert np.isinf(size.further(np.array([0.099, 0.001, 0.0])))
    assert np.isinf(size.further(np.array([0.0755, SCALE, 0.7])))


def test_interval_covers_the_true_number_of_images():
    draws, covered, truth = 10, 0, np.array([FLOOR, SCALE, RATE])
    for seed in range(draws):
        one = measured(seed=seed)
        low, high = one.interval()
        covered += low <= one.further(truth) <= high
    # a bootstrap over few draws is too narrow at times; the page says that it is one
    assert covered >= stats.binom.ppf(0.001, draws, 0.9)


def test_the_conclusion_says_how_many_images_one_point_takes():
    said = data_size.conclusion(measured(), "EfficientNet-Lite0 at 64 px")
    assert said.numbers["sizes"] == [250, 500, 1_000, 2_000, 4_000, 8_000]
    low, high = said.numbers["images_ci95"]
    assert low <= said.numbers["images_for_one_point"] <= (high or np.inf)
    assert "with 8,000 training images, and" in said.text
    assert "one point more takes" in said.text


def test_a_floor_that_is_reached_is_not_promised_to_fall():
    said = data_size.conclusion(measured(law=(0.08, 5e3, 2.0)), "the network")
    assert said.numbers["images_ci95"][1] is None
    assert "more than 800,000" in said.text


def test_a_few_validation_images_cannot_tell_what_more_training_images_bring():
    said = data_size.conclusion(measured(images=100, validation=13), "the network")
    assert "is unknown: " in said.text
    assert "By the law" not in said.text


@pytest.mark.parametrize("images", [4, 30])
def test_few_images_give_no_law(images):
    one = measured(images=images, validation=50)
    assert one.law is None
    said = data_size.conclusion(one, "the network")
    assert "too few to say" in said.text
    assert transfer_plots.accuracy_by_size(one).get_label()


def test_the_figure_tells_its_numbers():
    one = measured()
    alt = transfer_plots.accuracy_by_size(one).get_label()
    assert f"8,000 images {100 * (1 - one.errors[-1]):.1f}%" in alt
