"""Images are changed as stated, and stronger changes and larger windows raise more alarms."""

import numpy as np
import pytest

from helpers import figures, paths
from helpers.interpret import drift
from helpers.serving import conclusions, drift_power, plots


def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stand for a model: three classes by brightness of the left, middle and right part."""
    parts = np.stack([images[:, :, 4 * k : 4 * k + 4].mean(axis=(1, 2, 3)) for k in range(3)], axis=1) / 40
    exponents = np.exp(parts)
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32), parts.astype(np.float32)


def images_of_three_classes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = generator.integers(0, 120, (n, 12, 12, 1))
    for label in range(3):
        images[labels == label, :, 4 * label : 4 * label + 4] += 100
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def reference() -> drift.DriftReference:
    images, _ = images_of_three_classes(1200, seed=0)
    return drift.DriftReference.made_from(drift.sample(*predict(images), images), seed=0, windows=(30, 200))


def test_stronger_changes_and_larger_windows_are_detected_more_often(reference):
    images, labels = images_of_three_classes(600, seed=2)
    result = drift_power.measure(reference, images, labels, predict, windows=12, seed=0)
    rate = result.set_index(["kind", "strength", "window"])["rate"]
    assert len(result) == 2 * (sum(len(strengths) for _, strengths, _ in drift_power.CHANGES.values()) + 3)
    assert rate["brightness", "× 0.5", 200] == 1.0
    assert rate["one class", "41%", 30] < rate["one class", "78%", 200]
    assert rate["one class", "78%", 200] == 1.0
    assert rate.between(0, 1).all()
    figure = plots.drift_power(result)
    assert [axis.get_title().partition(" (")[0] for axis in figure.axes if axis.get_visible()] == [
        *drift_power.CHANGES,
        "one class",
    ]


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_one_class_makes_up_the_proportion_of_the_window_that_its_name_states(
    reference, classes, monkeypatch
):
    images, _ = images_of_three_classes(120, seed=6)
    labels, proportions = np.arange(120) % classes, {}

    class Spy:
        def __init__(self):
            self.thresholds = {100: 0.0}

        def examine(self, window, seed):
            proportions[len(proportions)] = window
            return type("Finding", (), {"drifted": False})

    monkeypatch.setattr(drift.Sample, "rows", lambda self, rows: np.mean(labels[rows] == 0))
    result = drift_power.measure(Spy(), images, labels, predict, windows=30, seed=0)
    shown = result.loc[result["kind"] == "one class", "strength"]
    drawn = np.array([*proportions.values()]).reshape(-1, 30).mean(axis=1)[-len(shown) :]
    stated = [float(strength.rstrip("%")) / 100 for strength in shown]
    assert drawn == pytest.approx(stated, abs=0.04)
    assert all(proportion > 1 / classes for proportion in stated)


def test_false_alarms_are_rare_and_stated(reference):
    images, labels = images_of_three_classes(600, seed=3)
    alarms = drift_power.false_alarms(reference, images, predict, windows=100, seed=0)
    assert alarms["window"].tolist() == [30, 200]
    assert alarms["detected"].max() <= 3
    power = drift_power.measure(reference, images, labels, predict, windows=5, seed=0)
    conclusion = conclusions.drift(alarms, power)
    false = alarms["detected"].sum()
    assert f"{false} of 200 windows without drift raised a false alarm" in conclusion.text
    assert conclusion.numbers["detected"]["brightness"]
    assert "brightness (×" in conclusion.text


def test_without_a_reference_nothing_is_measured_and_the_conclusion_says_why():
    images, labels = images_of_three_classes(10, seed=4)
    alarms = drift_power.false_alarms(None, images, predict, windows=5, seed=0)
    power = drift_power.measure(None, images, labels, predict, windows=5, seed=0)
    assert alarms.empty
    assert power.empty
    assert "too few validation images" in conclusions.drift(alarms, power).text
    assert "too few validation images" in figures.alt_text(plots.drift_power(power))


def test_other_images_come_from_another_data_set_of_the_same_shape_if_it_is_here(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "cache_root", lambda: tmp_path)
    assert drift_power.other_images((28, 28, 1), "fashion_mnist", 10) == {}
    file = drift_power.idx.DATASETS["mnist"].files[0]
    (tmp_path / "mnist").mkdir()
    content = np.random.default_rng(0).integers(0, 256, np.prod(file.shape), dtype=np.uint8).tobytes()
    (tmp_path / "mnist" / file.name).write_bytes(bytes(16) + content)
    (name, images), *_ = drift_power.other_images((28, 28, 1), "fashion_mnist", 10).items()
    assert name == "MNIST"
    assert images.shape == (10, 28, 28, 1)
    assert drift_power.other_images((64, 64, 3), "fashion_mnist", 10) == {}
    assert drift_power.other_images((28, 28, 1), "mnist", 10) == {}
