"""Records of a training: progress, scores, loss, accuracy and gradient norms by windows of steps, and TensorBoard logs."""

from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any

import keras
import tensorflow as tf

from helpers.model.checkpoints import EpochCheckpoints
from helpers.model.training import ValidationScorer
from helpers.model.weight_averaging import averages
from helpers.series.metrics import Metric

WINDOWS_PER_EPOCH = 20  # enough points for the curve of a single epoch
_NORM = "gradient_norm/"


class RecordingTrainer(keras.Model):
    """Trains a network and reports the norm of each block's gradient; the network itself stays plain Keras."""

    def __init__(self, network: keras.Model, block_of: dict[str, str]) -> None:
        super().__init__(name="trainer")
        self.network = network
        groups: dict[str, list[int]] = defaultdict(list)
        for place, variable in enumerate(network.trainable_variables):
            groups[block_of[variable.path]].append(place)
        self.groups = tuple((name, tuple(places)) for name, places in groups.items())
        # called once to create its variables, so that a checkpoint can be restored
        self(tf.zeros((1, *network.input.shape[1:])))

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the probabilities of the network."""
        return self.network(images, training=training)

    def train_step(self, batch: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Take one step, and return its metrics with the gradient norm of each block."""
        images, targets, *weights = batch
        with tf.GradientTape() as tape:
            predicted = self(images, training=True)
            loss = self.compute_loss(images, targets, predicted, *weights)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        average = next(metric for metric in self.metrics if metric.name == "loss")
        average.update_state(loss, sample_weight=tf.shape(images)[0])
        results = self.compute_metrics(images, targets, predicted)
        for name, places in self.groups:
            results[_NORM + name] = tf.linalg.global_norm([gradients[place] for place in places])
        return results


class Scores(keras.callbacks.Callback):
    """Scores the validation images after each epoch, with the averaged weights if the optimizer averages them.

    List it before callbacks that use `val_…`.

    Args:
        scorer: of the network.
        metric: added to the logs as `val_metric`; by it the best epoch is chosen.
    """

    def __init__(self, scorer: ValidationScorer, metric: Metric) -> None:
        super().__init__()
        self.scorer, self.metric = scorer, metric

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the validation's loss, accuracy and metric to the epoch's logs."""
        with averages(self.model):
            scores = self.scorer()
        part = self.scorer.validation
        predicted = self.scorer.probabilities.argmax(axis=1)
        logs |= {**scores, "val_metric": self.metric(part.labels, predicted, part.num_classes)}


class StepProgress(keras.callbacks.Callback):
    """Reports the progress of a training.

    Args:
        steps: in an epoch.
        epochs: of the training.
        progress: called after each step with the number of steps done and the number of all steps.
    """

    def __init__(self, steps: int, epochs: int, progress: Callable[..., None]) -> None:
        super().__init__()
        self.steps, self.total, self.progress = steps, steps * epochs, progress
        self._before = 0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Note the number of steps before this epoch."""
        self._before = epoch * self.steps

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Report one step."""
        self.progress(self._before + batch + 1, self.total)


class Windows(keras.callbacks.Callback):
    """Averages loss, accuracy and gradient norms over windows of steps."""

    def __init__(self, checkpoints: EpochCheckpoints, steps: int) -> None:
        super().__init__()
        self.checkpoints, self.steps = checkpoints, steps
        self.window = max(1, steps // WINDOWS_PER_EPOCH)
        self.epoch = 0
        self._sums: dict[str, float] = defaultdict(float)
        self._averages: dict[str, float] = {}
        self._count = 0
        self._started = perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock and the averages of an epoch."""
        self.epoch, self._started, self._averages = epoch, perf_counter(), {}

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Add a step to the window."""
        logs = logs or {}
        for name, value in logs.items():
            if name.startswith(_NORM):
                self._sums[name.removeprefix(_NORM)] += float(value)
        self._count += 1
        if self._count == self.window or batch == self.steps - 1:
            self._close(batch + 1, {name: float(logs[name]) for name in ("loss", "accuracy")})

    def _close(self, steps: int, averages: dict[str, float]) -> None:
        """Store a window; Keras averages from the start of the epoch, so the averages of the window are derived."""
        norms = self.checkpoints.extra.setdefault("gradient_norms", {"step": [], "blocks": {}})
        norms["step"].append(self.epoch * self.steps + steps)
        for name, total in self._sums.items():
            norms["blocks"].setdefault(name, []).append(total / self._count)
        curves = self.checkpoints.extra.setdefault("curves", {"passes": [], "loss": [], "accuracy": []})
        curves["passes"].append(self.epoch + (steps - self._count / 2) / self.steps)
        for name, average in averages.items():
            before = self._averages.get(name, 0.0) * (steps - self._count)
            curves[name].append((average * steps - before) / self._count)
        self._averages = averages
        self._sums.clear()
        self._count = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the seconds of the epoch, and drop the norms of its last step from the history."""
        self.checkpoints.seconds += perf_counter() - self._started
        for name in [name for name in (logs or {}) if name.startswith(_NORM)]:
            del logs[name]  # values of a single step; the windows hold the means


class ReplayedLogs(keras.callbacks.TensorBoard):
    """Writes TensorBoard logs; after a kill, they begin with the epochs completed before it."""

    def __init__(self, checkpoints: EpochCheckpoints, **options: Any) -> None:
        super().__init__(**options)
        self.checkpoints = checkpoints

    def on_train_begin(self, logs: Any = None) -> None:
        """Write the epochs completed before a kill."""
        super().on_train_begin(logs)
        for epoch in range(self.checkpoints.epochs_done):
            super().on_epoch_end(epoch, {k: v[epoch] for k, v in self.checkpoints.history.items()})
