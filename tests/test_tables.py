"""The tables of notebooks and profiles that `make readme` writes."""

import pytest
import update_tables

from helpers import manifests, paths, stages
from helpers.errors import MissingInputError
from report_runs import DATASET, PROFILE, FakeRun

EVERY = [stage.name for stage in stages.STAGES]


def recorded(seconds: int, names: list[str] = EVERY) -> dict:
    return {
        "cpu": "a processor",
        "cores": 2,
        "finished": "2026-11-22T00:00:00+00:00",
        "seconds": dict.fromkeys(names, seconds),
    }


def minutes(times: dict) -> dict[str, list[str]]:
    """The four last cells of each row, by the row's first word."""
    table = update_tables.minutes_table({"times": times}).split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].split("]")[0].strip("[`"): row[-4:] for row in rows}


def test_each_profile_has_the_minutes_of_its_own_data_set():
    table = minutes(
        {"digits/smoke": recorded(6), "fashion_mnist/quick": recorded(90), "mnist/quick": recorded(600)}
    )
    assert list(table) == [*sorted(stages.NOTEBOOKS), "all"]
    assert table["04_baseline"] == ["0.1", "1.5", "–", "–"]


def test_runs_for_several_candidates_are_added_up_and_so_are_all():
    table = minutes({"fashion_mnist/standard": recorded(90)})
    assert table["07_evaluation"][2] == f"{1.5 * len(stages.CANDIDATES):.1f}"
    assert table["all"][2] == f"{1.5 * len(EVERY):.0f}"


def test_a_notebook_that_a_recorded_run_did_not_have_has_a_dash():
    table = minutes({"fashion_mnist/quick": recorded(60, EVERY[:-1])})
    assert table[EVERY[0]][1] == "1.0"
    assert table[EVERY[-1]][1] == table["all"][1] == "–"


def test_without_any_record_there_are_only_dashes():
    assert {cell for row in minutes({}).values() for cell in row} == {"–"}


def test_every_recorded_run_is_named_with_its_machine():
    table = update_tables.minutes_table({"times": {"mnist/quick": recorded(60)}})
    assert f"MNIST at `quick`: {len(EVERY)} in all, on 2 cores of a processor, 2026-11-22." in table


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    return FakeRun()


def test_a_whole_run_is_recorded_and_what_was_known_of_others_stays(run):
    known = {"mnist/quick": recorded(60), f"{DATASET}/{PROFILE}": recorded(60)}
    found = update_tables.times(known)
    assert found["mnist/quick"] == recorded(60)
    expected = {
        name: round(manifests.read(paths.stage_folder(DATASET, PROFILE, name))["seconds"]) for name in EVERY
    }
    assert found[f"{DATASET}/{PROFILE}"]["seconds"] == expected
    assert known[f"{DATASET}/{PROFILE}"] == recorded(60), "what was given is left as it is"


def test_a_run_in_which_a_stage_is_missing_is_not_recorded(run):
    (run.folder(EVERY[-1]) / "manifest.json").unlink()
    assert update_tables.times({}) == {}
    with pytest.raises(MissingInputError, match="has not been run"):
        update_tables.timed(DATASET, PROFILE)


def test_a_profile_is_described_by_its_whole_first_comment():
    rows = update_tables.profile_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == ["smoke", "quick", "standard", "full"]
    for row in rows:
        assert row.rpartition(" (")[0].endswith("."), row
