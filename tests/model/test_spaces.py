"""What 09_tuning searches, and what it says about the gain."""

import dataclasses
from pathlib import Path

import numpy as np
import optuna
import pytest
from test_recipe import bars

from helpers.model.tuning import gain as search_gain
from helpers.model.tuning import spaces
from helpers.model.tuning import study as tuning
from helpers.scrub import augment
from helpers.series import manifests

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
STATISTICS = {"mean": [60.0], "standard_deviation": [60.0]}


def cnn(**changes) -> spaces.CnnSearch:
    settings = {
        "widths": (8, 16),
        "depths": (1,),
        "early_pooling": True,
        "epochs": 2,
        "batch_size": 16,
        "seed": 0,
        **changes,
    }
    policy = augment.policy_for("fashion_mnist")
    return spaces.CnnSearch(bars(), bars(seed=1), policy, STATISTICS, **settings)


def head(seed: int = 0, **defaults) -> spaces.HeadSearch:
    generator = np.random.default_rng(seed)
    labels = np.arange(120) % 3
    rows = (np.eye(3)[labels] @ generator.normal(size=(3, 20)) + generator.normal(size=(120, 20))).astype(
        "f4"
    )
    usual = {"learning_rate": 0.01, "dropout": 0.3, "units": 24, **defaults}
    return spaces.HeadSearch(rows[:80], labels[:80], (rows[80:], labels[80:]), 3, usual, 2, 16, 0)


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


def test_value_of_a_trial_is_the_macro_f1_of_the_predictions_kept_with_it(study):
    from sklearn.metrics import f1_score

    labels = bars(seed=1).labels
    for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        assert trial.value == pytest.approx(f1_score(labels, search_gain.predicted(trial), average="macro"))


def test_same_settings_give_the_same_value_whatever_was_trained_before(study, tmp_path):
    again = finished(cnn(), 1, tmp_path)
    assert again.trials[0].value == study.trials[0].value
    assert np.array_equal(search_gain.predicted(again.trials[0]), search_gain.predicted(study.trials[0]))


def test_a_trial_that_diverges_is_finished_as_failed(tmp_path):
    class Wild(spaces.CnnSearch):
        @property
        def defaults(self):
            return {**super().defaults, "learning_rate": 1e30}

        @property
        def space(self):
            return {**super().space, "learning_rate": optuna.distributions.FloatDistribution(1e-3, 1e30)}

    wild = Wild(**{field.name: getattr(cnn(), field.name) for field in dataclasses.fields(cnn())})
    found = finished(wild, 1, tmp_path)
    assert tuning.summary(found)["state"].tolist() == ["failed"]


@pytest.mark.parametrize(
    "changed",
    [{"epochs": 3}, {"batch_size": 8}, {"widths": (8,)}, {"depths": (1, 2)}, {"seed": 1}],
)
def test_studies_of_other_settings_have_other_names(changed):
    assert cnn(**changed).settings(3).digest != cnn().settings(3).digest


def test_more_trials_go_on_with_the_same_study():
    assert cnn().settings(3).digest == cnn().settings(9).digest


def test_head_is_searched_from_the_defaults_of_05_even_outside_the_usual_ranges(tmp_path):
    search = head(learning_rate=0.2, dropout=0.7, units=24)
    found = finished(search, 2, tmp_path)
    assert found.trials[0].params == {"learning_rate": 0.2, "dropout": 0.7, "units": 24}
    assert found.trials[0].last_step == 2
    assert head(seed=1).settings(2).digest != search.settings(2).digest


def made(*right: int, count: int = 100) -> tuple[optuna.Study, np.ndarray]:
    """Return a finished study and labels; of these, each trial predicted so many rightly, the first images."""
    labels = np.arange(count) % 2
    study = optuna.create_study(direction="maximize")
    for number in right:
        trial = study.ask()
        predicted = np.where(np.arange(count) < number, labels, 1 - labels)
        study.tell(trial, search_gain.scored(trial, labels, predicted, 2))
    return study, labels


