"""The numbers of the exploration agree with what can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from helpers.errors import UsageError
from helpers.explore import conclusions, similarity, statistics
from helpers.interpret import error_analysis
from helpers.obtain import data, measures


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    bunch = load_digits()
    return np.round(bunch.images * 255 / 16).astype(np.uint8)[..., None], bunch.target.astype(np.int64)


def random_images(count: int, shape: tuple[int, int, int] = (12, 10, 3), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)


def test_equal_classes_are_called_equal() -> None:
    balance = statistics.balance(np.array([50, 50, 50]))
    assert (balance.statistic, balance.p_value, balance.effect_size, balance.ratio) == (0.0, 1.0, 0.0, 1.0)
    assert "the same number" in balance.in_words()


def test_chance_differences_are_not_called_real() -> None:
    assert "not differ significantly" in statistics.balance(np.array([48, 52, 50])).in_words()


@pytest.mark.parametrize(
    ("counts", "words"), [([5200, 4800], "very small"), ([60, 140], "medium"), ([300, 20], "large")]
)
def test_real_differences_get_a_word_for_their_size(counts: list[int], words: str) -> None:
    assert words in statistics.balance(np.array(counts)).in_words()


def test_chi_square_is_that_of_the_textbook() -> None:
    balance = statistics.balance(np.array([10, 20, 30]))
    assert balance.statistic == pytest.approx(10.0)
    assert balance.p_value == pytest.approx(np.exp(-5.0))
    assert balance.ratio == 3.0


def test_unequal_classes_are_warned_of_with_numbers() -> None:
    names = ("one", "two", "three")
    unequal = conclusions.balance(statistics.balance(np.array([50, 10_000, 3])), names).text
    assert "Warning" in unequal
    assert "two has 10,000 images and three 3" in unequal
    assert "correct for 99.5% of the images" in unequal
    assert "Warning" not in conclusions.balance(statistics.balance(np.array([50, 100, 60])), names).text


def test_class_moments_equal_numpys() -> None:
    images, labels = random_images(40), np.arange(40) % 4
    means, variances = statistics.class_moments(images, labels, 4)
    chosen = images[labels == 2].astype(np.float64)
    np.testing.assert_allclose(means[2], chosen.mean(axis=0))
    np.testing.assert_allclose(variances[2], chosen.var(axis=0), rtol=1e-9)


def test_chunks_do_not_change_the_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = random_images(40), np.zeros(40, np.int64)
    at_once = statistics.class_moments(images, labels, 1)
    monkeypatch.setattr(data, "_CHUNK_VALUES", 1000)
    np.testing.assert_allclose(statistics.class_moments(images, labels, 1), at_once)


def test_channel_statistics_are_per_channel_and_exact() -> None:
    images = random_images(30)
    images[..., 1] //= 2
    mean, deviation = statistics.channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(deviation, images.std(axis=(0, 1, 2), dtype=np.float64), rtol=1e-12)


def test_intensities_count_every_pixel_once() -> None:
    images, labels = random_images(30), np.arange(30) % 3
    assert statistics.intensity_histogram(images).sum() == images.size
    np.testing.assert_allclose(statistics.intensity_by_class(images, labels, 3).sum(axis=1), 1.0)


def test_constant_and_nearly_blank_images_are_found() -> None:
    images = random_images(6)
    images[2] = 7
    images[4] = 100
    images[4, 0, 0] = 103
    constant, blank = statistics.flat_images(pd.DataFrame(measures.of_images(images)))
    assert constant.tolist() == [2]
    assert blank.tolist() == [4]


def test_correlation_ignores_brightness_and_survives_a_flat_mean() -> None:
    image = random_images(1).astype(np.float64)[0]
    means = np.stack([image, 0.5 * image + 20, 255 - image, np.full_like(image, 9.0)])
    correlation = similarity.class_correlation(means)
    assert correlation[0, 1] == pytest.approx(1.0)
    assert correlation[0, 2] == pytest.approx(-1.0)
    assert correlation[0, 3] == 0.0


def test_pairs_are_ranked_from_most_to_least_alike() -> None:
    scores = np.array([[1.0, 0.2, 0.9], [0.2, 1.0, 0.5], [0.9, 0.5, 1.0]])
    assert similarity.rank_pairs(scores, ["a", "b", "c"]) == [
        ("a", "c", 0.9),
        ("b", "c", 0.5),
        ("a", "b", 0.2),
    ]


def test_confusion_is_high_for_classes_that_cannot_be_told_apart() -> None:
    images, labels = random_images(300, (8, 8, 1)) // 8, np.arange(300) % 3
    images[labels == 2] += 100
    images[labels == 2, :4] += 90
    rates = similarity.confusion_rates(images, labels, 3, seed=0)
    assert rates[0, 1] > 0.3
    assert rates[0, 2] < 0.05
    np.testing.assert_allclose(rates, rates.T)


def test_a_class_with_a_single_image_is_left_out_of_the_confusion() -> None:
    images, labels = random_images(41, (8, 8, 1)) // 8, np.append(np.arange(40) % 2, 2)
    images[labels == 1] += 100
    rates = similarity.confusion_rates(images, labels, 3, seed=0)
    assert rates[2].sum() == 0
    assert rates[0, 1] < 0.1
    assert not similarity.confusion_rates(images[39:], labels[39:], 3, seed=0).any()


def test_rank_agreement_handles_short_and_constant_lists() -> None:
    names = [("a", "b"), ("a", "c"), ("b", "c")]

    def agreement(*rankings: list[float]) -> float | None:
        return similarity.Similarity(
            *([(*pair, value) for pair, value in zip(names, values, strict=False)] for values in rankings)
        ).rank_agreement

    assert agreement([1, 2, 3], [3, 5, 9]) == pytest.approx(1.0)
    assert agreement([1, 2, 3], [1, 1, 1]) == 0.0
    assert agreement([1], [2]) is None


def test_embedding_keeps_digits_apart_better_than_chance(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits[0][:250], digits[1][:250]
    pca, tsne, variance = statistics.embed(images, labels, seed=0)
    assert pca.points.shape == tsne.points.shape == (250, 2)
    assert tsne.agreement > 0.7
    assert tsne.trustworthiness > pca.trustworthiness
    assert 0 < variance[:2].sum() < 1
    again = statistics.embed(images, labels, seed=0)[1]
    assert np.array_equal(tsne.points, again.points)


def test_embedding_is_the_same_however_many_threads_there_are() -> None:
    images, labels = random_images(400), np.arange(400) % 2
    embedded = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            embedded.append(statistics.embed(images, labels, seed=0))
    one, other = embedded
    assert np.array_equal(one[0].points, other[0].points)
    assert np.array_equal(one[1].points, other[1].points)


def test_embedding_works_on_a_dozen_images() -> None:
    _, tsne, _ = statistics.embed(random_images(12), np.arange(12) % 2, seed=0)
    assert np.isfinite(tsne.points).all()


def test_two_images_of_each_class_are_too_few_for_a_classifier_and_say_so() -> None:
    assert not similarity.confusion_rates(random_images(6), np.repeat(np.arange(3), 2), 3, seed=0).any()


def shaded(labels: np.ndarray, shades: np.ndarray, side: int = 28, channels: int = 1) -> data.Dataset:
    """Return one evenly shaded image for each label, with as many classes as there are shades."""
    pixels = shades[labels].astype(np.uint8)[:, None, None, None]
    images = np.broadcast_to(pixels, (len(labels), side, side, channels)).copy()
    return data.Dataset(images, labels, tuple(f"class {number}" for number in range(len(shades))))


def test_followed_image_lies_in_the_most_confused_pair_and_is_taken_for_the_other_class():
    shades = np.array([0, 100, 110, 250])
    train = shaded(np.arange(40) % 4, shades)
    validation = shaded(np.arange(40) % 4, shades)
    validation.images[3] = 0  # the only one of class 3 that looks like class 0
    validation.images[[5, 9]] = 110  # two of class 1 that look like class 2
    validation.images[5, :8] = 106  # not quite
    assert similarity.followed(train, validation, -1, seed=0) == 9


@pytest.mark.parametrize(("classes", "side", "channels"), [(2, 8, 1), (200, 28, 1), (3, 300, 3)])
def test_followed_image_is_the_least_confident_if_there_is_no_mistake(classes, side, channels):
    shades = np.linspace(0, 255, classes).round()
    train = shaded(np.arange(10 * classes) % classes, shades, side, channels)
    validation = shaded(np.arange(2 * classes) % classes, shades, side, channels)
    validation.images[1, : side // 4] = shades[0]
    assert similarity.followed(train, validation, -1, seed=0) == 1


def test_followed_image_may_be_named_and_one_that_does_not_exist_is_refused():
    part = shaded(np.arange(4) % 2, np.array([0, 255]))
    assert similarity.followed(part, part, 3, seed=0) == 3
    with pytest.raises(UsageError, match=r"no validation image 4: there are 4(?s:.)*-1 for a hard image"):
        similarity.followed(part, part, 4, seed=0)


def test_intensities_agree_with_numpy() -> None:
    images, labels = random_images(40), np.arange(40) % 2
    images[labels == 1] //= 3
    pixels = statistics.intensities(images, labels, ("bright", "dark"))
    assert list(pixels.brightness) == ["dark", "bright"]
    assert pixels.brightness["dark"] == pytest.approx(images[labels == 1].mean())
    assert pixels.proportions[7] == pytest.approx((images == 7).mean())
    by_class = statistics.intensity_by_class(images, labels, 2).reshape(2, 16, 16).sum(axis=2)
    np.testing.assert_allclose(pixels.by_class, by_class)


def test_rankings_of_the_same_pairs_are_compared_pair_by_pair() -> None:
    alike = [("a", "b", 0.9), ("a", "c", 0.5), ("b", "c", 0.1)]
    confused = [("b", "c", 0.3), ("a", "c", 0.2), ("a", "b", 0.1)]
    classes = similarity.Similarity(alike, confused)
    assert classes.rank_agreement == pytest.approx(-1.0)
    assert classes.table()[0] == ("a", "b", 0.9, 0.1)


def test_conclusions_say_significant_only_where_the_test_does() -> None:
    equal, unequal = (statistics.balance(np.array(counts)) for counts in ([48, 52, 50], [60, 140, 50]))
    assert "do not differ significantly" in conclusions.balance(equal, ("a", "b", "c")).text
    assert "Class sizes differ significantly" in conclusions.balance(unequal, ("a", "b", "c")).text


def test_the_boundary_is_concluded_from_intervals() -> None:
    scores = {"network": (0.97, 0.96, 0.98), "line": (0.87, 0.85, 0.89), "Bayes rule": (0.9705, 0.97, 0.98)}
    text = conclusions.boundary(scores, 2000).text
    assert "do not overlap" in text
    assert "97.05%" in text, "beside 97.1%, 97.0% would look like a larger difference"
    scores["line"] = (0.96, 0.94, 0.97)
    assert "the intervals overlap" in conclusions.boundary(scores, 2000).text


def test_equal_classes_get_their_size_instead_of_a_test():
    same = conclusions.balance(statistics.balance(np.full(3, 40)), ("a", "b", "c")).text
    assert same.startswith("All 3 classes have the same number of images, 40. Always predicting one class")
    assert "chi-square" not in same


def test_results_do_not_depend_on_how_many_images_are_read_together(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (50, 12, 12, 3), dtype=np.uint8)
    images[:, [0, -1]], images[:, :, [0, -1]], images[7] = 0, 0, 30
    images[9] //= 200
    labels = np.arange(50) % 3

    def measured() -> list[np.ndarray | bool]:
        intensities = statistics.intensities(images, labels, ("a", "b", "c"))
        return [
            *statistics.class_moments(images, labels, 3),
            *(intensities.histogram, intensities.by_class, intensities.mean, intensities.deviation),
            *data.brightness_and_contrast(images),
            *error_analysis.properties(images).values(),
            error_analysis.has_black_background(images),
        ]

    together = measured()
    monkeypatch.setattr(data, "_CHUNK_VALUES", 12 * 12 * 3 * 7)
    for one, other in zip(together, measured(), strict=True):
        assert other == pytest.approx(one, rel=1e-12)
