"""Makes TensorFlow deterministic: the same seed gives the same bits on the same machine, with as many threads."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from helpers.errors import OsemnError
from helpers.series import records


@contextlib.contextmanager
def _silent_startup() -> Iterator[None]:
    """Hide what TensorFlow's C++ code prints during import, unless the import fails."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(original, 2)
            hidden.seek(0)
            sys.stderr.write(hidden.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    """Drop TensorFlow's retracing warning: comparing networks compiles each of them once, as intended."""
    return "triggered tf.function retracing" not in record.getMessage()


def _reset_settings(config: Any) -> None:
    """Set what a user's `keras.json` or environment may have changed to Keras's defaults."""
    if config.backend() != "tensorflow":
        raise OsemnError(
            f"Keras runs on '{config.backend()}' here, and the series needs TensorFlow.",
            "import helpers before keras, or unset KERAS_BACKEND, and restart the kernel",
        )
    config.set_floatx("float32")
    config.set_dtype_policy("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    config.set_max_epochs(None)
    config.set_max_steps_per_epoch(None)


def seed_tensorflow(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and require deterministic operations in 32 bits, whatever Keras's settings say.

    TensorFlow's start-up messages are hidden; Python errors are not.

    Raises:
        OsemnError: Keras was imported before the helpers, with another backend.

    Source: `keras.utils.set_random_seed` and `tf.config.experimental.enable_op_determinism`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_startup():
        import keras
        import tensorflow as tf

        _reset_settings(keras.config)
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        with contextlib.suppress(RuntimeError):  # TensorFlow computes already
            # it knows the affinity, but not the limit of a container
            threads = int(os.environ.get("TF_NUM_INTRAOP_THREADS") or records.usable_cores())
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.get_logger().addFilter(_is_not_about_retracing)
        tf.zeros(1)
