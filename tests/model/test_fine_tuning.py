"""Fine-tuning of a network small enough to train in a second, with layer names like those of a backbone."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import keras
import notebook_code
import numpy as np
import pytest
from keras import layers

from conftest import TESTS
from helpers.errors import OsemnError, UsageError
from helpers.model import epoch_plan, fine_tuning, transfer, tuning_batches
from helpers.model.backbones import blocks, networks
from helpers.obtain import data
from helpers.scrub import augment

SHAPE = (8, 8, 1)
SETTINGS = {"batch_size": 16, "learning_rate": 0.01, "patience": 9}


pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def network(classes: int = 2) -> keras.Model:
    """A backbone of four blocks with a head; the same weights each time."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE, name="image")
    x = inputs
    for name, channels in (("stem", 4), ("block0", 6), ("block1", 8), ("head", 10)):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    return transfer.join(keras.Model(inputs, x), transfer.head(10, classes, units=8), "transfer")


def halves(n: int = 96, seed: int = 0) -> data.Dataset:
    """Two classes: the upper or the lower half is brighter."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 120, (n, *SHAPE)).astype(np.uint8)
    labels = np.arange(n, dtype=np.int64) % 2
    images[labels == 0, :4] += 60
    images[labels == 1, 4:] += 60
    return data.Dataset(images, labels, ("up", "down"))


def tune(folder, model=None, epochs=3, unfrozen=None, logs=None, policy=None, **settings):
    model = network() if model is None else model
    chosen = fine_tuning.FineTuningSettings(epochs, **{**SETTINGS, **settings})
    result = fine_tuning.fine_tune(
        model, halves(), halves(40, 1), chosen, unfrozen=unfrozen, folder=folder, logs=logs, policy=policy
    )
    return model, result


def weights(model) -> dict[str, np.ndarray]:
    return {v.path: v.numpy() for v in model.variables if "seed_generator" not in v.path}


def changed(before, after) -> set[str]:
    return {path for path in before if not np.array_equal(before[path], after[path])}


def test_only_the_unfrozen_blocks_and_the_head_change(tmp_path):
    before = weights(network())
    model, _ = tune(tmp_path, unfrozen=2)
    moved = changed(before, weights(model))
    assert moved == {
        "block1_conv/kernel",
        "head_conv/kernel",
        "classifier_dense/kernel",
        "classifier_dense/bias",
        "probabilities/kernel",
        "probabilities/bias",
    }


def test_all_blocks_change_when_none_is_named_but_batch_normalisation_never_does(tmp_path):
    before = weights(network())
    model, _ = tune(tmp_path)
    moved = changed(before, weights(model))
    assert {"stem_conv/kernel", "block0_conv/kernel"} <= moved
    assert not [path for path in moved if "_bn/" in path or "classifier_norm" in path]


@pytest.mark.parametrize("unfrozen", [2, None])
def test_fine_tuning_written_out_in_notebook_06_ends_with_the_weights_of_the_package(tmp_path, unfrozen):
    plain = {"label_smoothing": 0.0, "weight_decay": 0.05}
    packaged, _ = tune(tmp_path, epochs=1, unfrozen=unfrozen, **plain)
    settings = fine_tuning.FineTuningSettings(1, **SETTINGS, **plain)
    rows, steps = tuning_batches.batches(halves(), settings, None)
    of_notebook = {"train_depthwise": True, "weight_decay": 0.05, "batches": rows}
    written, before = network(), weights(network())
    schedule = epoch_plan.OneCycle(settings.learning_rate, steps, settings.warmup_fraction)
    notebook_code.functions("06_fine_tuning", **of_notebook)["fine_tune"](written, unfrozen, schedule, steps)
    assert changed(before, weights(written)) == changed(before, weights(packaged)) != set()
    for path, values in weights(packaged).items():
        np.testing.assert_allclose(weights(written)[path], values, rtol=1e-5, atol=1e-6)


def test_training_improves_the_loss_and_keeps_its_history(tmp_path):
    _, result = tune(tmp_path, epochs=6)
    assert result.fit.history["loss"][-1] < 0.9 * result.fit.history["loss"][0]
    assert set(result.fit.history) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(result.fit.history["loss"]) == 6
    assert result.best_epoch == int(np.argmax(result.fit.history["val_accuracy"]))


def test_the_model_ends_with_the_weights_of_its_best_epoch(tmp_path):
    model, result = tune(tmp_path, epochs=5, learning_rate=0.3)
    held_out = halves(40, 1)
    right = model.predict(held_out.images.astype("float32"), verbose=0).argmax(1) == held_out.labels
    assert right.mean() == pytest.approx(max(result.fit.history["val_accuracy"]), abs=1e-6)


def test_training_stops_when_patience_is_spent(tmp_path):
    _, result = tune(tmp_path, epochs=30, learning_rate=1e-9, patience=2)
    assert result.stopped_early
    assert len(result.fit.history["loss"]) == result.best_epoch + 1 + 2


def test_gradient_norms_are_stored_by_block_for_the_trained_blocks_only(tmp_path):
    _, result = tune(tmp_path, unfrozen=2)
    norms = result.gradient_norms
    assert list(norms["blocks"]) == ["block1", "top", "classifier"], "from the image to the head"
    assert all(len(values) == len(norms["step"]) for values in norms["blocks"].values())
    assert all(value > 0 for values in norms["blocks"].values() for value in values)
    assert norms["step"] == sorted(norms["step"])
    assert norms["step"][-1] == 3 * 6


def test_curves_of_windows_average_to_the_history_of_their_epoch(tmp_path):
    _, result = tune(tmp_path, epochs=3)
    windows = np.array(result.curves["passes"])
    assert np.all(np.diff(windows) > 0)
    assert 0 < windows[0] < windows[-1] < 3
    for name in ("loss", "accuracy"):
        values = np.array(result.curves[name])
        means = [values[windows.astype(int) == epoch].mean() for epoch in range(3)]
        assert means == pytest.approx(result.fit.history[name], rel=1e-3)


def test_gradient_norms_are_those_of_the_gradient(tmp_path):
    """One step without augmentation: the norm can be computed by hand."""
    import tensorflow as tf

    train = halves(16)
    model = network()
    blocks.unfreeze(model, None)
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    by_hand = keras.models.clone_model(model)
    by_hand.set_weights(model.get_weights())
    settings = fine_tuning.FineTuningSettings(1, **{**SETTINGS, "label_smoothing": 0.0})
    result = fine_tuning.fine_tune(model, train, train, settings, unfrozen=None, folder=tmp_path)
    with tf.GradientTape() as tape:
        probabilities = by_hand(train.images.astype("float32"), training=False)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(train.labels, probabilities))
    gradient = tape.gradient(loss, by_hand.get_layer("stem_conv").kernel)
    assert result.gradient_norms["blocks"]["stem"][0] == pytest.approx(float(tf.norm(gradient)), rel=1e-4)


def test_rates_fall_with_depth(tmp_path):
    before = weights(network())
    model, _ = tune(tmp_path, epochs=1, rate_decay=0.01, weight_decay=0.0)
    after = weights(model)
    moved = {path: np.abs(after[path] - before[path]).max() for path in before}
    assert moved["probabilities/kernel"] > 10 * moved["head_conv/kernel"] > 100 * moved["block1_conv/kernel"]


def test_the_schedule_warms_up_and_falls_to_zero(tmp_path):
    _, result = tune(tmp_path, epochs=10, warmup_fraction=0.2)
    rates = result.learning_rates
    peak = int(result.rate_steps[rates.argmax()])
    assert rates[0] == pytest.approx(0.001)
    assert rates.max() == pytest.approx(0.01)
    assert peak == pytest.approx(0.2 * 10 * 6, abs=1)
    assert rates[-1] < 0.0005


def test_augmentation_is_used(tmp_path):
    policy = augment.AugmentationPolicy(horizontal_flip=True, shift_fraction=0.2)
    plain, _ = tune(tmp_path / "a")
    augmented, _ = tune(tmp_path / "b", policy=policy)
    assert changed(weights(plain), weights(augmented))


def test_tensorboard_logs_hold_every_epoch(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, result = tune(tmp_path / "checkpoints", logs=tmp_path / "logs")
    accumulator = EventAccumulator(str(tmp_path / "logs" / "validation"), size_guidance={"tensors": 0})
    accumulator.Reload()
    events = accumulator.Tensors("epoch_accuracy")
    values = [float(np.frombuffer(event.tensor_proto.tensor_content, "f4")[0]) for event in events]
    assert values == pytest.approx(result.fit.history["val_accuracy"], abs=1e-6)


KILLED = """
import os, sys
from pathlib import Path
from helpers.model import checkpoints
from helpers.series import seeds
seeds.seed_tensorflow(0)
import test_fine_tuning as tests

