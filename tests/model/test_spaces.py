"""What 09_tuning searches, and what it concludes about the gain."""

import dataclasses
from pathlib import Path

import numpy as np
import optuna
import pytest
from test_recipe import bars

from helpers import scoring
from helpers.model import baselines
from helpers.model.tuning import conclusions, gain, spaces
from helpers.model.tuning import study as tuning
from helpers.scrub import augment
from helpers.series import manifests
from helpers.series.metrics import Metric

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
F1, ACCURACY = Metric("macro_f1"), Metric("accuracy")
STATISTICS = {"mean": [60.0], "standard_deviation": [60.0]}


def cnn(**changes) -> spaces.CnnSearch:
    settings = {
        "widths": (8, 16),
        "depths": (1,),
        "early_pooling": True,
        "epochs": 2,
        "batch_size": 16,
        "seed": 0,
        "metric": F1,
        **changes,
    }
    policy = augment.policy_for("fashion_mnist")
    return spaces.CnnSearch(bars(), bars(seed=1), policy, STATISTICS, **settings)


def finished(search, trials: int, folder) -> optuna.Study:
    return tuning.run(search.objective, search.settings(trials), "study", folder=folder, poll=0.01)


@pytest.fixture(scope="module")
def study(seeded_module, tmp_path_factory):
    return finished(cnn(), 3, tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def seeded_module():
    from helpers.series import seeds

    seeds.seed_tensorflow(0)


def test_first_trial_has_the_defaults_and_each_trial_reports_its_epochs(study):
    assert study.trials[0].params == cnn().defaults
    assert sorted(study.trials[0].intermediate_values) == [1, 2]
    assert {trial.params["width"] for trial in study.trials} <= {8, 16}


def test_value_of_a_trial_is_the_macro_f1_of_the_predictions_stored_with_it(study):
    from sklearn.metrics import f1_score

    labels = bars(seed=1).labels
    for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        assert trial.value == pytest.approx(f1_score(labels, gain.stored_predictions(trial), average="macro"))


def test_same_settings_give_the_same_value_whatever_was_trained_before(study, tmp_path):
    again = finished(cnn(), 1, tmp_path)
    assert again.trials[0].value == study.trials[0].value
    assert np.array_equal(gain.stored_predictions(again.trials[0]), gain.stored_predictions(study.trials[0]))


def test_a_search_compares_full_trainings_by_its_metric(study):
    labels, _ = cnn().truth
    result = cnn().gain(study, [labels] * 3, [labels] * 3)
    assert (result.metric.name, result.points) == ("macro_f1", 0.0)


def test_a_trial_that_diverges_is_finished_as_failed(tmp_path):
    class Wild(spaces.CnnSearch):
        @property
        def defaults(self):
            return {**super().defaults, "learning_rate": 1e30}

        @property
        def space(self):
            return {**super().space, "learning_rate": optuna.distributions.FloatDistribution(1e-3, 1e30)}

    wild = Wild(**{field.name: getattr(cnn(), field.name) for field in dataclasses.fields(cnn())})
    study = finished(wild, 1, tmp_path)
    assert tuning.summary(study)["state"].tolist() == ["failed"]


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 3},
        {"batch_size": 8},
        {"widths": (8,)},
        {"depths": (1, 2)},
        {"seed": 1},
        {"metric": ACCURACY},
    ],
)
def test_studies_of_other_settings_have_other_names(changed):
    assert cnn(**changed).settings(3).digest != cnn().settings(3).digest


def test_more_trials_go_on_with_the_same_study():
    assert cnn().settings(3).digest == cnn().settings(9).digest


def study_of(*correct: int, count: int = 100) -> tuple[optuna.Study, np.ndarray]:
    """Return a finished study and labels; trial by trial, the first `correct` images are classified correctly."""
    labels = np.arange(count) % 2
    study = optuna.create_study(direction="maximize")
    for number in correct:
        trial = study.ask()
        predicted = np.where(np.arange(count) < number, labels, 1 - labels)
        study.tell(trial, gain.score_trial(trial, ACCURACY, labels, 2, predicted))
    return study, labels


def measured(winner: list[int], defaults: list[int], correct=(70, 80)) -> tuple[gain.Gain, str]:
    """Return the gain of a study, and its conclusion in words; each seed classifies that many of 100 images correctly."""
    study, labels = study_of(*correct)
    seeds = (
        [np.where(np.arange(100) < count, labels, 1 - labels) for count in counts]
        for counts in (winner, defaults)
    )
    result = gain.measure_gain(study, ACCURACY, labels, 2, *seeds)
    return result, conclusions.search_gain(study, result).text


def test_gain_of_three_seeds_and_more_rests_on_seeds_and_images():
    result, text = measured([92, 94, 93], [70, 71, 71])
    assert (result.basis, result.points) == ("seeds", pytest.approx(67 / 3))
    assert text.startswith("The search tried 2 settings of the residual CNN in ")
    assert (
        "the same 3 seeds, its best settings differ from the defaults on validation by +22.33 points of accuracy"
        in text
    )
    assert text.endswith("which is statistically significant.")
    result, _ = measured([92, 94, 93], [90, 91, 91])
    half = 4.302653 * np.std([2, 3, 2], ddof=1) / np.sqrt(3)
    assert result.points - result.ci95[0] > half, "100 images say less than the seeds alone"
    assert measured([92, 94], [70, 71])[0].basis == "images", "two seeds are too few"


def test_defaults_that_did_better_at_full_length_are_used():
    result, text = measured([92, 94, 93], [93, 95, 95])
    assert result.favours_defaults
    assert "which is not statistically significant; a difference of more than" in text
    assert text.endswith("The defaults did better, so they are used.")
    assert "−1.33 points of accuracy" in text
    for counts in ([94, 96, 96], [93, 95, 95]):
        result, text = measured(counts, [93, 95, 95])
        assert not result.favours_defaults
        assert "defaults did better" not in text


