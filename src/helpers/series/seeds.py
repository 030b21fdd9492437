"""Makes TensorFlow repeat itself: the same seed gives the same bits on the same machine."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def _silent_startup() -> Iterator[None]:
    """Hide what TensorFlow's C++ side prints while it is imported, unless the import fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            hidden.seek(0)
            sys.stderr.write(hidden.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    """Drop TensorFlow's advice not to compile often: a table of networks or a study compiles each of them once."""
    return "triggered tf.function retracing" not in record.getMessage()


def seed_tensorflow(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and demand deterministic operations.

    TensorFlow's own start-up lines are silenced; Python errors are not.

    Source: `keras.utils.set_random_seed` and `tf.config.experimental.enable_op_determinism`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_startup():
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        tf.get_logger().addFilter(_is_not_about_retracing)
        tf.zeros(1)