save = checkpoints.EpochCheckpoints._save
def save_and_report(self, epoch, is_best):
    save(self, epoch, is_best)
    print(f"epoch {epoch} saved", flush=True)
checkpoints.EpochCheckpoints._save = save_and_report
tests.tune(Path(sys.argv[1]), epochs=8, policy=tests.POLICY)
"""
POLICY = augment.AugmentationPolicy(shift_fraction=0.2, erase_fraction=0.1, erase_probability=0.5)


def kill_after_epochs(folder: Path, script: str, epochs: int) -> None:
    places = [
        str(Path(__file__).parent),
        str(TESTS),
        str(TESTS.parent / "tools"),
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith(f"epoch {epochs - 1} saved"):
                time.sleep(0.03)  # somewhere inside the next epoch
                process.send_signal(signal.SIGKILL)
                break
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert process.returncode == -signal.SIGKILL


def last_state(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights and the optimizer's state after the last epoch, which need not be the best."""
    arrays = {}
    with h5py.File(next(folder.glob("epoch-0008/training.weights.h5"))) as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    assert any("optimizer" in name for name in arrays)
    return arrays


def test_killed_training_resumes_and_ends_with_the_same_bits(tmp_path):
    kill_after_epochs(tmp_path / "killed", KILLED, 3)
    done = len(list((tmp_path / "killed").glob("epoch-*[0-9]")))
    assert done == 1, "only the newest state remains"
    resumed, after_kill = tune(tmp_path / "killed", epochs=8, policy=POLICY)
    whole, undisturbed = tune(tmp_path / "whole", epochs=8, policy=POLICY)
    assert 3 <= after_kill.resumed_after < 8
    assert undisturbed.resumed_after == 0
    assert not changed(weights(resumed), weights(whole))
    assert not changed(last_state(tmp_path / "killed"), last_state(tmp_path / "whole"))
    assert after_kill.fit.history == undisturbed.fit.history
    assert after_kill.gradient_norms == undisturbed.gradient_norms


