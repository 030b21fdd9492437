import itertools

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.text import Annotation

from helpers.model import plots


def table(accuracies: list[float]) -> pd.DataFrame:
    rows = [
        {"label": f"m{i}", "fit_seconds": 1.0 + i, "parameters": 10 + i, "accuracy": a, "low": a - 0.01, "high": a + 0.01}
        for i, a in enumerate(accuracies)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def named(axis) -> list[str]:
    return sorted(text.get_text() for text in axis.texts if isinstance(text, Annotation))


def test_every_model_is_named_even_when_there_are_more_than_colours():
    figure = plots.return_on_complexity(table([0.85 + 0.005 * i for i in range(12)]))
    for axis in figure.axes:
        assert named(axis) == sorted(f"m{i}" for i in range(12))
    plt.close(figure)


def test_the_champion_is_marked_without_colour():
    figure = plots.return_on_complexity(table([0.82, 0.85, 0.91]), champion="m1")
    assert named(figure.axes[0]) == ["m0", "m2", "★ m1"]
    plt.close(figure)


def test_model_far_below_all_others_is_named_and_not_drawn():
    figure = plots.return_on_complexity(table([0.10, 0.82, 0.85, 0.91]))
    assert named(figure.axes[0]) == ["m1", "m2", "m3"]
    assert any("m0, 10.0%" in text.get_text() for text in figure.axes[1].texts)
    plt.close(figure)


def test_names_of_close_models_do_not_overlap():
    close = table([0.9, 0.901, 0.902, 0.88])
    close[["fit_seconds", "parameters"]] = 10.0
    figure = plots.return_on_complexity(close)
    figure.canvas.draw()
    for axis in figure.axes:
        boxes = [text.get_window_extent() for text in axis.texts if isinstance(text, Annotation)]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    plt.close(figure)
