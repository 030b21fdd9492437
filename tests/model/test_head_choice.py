"""The head is chosen by cross-validation on training images, by the metric of the series."""

import numpy as np
import pytest
from test_transfer import SETTINGS, shades, source

from helpers.model import (
    classical_heads,
    conclusions,
    head_choice,
    head_folds,
    head_results,
    training,
    transfer,
)
from helpers.model.diagnosis import diagnose
from helpers.model.head_choice import Examples, Head
from helpers.series.metrics import Metric

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
ACCURACY, BALANCED = Metric("accuracy"), Metric("balanced_accuracy")
NAMES = tuple(head_choice.TITLES)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path))


def linear(n: int = 120, features: int = 40) -> Examples:
    """Two classes that a plane separates, among features of noise."""
    generator = np.random.default_rng(0)
    labels = np.arange(n, dtype=np.int64) % 2
    values = generator.normal(size=(n, features)).astype(np.float32)
    values[:, 0] += np.where(labels, 4, -4)
    return Examples([values], labels, 2, SETTINGS)


def rings(n: int = 200) -> Examples:
    """Two classes that no plane separates: two clouds opposite each other for each class."""
    generator = np.random.default_rng(0)
    labels = np.arange(n, dtype=np.int64) % 2
    angle = np.pi * (generator.integers(0, 2, n) + labels / 2) + generator.normal(0, 0.2, n)
    values = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return Examples([values], labels, 2, SETTINGS)


def unequal(n: int = 400) -> Examples:
    """A rare class that overlaps with a frequent one."""
    generator = np.random.default_rng(0)
    labels = (np.arange(n) % 10 == 0).astype(np.int64)
    values = generator.normal(size=(n, 2)).astype(np.float32)
    values[:, 0] += 1.2 * labels
    return Examples([values], labels, 2, SETTINGS)


def choose(examples: Examples, metric: Metric = ACCURACY, names=NAMES, class_weights="none", **changes):
    together = changes.pop("together", np.arange(len(examples.labels)))
    return head_choice.choose(
        examples, together, metric, names, class_weights, **{"at_most": 1_000, "folds": 4, **changes}
    )


def test_dense_head_wins_where_no_plane_separates_the_classes():
    choice = choose(rings())
    assert choice.head.name == "dense"
    scores = {row.head.name: row.score for row in choice.best_of_each()}
    assert scores["dense"] > 0.9
    assert max(scores["logistic"], scores["lda"]) < 0.7


def test_first_named_head_wins_among_equals():
    for names in (("lda", "logistic"), ("logistic", "lda")):
        assert choose(linear(features=2), names=names).head.name == names[0]


def test_class_weights_are_chosen_by_the_metric():
    by_accuracy = choose(unequal(), names=("logistic",), class_weights="auto")
    by_balance = choose(unequal(), BALANCED, ("logistic",), "auto")
    assert by_accuracy.head.class_weights == "none"
    assert by_balance.head.class_weights == "balanced"
    assert choose(unequal(), names=("logistic",), class_weights="sqrt").head.class_weights == "sqrt"
    assert "class weights" in conclusions.heads(by_balance).text
    assert "class weights" not in conclusions.heads(by_accuracy).text


def test_equal_classes_are_compared_without_class_weights():
    heads = [row.head for row in choose(linear(), class_weights="auto").compared]
    assert {head.class_weights for head in heads} == {"none"}
    assert len(heads) == 1 + sum(map(len, classical_heads.STRENGTHS.values()))


def test_balanced_weights_give_every_class_the_same_total_and_keep_those_of_the_images():
    examples = unequal()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(examples.labels))
    weighted = Examples(examples.views, examples.labels, 2, SETTINGS, weights)
    totals = {
        rule: np.bincount(examples.labels, weighted.image_weights(rule)) for rule in head_choice.CLASS_WEIGHTS
    }
    assert totals["balanced"][0] == pytest.approx(totals["balanced"][1])
    assert totals["none"][0] / totals["none"][1] == pytest.approx(
        (totals["sqrt"][0] / totals["sqrt"][1]) ** 2
    )
    ratios = weighted.image_weights("balanced") / weights
    assert np.ptp(ratios[examples.labels == 0]) == pytest.approx(0)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_images_reach_the_fit(name):
    examples = unequal(60)
    doubtful = np.arange(60) % 20 == 0  # half of the rare class
    weights = np.where(doubtful, 1e-6, 1.0)
    head, everything = Head(name, 0.1), np.arange(60)

    def mean_of_rare(weights: np.ndarray | None) -> float:
        trained = Examples(examples.views, examples.labels, 2, SETTINGS, weights).trainer(head)
        return float(trained(everything, everything)[:, 1].mean())

    assert mean_of_rare(weights) < mean_of_rare(None)


def test_copies_stay_in_one_fold():
    generator = np.random.default_rng(0)
    values = np.repeat(generator.normal(size=(30, 200)).astype(np.float32), 2, axis=0)
    examples = Examples([values], np.repeat(generator.integers(0, 2, 30), 2), 2, SETTINGS)
    apart = choose(examples, names=("logistic",))
    together = choose(examples, names=("logistic",), together=np.repeat(np.arange(30), 2))
    assert apart.compared[0].score > 0.75, "a copy gives the random label away"
    assert together.compared[0].score < 0.7


