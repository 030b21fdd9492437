"""Fine-tuning of photographs: averages, mixing, unequal classes, a budget in minutes, divergence, resuming with all of them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from test_fine_tuning import (
    SETTINGS,
    changed,
    halves,
    kill_after_epochs,
    last_state,
    network,
    tune,
    weights,
)

from helpers.errors import DivergedError
from helpers.model import epoch_plan, fine_tuning, fine_tuning_conclusions, training, tuning_batches
from helpers.scrub import augment
from helpers.series.metrics import Metric

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
EVERYTHING = {
    "mixup": 0.2,
    "cutmix": 1.0,
    "average_decay": 0.9,
    "class_weights": "sampling",
    "label_smoothing": 0.1,
    "rate_decay": 0.8,
    "minutes": 60.0,
}
POLICY = augment.AugmentationPolicy(crop_fraction=0.5, horizontal_flip=True, rand_augment=0.3, fill="reflect")
KILLED = """
import sys
from pathlib import Path
from helpers.model import checkpoints
from helpers.series import seeds
seeds.seed_tensorflow(0)
import test_fine_tuning_options as options

save = checkpoints.EpochCheckpoints._save
def save_and_report(self, epoch, is_best):
    save(self, epoch, is_best)
    print(f"epoch {epoch} saved", flush=True)
