"""Figures can be drawn for few and many classes, grey and colour, and leave nothing open."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers import figures
from helpers.explore import moons, plots, similarity, statistics
from helpers.scrub import plots as augmentation

CASES = [(2, (8, 8, 1)), (10, (28, 28, 1)), (13, (40, 30, 3))]


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    classes, shape = request.param
    images = np.random.default_rng(0).integers(0, 256, (6 * classes, *shape)).astype(np.uint8)
    names = tuple(f"a rather long class name {label}" for label in range(classes))
    return images, np.arange(len(images)) % classes, names


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def fits(figure: Figure) -> bool:
    """Return whether the drawing lies within the figure, to a tenth of an inch."""
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return min(drawn.x0, drawn.y0) > -0.1 and drawn.x1 < width + 0.1 and drawn.y1 < height + 0.1


def test_class_balance_has_a_bar_for_each_class(case: tuple) -> None:
    _, labels, names = case
    figure = plots.class_balance(statistics.balance(np.bincount(labels)), names)
    axis = figure.axes[0]
    assert len(axis.patches) == len(names)
    assert [tick.get_text() for tick in axis.get_yticklabels()] == list(names)
    assert "the same number of images" in figures.alt_text(figure)


def test_mean_and_variance_shows_every_class(case: tuple) -> None:
    images, labels, names = case
    figure = plots.mean_and_variance(*statistics.class_moments(images, labels, len(names)), names)
    assert fits(figure)
    pictures = [axis for axis in figure.axes if axis.images]
    assert len(pictures) == 2 * len(names)


def test_intensities_have_a_line_for_each_channel_and_a_row_for_each_class(case: tuple) -> None:
    images, labels, names = case
    figure = plots.intensities(statistics.intensities(images, labels, names), names)
    assert len(figure.axes[0].patches) == images.shape[-1]
    assert [tick.get_text() for tick in figure.axes[1].get_yticklabels()] == list(names)
    assert fits(figure)


def test_correlation_is_written_into_its_cells(case: tuple) -> None:
    images, labels, names = case
    means, _ = statistics.class_moments(images, labels, len(names))
    figure = plots.class_correlation(similarity.class_correlation(means), names)
    assert sum(text.get_text() == "1.00" for text in figure.axes[0].texts) >= len(names)
    assert fits(figure)


def test_embedding_names_every_class_in_its_legend(case: tuple) -> None:
    images, labels, names = case
    part = statistics.Embedding(np.random.default_rng(0).normal(size=(len(images), 2)), 0.9, 0.5)
    figure = plots.embeddings({"PCA": part, "t-SNE": part}, labels, names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(names)
    assert fits(figure)


def test_gallery_has_a_labelled_row_for_each_transform(case: tuple) -> None:
    images, _, _ = case
    rows = {"original": images[:3], "brightness": images[:3] * 1.7}
    figure = augmentation.gallery(rows)
    (axis,) = figure.axes
    assert len(axis.images) == 6
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["original", "brightness"]


@pytest.mark.parametrize(("rows", "columns"), [(9, 8), (20, 5), (1, 1)])
def test_names_of_rows_are_inside_the_figure(rows: int, columns: int) -> None:
    images, labels = np.zeros((rows * columns, 8, 8, 1), np.uint8), np.repeat(np.arange(rows), columns)
    figure = figures.class_rows(images, labels, ["all used kinds,\nas in training"] * rows, columns)
    figure.canvas.draw()
    box, whole = figure.axes[0].get_tightbbox(), figure.bbox
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1


def test_class_rows_and_grids_show_every_image(case: tuple) -> None:
    images, labels, names = case
    assert len(figures.class_rows(images, labels, names, 3).axes[0].images) == 3 * len(names)
    assert len(figures.image_grid(images[:7], columns=5).axes[0].images) == 7


@pytest.mark.parametrize("levels", [[0.1], [0.1, 0.2, 0.3, 0.4]])
def test_warm_up_figures_take_any_number_of_levels(levels: list[float]) -> None:
    points = moons.make(200, 0.2, 0)
    surface = moons.surface(lambda places: 1 / (1 + np.exp(places[:, 1])), points.test_points, steps=20)
    flat = moons.surface(lambda places: np.full(len(places), 0.7), points.test_points, steps=20)
    two = {"a": (0.9, 0.88, 0.92), "b": (0.5, 0.4, 0.6)}
    figure = plots.decision_boundaries({"a": surface, "b": flat}, two, points)
    assert [axis.get_title() for axis in figure.axes] == ["a: 90.0%", "b: 50.0%"]
    assert "a 90.0%, b 50.0%" in figures.alt_text(figure)
    tests = [points] * len(levels)
    scores = {"network": [(0.9, 0.88, 0.92)] * len(levels), "line": [(1.0, 0.99, 1.0)] * len(levels)}
    figure = plots.noise_sweep(levels, [surface] * len(levels), tests, scores)
    assert len(figure.axes) == len(levels) + 1


def test_ten_classes_have_ten_colours() -> None:
    assert len(set(figures.COLORS)) == 10


def test_drawing_leaves_the_callers_style_and_random_state_alone(case: tuple) -> None:
    images, _, names = case
    before, state = dict(matplotlib.rcParams), np.random.get_state()[1].tolist()  # noqa: NPY002
    plots.class_balance(statistics.balance(np.full(len(names), 5)), names)
    figures.image_grid(images[:4])
    assert dict(matplotlib.rcParams) == before
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
