"""Networks trained from scratch, and averaging over views."""

from types import SimpleNamespace

import keras
import notebook_code
import numpy as np
import pytest

from helpers.model import architectures

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
baseline_cnn = notebook_code.functions("04_baseline")["baseline_cnn"]
GREY = {"mean": [70.0], "standard_deviation": [90.0]}


def images(count: int = 4, side: int = 28, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, channels)).astype(np.float32)


@pytest.mark.parametrize("build", [architectures.residual_cnn, baseline_cnn])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (33, 3), (64, 3)])
def test_networks_give_probabilities_for_any_image_size(build, side, channels):
    model = build((side, side, channels), 5, mean=[70.0] * channels, standard_deviation=[90.0] * channels)
    probabilities = np.asarray(model(images(3, side, channels)))
    assert probabilities.shape == (3, 5)
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_depth_and_width_are_those_asked_for():
    narrow = architectures.residual_cnn((28, 28, 1), 10, **GREY, width=16, depth=1)
    deep = architectures.residual_cnn((28, 28, 1), 10, **GREY, width=16, depth=3)
    wide = architectures.residual_cnn((28, 28, 1), 10, **GREY, width=32, depth=1)
    assert sum(isinstance(layer, keras.layers.Add) for layer in deep.layers) == 9
    assert wide.get_layer("stage_3_block_1_2").filters == 128
    assert 3.5 < wide.count_params() / narrow.count_params() < 4.5


@pytest.mark.parametrize(("width", "depth", "early"), [(8, 1, True), (16, 2, True), (8, 2, False)])
def test_the_network_written_out_in_notebook_09_is_the_one_that_the_search_trains(width, depth, early):
    rows = SimpleNamespace(image_shape=(28, 28, 1), num_classes=10)
    of_notebook = {"train": rows, "search": SimpleNamespace(statistics=GREY), "early_pooling": early}
    written = notebook_code.functions("09_tuning", **of_notebook)["residual_network"]
    networks = []
    for build in (
        lambda: written(width, depth),
        lambda: architectures.residual_cnn(
            (28, 28, 1), 10, **GREY, width=width, depth=depth, early_pooling=early
        ),
    ):
        keras.utils.set_random_seed(0)
        networks.append(build())
    mine, trained = networks
    kinds = [[type(layer).__name__ for layer in network.layers] for network in networks]
    assert kinds[0] == kinds[1]
    weights = zip(mine.get_weights(), trained.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in weights)
    assert np.array_equal(mine(images()), trained(images()))


def test_early_pooling_cuts_the_cost():
    cost = {
        early: architectures.multiply_accumulates(
            architectures.residual_cnn((28, 28, 1), 10, **GREY, early_pooling=early)
        )
        for early in (True, False)
    }
    assert 3.0 < cost[False] / cost[True] < 4.5


def test_multiply_accumulates_are_those_counted_by_hand():
    model = baseline_cnn((28, 28, 1), 10, **GREY, filters=4)
    by_hand = 28 * 28 * 9 * 1 * 4 + 14 * 14 * 9 * 4 * 8 + 7 * 7 * 9 * 8 * 8 + (3 * 3 * 8) * 32 + 32 * 10
    assert architectures.multiply_accumulates(model) == by_hand


def test_network_for_any_size_shares_its_weights_with_one_for_a_fixed_size():
    free = architectures.residual_cnn((None, None, 1), 10, **GREY)
    fixed = architectures.residual_cnn((28, 28, 1), 10, **GREY)
    fixed.set_weights(free.get_weights())
    assert np.asarray(free(images())) == pytest.approx(np.asarray(fixed(images())), abs=1e-6)
    assert free(images(2, 20)).shape == (2, 10)


def test_averaging_over_flips_makes_mirror_images_alike():
    model = architectures.residual_cnn((28, 28, 1), 10, **GREY, width=8)
    averaged = architectures.averaging_views(model, flip=True)
    mirrored = images()[:, :, ::-1]
    assert np.asarray(averaged(images())) == pytest.approx(np.asarray(averaged(mirrored)), abs=1e-5)
    expected = (np.asarray(model(images())) + np.asarray(model(mirrored))) / 2
    assert np.asarray(averaged(images())) == pytest.approx(expected, abs=1e-5)


def test_averaging_over_shifts_moves_the_image_by_whole_pixels():
    model = architectures.residual_cnn((28, 28, 1), 10, **GREY, width=8)
    x = images()
    views = [x, *(np.zeros_like(x) for _ in range(4))]
    views[1][:, 2:], views[2][:, :-2] = x[:, :-2], x[:, 2:]
    views[3][:, :, 2:], views[4][:, :, :-2] = x[:, :, :-2], x[:, :, 2:]
    expected = np.mean([np.asarray(model(view)) for view in views], axis=0)
    assert np.asarray(architectures.averaging_views(model, shift=2)(x)) == pytest.approx(expected, abs=1e-5)


def test_averaging_over_nothing_is_the_network_itself():
    model = architectures.residual_cnn((28, 28, 1), 10, **GREY, width=8)
    assert architectures.averaging_views(model) is model


def test_averaged_network_loads_in_safe_mode_without_this_package(tmp_path):
    model = architectures.averaging_views(
        architectures.residual_cnn((28, 28, 1), 10, **GREY, width=8), flip=True, shift=1
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert np.asarray(loaded(images())) == pytest.approx(np.asarray(model(images())), abs=1e-6)
