"""Conclusions of a stage: logged once with their numbers, and read by others."""

import json
import math

import matplotlib.pyplot as plt
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
