"""Changes since the accepted run: significant drops are regressions, all others are not significant."""

import json
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from evaluated_runs import EvaluatedRun, answers
from helpers import paths, scoring, wording
from helpers.cli import main
from helpers.errors import OsemnError
from helpers.report import collect, render
from helpers.report.html import pages
from helpers.report.regression import changes, comparisons, differences, reference, significance
from helpers.report.regression.comparisons import IMPROVEMENT, NOT_SIGNIFICANT, REGRESSION, UNCHANGED, Pair
from helpers.report.regression.reference import AcceptedCandidate
from report_runs import DATASET, PROFILE, written_once


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_once(tmp_path_factory, EvaluatedRun)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluatedRun:
    """A run that has just been accepted."""
    copied = EvaluatedRun.copied(finished, tmp_path, monkeypatch)
    render.accept(DATASET, PROFILE)
    return copied


def compared() -> changes.Changes:
    return changes.compare(collect.collect(DATASET, PROFILE))


def candidate(
    labels: np.ndarray, predicted: np.ndarray, classes: int, name: str = "tuned"
) -> AcceptedCandidate:
    """Return a candidate with these predictions."""
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    accuracy = float(np.mean(labels == predicted))
    names = tuple(f"class {index}" for index in range(classes))
    images = f"images {len(labels)}"
    return AcceptedCandidate(
        name, name, accuracy, accuracy, 0.01, names, confusion, predicted, images, "", labels
    )


def pair(labels: np.ndarray, before: np.ndarray, after: np.ndarray, classes: int, label: str = "it") -> Pair:
    return Pair(label, candidate(labels, before, classes), candidate(labels, after, classes))


# The statistics


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_step_down_rule_rejects(p_values: list[float], level: float) -> None:
    expected = [False] * len(p_values)
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] * (len(p_values) - step) > level:
            break
        expected[place] = True
    assert [p <= level for p in significance.holm(p_values)] == expected


@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10_000))
def test_macro_f1_is_that_of_scikit_learn(classes: int, n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, predicted = generator.integers(0, classes, (2, n))
    right = np.bincount(labels[labels == predicted], minlength=classes)
    counts = (np.bincount(one, minlength=classes) for one in (labels, predicted))
    expected = f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    assert scoring.score_counts(right, *counts).macro_f1 == pytest.approx(expected)


def test_paired_bootstrap_agrees_with_drawing_images_one_by_one() -> None:
    labels = np.arange(400) % 5
    before, after = answers(labels, 0.8, 1, 5), answers(labels, 0.85, 2, 5)
    tested = significance.paired_macro_f1(labels, before, after, 5, draws=4_000)
    generator, drawn = np.random.default_rng(9), []
    for _ in range(500):
        rows = generator.integers(0, len(labels), len(labels))
        scores = [f1_score(labels[rows], one[rows], average="macro") for one in (before, after)]
        drawn.append(scores[1] - scores[0])
    low, high = np.percentile(drawn, [2.5, 97.5])
    error = (
        3 * 2.7 * np.std(drawn) / np.sqrt(500)
    )  # a 2.5% quantile of a normal sample varies by 2.7 σ/√draws
    assert (tested.low, tested.high) == (pytest.approx(low, abs=error), pytest.approx(high, abs=error))
    expected = [f1_score(labels, one, average="macro") for one in (before, after)]
    assert [tested.before, tested.after] == pytest.approx(expected)


def test_bootstrap_draws_an_image_s_two_predictions_together() -> None:
    labels = np.arange(500) % 5
    before = answers(labels, 0.8, 1, 5)
    after = before.copy()
    after[:3] = labels[:3]
    paired = significance.paired_macro_f1(labels, before, after, 5)
    matrices = [candidate(labels, one, 5).confusion for one in (before, after)]
    apart = significance.independent_macro_f1(*matrices)
    assert paired.high - paired.low < 0.2 * (apart.high - apart.low)


def test_a_handful_of_changed_predictions_is_not_a_regression_of_macro_f1() -> None:
    labels = np.arange(360) % 10
    after = labels.copy()
    after[:4] = (labels[:4] + 1) % 10  # 4 lost and none gained: McNemar's p is 2 · 2⁻⁴
    tested = significance.paired_macro_f1(labels, labels, after, 10)
    assert tested.p_value == pytest.approx(0.125, abs=0.03)
    assert tested.low < tested.high == 0.0
    after[:9] = (labels[:9] + 1) % 10
    assert significance.paired_macro_f1(labels, labels, after, 10).p_value < 0.02


def test_permutation_test_holds_its_level() -> None:
    labels, rejected = np.arange(300) % 5, 0
    for seed in range(150):
        before, after = answers(labels, 0.85, 2 * seed, 5), answers(labels, 0.85, 2 * seed + 1, 5)
        rejected += significance.paired_macro_f1(labels, before, after, 5, draws=400).p_value < 0.05
    assert rejected <= 14  # 5% of 150, and three standard errors


def test_bootstrap_is_fast_repeatable_and_leaves_the_global_generator_alone() -> None:
    labels = np.arange(10_000) % 10
    before, after = answers(labels, 0.9, 1), answers(labels, 0.9, 2)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    started = time.process_time()
    first = significance.paired_macro_f1(labels, before, after, 10)
    assert time.process_time() - started < 10
    assert first == significance.paired_macro_f1(labels, before, after, 10)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_bootstrap_of_many_classes_draws_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(600) % 200
    before, after = answers(labels, 0.9, 1, 200), answers(labels, 0.7, 2, 200)
    monkeypatch.setattr(significance, "_CELLS_AT_ONCE", 5_000)
    tested = significance.paired_macro_f1(labels, before, after, 200, draws=500)
    assert tested.p_value < 0.01
    assert tested.high < 0


def test_paired_proportion_is_mcnemar_s_exact_test() -> None:
    labels = np.arange(1_000) % 10
    before, after = answers(labels, 0.9, 1), answers(labels, 0.93, 2)
    gained = int(np.sum((after == labels) & (before != labels)))
    lost = int(np.sum((after != labels) & (before == labels)))
    tested = significance.paired_proportion(labels, before, after)
    assert tested.p_value == pytest.approx(stats.binomtest(gained, gained + lost).pvalue)
    assert tested.after - tested.before == pytest.approx((gained - lost) / 1_000)


def test_independent_proportions_have_newcombe_s_published_interval() -> None:
    tested = significance.independent_proportion(48, 80, 56, 70)
    assert (tested.low, tested.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    assert tested.p_value == pytest.approx(stats.fisher_exact([[56, 14], [48, 32]]).pvalue)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5)])
