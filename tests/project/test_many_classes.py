"""Every figure with classes stays readable and quick, however many classes there are and whatever their names hold."""

import io
import re
import resource
import sys
from collections.abc import Callable
from time import process_time

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from helpers import figures
from helpers.explore import plots as explore
from helpers.explore import similarity, statistics
from helpers.interpret import confusion, gradcam_checks, gradcam_evidence, gradcam_plots
from helpers.interpret import plots as evaluation
from helpers.model import transfer_plots
from helpers.obtain import plots as obtain
from helpers.obtain.data import Dataset
from helpers.scoring import mean_of
from helpers.serving import offline

MANY = 1_000
SECONDS = 5.0  # the bound for 1,000 classes; seconds of this process, so that other work does not count
MEMORY = 300e6  # bytes by which the largest memory of this process may grow for 1,000 classes
PIXELS = 30_000_000  # of a figure: 120 MB while it is drawn
WORDS = 2_500  # characters of an alt text
ODD_NAMES = (
    "<b>bold",
    "US$$",
    "A$\\frac$",
    "$5",
    "$10",
    "$x$",
    "_background",
    "ünïcode",
    "line\nbreak",
    "n" * 60,
)


class Case:
    """Images of a number of classes, three of each, with predictions that are often wrong."""

    def __init__(self, classes: int) -> None:
        random = np.random.default_rng(0)
        names = ODD_NAMES + tuple(f"a class with quite a long name {number}" for number in range(classes))
        self.names = names[:classes]
        self.labels = np.repeat(np.arange(classes), 3)
        self.images = random.integers(0, 256, (3 * classes, 16, 16, 3)).astype(np.uint8)
        self.train = Dataset(self.images, self.labels, self.names)
        scores = random.random((3 * classes, classes)) + 0.5 * np.eye(classes)[self.labels]
        self.probabilities = scores / scores.sum(axis=1, keepdims=True)
        self.predicted = self.probabilities.argmax(axis=1)
        self.counts = confusion.matrix(self.labels, self.predicted, classes)
        self.points = statistics.Embedding(random.normal(size=(3 * classes, 2)), 0.9, 0.5)


def _energy(case: Case) -> Figure:
    fractions = np.random.default_rng(0).random(len(case.labels))
    table = gradcam_checks.by_class(fractions, case.labels, case.predicted == case.labels, case.names)
    mean = mean_of(fractions)
    return gradcam_plots.energy(gradcam_evidence.Energy(table, mean, mean, mean, 0.3))


def _maps(case: Case) -> Figure:
    maps = np.random.default_rng(0).random(case.images.shape[:3]).astype(np.float32)
    explained = gradcam_evidence.Explained(None, case.train, case.probabilities, None, maps, "layer", "")
    return gradcam_plots.panel(explained, np.flatnonzero(case.predicted != case.labels)[:12])


def _label_errors(case: Case) -> Figure:
    rows = np.arange(len(case.labels))
    errors = pd.DataFrame({"index": rows, "row": rows, "label": case.labels, "suggested": case.predicted})
    return evaluation.possible_label_errors(case.train, case.train, errors.assign(part="train"), 24)


