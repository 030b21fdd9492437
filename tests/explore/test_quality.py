"""Bad files are listed with their reason; what is common in a data set is not."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers import figures
from helpers.explore import conclusions, file_plots, quality
from made_index import made_index

BAD = {
    "dark": {"brightness": 4.0, "contrast": 3.0},
    "bright": {"brightness": 252.0, "contrast": 2.0},
    "blurred": {"sharpness": 5.0, "contrast": 50.0},
    "low information": {"entropy": 1.0},
    "tiny": {"width": 20, "height": 400},
    "odd shape": {"width": 4000, "height": 400},
    "odd size": {"width": 8000, "height": 6000},
    "odd format": {"format": "BMP"},
    "odd mode": {"mode": "CMYK"},
}


@pytest.fixture
def index() -> pd.DataFrame:
    return made_index(200)


def spoil(index: pd.DataFrame, rows: list[int], values: dict) -> pd.DataFrame:
    """Return the index with other values in some rows."""
    spoilt = index.astype({"width": float, "height": float})
    for column, value in values.items():
        spoilt.loc[rows, column] = value
    return spoilt


def test_nothing_is_listed_where_nothing_is_odd(index: pd.DataFrame) -> None:
    files = quality.check(index)
    assert (files.counts, files.common) == ({}, {})
    assert "None of 200 image files is suspicious" in conclusions.quality(files).text
    figure = file_plots.worst_files(np.zeros((200, 8, 8, 1), np.uint8), files, 4)
    assert "None of 200" in figures.alt_text(figure)
    plt.close("all")


@pytest.mark.parametrize("issue", BAD)
def test_bad_file_is_listed_under_its_issue(index: pd.DataFrame, issue: str) -> None:
    table = quality.check(spoil(index, [17, 60], BAD[issue])).table
    assert table.loc[table["issue"] == issue, "row"].tolist() == [17, 60]
    assert table.loc[table["issue"] == issue, "path"].tolist() == ["17.jpg", "60.jpg"]
    assert table["reason"].str.len().min() > 10


@pytest.mark.parametrize("issue", ["dark", "bright", "low information"])
def test_issue_of_the_whole_set_is_reported_as_common_and_only_outliers_are_listed(issue: str) -> None:
    random = np.random.default_rng(0)
    values = {name: value * random.uniform(0.98, 1.0, 200) for name, value in BAD[issue].items()}
    index = made_index(200).assign(**values)
    files = quality.check(index)
    assert files.common[issue] == 1.0
    assert issue not in files.counts
    assert issue in conclusions.quality(files).text


def test_outlier_of_a_dark_set_is_still_listed() -> None:
    dark = {"brightness": np.random.default_rng(0).normal(20, 1, 200), "contrast": 10.0}
    index = spoil(made_index(200).assign(**dark), [3], {"brightness": 0.0, "contrast": 0.0})
    assert quality.check(index).table.query("issue == 'dark'")["row"].tolist() == [3]


def test_worst_come_first(index: pd.DataFrame) -> None:
    index = spoil(spoil(index, [5], {"entropy": 2.0}), [9], {"entropy": 0.5})
    assert quality.check(index).table["row"].tolist() == [9, 5]


def test_blank_image_is_empty_and_not_blurred(index: pd.DataFrame) -> None:
    blank = {"brightness": 100.0, "contrast": 0.0, "sharpness": 0.0, "entropy": 0.0}
    assert "blurred" not in quality.check(spoil(index, [0], blank)).counts
    assert quality.check(spoil(index, [0], blank)).counts["low information"] == 1


def test_modified_z_scores_are_those_of_the_handbook() -> None:
    values = pd.Series([2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3])  # Iglewicz and Hoaglin's example
    scores = quality.robust_scores(values)
    assert scores[8] == pytest.approx((8.2 - 2.45) / (1.4826 * 0.15))
    assert quality.robust_scores(pd.Series([3.0, 3.0, 3.0])).tolist() == [0.0, 0.0, 0.0]
    assert quality.robust_scores(pd.Series([0.0] * 9 + [1.0]))[9] > 3.5


def test_figure_shows_the_worst_images_of_each_issue_by_their_row(index: pd.DataFrame) -> None:
    index = spoil(spoil(index, [5, 6, 7], BAD["dark"]), [9], BAD["odd mode"])
    index["row"] = index["row"].to_numpy()[::-1]
    images = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    figure = file_plots.worst_files(images, quality.check(index), 2)
    shown = [int(drawn.get_array()[0, 0]) for drawn in figure.axes[0].images]
    assert shown == [194, 193, 190]
    assert "dark (3 images)" in figures.alt_text(figure)
    plt.close("all")
