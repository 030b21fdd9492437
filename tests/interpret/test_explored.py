"""What the explorer shows is a bounded sample, whose thumbnails and facts belong to the same images."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.interpret import explored
from helpers.obtain.data import Dataset


def part(
    count: int, side: int = 28, channels: int = 1, classes: int = 2
) -> tuple[Dataset, np.ndarray, pd.DataFrame]:
    """Return images of one brightness each, features that follow it, and their index."""
    brightness = np.linspace(0, 255, count).astype(np.uint8)
    images = np.broadcast_to(brightness[:, None, None, None], (count, side, side, channels))
    labels = np.arange(count) % classes
    features = np.stack([brightness, np.arange(count) % 7, np.ones(count)], axis=1).astype(np.float32)
    index = pd.DataFrame(
        {
            "path": [f"a/{row}.png" for row in range(count)],
            "group": "",
            "sha256": [f"{row:064x}" for row in range(count)],
        }
    )
    return Dataset(np.array(images), labels, tuple("abcdefg"[:classes])), features, index


def thumbnail(shown: explored.Explored | explored.Mistakes, place: int) -> np.ndarray:
    """Return a thumbnail as the page cuts it out of its sheet."""
    sheet, within = divmod(place, shown.columns**2)
    row, column = divmod(within, shown.columns)
    pixels = np.asarray(Image.open(io.BytesIO(shown.sheets[sheet])))
    top, left = row * shown.cell, column * shown.cell
    return pixels[top : top + shown.side, left : left + shown.side]


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (28, 3), (96, 3), (300, 1)])
def test_each_thumbnail_is_that_of_its_image(side: int, channels: int) -> None:
    test, features, index = part(30, side, channels)
    shown = explored.of_test(test, features, index, np.array([], int), seed=0)
    assert shown.side == min(side, explored.LARGEST_SIDE)
    assert len(shown.sheets) == (1 if side <= explored.SMALL_SIDE else 30)
    for place, row in enumerate(shown.rows):
        cut = thumbnail(shown, place).astype(int)
        assert cut.shape[:2] == (shown.side, shown.side)
        assert np.abs(cut - int(test.images[row, 0, 0, 0])).max() <= 2


@pytest.mark.parametrize("side", [28, 96])
def test_training_images_with_possible_label_errors_follow_in_sheets_of_their_own(side: int) -> None:
    test, features, index = part(30, side)
    training, _, of_training = part(50, side)
    errors = pd.DataFrame({"index": [7, 40], "row": [7, 40], "label": [1, 0], "part": "train"})
    shown = explored.of_test(test, features, index, np.array([], int), seed=0)
    both = shown.with_training(training, of_training, errors, np.eye(50, dtype=np.float64))
    assert both.paths[30:] == ("a/7.png", "a/40.png")
    assert both.suspect_probabilities.argmax(axis=1).tolist() == [7, 40]
    first = len(shown.sheets) * shown.columns**2
    for place, row in enumerate(both.suspects):
        assert (
            np.abs(thumbnail(both, first + place).astype(int) - int(training.images[row, 0, 0, 0])).max() <= 2
        )


@pytest.mark.parametrize("side", [28, 200])
def test_the_training_images_beside_mistakes_are_saved_once(side: int) -> None:
    test, features, index = part(30, side)
    training, _, of_training = part(50, side)
    near = np.array([[40, 7], [7, 12]])
    shown = explored.of_test(test, features, index, np.array([], int), seed=0)
    mistakes = shown.with_mistakes(
        np.array([4, 9]), np.full((2, 3, 3), 0.5, np.float32), near, training, of_training
    ).mistakes
    assert mistakes.rows[mistakes.near].tolist() == near.tolist()
    assert mistakes.rows.tolist() == [7, 12, 40]
    assert mistakes.paths == ("a/7.png", "a/12.png", "a/40.png")
    assert (mistakes.maps == 128).all()
    assert mistakes.side == min(side, explored.NEAR_SIDE)
    for place, row in enumerate(mistakes.rows):
        cut = thumbnail(mistakes, place).astype(int)
        assert np.abs(cut - int(training.images[row, 0, 0, 0])).max() <= 2


def test_the_file_gives_back_what_was_saved(tmp_path) -> None:
    test, features, index = part(40)
    shown = explored.of_test(test, features, index, np.array([3, 5]), seed=0)
    shown.save(tmp_path / explored.FILE)
    assert explored.load(tmp_path / explored.FILE).mistakes is None
    maps = np.linspace(0, 1, 18, dtype=np.float32).reshape(2, 3, 3)
    shown = shown.with_mistakes(np.array([4, 9]), maps, np.array([[1, 2], [2, 7]]), test, index)
    shown = replace(shown, unknown=np.arange(40, dtype=np.float32))
    shown.save(tmp_path / explored.FILE)
    again = explored.load(tmp_path / explored.FILE)
    for name, value in vars(shown.mistakes).items():
        assert np.array_equal(getattr(again.mistakes, name), value)
    for name, value in vars(replace(shown, mistakes=again.mistakes)).items():
        assert (
            np.array_equal(getattr(again, name), value)
            if isinstance(value, np.ndarray)
            else getattr(again, name) == value
        )
    assert np.flatnonzero(again.copied).tolist() == [3, 5]


def test_more_images_than_the_bound_are_sampled_with_their_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explored, "MOST_SMALL", 50)
    test, features, index = part(200)
    shown = explored.of_test(test, features, index, np.array([], int), seed=0)
    assert (len(shown.rows), shown.total) == (50, 200)
    assert np.bincount(test.labels[shown.rows]).tolist() == [25, 25]
    assert shown.paths == tuple(f"a/{row}.png" for row in shown.rows)
    assert shown.sha256 == tuple(f"{row:064x}" for row in shown.rows)


def test_similar_features_are_neighbours_and_lie_close_on_the_map() -> None:
    test, _, index = part(300, classes=3)
    generator = np.random.default_rng(0)
    features = 20 * np.eye(3)[test.labels] + generator.normal(size=(300, 3))
    shown = explored.of_test(test, features.astype(np.float32), index, np.array([], int), seed=0)
    assert shown.alike.shape == (300, explored.ALIKE)
    assert (test.labels[shown.alike] == test.labels[:, None]).all()
    assert not (shown.alike == np.arange(300)[:, None]).any()
    assert shown.places.min() == 0
    assert shown.places.max() == 1
    centres = np.array([shown.places[test.labels == label].mean(axis=0) for label in range(3)])
    distances = np.linalg.norm(shown.places[:, None] - centres, axis=2)
    assert (distances.argmin(axis=1) == test.labels).mean() > 0.98


def test_the_same_seed_draws_the_same_map() -> None:
    test, features, index = part(60)
    one, other = (explored.of_test(test, features, index, np.array([], int), seed=1) for _ in range(2))
    assert np.array_equal(one.places, other.places)


@pytest.mark.parametrize("count", [1, 3])
def test_few_images_have_no_map(count: int) -> None:
    test, features, index = part(count, classes=1)
    shown = explored.of_test(test, features, index, np.array([], int), seed=0)
    assert shown.alike.shape == (count, 0)
    assert np.isfinite(shown.places).all()


def test_a_network_whose_features_are_all_the_same_has_no_map() -> None:
    test, features, index = part(20)
    shown = explored.of_test(test, np.zeros_like(features), index, np.array([], int), seed=0)
    assert shown.alike.shape == (20, 0)