def test_trials_alone_never_favour_the_defaults():
    assert not gain.Gain(-0.5, (-1.0, -0.1), "images", 1_000, ACCURACY).favours_defaults
    assert not gain.Gain(0.0, (0.0, 0.0), "defaults", 1_000, ACCURACY).favours_defaults


def test_gain_of_one_seed_rests_on_the_images_and_is_called_overestimated():
    result, text = measured([90], [80], correct=(70, 60, 80))
    assert result.points == pytest.approx(10)
    assert 0 < result.ci95[0] < 10 < result.ci95[1]
    assert result.basis == "images"
    assert "overestimates the gain and does not establish one" in text
    assert "significant" not in text


def test_seeds_that_all_differ_by_one_image_do_not_show_a_gain():
    for image in (0, 1, -1):
        result, text = measured([90 + image] * 3, [90] * 3)
        assert result.ci95[0] < result.points < result.ci95[1]
        assert "not statistically significant" in text


def test_gain_is_that_of_the_series_metric():
    """Trial 1 is less accurate, but better on the rare class."""
    labels = np.repeat([0, 1], [90, 10])
    study, metric = optuna.create_study(direction="maximize"), Metric("balanced_accuracy")
    for predicted in (np.zeros(100, int), np.where(np.arange(100) < 70, 0, 1)):
        trial = study.ask()
        study.tell(trial, gain.score_trial(trial, metric, labels, 2, predicted))
    result = gain.measure_gain(study, metric, labels, 2)
    assert result.points == pytest.approx(100 * ((70 / 90 + 1) / 2 - 0.5))
    assert result.ci95[0] > 0
    text = conclusions.search_gain(study, result).text
    assert "+38.89 points of balanced accuracy" in text
    full = gain.measure_gain(
        study, Metric("cost", ((0, 1), (9, 0))), labels, 2, [labels] * 3, [0 * labels] * 3
    )
    assert "+90.00 hundredths of cost per image" in conclusions.search_gain(study, full).text


def test_nothing_is_gained_where_the_defaults_are_best():
    result, text = measured([90] * 3, [90] * 3, correct=(80, 70))
    assert (result.basis, result.points) == ("defaults", 0.0)
    assert "Nothing did better than the defaults." in text


@pytest.mark.parametrize(
    ("points", "ends", "verdict"),
    [
        (0.5, (0.1, 2), "which is statistically significant."),
        (-0.5, (-1, -0.1), "which is statistically significant. The defaults did better"),
        (0.5, (-1, 1), "not statistically significant; a difference of more than 1.00 points of accuracy"),
    ],
)
def test_gain_is_called_what_its_interval_shows(points, ends, verdict):
    study, _ = study_of(70, 80)
    assert verdict in conclusions.search_gain(study, gain.Gain(points, ends, "seeds", 3, ACCURACY)).text


def test_one_trial_is_not_called_a_search():
    study, labels = study_of(80)
    conclusion = conclusions.search_gain(study, gain.measure_gain(study, ACCURACY, labels, 2))
    assert conclusion.text == "Only the defaults were tried, so nothing was searched."


def test_cost_of_a_search_is_compared_with_one_training():
    study, labels = study_of(80, 70)
    conclusion = conclusions.search_gain(
        study, gain.measure_gain(study, ACCURACY, labels, 2), training_seconds=1e-3
    )
    assert "times as long as one training at full length" in conclusion.text
    assert conclusion.id == "search_gain"
    assert conclusion.numbers["trials"] == 2


def test_network_is_compared_with_the_baseline_by_a_paired_test():
    labels = np.arange(200) % 2
    worse = np.where(np.arange(200) < 150, labels, 1 - labels)
    pair = scoring.compare(labels, labels, worse)
    text = conclusions.against_baseline(pair, {"label": "three-layer CNN", "accuracy": 0.75}, 200).text
    assert "differs from that of the three-layer CNN (75.0%) by +25.00 points" in text
    assert "which is statistically significant. This compares two trained networks" in text
    text = conclusions.against_baseline(
        scoring.compare(labels, worse, worse), {"label": "three-layer CNN", "accuracy": 0.75}, 200
    ).text
    assert "not statistically significant; a difference of more than" in text


def test_accuracy_of_the_network_is_said_with_its_interval_and_cost():
    row = baselines.Result(
        "tuned residual CNN", 1_234, 80, 84.0, 5.0, scoring.score(np.arange(50) % 2, np.zeros(50, int), 2)
    )
    text = conclusions.tuned_network(row, averages_flips=True).text
    assert "The residual CNN (1,234 parameters) classifies 50.0% of 50 validation images correctly" in text
    assert "after 84 s of training. Its predictions average each image and its mirror image." in text


def test_parameters_are_described_in_words():
    assert spaces.describe(cnn().space["width"]) == "8, 16"
    assert spaces.describe(cnn().space["dropout"]) == "0 to 0.5"
    assert spaces.describe(cnn().space["learning_rate"]) == "0.002 to 0.1, on a log scale"


def test_edited_training_code_makes_another_study(monkeypatch) -> None:
    files = {file.stem for file in manifests._with_imports([Path(spaces.__file__)])}
    assert files >= {
        "spaces",
        "recipe",
        "architectures",
        "optimizers",
        "weight_averaging",
        "augment",
    }
    before = cnn().settings(2).digest
    assert before == cnn().settings(2).digest
    monkeypatch.setattr(manifests, "code_sha256", lambda module: f"edited {module}")
    after = cnn().settings(2).digest
    assert before != after
