"""The reference of the accepted run: its content, what is refused, and that nothing is lost."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import REPOSITORY
from evaluated_runs import EvaluatedRun
from helpers import paths
from helpers.errors import OsemnError
from helpers.report import collect, render
from helpers.report.regression import accept, reference
from helpers.series import manifests, stages
from report_runs import DATASET, PROFILE, written_once


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_once(tmp_path_factory, EvaluatedRun)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluatedRun:
    return EvaluatedRun.copied(finished, tmp_path, monkeypatch)


def reference_file() -> Path:
    return reference.reference_file(DATASET, PROFILE)


def files() -> dict[str, bytes]:
    """Return the files of all accepted runs."""
    root = reference_file().parents[1]
    return {
        file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()
    }


def test_what_is_accepted_is_read_again(run: EvaluatedRun) -> None:
    assert render.accept(DATASET, PROFILE) == reference_file()
    accepted = reference.read(DATASET, PROFILE)
    assert set(accepted.candidates) == set(stages.CANDIDATES)
    for name, one in accepted.candidates.items():
        logged = json.loads((run.folder(f"07_evaluation/{name}") / "metrics.json").read_text())
        assert np.array_equal(one.predicted, run.predicted[name])
        assert one.confusion.tolist() == logged["confusion"]
        assert (one.accuracy, one.macro_f1, one.ece) == (
            logged["accuracy"],
            logged["macro_f1"],
            logged["ece_scaled"],
        )
        assert (one.label, one.n, one.class_names) == (logged["label"], len(run.labels), run.classes)
    assert accepted.champion == run.metrics["10_export"]["candidate"]
    assert accepted.validation["three-layer CNN"] == 0.912
    assert accepted.environment == {
        "seeds": ["0"],
        "machines": ["A processor at 2 GHz, 2 cores"],
        "versions": {"keras": ["3.15.1"], "python": ["3.11.2"]},
    }


@given(st.lists(st.integers(0, 299), max_size=200), st.sampled_from([300, 65_536, 65_537]))
def test_predictions_survive_packing(values: list[int], classes: int) -> None:
    assert reference.unpack(reference.pack(np.array(values, np.int64), classes)).tolist() == values


@pytest.mark.parametrize("classes", [256, 257, 65_536, 65_537])
def test_the_last_class_survives_packing(classes: int) -> None:
    predicted = np.array([0, classes - 1])
    assert reference.unpack(reference.pack(predicted, classes)).tolist() == [0, classes - 1]


def _not_run(run: EvaluatedRun) -> None:
    (run.folder("09_tuning") / manifests.NAME).unlink()


def _damaged(run: EvaluatedRun) -> None:
    (run.folder("09_tuning") / "metrics.json").write_text("{}")


def _by_hand(run: EvaluatedRun) -> None:
    (run.folder("09_tuning") / "notebook.ipynb").unlink()
    run.seal("09_tuning")


def _outdated(run: EvaluatedRun) -> None:
    run.metrics["09_tuning"] = {**run.metrics["09_tuning"], "trials": 9}
    run.write("09_tuning")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_not_run, "09_tuning is not run"),
        (_damaged, "09_tuning is damaged"),
        (_by_hand, "09_tuning is run by hand"),
        (_outdated, "07_evaluation/tuned is outdated"),
    ],
)
def test_incomplete_series_is_refused_and_nothing_is_lost(run: EvaluatedRun, harm, said: str) -> None:
    render.accept(DATASET, PROFILE)
    before = files()
    harm(run)
    with pytest.raises(OsemnError, match=said) as raised:
        render.accept(DATASET, PROFILE)
    assert f"osemn run --dataset {DATASET} --profile {PROFILE}" in raised.value.remedy
    assert files() == before


def test_nothing_run_is_refused(run: EvaluatedRun) -> None:
    shutil.rmtree(paths.run_folder(DATASET, PROFILE))
    with pytest.raises(OsemnError, match="no stage has been run"):
        render.accept(DATASET, PROFILE)


def test_champion_without_predictions_is_refused(run: EvaluatedRun) -> None:
    run.metrics["10_export"] = {**run.metrics["10_export"], "candidate": "no such candidate"}
    run.write_all()
    with pytest.raises(OsemnError, match="left no predictions"):
        render.accept(DATASET, PROFILE)
    assert not reference_file().exists()


def test_file_that_changes_while_it_is_read_is_noticed(run: EvaluatedRun) -> None:
    series = collect.collect(DATASET, PROFILE)
    run.predicted["tuned"] = run.predicted["transfer"]
    run.write("07_evaluation/tuned")
    with pytest.raises(OsemnError, match="changed while it was read"):
        accept.build(series)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_acceptance_leaves_the_earlier_one_intact(
    run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    render.accept(DATASET, PROFILE)
    before = files()
    run.predicted["tuned"] = run.predicted["transfer"]
    run.write_all()

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(manifests, "write_json", fail)
        with pytest.raises(OsemnError if isinstance(error, OSError) else KeyboardInterrupt):
            render.accept(DATASET, PROFILE)
    assert files() == before
    render.accept(DATASET, PROFILE)
    accepted = reference.read(DATASET, PROFILE).candidates
    assert np.array_equal(accepted["tuned"].predicted, accepted["transfer"].predicted)


def test_reference_of_an_earlier_version_is_read_and_its_figures_are_removed_by_the_next(
    run: EvaluatedRun,
) -> None:
    render.accept(DATASET, PROFILE)
    copy = reference_file().with_suffix("") / "formats.webp"
    copy.parent.mkdir()
    copy.write_bytes(b"RIFF")
    earlier = {
        "pictures": [{"file": copy.name, "sha256": "0" * 64}],
        "figures": {},
        "seconds": {"04_baseline": 60.0},
    }
    _edited(lambda content: content.update(earlier))(reference_file())
    assert reference.read(DATASET, PROFILE).champion == "tuned"
    render.accept(DATASET, PROFILE)
    assert list(files()) == [f"{DATASET}/{PROFILE}.json"]


def _edited(change, *, signed: bool = True):
    """Return a function that edits the reference's content and updates its hash."""

    def edit(file: Path) -> None:
        content = json.loads(file.read_text())
        change(content)
        if signed:
            content["sha256"] = reference.content_sha256(content)
        file.write_text(json.dumps(content))

    return edit