def test_independent_proportions_at_the_edge_stay_inside(right: int, n: int) -> None:
    tested = significance.independent_proportion(right, n, right, n)
    assert tested.p_value == 1
    assert -1 <= tested.low <= 0 <= tested.high <= 1


def _equal_networks(generator: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the predictions of two networks with the same probability of being correct on each image."""
    easy = np.where(generator.random(len(labels)) < 0.7, 0.995, 0.68)
    wrong = (labels + generator.integers(1, 10, (2, len(labels)))) % 10
    return tuple(np.where(generator.random((2, len(labels))) < easy, labels, wrong))


def test_equal_networks_are_called_different_about_once_in_twenty() -> None:
    labels, draws = np.arange(1_000) % 10, 200
    alarms = dict.fromkeys((comparisons.ACCURACY, comparisons.MACRO_F1, comparisons.RECALL), 0)
    for seed in range(draws):
        drawn = pair(labels, *_equal_networks(np.random.default_rng(seed), labels), 10)
        named = {change.score for change in comparisons.compare([drawn])[0].changes if change.significant}
        for score in alarms:
            alarms[score] += score in named
    highest = stats.binom.ppf(0.999, draws, 0.05)
    assert all(count <= highest for count in alarms.values()), alarms
    assert alarms[comparisons.ACCURACY] >= stats.binom.ppf(0.001, draws, 0.03)  # exact tests keep below 5%


def test_four_equal_candidates_raise_hardly_more_false_alarms_than_one() -> None:
    labels, draws = np.arange(800) % 10, 60
    alarms = 0
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        pairs = [pair(labels, *_equal_networks(generator, labels), 10) for _ in range(4)]
        alarms += any(c.verdict == REGRESSION for one in comparisons.compare(pairs) for c in one.changes)
    assert alarms <= stats.binom.ppf(0.999, draws, 3 * 0.025)  # three families, one side of each


# Changes between runs


def test_equal_runs_give_nothing(run: EvaluatedRun) -> None:
    same = compared()
    assert same.unchanged
    assert {change.verdict for change in same.all} == {UNCHANGED}
    assert not same.others
    assert not same.environment
    assert not same.confusion.changed
    assert changes.regressions(same) == []
    assert same.headline.startswith("Nothing changed")


def test_no_reference_gives_no_changes(run: EvaluatedRun) -> None:
    reference.reference_file(DATASET, PROFILE).unlink()
    assert compared() is None


def test_planted_regression_is_found_and_named(run: EvaluatedRun) -> None:
    run.predicted["tuned"] = answers(run.labels, 0.86, 77)
    run.write_all()
    worse = compared()
    by_score = {change.score: change for change in worse.compared[3].changes[:3]}
    assert by_score[comparisons.ACCURACY].verdict == REGRESSION
    assert by_score[comparisons.MACRO_F1].verdict == REGRESSION
    assert by_score[comparisons.MACRO_F1].interval[1] < 0
    before, after = (
        np.mean(one == run.labels) for one in (answers(run.labels, 0.92, 3), run.predicted["tuned"])
    )
    sentence = (
        f"Tuned residual CNN: accuracy {100 * before:.1f}% → {100 * after:.1f}% "
        f"(−{100 * (before - after):.2f} points, p < 0.001): a regression."
    )
    assert sentence in changes.regressions(worse)
    assert all(text.startswith("Tuned residual CNN") for text in changes.regressions(worse))
    assert re.search(r"no improvement, (\d+) regressions, \1 of them of the champion;", worse.headline)


def test_improvement_is_named_and_no_regression(run: EvaluatedRun) -> None:
    run.predicted["transfer"] = run.labels.copy()
    run.write_all()
    better = compared()
    assert {change.verdict for change in better.compared[1].changes[:3]} >= {IMPROVEMENT}
    assert re.search(
        r"Frozen Lite0, 64 px: accuracy .* → 100\.0% \(.*\): an improvement\.", "\n".join(better.lines)
    )
    assert changes.regressions(better) == []
    assert ", none of them of the champion;" in better.headline


def test_another_network_of_the_same_quality_is_not_significantly_different(run: EvaluatedRun) -> None:
    run.predicted["tuned"] = answers(run.labels, 0.92, 78)
    run.write_all()
    noise = compared()
    assert noise.compared[3].different > 100
    assert [change.verdict for change in noise.compared[3].changes if change.p_value] == [
        NOT_SIGNIFICANT
    ] * 12
    assert changes.regressions(noise) == []
    words = section().words
    assert "Tuned residual CNN" in words
    assert "Macro-F1" not in words  # it did not change significantly


def test_one_class_that_drops_is_a_regression_though_accuracy_is_unchanged(run: EvaluatedRun) -> None:
    one = run.predicted["tuned"].copy()
    mine, others = run.labels == 3, run.labels != 3
    lost = np.flatnonzero(mine & (one == 3))[:25]
    one[lost] = 4
    gained = np.flatnonzero(others & (one != run.labels))[:25]
    one[gained] = run.labels[gained]
    run.predicted["tuned"] = one
    run.write_all()
    shown = {change.title: change.verdict for change in compared().compared[3].changes}
    assert shown["accuracy"] == NOT_SIGNIFICANT
    assert shown["recall of class 3"] == REGRESSION
    assert [text for text in changes.regressions(compared()) if "recall of class 3" in text]


def test_p_values_are_corrected_over_candidates() -> None:
    labels = np.arange(1_000) % 10
    before = labels.copy()
    after = before.copy()
    after[:7] = (after[:7] + 1) % 10  # p = 2^-6 alone
    moved = pair(labels, before, after, 10)
    alone = comparisons.compare([moved])[0].changes[0]
    assert (alone.p_value, alone.verdict) == (pytest.approx(2**-6), REGRESSION)
    rest = [pair(labels, before, np.roll(before, 0), 10) for _ in range(3)]
    assert (
        comparisons.compare([moved, *rest])[0].changes[0].verdict == REGRESSION
    )  # nothing to test in the rest
    noisy = [pair(labels, *_equal_networks(np.random.default_rng(seed), labels), 10) for seed in range(3)]
    crowded = comparisons.compare([moved, *noisy])[0].changes[0]
    assert (crowded.p_value, crowded.verdict) == (pytest.approx(4 * 2**-6), NOT_SIGNIFICANT)


def test_calibration_is_named_without_a_test(run: EvaluatedRun) -> None:
    stage = "07_evaluation/tuned"
    run.metrics[stage] = {**run.metrics[stage], "ece_scaled": 0.2}
    run.write_all()
    change = compared().compared[3].changes[2]
    assert (change.score, change.verdict, change.after) == ("calibration error", "not tested", 0.2)
    assert change.sentence == "Tuned residual CNN: calibration error 0.011 → 0.200 (+0.189), not tested."
    assert changes.regressions(compared()) == []


def _forget(name: str) -> None:
    """Remove a candidate from the reference."""
    file = reference.reference_file(DATASET, PROFILE)
    content = json.loads(file.read_text())
    del content["candidates"][name]
    file.write_text(json.dumps({**content, "sha256": reference.content_sha256(content)}))


def test_new_candidate_is_named(run: EvaluatedRun) -> None:
    _forget("transfer")
    assert compared().new == ("frozen Lite0, 64 px",)
    assert "Frozen Lite0, 64 px is new: the accepted run did not evaluate it." in compared().sentences
    assert changes.regressions(compared()) == []


def test_vanished_candidate_is_a_regression(run: EvaluatedRun) -> None:
    (run.folder("07_evaluation/transfer") / "manifest.json").unlink()
    gone = compared()
    assert gone.vanished == ("frozen Lite0, 64 px",)
    assert changes.regressions(gone) == [
        "Frozen Lite0, 64 px is gone: the accepted run evaluated it, this one did not."
    ]


def test_changed_champion_is_named_and_compared_with_the_one_before(run: EvaluatedRun) -> None:
    run.metrics["10_export"] = {**run.metrics["10_export"], "candidate": "transfer"}
    run.write_all()
    changed = compared()
    assert changed.sentences[0] == "The champion changed from tuned residual CNN to frozen Lite0, 64 px."
    last = changed.compared[-1]
    assert last.label == "the champion (frozen Lite0, 64 px instead of tuned residual CNN)"
    assert last.changes[0].verdict == REGRESSION
    assert any(text.startswith("The champion") for text in changes.regressions(changed))
    matrices = [candidate(run.labels, run.predicted[name], 10).confusion for name in ("transfer", "tuned")]
    differences_shown = [[cell.difference for cell in row] for row in changed.confusion.rows]
    assert differences_shown == (matrices[0] - matrices[1]).tolist()


def test_series_without_an_export_has_no_champion(run: EvaluatedRun) -> None:
    (run.folder("10_export") / "manifest.json").unlink()
    assert "This run has no evaluated champion." in compared().sentences
    assert compared().confusion is None


def test_changed_test_set_is_compared_as_independent_samples(run: EvaluatedRun) -> None:
    run.labels = (np.arange(1_500) + 1) % 10
    run.predicted = {name: answers(run.labels, 0.9, 50 + seed) for seed, name in enumerate(run.predicted)}
    run.predicted["tuned"] = answers(run.labels, 0.7, 60)
    run.write_all()
    other = compared()
    assert not other.paired
    assert not other.unchanged
    assert other.confusion is None
    assert "differ from those of the accepted run" in other.how
    tuned, kept = other.compared[3], reference.read(DATASET, PROFILE).candidates["tuned"]
    right = [int(np.trace(kept.confusion)), int(np.sum(run.predicted["tuned"] == run.labels))]
    table = [[right[0], 2_000 - right[0]], [right[1], 1_500 - right[1]]]
    assert tuned.different is None
    assert tuned.changes[0].p_value == pytest.approx(min(1, 4 * stats.fisher_exact(table).pvalue))
    assert [change.verdict for change in tuned.changes[:2]] == [REGRESSION, REGRESSION]


def test_labels_in_another_order_are_another_test_set(run: EvaluatedRun) -> None:
    order = np.random.default_rng(0).permutation(len(run.labels))
    run.labels = run.labels[order]
    run.predicted = {name: one[order] for name, one in run.predicted.items()}
    run.write_all()
    assert not compared().paired
    assert changes.regressions(compared()) == []


def _without_hashes_of_images() -> None:
    """Remove the hashes of the images from the reference, as in its first version."""
    file = reference.reference_file(DATASET, PROFILE)
    content = json.loads(file.read_text())
    for entry in content["candidates"].values():
        del entry["images_sha256"]
    content["sha256"] = reference.content_sha256(content)
    file.write_text(json.dumps(content))


def test_other_images_with_the_same_labels_are_another_test_set(run: EvaluatedRun) -> None:
    assert compared().paired
    run.images = b"other images, as many of each class"
    run.write_all()
    assert not compared().paired
    assert "differ from those of the accepted run" in compared().how


def test_older_reference_pairs_the_images_of_a_built_in_data_set_by_their_labels(run: EvaluatedRun) -> None:
    _without_hashes_of_images()
    assert compared().paired
    assert compared().unchanged


def test_older_reference_does_not_pair_images_of_a_folder(
    run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_hashes_of_images()
    monkeypatch.setattr(paths, "BUILT_IN_DATASETS", ())
    assert not compared().paired


def test_changed_classes_cannot_be_compared(run: EvaluatedRun) -> None:
    run.classes = (*run.classes[:-1], "something else")
    run.write_all()
    other = compared()
    assert not other.compared
    assert len(changes.regressions(other)) == 4
    assert "its classes differ from those of the accepted run" in changes.regressions(other)[0]
    assert "No candidate can be compared" in other.headline


def test_confusion_cells_are_good_or_bad_by_where_they_lie() -> None:
    kinds = {
        cell: differences.Cell(*cell).kind
        for cell in [("a", "a", 1, 2), ("a", "a", 2, 1), ("a", "b", 1, 2), ("a", "b", 2, 1), ("a", "b", 1, 1)]
    }
    assert list(kinds.values()) == ["better", "worse", "worse", "better", "same"]
    assert [differences.Cell(*cell).text for cell in kinds] == ["+1", "−1", "+1", "−1", "·"]


def test_other_versions_are_listed_and_times_are_not_compared(run: EvaluatedRun) -> None:
    run.seconds["04_baseline"], run.versions = 135.0, {"python": "3.12.0", "keras": "3.15.1"}
    run.write_all()
    changed = compared()
    assert changed.environment == ("Other versions: python 3.11.2 → 3.12.0.",)
    assert changes.regressions(changed) == []


def test_several_seeds_of_the_champion_are_told(run: EvaluatedRun) -> None:
    stage = "07_evaluation/tuned"
    run.metrics[stage] = {**run.metrics[stage], "test_accuracy_by_seed": [0.92, 0.9]}
    run.write_all()
    assert compared().how.endswith(
        "Here the 2 seeds of the champion reach a test accuracy of 90.0% and 92.0%."
    )


@settings(max_examples=200)
@given(st.floats(-2, 2), st.sampled_from([1, 3]))
def test_a_difference_is_shown_with_its_sign_and_never_as_a_signed_nothing(value: float, digits: int) -> None:
    shown = wording.signed(value, digits)
    assert "-" not in shown
    assert (shown == "±0") == (
        abs(value) < 0.5 * 10.0 ** -(digits + 1) or float(f"{value:.{digits + 1}f}") == 0
    )
    assert shown == "±0" or float(shown.replace("−", "-")) == pytest.approx(value, abs=0.6 * 10.0**-digits)


# The command line


def osemn(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Call the command line in this process; return its exit code."""
    call = ["osemn", "report", "--dataset", DATASET, "--profile", PROFILE, *arguments]
    monkeypatch.setattr(sys, "argv", call)
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code or 0


def test_accept_prints_its_file_and_check_finds_nothing(run: EvaluatedRun, capsys, monkeypatch) -> None:
    assert osemn("--accept", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.strip().endswith(f"{DATASET}/{PROFILE}.json")
    assert osemn("--check", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "No significant regression since the accepted run."
    assert not (Path(render.paths.report_folder(DATASET, PROFILE)) / render.INDEX).exists()


def test_check_fails_on_a_regression_and_names_it(run: EvaluatedRun, capsys, monkeypatch) -> None:
    run.predicted["tuned"] = answers(run.labels, 0.8, 77)
    run.write_all()
    assert osemn("--check", monkeypatch=monkeypatch) == 1
    said = capsys.readouterr()
    assert "Three-layer CNN: accuracy" in said.out
    assert re.search(r"Tuned residual CNN: accuracy .*: a regression\.", said.err)
    assert "osemn report --dataset digits --profile smoke --accept" in said.err
    assert "Traceback" not in said.err
    assert osemn("--accept", monkeypatch=monkeypatch) == 0
    assert osemn("--check", monkeypatch=monkeypatch) == 0


def test_check_without_a_reference_says_to_accept_one(run: EvaluatedRun, capsys, monkeypatch) -> None:
    reference.reference_file(DATASET, PROFILE).unlink()
    assert osemn("--check", monkeypatch=monkeypatch) == 1
    assert "osemn report --dataset digits --profile smoke --accept" in capsys.readouterr().err


def test_check_of_an_incomplete_series_is_refused(run: EvaluatedRun, capsys, monkeypatch) -> None:
    (run.folder("11_serving") / "manifest.json").unlink()
    assert osemn("--check", monkeypatch=monkeypatch) == 1
    assert "11_serving is not run" in capsys.readouterr().err


def test_check_of_a_damaged_reference_is_refused(run: EvaluatedRun, capsys, monkeypatch) -> None:
    reference.reference_file(DATASET, PROFILE).write_text("{")
    assert osemn("--check", monkeypatch=monkeypatch) == 1
    assert "restore it from version control" in capsys.readouterr().err


def test_accept_and_check_together_are_a_wrong_call(run: EvaluatedRun, capsys, monkeypatch) -> None:
    assert osemn("--accept", "--check", monkeypatch=monkeypatch) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--accept", "--check"])
def test_quiet_prints_nothing(run: EvaluatedRun, capsys, monkeypatch, option: str) -> None:
    assert osemn(option, "--quiet", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr() == ("", "")


def test_refusal_counts_the_regressions(run: EvaluatedRun) -> None:
    (run.folder("07_evaluation/transfer") / "manifest.json").unlink()
    with pytest.raises(OsemnError, match="1 regression since the run accepted on"):
        changes.refuse(compared(), DATASET, PROFILE)


# The page


class Section(HTMLParser):
    """The elements of the section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[tuple[int, dict]] = []
        self.images: list[dict] = []
        self.scripts = 0
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append((int(tag[1]), dict(attrs)))
        if tag == "img":
            self.images.append(dict(attrs))
        self.scripts += tag in ("script", "b")

    def handle_data(self, data: str) -> None:
        self.words += data


def section() -> Section:
    series = collect.collect(DATASET, PROFILE)
    template = pages.Renderer(series).environment.get_template("changes.html.j2")
    return Section(template.render(changes=changes.compare(series)))


def _everything_changed(run: EvaluatedRun) -> None:
    run.predicted = {name: answers(run.labels, 0.8, 40 + seed) for seed, name in enumerate(run.predicted)}
    run.metrics["10_export"] = {**run.metrics["10_export"], "candidate": "fine_tuned"}
    run.write_all()


def test_section_says_every_colour_in_words_or_signs(run: EvaluatedRun) -> None:
    _everything_changed(run)
    words = section().words
    for said in ("regression", "(better)", "(worse)", "−", "McNemar", "Holm", "another seed"):
        assert said in words


def test_section_of_an_equal_run_is_short(run: EvaluatedRun) -> None:
    page = section()
    assert not page.images
    assert not page.words.strip()  # the headline stands beside the name of the part


def test_section_of_many_classes_lists_the_largest_cells(run: EvaluatedRun, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "many"))
    many = EvaluatedRun(classes=tuple(f"kind {index}" for index in range(40)))
    render.accept(DATASET, PROFILE)
    many.predicted["tuned"] = answers(many.labels, 0.8, 40, 40)
    many.write_all()
    changed = compared().confusion
    assert not changed.complete
    assert len(changed.largest) == differences.LARGEST
    assert abs(changed.largest[0].difference) == max(
        abs(cell.difference) for row in changed.rows for cell in row
    )
    assert "The largest of" in section().words


def test_section_escapes_names(run: EvaluatedRun, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "names"))
    other = EvaluatedRun(classes=("<b>bold</b>", "<script>alert(1)</script>", "c"))
    render.accept(DATASET, PROFILE)
    other.predicted["tuned"] = answers(other.labels, 0.5, 40, 3)
    other.write_all()
    page = section()
    assert page.scripts == 0
    assert "<b>bold</b>" in page.words
