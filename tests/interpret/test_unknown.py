"""Images of none of the classes are recognised, by a score that is chosen on validation images alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from helpers import scoring
from helpers.errors import OsemnError
from helpers.interpret import limits_conclusions, plots, unknown, unknown_choice
from helpers.obtain.data import Dataset

NAMES = ("a", "b", "c", "d")
LAST_LAYER = (np.eye(4, dtype=np.float32) * 4, np.zeros(4, np.float32))


def images_of(n: int, seed: int, classes: int = 4) -> Dataset:
    """Return images of 8 × 8 pixels, in which the quarter of their class is bright."""
    generator, labels = np.random.default_rng(seed), np.arange(n) % classes
    images = generator.normal(20, 5, (n, 8, 8, 1))
    for image, label in zip(images, labels, strict=True):
        y, x = divmod(int(label) % 4, 2)
        image[4 * y : 4 * y + 4, 4 * x : 4 * x + 4] += generator.normal(90, 8)
    names = tuple(f"class {number}" for number in range(classes)) if classes > 4 else NAMES[:classes]
    return Dataset(np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64), names)


def by_quarters(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score images by the mean of each quarter: brighter quarters give higher logits, without end."""
    embeddings = images.reshape(len(images), 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4) / 50
    return np.zeros((len(images), 4)), embeddings.astype(np.float32)


def learn(train: Dataset, validation: Dataset, known_rejected: float = 0.05, classes: int = 4):
    last_layer = (LAST_LAYER[0][:, np.arange(classes) % 4], np.zeros(classes, np.float32))
    both = zip((train.images, train.labels), (validation.images, validation.labels), strict=True)
    everything = Dataset(*map(np.concatenate, both), train.class_names)
    parts = tuple(np.split(np.arange(len(everything)), [len(train)]))
    return unknown_choice.learn(
        by_quarters, last_layer, everything, parts, known_rejected=known_rejected, seed=0
    )


@pytest.fixture(scope="module")
def learnt() -> unknown_choice.Learnt:
    return learn(images_of(400, seed=0), images_of(800, seed=1))


def test_a_score_that_takes_bright_negatives_for_known_images_is_not_chosen(learnt):
    assert learnt.made_up["energy"] < 0.9
    assert learnt.detector.kind not in ("energy", "largest_logit")
    chosen = learnt.detector.kind
    lower = {kind: min(learnt.table()[title].values()) for kind, title in unknown.TITLES.items()}
    assert lower[chosen] == max(lower.values()) > 0.95
    strange = by_quarters(255 - images_of(100, seed=2).images)[1]
    assert learnt.detector.rejects(strange).mean() > 0.95


def test_embeddings_of_the_scored_images_come_with_their_rows(learnt):
    images = np.concatenate([images_of(400, seed=0).images, images_of(800, seed=1).images])
    assert len(np.unique(learnt.rows)) == len(learnt.rows) == 1_200
    np.testing.assert_array_equal(learnt.embeddings, by_quarters(images[learnt.rows])[1])


@pytest.mark.parametrize("asked", [0.01, 0.05, 0.2])
def test_the_rate_of_rejected_known_images_is_the_one_asked_for(asked):
    detector = learn(images_of(400, seed=0), images_of(1_000, seed=1), asked).detector
    rejected = int(detector.rejects(by_quarters(images_of(4_000, seed=3).images)[1]).sum())
    # the threshold is a quantile of 1,000 images, so its rate varies as a beta distribution
    spread = stats.betabinom(4_000, 1_000 * asked, 1_000 * (1 - asked))
    assert spread.ppf(0.001) <= rejected <= spread.ppf(0.999)