def test_finished_training_is_not_repeated(tmp_path, monkeypatch):
    model, first = tune(tmp_path)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("trained again"))
    again, second = tune(tmp_path)
    assert second.resumed_after == 3
    assert second.fit == first.fit
    assert not changed(weights(model), weights(again))


@pytest.mark.parametrize("other", [{"learning_rate": 0.02}, {"seed": 1}, {"unfrozen": 1}, {"epochs": 4}])
def test_state_of_another_training_is_not_used(tmp_path, other):
    tune(tmp_path)
    _, result = tune(tmp_path, **other)
    assert result.resumed_after == 0


def test_state_that_was_altered_is_named_and_not_used(tmp_path):
    tune(tmp_path)
    file = next(tmp_path.glob("epoch-*/training.weights.h5"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="epoch-0003 is damaged"):
        _, result = tune(tmp_path)
    assert result.resumed_after == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_diverged_training_is_an_error_that_says_what_to_do(tmp_path):
    model = network()
    kernel = model.get_layer("probabilities").kernel
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    with pytest.raises(OsemnError, match=r"05_transfer_learning is unchanged.*\n.*smaller learning_rate"):
        tune(tmp_path, model)
    assert not list(tmp_path.glob("epoch-*")), "nothing to resume from"


def test_too_many_blocks_is_a_clear_error(tmp_path):
    with pytest.raises(UsageError, match="has 4 blocks; 5 of them cannot be unfrozen"):
        tune(tmp_path, unfrozen=5)


def test_saved_model_loads_without_this_package(tmp_path):
    model, _ = tune(tmp_path)
    model.save(tmp_path / "model.keras")
    images = halves(8).images.astype("float32")
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "expected.npy", model.predict(images, verbose=0))
    code = (
        "import sys; sys.modules['helpers'] = None\n"
        "import keras, numpy as np\n"
        "model = keras.models.load_model('model.keras')\n"
        "found = model.predict(np.load('images.npy'), verbose=0)\n"
        "assert np.allclose(found, np.load('expected.npy'), atol=1e-6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]


def test_weights_hash_sees_a_single_changed_number():
    model = network()
    before = networks.weights_sha256(model)
    kernel = model.get_layer("stem_conv").kernel
    values = kernel.numpy()
    values.flat[0] = np.nextafter(values.flat[0], 1)
    kernel.assign(values)
    assert networks.weights_sha256(model) != before


def test_rate_that_would_destroy_the_network_is_refused():
    fine_tuning.check_rate(0.0004, 0.004)
    with pytest.raises(UsageError, match=r"0.0005 is too high.*\n.*0.0004 or less"):
        fine_tuning.check_rate(0.0005, 0.004)
