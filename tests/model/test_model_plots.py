import matplotlib.pyplot as plt
import pandas as pd

from helpers.model import plots


def table(accuracies: list[float]) -> pd.DataFrame:
    rows = [
        {"label": f"m{i}", "fit_seconds": 1.0 + i, "parameters": 10 + i, "accuracy": a, "low": a - 0.01, "high": a + 0.01}
        for i, a in enumerate(accuracies)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_model_is_drawn_even_when_there_are_more_than_colours():
    figure = plots.return_on_complexity(table([0.85 + 0.005 * i for i in range(12)]))
    assert legend(figure) == [f"m{i}" for i in range(12)]
    plt.close(figure)


def test_model_far_below_all_others_is_named_and_not_drawn():
    figure = plots.return_on_complexity(table([0.10, 0.82, 0.85, 0.91]))
    assert legend(figure) == ["m1", "m2", "m3"]
    assert any("m0, 10.0%" in text.get_text() for text in figure.axes[1].texts)
    plt.close(figure)
