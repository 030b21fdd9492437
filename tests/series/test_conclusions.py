"""Conclusions of a stage: logged once with their numbers, and read by others."""

import io
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest

from conftest import EXAMPLES, TinyProject
from helpers import figures, wording
from helpers.errors import OsemnError
from helpers.series import conclusions, parameters, runs
from helpers.series.conclusions import Conclusion

BALANCE = Conclusion("balance", "Every class has 6,000 images.", {"smallest": 6000}, "chi-square")


@pytest.fixture
def run(project: TinyProject) -> runs.Run:
    names = parameters.MODELS["01_acquire"].model_fields
    return runs.Run.start("01_acquire", {name: EXAMPLES[name] for name in names})


def test_conclusion_is_logged_with_its_numbers_and_read_back(run: runs.Run) -> None:
    shown = run.conclude(BALANCE)
    for name in run.stage.writes:
        run.path(name).write_text(name)
    run.finish()
    metrics = json.loads((run.folder / "metrics.json").read_text())
    logged = conclusions.read(metrics)["balance"]
    assert logged == BALANCE.from_file("01_acquire/metrics.json")
    assert shown == (logged,)
    with pytest.raises(OsemnError, match="finished"):
        run.conclude(BALANCE)


def test_cell_that_is_run_twice_logs_its_conclusion_once(run: runs.Run) -> None:
    run.conclude(BALANCE, Conclusion("size", "Images have 28 pixels a side."))
    run.conclude(Conclusion("balance", "Another text."))
    assert [(item.id, item.text) for item in run.concluded()] == [
        ("balance", "Another text."),
        ("size", "Images have 28 pixels a side."),
    ]
    assert [item.id for item in run.concluded("size")] == ["size"]


def test_several_conclusions_are_a_list_and_a_given_source_stays(run: runs.Run) -> None:
    several = run.conclude(BALANCE, Conclusion("size", "28 pixels a side.", source="a.json, b.json"))
    assert several._repr_markdown_() == "- Every class has 6,000 images.\n- 28 pixels a side."
    assert [item.source for item in several] == ["01_acquire/metrics.json", "a.json, b.json"]


def test_unknown_conclusion_is_an_error_with_the_nearest_id(run: runs.Run) -> None:
    run.conclude(BALANCE)
    with pytest.raises(OsemnError, match="balance"):
        run.concluded("balanse")


def test_number_that_is_not_finite_is_refused(run: runs.Run) -> None:
    with pytest.raises(OsemnError, match="finite"):
        run.conclude(Conclusion("x", "Text.", {"value": math.nan}))


def test_names_in_a_conclusion_are_never_markup() -> None:
    text = "Most confused: <b>strong and A$\\frac$ with _x_ and [y](z)."
    line = conclusions.Conclusions([Conclusion("x", text)])._repr_markdown_()
    assert line == wording.escape_markdown(text)
    for sign in ("<", "$", "_", "[", "\\frac"):
        assert f"\\{sign}" in line


def test_figure_carries_its_alt_text_and_is_refused_without_one(run: runs.Run) -> None:
    figure = figures.with_alt(plt.figure(), "A line that rises.")
    assert run.show(figure, "line").alt == "A line that rises."
    with pytest.raises(OsemnError, match="alt text"):
        run.show(plt.figure(), "nothing")


def test_a_figure_is_twice_as_fine_as_a_screen_and_says_what_it_shows(run: runs.Run) -> None:
    figure, axes = plt.subplots(figsize=(5, 3))
    axes.plot([1, 2, 4])
    shown = run.show(figures.with_alt(figure, "Ein Strich, der µ steigt."), "line")
    with PIL.Image.open(io.BytesIO(shown.data)) as image:
        assert image.text["Description"] == "Ein Strich, der µ steigt."
        assert image.width == 2 * shown.width == 960
        assert image.info["dpi"][0] == pytest.approx(192, abs=0.1)
        assert image.mode == "P"  # a plot: 256 colours are enough


def test_the_colours_of_a_photograph_are_kept(run: runs.Run) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    figure = plt.figure(figsize=(2, 2))
    figure.figimage(pixels, resize=True)
    shown = run.show(figures.with_alt(figure, "Noise."), "noise")
    with PIL.Image.open(io.BytesIO(shown.data)) as image:
        assert len(image.convert("RGB").getcolors(100_000)) > 3_000
