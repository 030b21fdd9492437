"""Files that give their class away are found; files that do not raise no alarm."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers import figures
from helpers.explore import conclusions, file_plots, shortcuts
from helpers.explore.shortcuts import FILE, PIXELS
from helpers.series.records import plain_json
from made_index import made_index

DRAWS = 40  # data sets without a shortcut; of 400 with 300 images (alone, in groups, in unequal classes), two gave an alarm


def leak(index: pd.DataFrame, values: dict, proportion: float = 0.9) -> pd.DataFrame:
    """Return the index where most groups of class 0 have other values."""
    chosen = np.random.default_rng(1).random(len(index))[index["together"]] < proportion
    mine = (index["label"] == "class 0") & chosen
    return index.assign(**{column: index[column].where(~mine, value) for column, value in values.items()})


LEAKS = {
    "size": ({"width": 333}, FILE, "333"),
    "format": ({"format": "TIFF"}, FILE, "format TIFF"),
    "mode": ({"mode": "CMYK"}, FILE, "mode CMYK"),
    "camera": ({"camera": "three"}, FILE, "camera three"),
    "time": ({"time": "2022-12-24T18:00:00"}, FILE, "time 2022-12-24"),
    "orientation": ({"orientation": 8}, FILE, "orientation 8"),
    "border": ({"border": 250.0}, PIXELS, "250"),
    "mean colour": ({"red": 240.0}, PIXELS, "240"),
    "brightness": ({"brightness": 230.0}, PIXELS, "230"),
    "file size": ({"bytes": 200_000}, PIXELS, "200,000"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow small forests."""
    monkeypatch.setattr(shortcuts, "_TREES", 5)


@pytest.mark.parametrize("name", LEAKS)
def test_property_that_knows_a_class_is_named(name: str) -> None:
    values, kind, words = LEAKS[name]
    leaks = shortcuts.search(leak(made_index(), values), seed=0)
    single = leaks.table[~leaks.table["property"].str.startswith("all of")]
    assert single.loc[single["telling"], "property"].tolist() == [name]
    row = single.iloc[0]
    assert row["property"] == name
    assert row["low"] > 1 / 3
    assert words in row["example"]
    assert "class 0" in row["example"]
    text = conclusions.shortcuts(leaks).text
    assert ("Warning" in text) == (kind == FILE)
    assert ("subject itself" in text) == (kind == PIXELS)
    assert name in text


def test_files_that_know_nothing_raise_no_alarm() -> None:
    kinds = (
        {"images": 150},
        {"images": 300, "group": 3},
        {"images": 300, "unequal": True, "classes": 5},
        {"images": 300},
    )
    alarms = [
        shortcuts.search(made_index(seed=seed, **kinds[seed % 4]), seed).table["telling"].any()
        for seed in range(DRAWS)
    ]
    assert np.mean(alarms) <= 0.05


def test_copies_of_few_images_are_no_evidence() -> None:
    index = made_index(400, 2, group=40)
    assert shortcuts.search(index, 0).classes == 0  # fewer than ten independent images in a class
    leaks = shortcuts.search(index, 0)
    assert "unknown" in conclusions.shortcuts(leaks).text
    assert "unknown" in figures.alt_text(file_plots.shortcuts(leaks))


def test_interval_is_wider_where_images_come_in_groups() -> None:
    alone, grouped = made_index(400, 2), made_index(400, 2, group=8)
    widths = []
    for index in (alone, grouped):
        row = (
            shortcuts.search(leak(index, {"format": "TIFF"}, 0.6), 0)
            .table.set_index("property")
            .loc["format"]
        )
        widths.append(row["high"] - row["low"])
    assert widths[1] > 1.2 * widths[0]


def test_equal_files_leave_only_the_pixels() -> None:
    same = {
        "width": 28,
        "height": 28,
        "format": "IDX",
        "mode": "L",
        "camera": "",
        "time": "",
        "orientation": 0,
        "bytes": 784,
    }
    leaks = shortcuts.search(leak(made_index().assign(**same), {"brightness": 230.0}), 0)
    assert leaks.constant == ["size", "format", "mode", "camera", "time", "orientation", "file size"]
    assert set(leaks.table["kind"]) == {PIXELS}
    assert leaks.telling(FILE).empty
    assert "Nothing about the files themselves" in conclusions.shortcuts(leaks).text


def test_one_class_of_many_is_found() -> None:
    leaks = shortcuts.search(leak(made_index(1500, 25), {"camera": "three"}, 1.0), 0)
    assert "camera" in leaks.telling(FILE)["property"].tolist()


def test_missing_times_can_give_a_class_away() -> None:
    leaks = shortcuts.search(leak(made_index(), {"time": ""}, 1.0), 0)
    row = leaks.telling(FILE).set_index("property").loc["time"]
    assert "have no time" in row["example"]


def test_large_sets_are_sampled_and_rare_classes_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "_MOST_IMAGES", 200)
    index = made_index(500, 3)
    index.loc[:4, "label"] = "rare"
    leaks = shortcuts.search(index, 0)
    assert (leaks.images, leaks.classes, leaks.all_classes) == (200, 3, 4)
    assert "3 of 4 classes" in conclusions.shortcuts(leaks).text


def test_search_is_repeatable_and_leaves_its_input_alone() -> None:
    index = leak(made_index(), {"format": "TIFF"})
    before = index.copy()
    one, other = (shortcuts.search(index, 3).table for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(index, before)


def test_conclusion_and_figure_hold_plain_numbers() -> None:
    leaks = shortcuts.search(leak(made_index(), {"format": "TIFF"}), 0)
    plain_json("shortcuts", dict(conclusions.shortcuts(leaks).numbers))
    figure = file_plots.shortcuts(leaks)
    assert "format" in figures.alt_text(figure)
    assert len(figure.axes[0].get_yticks()) == len(leaks.table)
    empty = shortcuts.search(made_index().assign(label="only"), 0)
    assert "class away" in figures.alt_text(file_plots.shortcuts(empty))
    plt.close("all")