def _cut(share: float):
    return lambda file: file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


DAMAGES = {
    "empty": lambda file: file.write_bytes(b""),
    "no text": lambda file: file.write_bytes(b"\x89PNG\xff\xfe"),
    "cut short": _cut(0.5),
    "a list": lambda file: file.write_text("[]"),
    "a number": lambda file: file.write_text("7"),
    "deeply nested": lambda file: file.write_text("[" * 100_000),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "foreign schema": _edited(lambda content: content.update(schema=2)),
    "no schema": _edited(lambda content: content.pop("schema")),
    "edited accuracy": _edited(
        lambda content: content["candidates"]["tuned"].update(accuracy=7), signed=False
    ),
    "edited label": _edited(lambda content: content["candidates"]["tuned"].update(label="x"), signed=False),
    "other data set": _edited(lambda content: content.update(dataset="mnist")),
    "other profile": _edited(lambda content: content.update(profile="quick")),
    "no candidates": _edited(lambda content: content.pop("candidates")),
    "unknown champion": _edited(lambda content: content.update(champion="nobody")),
    "no date": _edited(lambda content: content.update(accepted="yesterday")),
    "words for numbers": _edited(lambda content: content["candidates"]["tuned"].update(accuracy="much")),
    "truncated predictions": _edited(
        lambda content: content["candidates"]["tuned"]["predicted"].update(zlib_base64="AAAA")
    ),
    "predictions of a wrong type": _edited(
        lambda content: content["candidates"]["tuned"]["predicted"].update(dtype="object")
    ),
    "predictions of another run": _edited(
        lambda content: content["candidates"]["tuned"].update(
            predicted=content["candidates"]["transfer"]["predicted"]
        )
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_reference_says_how_to_repair_it_and_stays_as_it_is(run: EvaluatedRun, damage) -> None:
    render.accept(DATASET, PROFILE)
    damage(reference_file())
    before = files()
    with pytest.raises(OsemnError) as raised:
        reference.read(DATASET, PROFILE)
    assert "restore it from version control" in raised.value.remedy
    assert f"osemn report --dataset {DATASET} --profile {PROFILE} --accept" in raised.value.remedy
    assert files() == before


@pytest.mark.parametrize("name", ["cut short", "edited accuracy"])
def test_accepting_again_repairs_a_damaged_reference(run: EvaluatedRun, name: str) -> None:
    render.accept(DATASET, PROFILE)
    DAMAGES[name](reference_file())
    render.accept(DATASET, PROFILE)
    assert np.array_equal(
        reference.read(DATASET, PROFILE).candidates["tuned"].predicted, run.predicted["tuned"]
    )


def test_layout_of_the_file_does_not_matter(run: EvaluatedRun) -> None:
    render.accept(DATASET, PROFILE)
    content = json.loads(reference_file().read_text())
    reference_file().write_text(json.dumps(dict(reversed(content.items())), indent=8))
    assert reference.read(DATASET, PROFILE) is not None


def test_there_is_no_reference_before_one_is_accepted(run: EvaluatedRun) -> None:
    assert reference.read(DATASET, PROFILE) is None
    assert reference.reference_sha256(DATASET, PROFILE) == "none"


def test_reference_lies_in_the_project_even_if_outputs_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(reference.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("OSEMN_HOME", str(REPOSITORY))
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    file = reference.reference_file("fashion_mnist", "quick")
    assert file == REPOSITORY / "reports" / "accepted" / "fashion_mnist" / "quick.json"


def test_reference_names_no_folder_of_the_machine(run: EvaluatedRun) -> None:
    file = reference.reference_file("/somewhere/else/My Photos", PROFILE)
    assert file.parts[-2:] == ("my_photos", f"{PROFILE}.json")
    render.accept(DATASET, PROFILE)
    assert str(paths.output_root()) not in reference_file().read_text()
    assert str(Path.home()) not in reference_file().read_text()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_git_tracks_accepted_runs_and_ignores_rendered_reports(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    accepted = "reports/accepted/mnist/quick.json"
    call = ["git", "-C", str(tmp_path), "check-ignore", accepted, "reports/mnist/quick/index.html"]
    ignored = subprocess.run(call, capture_output=True, text=True, check=False).stdout.split()
    assert ignored == ["reports/mnist/quick/index.html"]


def test_new_acceptance_makes_the_rendered_report_stale(run: EvaluatedRun) -> None:
    render.render(DATASET, PROFILE)
    assert render.is_current(DATASET, PROFILE)
    render.accept(DATASET, PROFILE)
    assert not render.is_current(DATASET, PROFILE)
    index = render.render(DATASET, PROFILE)
    assert render.is_current(DATASET, PROFILE)
    assert '<h2>Changes</h2> <span class="aside">Nothing changed' in index.read_text()


def test_hash_of_the_labels_is_that_of_little_endian_whole_numbers(run: EvaluatedRun) -> None:
    render.accept(DATASET, PROFILE)
    expected = hashlib.sha256(np.asarray(run.labels, "<i8").tobytes()).hexdigest()
    assert {one.labels_sha256 for one in reference.read(DATASET, PROFILE).candidates.values()} == {expected}


def test_hash_of_the_test_images_is_that_of_the_file_that_was_evaluated(run: EvaluatedRun) -> None:
    render.accept(DATASET, PROFILE)
    expected = manifests.sha256(run.folder("01_acquire") / "test.npz")
    assert {one.images_sha256 for one in reference.read(DATASET, PROFILE).candidates.values()} == {expected}


def test_committed_references_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(reference.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("OSEMN_HOME", str(REPOSITORY))
    files = list((REPOSITORY / "reports" / "accepted").glob("*/*.json"))
    assert files
    for file in files:
        assert reference.read(file.parent.name, file.stem).champion