def test_gain_of_two_seeds_and_more_rests_on_the_seeds():
    gain = search_gain.gain(*made(70, 80), [0.92, 0.94, 0.93], [0.90, 0.91, 0.91])
    assert gain.basis == "seeds"
    assert gain.points == pytest.approx(7 / 3)
    half = 4.302653 * np.std([2, 3, 2], ddof=1) / np.sqrt(3)
    assert gain.ci95 == pytest.approx((7 / 3 - half, 7 / 3 + half), rel=1e-5)
    assert gain.shown
    assert "the same 3 seeds: +2.33 points" in gain.sentence


def test_defaults_that_did_better_at_full_length_are_kept():
    gain = search_gain.gain(*made(70, 80), [0.92, 0.94, 0.93], [0.93, 0.95, 0.95])
    assert gain.lost
    assert "shown to be more than noise. The defaults are kept." in gain.sentence
    worse = search_gain.gain(*made(70, 80), [0.90, 0.91, 0.90], [0.93, 0.95, 0.94])
    assert "a loss. The short trials misled: the defaults are kept." in worse.sentence
    for accuracies in ([0.94, 0.96, 0.96], [0.93, 0.95, 0.95]):
        better = search_gain.gain(*made(70, 80), accuracies, [0.93, 0.95, 0.95])
        assert not better.lost
        assert "kept" not in better.sentence


def test_trials_alone_never_make_the_defaults_be_kept():
    assert not search_gain.Gain(-0.5, (-1.0, -0.1), "images", 1_000).lost
    assert not search_gain.Gain(0.0, (0.0, 0.0), "defaults", 1_000).lost


def test_gain_of_one_seed_rests_on_the_images_and_says_that_it_is_flattered():
    gain = search_gain.gain(*made(70, 60, 80), [0.9], [0.8])
    assert gain.points == pytest.approx(10)
    assert gain.ci95[0] < 10 < gain.ci95[1]
    assert gain.basis == "images"
    assert "flatters" in gain.sentence
    assert gain.ci95[0] > 0
    assert not gain.shown
    assert "a gain" not in gain.sentence


def test_seeds_that_all_differ_by_one_image_do_not_show_a_gain():
    for image in (0.01, -0.01):
        gain = search_gain.gain(*made(70, 80), [0.9 + image] * 3, [0.9] * 3)
        assert gain.ci95[0] < gain.points < gain.ci95[1]
        assert "not shown to be more than noise" in gain.sentence


def test_nothing_is_gained_where_the_defaults_are_best():
    gain = search_gain.gain(*made(80, 70), [0.9, 0.9], [0.9, 0.9])
    assert (gain.basis, gain.points, gain.shown) == ("defaults", 0.0, False)
    assert "No other settings beat the defaults" in gain.sentence


@pytest.mark.parametrize(
    ("ends", "said"), [((0.1, 2), ": a gain"), ((-1, -0.1), ": a loss"), ((-1, 1), "not shown")]
)
def test_gain_is_called_what_its_interval_shows(ends, said):
    assert said in search_gain.Gain(0.5, ends, "seeds", 3).sentence


def test_parameters_are_described_in_words():
    assert spaces.describe(cnn().space["width"]) == "8, 16"
    assert spaces.describe(cnn().space["dropout"]) == "0 to 0.5"
    assert spaces.describe(cnn().space["learning_rate"]) == "0.002 to 0.1, on a log scale"


def test_study_is_another_when_code_that_trains_was_edited(monkeypatch) -> None:
    files = {file.stem for file in manifests._with_all_they_import([Path(spaces.__file__)])}
    assert files >= {
        "spaces",
        "recipe",
        "architectures",
        "optimizers",
        "weight_averaging",
        "augment",
        "transfer",
    }
    before = [cnn().settings(2).digest, head().settings(2).digest]
    assert before == [cnn().settings(2).digest, head().settings(2).digest]
    monkeypatch.setattr(manifests, "code_sha256", lambda module: f"edited {module}")
    after = [cnn().settings(2).digest, head().settings(2).digest]
    assert not set(before) & set(after)
