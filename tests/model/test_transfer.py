import dataclasses

import keras
import notebook_code
import numpy as np
import pytest
from keras import layers

from helpers.errors import UsageError
from helpers.model import head_results, transfer
from helpers.model.backbones import blocks, features
from helpers.model.head_choice import DENSE, Head
from helpers.obtain import data

SETTINGS = transfer.HeadSettings(units=16, dropout=0.1, epochs=20, batch_size=32, learning_rate=0.02, seed=0)


pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path))


def shades(n: int, seed: int = 0) -> data.Dataset:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 120, (n, 8, 8, 1)).astype(np.uint8)
    labels = np.arange(n, dtype=np.int64) % 2
    images[labels == 1] += 60
    return data.Dataset(images, labels, ("dark", "bright"))


def source() -> features.Extractor:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(12, 5, name="stem_conv")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    base = keras.Model(inputs, x)
    base.trainable = False
    return features.Extractor("efficientnet_lite0", 32, "bilinear", base, "tests")


def rows(n: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype("float32")


def test_head_has_the_layers_of_the_issue_in_order():
    top = transfer.head(6, 3, units=16, dropout=0.3)
    kinds = [type(layer).__name__ for layer in top.layers[1:]]
    assert kinds == ["BatchNormalization", "Dropout", "Dense", "Dropout", "Dense"]
    assert [layer.rate for layer in top.layers if isinstance(layer, layers.Dropout)] == [0.3, 0.3]
    probabilities = top.predict(rows(), verbose=0)
    assert probabilities.shape == (40, 3)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert transfer.describe_head(top) == [
        ("global average pooling", "6 features"),
        ("batch normalisation", ""),
        ("dropout", "0.3"),
        ("dense, ReLU", "16 units"),
        ("dropout", "0.3"),
        ("softmax", "3 classes"),
    ]


def test_an_epoch_holds_every_row_once_with_its_own_label():
    values, labels = rows(50), np.arange(50)
    batches = transfer.FeatureBatches([values], labels, 16, seed=0)
    assert len(batches) == 4
    seen = [batches[index] for index in range(4)]
    assert sorted(np.concatenate([wanted for _, wanted in seen])) == list(range(50))
    for chosen, wanted in seen:
        assert np.array_equal(chosen, values[wanted])


def test_order_changes_from_epoch_to_epoch_and_repeats_by_seed():
    def epochs(seed):
        batches = transfer.FeatureBatches([rows(50)], np.arange(50), 50, seed)
        first = batches[0][1].tolist()
        batches.on_epoch_end()
        return first, batches[0][1].tolist()

    assert epochs(1) == epochs(1)
    assert epochs(1)[0] != epochs(1)[1]
    assert epochs(1)[0] != epochs(2)[0]


def test_each_row_comes_from_one_of_the_views_and_all_views_are_used():
    views = [np.full((60, 2), number, np.float32) + np.arange(60)[:, None] * 10 for number in range(3)]
    chosen, labels = transfer.FeatureBatches(views, np.arange(60), 60, seed=0)[0]
    view = (chosen - labels[:, None] * 10)[:, 0]
    assert set(view) == {0, 1, 2}
    assert np.array_equal(chosen[:, 0], chosen[:, 1])


def test_joined_model_gives_from_pixels_what_the_head_gives_from_features():
    train, held_out = shades(128), shades(60, 1)
    result = head_results.extract(source(), train, held_out, SETTINGS).fit(Head())
    model = transfer.join(result.source.base, result.top, "transfer")
    from_pixels = model.predict(held_out.images.astype("float32"), verbose=0)
    assert np.allclose(from_pixels, result.top.predict(result.held_out.values, verbose=0), atol=1e-4)
    assert np.array_equal(from_pixels.argmax(1), result.predicted)
    assert result.score.accuracy > 0.9, "dark and bright are easy to tell apart"


def test_the_head_written_out_in_notebook_05_is_the_one_that_the_package_trains():
    train, held_out = shades(128), shades(60, 1)
    extracted = head_results.extract(source(), train, held_out, SETTINGS)
    of_run = dataclasses.asdict(SETTINGS) | {"head_units": SETTINGS.units}
    code = notebook_code.functions("05_transfer_learning", **of_run, subset=train, extracted=extracted)
    head = code["dense_head"](extracted.source.num_features, train.num_classes)
    written, packaged = extracted.result(DENSE, head, code["train_head"](head)), extracted.fit(DENSE)
    kinds = [[type(layer).__name__ for layer in result.top.layers] for result in (written, packaged)]
    assert kinds[0] == kinds[1]
    weights = zip(written.top.get_weights(), packaged.top.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in weights)
    assert written.fit.history == packaged.fit.history
    assert written.score == packaged.score


def test_training_the_head_leaves_the_backbone_as_it_is():
    network = source()
    before = [weight.copy() for weight in network.base.get_weights()]
    head_results.extract(network, shades(64), shades(20, 1), SETTINGS).fit(Head())
    assert all(
        np.array_equal(one, other) for one, other in zip(before, network.base.get_weights(), strict=True)
    )


def test_few_images_are_enough_for_the_statistics_of_batch_normalisation():
    """Running averages would need hundreds of steps; a small folder of images gives a handful."""
    top, values = transfer.head(6, 2), rows(40) * 3 + 7
    labels = np.zeros(40, np.int64)
    settings = dataclasses.replace(SETTINGS, epochs=1, batch_size=40, learning_rate=1e-6)
    transfer.fit_head(top, [values, values], labels, (values, labels), settings)
    norm = top.get_layer("classifier_norm")
    assert np.allclose(norm.moving_mean, values.mean(axis=0), rtol=1e-3)
    assert np.allclose(norm.moving_variance, values.var(axis=0), rtol=1e-2)


def test_heads_start_from_the_same_weights_by_seed():
    keras.utils.set_random_seed(5)
    first, again, other = (transfer.head(6, 3, seed=seed).get_weights() for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


def test_same_seed_gives_the_same_head_whatever_was_drawn_before():
    def weights():
        keras.random.normal((3,))
        return (
            head_results.extract(source(), shades(64), shades(20, 1), SETTINGS).fit(Head()).top.get_weights()
        )

    assert all(np.array_equal(one, other) for one, other in zip(weights(), weights(), strict=True))


def test_result_can_be_scored_on_a_subset_of_its_validation_images():
    held_out = shades(20, 1)
    every = head_results.extract(source(), shades(64), held_out, SETTINGS).fit(Head())
    rows = np.array([1, 4, 7, 8])
    part = every.rescore(rows, held_out.labels[rows], 2)
    assert np.array_equal(part.predicted, every.predicted[rows])
    assert part.score.n == 4
    assert part.score.accuracy == np.mean(every.predicted[rows] == held_out.labels[rows])
    assert part.as_row()["extraction_seconds"] == every.as_row()["extraction_seconds"]


def test_row_of_the_table_holds_cost_and_score():
    row = head_results.extract(source(), shades(64), shades(20, 1), SETTINGS).fit(Head()).as_row()
    assert row["samples"] == 64
    assert row["n"] == 20
    assert row["parameters"] == (25 * 12 + 12) + 4 * 12 + 4 * 12 + (12 * 16 + 16) + (16 * 2 + 2)
    assert row["extraction_seconds"] > 0
    assert not row["from_cache"]
    assert (
        head_results.extract(source(), shades(64), shades(20, 1), SETTINGS).fit(Head()).as_row()["from_cache"]
    )


# blocks


def joined() -> keras.Model:
    return transfer.join(source().base, transfer.head(12, 2, units=8), "transfer")


def test_blocks_are_found_by_the_names_of_their_layers():
    (stem,) = blocks.blocks(joined())
    assert stem.name == "stem"
    assert stem.layers == ("stem_conv", "stem_bn")
    assert stem.output_shape == (4, 4, 12)
    assert stem.parameters == 25 * 12 + 12 + 2 * 12


@pytest.mark.parametrize(
    ("build", "count", "first", "last"),
    [
        ("MobileNetV2", 19, "Conv1", "Conv_1"),
        ("EfficientNetB0", 18, "stem", "top"),
        ("ResNet50", 17, "conv1", "conv5_block3"),
    ],
)
def test_blocks_of_keras_applications_are_counted_from_the_image_on(build, count, first, last):
    model = getattr(keras.applications, build)(include_top=False, weights=None, input_shape=(32, 32, 3))
    parts = blocks.blocks(model)
    assert (len(parts), parts[0].name, parts[-1].name) == (count, first, last)


def test_model_without_a_backbone_is_refused():
    with pytest.raises(UsageError, match="contains no blocks of a known backbone"):
        blocks.blocks(transfer.head(6, 2))


def test_depthwise_kernels_can_be_left_frozen():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = layers.DepthwiseConv2D(3, name="block0_depthwise_conv")(inputs)
    model = keras.Model(inputs, layers.Conv2D(4, 1, name="block0_project_conv")(x))
    (part,) = blocks.unfreeze(model, None, train_depthwise=False)
    assert {v.path.partition("/")[0] for v in model.trainable_variables} == {"block0_project_conv"}
    assert (part.trained, part.parameters) == (3 * 4 + 4, 3 * 9 + 3 + 3 * 4 + 4)
    (full,) = blocks.unfreeze(model, None)
    assert len(model.trainable_variables) == 4
    assert full.trained == full.parameters


def test_rates_fall_by_one_factor_from_block_to_block():
    model = joined()
    factors = blocks.rates(model, blocks.unfreeze(model, None), 0.5)
    assert factors["stem_conv/kernel"] == 0.5
    assert factors["probabilities/kernel"] == 1.0
    assert set(factors) == {variable.path for variable in model.trainable_variables}
