"""Makes TensorFlow deterministic: the same seed gives the same bits on the same machine."""

import logging
import os

from helpers.series import quiet


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    """Drop TensorFlow's retracing warning: comparing networks compiles each of them once, as intended."""
    return "triggered tf.function retracing" not in record.getMessage()


def seed_tensorflow(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and require deterministic operations.

    TensorFlow's start-up messages are hidden; Python errors are not.

    Source: `keras.utils.set_random_seed` and `tf.config.experimental.enable_op_determinism`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet.discarded_output():
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        tf.get_logger().addFilter(_is_not_about_retracing)
        tf.zeros(1)