FIGURES: dict[str, Callable[[Case], Figure]] = {
    "raw images": lambda c: obtain.raw_images(c.train, "made", 40, 0),
    "balance": lambda c: explore.class_balance(statistics.balance(1 + np.arange(len(c.names))), c.names),
    "samples": lambda c: explore.samples_by_class(c.train, 10, 0),
    "moments": lambda c: explore.mean_and_variance(*statistics.class_moments(c.images, c.labels, len(c.names)), c.names),
    "intensities": lambda c: explore.intensities(statistics.intensities(c.images, c.labels, c.names), c.names),
    "correlation": lambda c: explore.class_correlation(
        similarity.class_correlation(statistics.class_moments(c.images, c.labels, len(c.names))[0]), c.names
    ),
    "embedding": lambda c: explore.embeddings({"PCA": c.points, "t-SNE": c.points}, c.labels, c.names),
    "copies": lambda c: explore.copy_groups(c.train, np.arange(len(c.labels)) // 2),
    "confusion matrix": lambda c: evaluation.confusion_matrix(c.counts, c.names),
    "scores": lambda c: evaluation.scores_by_class(confusion.scores(c.counts, c.names, draws=20)),
    "curves": lambda c: evaluation.curves(
        c.probabilities, c.labels, c.names, confusion.areas(c.probabilities, c.labels, c.names)
    ),
    "mistakes": lambda c: evaluation.mistakes(c.train, np.arange(6), c.probabilities, "closest"),
    "label errors": _label_errors,
    "maps": _maps,
    "energy": _energy,
    "resizing": lambda c: transfer_plots.resizing(c.images[:3], {32: c.images[:3].repeat(2, 1)}, c.names[:3], "nearest"),
}  # fmt: skip
ONE_PER_CLASS = ("balance", "samples", "moments", "intensities", "correlation", "embedding", "confusion matrix", "scores", "energy")  # fmt: skip


@pytest.fixture(scope="module")
def cases() -> dict[int, Case]:
    return {classes: Case(classes) for classes in (3, 10, MANY)}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def largest_memory() -> int:
    """Return the largest memory that this process has had so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def texts(figure: Figure) -> list[str]:
    """Return the texts that are drawn, as matplotlib is given them."""
    return [
        text.get_text() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()
    ]


@pytest.mark.filterwarnings("error::UserWarning")  # glyphs that are missing, layouts that do not fit
@pytest.mark.parametrize("classes", [3, 10, MANY])
@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_drawn_in_bounded_time_and_space(name: str, classes: int, cases: dict[int, Case]) -> None:
    started, before = process_time(), largest_memory()
    figure = FIGURES[name](cases[classes])
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    assert process_time() - started < SECONDS
    assert largest_memory() - before < MEMORY
    with Image.open(stream) as drawn:
        assert drawn.width * drawn.height < PIXELS
    alt = figures.alt_text(figure)
    assert 0 < len(alt) < WORDS
    if name in ONE_PER_CLASS:
        says = re.compile(r"The \d+ [a-z ]+ of 1,000 classes\.")
        assert any(says.search(text) for text in texts(figure)) == (classes == MANY)
        assert bool(says.search(alt)) == (classes == MANY)


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_text_in_figures(name: str, cases: dict[int, Case]) -> None:
    figure = FIGURES[name](cases[10])
    figure.canvas.draw()
    given = [
        text for text in texts(figure) if "mathdefault" not in text
    ]  # ticks of logarithmic scales are formulas
    assert not any("$" in text.replace(r"\$", "") for text in given)
    assert not any("n" * 40 in text.replace("\n", "") for text in given)


def test_legend_names_classes_that_start_with_an_underscore(cases: dict[int, Case]) -> None:
    figure = FIGURES["embedding"](cases[10])
    assert " _background" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_label_is_shortened_in_the_middle_and_escaped() -> None:
    assert figures.label("short") == "short"
    assert figures.label("a very long name", 10) == "a very…ame"
    assert figures.label("$x$") == r"\$x\$"
    assert figures.label("dog\udce9") == "dog?"
    assert figures.label("two  words\nand more", wrap=9) == "two words\nand more"


def test_both_ends_are_the_largest_and_the_smallest() -> None:
    values = np.array([3, 9, 1, 7, 5])
    assert figures.both_ends(values, 5).tolist() == [0, 1, 2, 3, 4]
    assert figures.both_ends(values, 3).tolist() == [1, 3, 2]


def test_grid_of_many_predictions_is_bounded_and_says_so(
    tmp_path, monkeypatch, cases: dict[int, Case]
) -> None:
    said = []
    monkeypatch.setattr(Figure, "suptitle", lambda figure, text, **options: said.append(text))
    prediction = {"class": "US$$" * 20, "confidence": 0.5, "unknown": False}
    items = [offline.FilePrediction("a.png", image, prediction) for image in cases[MANY].images]
    started = process_time()
    offline.grid(items, tmp_path / "grid.png")
    assert process_time() - started < SECONDS
    assert said == ["The first 100 of 3,000 images."]
    with Image.open(tmp_path / "grid.png") as drawn:
        assert drawn.width * drawn.height < PIXELS


def test_conclusion_of_many_groups_names_the_largest() -> None:
    counts = np.kron(np.eye(100, dtype=int), np.array([[5, 5], [5, 5]]))
    names = [f"class {number}" for number in range(200)]
    text = evaluation.conclusions.confusions("model", counts, names).text
    assert len(text) < 700
    assert "97 more groups" in text