def test_heads_are_not_compared_on_many_images_or_if_one_setting_is_named():
    many = choose(linear(), at_most=119)
    assert (many.head, many.compared) == (Head("dense"), ())
    assert "more than 119 training images" in conclusions.heads(many).text
    assert choose(linear(), names=("lda", "logistic"), at_most=119).head.name == "lda"
    assert choose(linear(), names=("dense",)).head == Head("dense")


def few(labels: list[int], classes: int) -> Examples:
    values = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
    return Examples([values], np.array(labels, np.int64), classes, SETTINGS)


def test_one_image_of_each_class_cannot_be_compared_and_gets_the_first_head():
    choice = choose(few([0, 1, 2], 3))
    assert choice.head == Head("logistic", classical_heads.STRENGTHS["logistic"][1])
    assert "too few images" in conclusions.heads(choice).text


def test_class_with_one_image_and_fewer_images_than_folds_are_compared():
    choice = choose(few([0] * 6 + [1] * 6 + [2], 3), names=("logistic", "lda"), class_weights="auto")
    assert all(np.isfinite(row.score) for row in choice.compared)
    assert len(choose(few([0, 0, 1, 1], 2), folds=5).compared) > 0


def test_head_whose_training_diverges_loses(monkeypatch):
    def diverged(*given):
        raise training.DivergedError("The loss became NaN.", "lower the rate")

    monkeypatch.setattr(transfer, "fold_trainer", lambda *given: diverged)
    choice = choose(linear(), names=("dense", "lda"))
    assert choice.head.name == "lda"
    assert choice.best_of_each()[-1].score == -np.inf


def test_choice_does_not_depend_on_validation_images():
    def chosen(seed: int) -> head_choice.Choice:
        extracted = head_results.extract(source(), shades(60), shades(20, seed), SETTINGS)
        return choose(extracted.examples, names=("logistic", "lda"))

    first, other = chosen(1), chosen(2)
    assert [(row.head, row.score) for row in first.compared] == [
        (row.head, row.score) for row in other.compared
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_head_is_scored_joined_and_cross_validated(name):
    head = Head(name, classical_heads.STRENGTHS.get(name, (0.0, 0.0))[1])
    train, held_out = shades(96), shades(40, 1)
    result = head_results.extract(source(), train, held_out, SETTINGS).fit(head)
    model = transfer.join(result.source.base, result.top, "transfer")
    from_pixels = model.predict(held_out.images.astype("f4"), verbose=0)
    assert np.array_equal(from_pixels.argmax(axis=1), result.predicted)
    assert result.score.accuracy > 0.9
    assert diagnose(result.fit.history)
    assert transfer.describe_head(result.top)[-1][1] == "2 classes"
    folds = head_folds.cross_validate(source(), [train], np.arange(96), SETTINGS, head, folds=3, repeats=1)
    assert folds.accuracy[0] > 0.9


def test_mirrored_images_keep_their_labels_if_these_do_not_depend_on_the_side():
    held_out = shades(40, 1)
    result = head_results.extract(source(), shades(96), held_out, SETTINGS).fit(Head("logistic", 0.01))
    model = transfer.join(result.source.base, result.top, "transfer")
    evidence = head_results.mirrored(model, held_out, result.predicted, ACCURACY, seed=0)
    assert evidence["keeps_labels"]
    assert evidence["original"] == result.score.accuracy


def test_mirroring_that_swaps_classes_is_noticed():
    def sides(n: int, seed: int):
        part = shades(n, seed)
        part.images[:] = np.random.default_rng(seed).integers(0, 40, part.images.shape)
        for image, label in zip(part.images, part.labels, strict=True):
            image[:, 4 * label : 4 * label + 4] += 150
        return part

    train, held_out = sides(60, 0), sides(20, 1)
    # the pooled features of a network do not tell sides apart: the model here reads pixels
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(train.images.astype("f4"), train.labels, epochs=10, verbose=0)
    predicted = training.predict(model, held_out.images).argmax(axis=1)
    evidence = head_results.mirrored(model, held_out, predicted, ACCURACY, seed=0)
    assert evidence["original"] == 1.0
    assert evidence["mirrored"] == 0.0
    assert not evidence["keeps_labels"]


def test_a_dense_head_is_trained_again_with_other_seeds_and_a_classical_one_is_not():
    extracted = head_results.extract(source(), shades(60), shades(20, 1), SETTINGS)
    heads = extracted.other_seeds(Head(), seeds=3)
    assert list(heads) == [SETTINGS.seed + 1, SETTINGS.seed + 2]
    first, second = (head.get_weights()[0] for head in heads.values())
    assert not np.array_equal(first, second)
    assert extracted.other_seeds(Head(), seeds=1) == {}
    assert extracted.other_seeds(Head("logistic", 0.01), seeds=3) == {}


def test_a_linear_head_is_measured_on_fewer_and_fewer_images():
    sized = head_results.extract(source(), shades(160), shades(40, 1), SETTINGS).by_size(seed=0)
    assert sized.sizes.tolist() == [5, 10, 20, 40, 80, 160][-len(sized.sizes) :]
    assert sized.errors[-1] <= sized.errors[0]
    assert sized.errors[-1] < 0.3