checkpoints.EpochCheckpoints._save = save_and_report
options.tune(Path(sys.argv[1]), epochs=8, policy=options.POLICY, **options.EVERYTHING)
"""


def test_killed_training_with_every_option_resumes_and_ends_with_the_same_bits(tmp_path):
    kill_after_epochs(tmp_path / "killed", KILLED, 3)
    resumed, after_kill = tune(tmp_path / "killed", epochs=8, policy=POLICY, **EVERYTHING)
    complete, undisturbed = tune(tmp_path / "complete", epochs=8, policy=POLICY, **EVERYTHING)
    assert 3 <= after_kill.resumed_after < 8
    assert after_kill.plan.epochs == undisturbed.plan.epochs == 8
    assert not changed(weights(resumed), weights(complete))
    assert not changed(last_state(tmp_path / "killed"), last_state(tmp_path / "complete"))
    assert after_kill.fit.history == undisturbed.fit.history


def test_minutes_plan_fewer_epochs_and_the_rate_falls_to_zero_within_them(tmp_path, monkeypatch):
    def plan(trainer, rows, steps, settings, held_out):
        return dataclasses.replace(timed(trainer, rows, steps, settings, held_out), epochs=2)

    timed = epoch_plan.plan
    monkeypatch.setattr(epoch_plan, "plan", plan)
    _, result = tune(tmp_path, epochs=30, minutes=0.001)
    assert (result.plan.epochs, result.plan.most) == (2, 30)
    assert len(result.fit.history["loss"]) == 2
    assert result.learning_rates[-1] < 0.05 * result.learning_rates.max()
    monkeypatch.setattr(epoch_plan, "plan", lambda *_: pytest.fail("planned again"))
    _, again = tune(tmp_path, epochs=30, minutes=0.001)
    assert again.plan == result.plan, "the plan is stored with the checkpoint"


def test_plan_fits_the_budget_and_timing_leaves_no_trace(tmp_path):
    _, short = tune(tmp_path / "short", epochs=500, minutes=0.0001)
    assert short.plan.epochs == 1, "at least one"
    plain, _ = tune(tmp_path / "plain", epochs=3)
    ample, planned = tune(tmp_path / "ample", epochs=3, minutes=60.0)
    assert planned.plan.epochs == 3, "no more than set"
    assert planned.plan.epoch_seconds > 0
    assert not changed(weights(plain), weights(ample))


def test_automatic_epochs_show_about_the_same_number_of_images():
    assert [epoch_plan.epochs_for(n, 0, 6_000) for n in (20_000, 6_000, 1_890, 40)] == [1, 1, 3, 20]
    assert epoch_plan.epochs_for(40, 2, 6_000) == 2


def test_schedule_with_a_length_to_be_set_is_the_one_cycle():
    schedule = epoch_plan.OneCycle(0.5, 999, 0.2)
    schedule.set_steps(40)
    fixed = training.one_cycle(0.5, 40, 0.2)
    assert [float(schedule(step)) for step in range(41)] == pytest.approx(
        [float(fixed(step)) for step in range(41)], abs=1e-6
    )


def test_averaged_weights_are_validated_and_saved_while_training_goes_on_from_its_own(tmp_path):
    plain, raw = tune(tmp_path / "plain", epochs=1)
    averaged, result = tune(tmp_path / "averaged", epochs=1, average_decay=0.5)
    assert result.fit.history["loss"] == raw.fit.history["loss"], "the steps are the same"
    assert changed(weights(plain), weights(averaged))
    score = np.mean(training.predict(averaged, halves(40, 1).images).argmax(1) == halves(40, 1).labels)
    assert result.fit.history["val_accuracy"][-1] == pytest.approx(score)


def test_best_epoch_is_chosen_by_the_metric(tmp_path):
    settings = fine_tuning.FineTuningSettings(4, **SETTINGS)
    never_down = Metric("cost", ((0.0, 0.0), (1.0, 0.0)))  # only a missed "down" costs anything
    result = fine_tuning.fine_tune(
        network(), halves(), halves(40, 1), settings, unfrozen=None, metric=never_down, folder=tmp_path
    )
    assert result.best_epoch == int(np.argmax(result.fit.history["val_metric"]))
    assert result.fit.history["val_metric"] != result.fit.history["val_accuracy"]


@pytest.mark.parametrize("strategy", ["balanced", "sqrt", "sampling", "logit_adjustment"])
def test_each_strategy_raises_the_recall_of_a_rare_class(tmp_path, strategy):
    everything = halves(240)
    rare = everything.subset(np.flatnonzero((everything.labels == 0) | (np.arange(240) % 12 == 1)))

    def recall(chosen: str) -> float:
        model = network()
        settings = fine_tuning.FineTuningSettings(2, **{**SETTINGS, "class_weights": chosen})
        fine_tuning.fine_tune(model, rare, halves(40, 1), settings, unfrozen=None, folder=tmp_path / chosen)
        held_out = halves(200, 2)
        probabilities = training.predict(model, held_out.images)
        return float(probabilities[held_out.labels == 1, 1].mean())

    assert recall(strategy) > recall("none") + 0.02


def test_image_weights_change_the_training(tmp_path):
    plain = halves()
    weighted = dataclasses.replace(plain, weights=np.where(np.arange(len(plain)) < 48, 2.0, 0.5))
    settings = fine_tuning.FineTuningSettings(1, **SETTINGS)
    trained = []
    for part in (plain, weighted):
        model = network()
        fine_tuning.fine_tune(model, part, halves(40, 1), settings, unfrozen=None, folder=tmp_path / "one")
        trained.append(weights(model))
    assert changed(*trained), "also not resumed from the other's checkpoint"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_saves_the_last_good_weights_and_names_a_rate_to_try(tmp_path, monkeypatch):
    batches = tuning_batches.batches

    def poisoned(train, settings, policy, first_epoch=0):
        rows, steps = batches(train, settings, policy, first_epoch)
        return rows.enumerate().map(
            lambda step, pair: (pair[0], tf.where(step < 8, pair[1], np.nan))  # in the second epoch
        ), steps

    monkeypatch.setattr(fine_tuning, "batches", poisoned)
    model = network()
    with pytest.raises(
        DivergedError, match=r"diverged in epoch 2.*best weights of 1 epoch are stored"
    ) as error:
        tune(tmp_path, model)
    assert "smaller learning_rate, such as 0.00" in str(error.value)
    assert [folder.name for folder in tmp_path.glob("epoch-*")] == ["epoch-0001"]
    assert all(np.isfinite(values).all() for values in weights(model).values())
    assert changed(weights(network()), weights(model)), "the weights after the first epoch"


def test_batch_larger_than_the_set_is_one_step_with_all_images(tmp_path):
    few = halves(10)
    settings = fine_tuning.FineTuningSettings(2, **{**SETTINGS, "batch_size": 64, "mixup": 0.2})
    result = fine_tuning.fine_tune(
        network(), few, halves(10, 1), settings, unfrozen=None, policy=POLICY, folder=tmp_path
    )
    assert result.gradient_norms["step"] == [1, 2]
    rows, steps = tuning_batches.batches(few, settings, None)
    images, targets = next(iter(rows))
    assert (steps, len(images), len(targets)) == (1, 10, 10)


@pytest.mark.parametrize(
    ("policy", "mixup", "words"),
    [
        (None, 0.0, "Training images are not augmented."),
        (None, 0.2, "changed by MixUp (α = 0.2)."),
        (augment.AugmentationPolicy(), 0.0, "Training images are not augmented."),
        (augment.AugmentationPolicy(horizontal_flip=True), 0.0, "changed by flip (half of the images)."),
    ],
)
def test_augmentation_is_said_with_and_without_a_policy(
    policy: augment.AugmentationPolicy | None, mixup: float, words: str
) -> None:
    conclusion = fine_tuning_conclusions.augmentation(policy, mixup, 0.0)
    assert conclusion.text.endswith(words)