@pytest.mark.parametrize("kind", unknown.TITLES)
def test_every_score_is_higher_for_images_without_contrast_and_survives_its_file(learnt, kind, tmp_path):
    images = images_of(50, seed=4).images
    known, strange = (by_quarters(values)[1] for values in (images, images // 8 + 30))
    detector = learnt.detector
    assert scoring.auroc(detector.score(known, kind), detector.score(strange, kind)).value > 0.95
    detector = replace(detector, kind=kind)
    detector.save(tmp_path / unknown.FILE)
    again = unknown.Detector.load(tmp_path / unknown.FILE)
    np.testing.assert_allclose(again.score(known), detector.score(known), rtol=1e-3, atol=1e-4)
    assert again.kind == kind


def test_mahalanobis_distance_is_that_to_the_nearest_class_mean():
    same, means = np.eye(3), np.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
    detector = unknown.Detector(
        "mahalanobis", 1.0, same, same[0], np.zeros(3), same[:, :2], same, means, same, same
    )
    # the third column is the distance from the plane of the two axes
    np.testing.assert_allclose(detector.score(np.array([[3.0, 0.0, 0.0], [3.0, 4.0, -2.0]])), [9.0, 4.0])
    assert detector.rejects(np.array([[0.5, 0.0, 0.0], [9.0, 0.0, 0.0]])).tolist() == [False, True]


@pytest.mark.parametrize(("classes", "groups"), [(2, 2), (4, 4), (12, 10)])
def test_each_class_is_left_out_once_in_ten_groups_at_most(classes, groups):
    learnt = learn(images_of(240, 0, classes), images_of(240, 1, classes), classes=classes)
    assert {len(by_class) for by_class in learnt.left_out.values()} == {groups}
    if classes == 4:
        assert set(learnt.left_out["mahalanobis"]) == set(NAMES)
        assert min(learnt.left_out["mahalanobis"].values()) > 0.95


def test_one_training_image_of_each_class_is_enough_to_go_on():
    learnt = learn(images_of(12, 0, 12), images_of(60, 1, 12), classes=12)
    scores = [learnt.detector.score(by_quarters(images_of(20, 2).images)[1], kind) for kind in unknown.TITLES]
    assert np.isfinite(scores).all()


def test_a_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / unknown.FILE, kind="energy")
    with pytest.raises(OsemnError, match="export the model again"):
        unknown.Detector.load(tmp_path / unknown.FILE)


def test_made_up_images_differ_from_their_originals_and_keep_their_shape():
    images = np.random.default_rng(0).integers(0, 256, (7, 11, 9, 3), dtype=np.uint8)
    changed = unknown_choice.made_up(images, 0)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    assert all((one != other).any() for one, other in zip(changed, images, strict=True))
    assert "7 validation images" in plots.made_up(images, changed).get_label()
    np.testing.assert_array_equal(changed[0], 255 - images[0])
    np.testing.assert_array_equal(np.sort(changed[1], axis=None), np.sort(images[1], axis=None))


@pytest.mark.parametrize(
    ("dataset", "shape", "what"),
    [("fashion_mnist", (28, 28, 1), "handwritten digits"), ("pets", (40, 40, 3), "handwritten digits")]
    + [(name, (8, 8, 1), "crops of two photographs") for name in ("digits", "mnist")],
)
def test_foreign_images_are_no_digits_where_the_data_are_digits(dataset, shape, what):
    images, title = unknown_choice.foreign(dataset, shape, 20)
    assert (images.shape, images.dtype, title) == ((20, *shape), np.uint8, what)
    assert images.max() > 128
    np.testing.assert_array_equal(images, unknown_choice.foreign(dataset, shape, 20)[0])


def test_area_under_the_curve_is_scikit_learns_and_lies_within_its_interval():
    generator = np.random.default_rng(0)
    lower, higher = generator.normal(0, 1, 70).round(1), generator.normal(1, 2, 40).round(1)
    area = scoring.auroc(lower, higher)
    assert area.value == pytest.approx(roc_auc_score([0] * 70 + [1] * 40, [*lower, *higher]))
    assert 0 < area.ci95[0] < area.value < area.ci95[1] < 1
    perfect = scoring.auroc(np.zeros(50), np.ones(50))
    assert perfect.value == perfect.ci95[1] == 1.0
    assert 0.9 < perfect.ci95[0] < 1.0
    with pytest.raises(OsemnError, match="both kinds"):
        scoring.auroc(np.zeros(3), np.zeros(0))


@pytest.mark.parametrize("area", [0.7, 0.95, 0.99])
def test_interval_of_the_area_covers_the_true_one(area):
    generator, shift, covered, draws = np.random.default_rng(0), 2**0.5 * stats.norm.ppf(area), 0, 400
    for _ in range(draws):
        low, high = scoring.auroc(generator.normal(0, 1, 200), generator.normal(shift, 1, 100)).ci95
        covered += low <= area <= high
    assert covered >= stats.binom.ppf(0.001, draws, 0.95)


def test_the_conclusion_names_score_rate_and_hardest_class(learnt):
    test = images_of(500, seed=5)
    embeddings = by_quarters(test.images)[1]
    strange = by_quarters(255 - test.images[:60])[1]
    said = limits_conclusions.unknown(
        "tuned network", learnt, embeddings, test.labels != 3, strange, "negatives"
    )
    assert said.id == "unknown"
    assert unknown.TITLES[learnt.detector.kind] in said.text
    assert "5% of 800 validation images" in said.text
    assert "of 60 negatives" in said.text
    hardest = min(said.numbers["left_out"]["by_class"].items(), key=lambda one: one[1])
    assert f"at worst {hardest[1]:.3f} ({hardest[0]})" in said.text
    assert said.numbers["others_rejected"] == learnt.detector.rejects(strange).mean()
    assert said.numbers["test_rejected"] == learnt.detector.rejects(embeddings).mean()
