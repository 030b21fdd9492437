"""What a fine-tuning sees: its settings, and the batches of images, targets and weights."""

from dataclasses import dataclass

import tensorflow as tf

from helpers.model import class_balance, training
from helpers.obtain.data import Dataset
from helpers.scrub import mixing
from helpers.scrub.augment import AugmentationPolicy


@dataclass(frozen=True)
class FineTuningSettings:
    """The settings of a fine-tuning.

    Attributes:
        epochs: maximum number of passes over the training images.
        minutes: a budget; the first steps are timed, and fewer epochs planned if all would take longer. 0 for none.
        batch_size: images in a step.
        learning_rate: peak of the schedule: linear warm-up, then a cosine to zero.
        warmup_fraction: fraction of the steps in which the rate rises.
        rate_decay: factor on the learning rate from one block to the block below; 1 for the same rate everywhere.
        label_smoothing: fraction of the target that is spread over all classes.
        weight_decay: of AdamW, on kernels.
        mixup: α of MixUp, as for `mixing.mix`.
        cutmix: α of CutMix, as for `mixing.mix`.
        average_decay: decay of the moving average of the weights per step; 0 for no average.
        class_weights: one of `class_balance.STRATEGIES`.
        patience: epochs without a better metric on the validation images before training stops.
        seed: of order and augmentation.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float = 0.1
    rate_decay: float = 1.0
    label_smoothing: float = 0.1
    weight_decay: float = 0.05
    mixup: float = 0.0
    cutmix: float = 0.0
    average_decay: float = 0.0
    class_weights: str = "none"
    minutes: float = 0.0
    patience: int = 3
    seed: int = 0


def batches(
    train: Dataset, settings: FineTuningSettings, policy: AugmentationPolicy | None, first_epoch: int = 0
) -> tuple[tf.data.Dataset, int]:
    """Return the batches of a fine-tuning, endlessly, and the number of batches in an epoch.

    A batch is `float32` images `[N, H, W, C]`, targets `[N, K]` and, if images or classes have weights, weights `[N]`.

    Example:
        `batches, steps = tuning_batches.batches(train, settings, policy)`
    """
    of_class = class_balance.class_weights(settings.class_weights, train.class_counts())
    of_image = None if train.weights is None else train.weights / train.weights.mean()

    def finish(
        images: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        draw = tf.stack([tf.constant(settings.seed, tf.int64), step])
        targets = tf.one_hot(labels, train.num_classes)
        images, targets = mixing.mix(images, targets, draw, mixup=settings.mixup, cutmix=settings.cutmix)
        if of_class is None and of_image is None:
            return images, targets
        weights = tf.ones_like(targets[:, 0])
        if of_class is not None:
            weights *= tf.linalg.matvec(targets, tf.constant(of_class, tf.float32))
        if of_image is not None:
            weights *= tf.gather(tf.constant(of_image, tf.float32), rows)
        return images, targets, weights

    return training.batches(
        train,
        settings.batch_size,
        seed=settings.seed,
        policy=policy,
        first_epoch=first_epoch,
        chances=class_balance.chances(settings.class_weights, train),
        finish=finish,
    )
