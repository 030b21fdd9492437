"""The tables of notebooks and profiles that `make readme` writes."""

import pytest
import update_tables

from helpers import paths
from helpers.errors import MissingInputError, OsemnError
from helpers.series import manifests, stages
from report_runs import DATASET, PROFILE, FakeRun

EVERY = [stage.name for stage in stages.STAGES]
ALL = "all, as the clock shows"


def recorded(seconds: int, names: list[str] = EVERY) -> dict:
    return {
        "cpu": "a processor",
        "cores": 2,
        "finished": "2026-11-22T00:00:00+00:00",
        "seconds": dict.fromkeys(names, seconds),
    }


def minutes(times: dict) -> dict[str, list[str]]:
    """The four last cells of each row, by the row's first word."""
    table = update_tables.minutes_table(times).split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].split("]")[0].strip("[`"): row[-4:] for row in rows}


def test_each_profile_has_the_minutes_of_its_own_data_set():
    table = minutes(
        {"digits/smoke": recorded(6), "fashion_mnist/quick": recorded(90), "mnist/quick": recorded(600)}
    )
    assert list(table) == [*sorted(stages.NOTEBOOKS), ALL]
    assert table["04_baseline"] == ["0.1", "1.5", "–", "–"]


def test_runs_for_several_candidates_are_added_up_and_so_are_all():
    table = minutes({"fashion_mnist/standard": recorded(90)})
    assert table["07_evaluation"][2] == f"{1.5 * len(stages.CANDIDATES):.1f}"
    assert table[ALL][2] == f"{1.5 * len(EVERY):.0f}"


def test_a_complete_run_takes_the_elapsed_time():
    table = minutes({"fashion_mnist/quick": {**recorded(60), "elapsed_seconds": 462}})
    assert table[EVERY[0]][1] == "1.0"
    assert table[ALL][1] == "7.7"


def test_stages_side_by_side_count_once_and_pauses_do_not():
    def running(finished: str, seconds: int) -> dict:
        return {"finished": f"2026-11-22T{finished}+00:00", "notebook_seconds": seconds, "seconds": 1}

    long, within, after = running("10:05:00", 240), running("10:03:00", 60), running("10:06:00", 90)
    assert update_tables.elapsed([long]) == update_tables.elapsed([within, long]) == 240
    assert update_tables.elapsed([after, within, long]) == 300
    assert update_tables.elapsed([long, running("23:00:00", 5)]) == 245


def test_a_notebook_that_a_recorded_run_did_not_have_has_a_dash():
    table = minutes({"fashion_mnist/quick": recorded(60, EVERY[:-1])})
    assert table[EVERY[0]][1] == "1.0"
    assert table[EVERY[-1]][1] == table[ALL][1] == "–"


def test_without_any_record_there_are_only_dashes():
    assert {cell for row in minutes({}).values() for cell in row} == {"–"}


def test_a_run_of_a_series_with_fewer_notebooks_keeps_its_minutes_where_runs_are_named():
    assert "MNIST at `quick`: 2.0 in all" in update_tables.minutes_table(
        {"mnist/quick": recorded(60, EVERY[:2])}
    )


def test_every_recorded_run_is_named_with_its_machine():
    table = update_tables.minutes_table({"mnist/quick": recorded(60)})
    assert f"MNIST at `quick`: {len(EVERY)} in all, on 2 cores of a processor, 2026-11-22." in table


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    return FakeRun()


def test_a_complete_run_is_recorded_and_the_record_of_others_stays(run):
    known = {"mnist/quick": recorded(60), f"{DATASET}/{PROFILE}": recorded(60)}
    record = update_tables.collect(known)
    assert record["mnist/quick"] == recorded(60)
    expected = {
        name: round(manifests.read(paths.stage_folder(DATASET, PROFILE, name))["seconds"]) for name in EVERY
    }
    assert record[f"{DATASET}/{PROFILE}"]["seconds"] == expected
    assert known[f"{DATASET}/{PROFILE}"] == recorded(60), "the argument is not changed"


def test_a_run_in_which_a_stage_is_missing_is_not_recorded(run):
    (run.folder(EVERY[-1]) / "manifest.json").unlink()
    assert update_tables.collect({}) == {}
    with pytest.raises(MissingInputError, match="has not been run"):
        update_tables.run_of(DATASET, PROFILE)


def test_every_run_is_listed_with_the_test_accuracy_of_its_champion(run):
    run_record = update_tables.run_of(DATASET, PROFILE)
    run_record["tested"]["tuned"] |= {"accuracy": 0.4321, "accuracy_ci95": [0.4, 0.46], "n": 777}
    record = {"mnist/quick": {**run_record, "elapsed_seconds": 750}, "digits/smoke": run_record}
    own = {
        "champion": {"label": "tuned", "accuracy": 0.987, "accuracy_ci95": [0.96, 0.99], "n": 127},
        "counts": {"train": 1_500, "test": 250},
        "seconds": 372,
    }
    rows = update_tables.runs_table(record, {"elpv_two": {"smoke": {}, "quick": own}}).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 4, "smoke runs are left out"
    label = run_record["models"]["tuned"]["label"]
    assert rows[2] == f"| MNIST | `quick` | {label} | 43.2% | 40.0% – 46.0% | 777 | 12 |"
    assert rows[3] == (
        "| a table: 1,750 photographs of solar cells | `quick` | tuned | 98.7% | 96.0% – 99.0% | 127 | 6.2 |"
    )


def test_runs_of_which_only_the_minutes_are_known_are_not_listed():
    assert len(update_tables.runs_table({"mnist/quick": recorded(60)}, None).splitlines()) == 2


@pytest.mark.parametrize(
    "own", [{}, {"food": {"quick": {}}}, {"elpv_two": {"quick": {"exit": 1, "seconds": 9}}}]
)
def test_solar_cells_without_a_complete_quick_run_are_not_listed(own):
    assert len(update_tables.runs_table({}, own).splitlines()) == 2


def test_the_standard_run_s_models_are_listed_before_the_quick_one_s(run):
    run_record = update_tables.run_of(DATASET, PROFILE)
    record = {
        f"fashion_mnist/{profile}": {**run_record, "profile": profile} for profile in ("quick", "standard")
    }
    assert "at `standard`" in update_tables.results_table(record)
    del record["fashion_mnist/standard"]["models"]
    assert "at `quick`" in update_tables.results_table(record)
    with pytest.raises(OsemnError, match="No run with metrics"):
        update_tables.results_table({})


def test_the_champion_among_the_models_has_a_star(run):
    run_record = update_tables.run_of(DATASET, PROFILE)
    table = update_tables.results_table({"fashion_mnist/standard": run_record})
    label = run_record["models"][run_record["champion"]]["label"]
    assert [line.split("|")[1] for line in table.splitlines() if "| ★" in line] == [f" ★ {label} "]


def test_macro_f1_of_validation_stands_under_that_heading(run):
    """A bare "macro-F1" right of the test accuracy was read as that of the test images."""
    run_record = update_tables.run_of(DATASET, PROFILE)
    run_record["models"]["tuned"]["macro_f1"] = 0.4321
    lines = update_tables.results_table({"fashion_mnist/standard": run_record}).splitlines()
    headings, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line)
    tuned = next(row for row in rows if "0.432" in row)
    assert headings[tuned.index("0.432")] == "validation macro-F1"
    assert {len(row) for row in rows} == {len(headings)}


def test_a_profile_is_described_by_its_whole_first_comment():
    rows = update_tables.profile_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == ["smoke", "quick", "standard", "full"]
    for row in rows:
        assert row.rpartition(" (")[0].endswith("."), row
