"""Helpers shared by the OSEMN Vision notebooks; importing this package imports no library."""

import os
import sys
import warnings

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

# TensorFlow reads this once, when it is imported, whoever imports it. Left alone it uses oneDNN only on processors with
# AVX-512; on others a training step takes 1.2 to 2 times as long without it (benchmarks/onednn.py).
if ONEDNN not in os.environ and "tensorflow" in sys.modules:
    warnings.warn(
        "TensorFlow was imported before helpers, and so without oneDNN where the processor has no AVX-512: up to twice "
        f"as slow. Import helpers first, or set {ONEDNN}=1.",
        RuntimeWarning,
        stacklevel=2,
    )
os.environ.setdefault(ONEDNN, "1")
# Settings that a user made for other work would change results or figures without a word: see helpers/series/seeds.py for
# those of Keras that can be set later.
os.environ.update(
    KERAS_BACKEND="tensorflow",
    MATPLOTLIBRC=os.devnull,  # no file of settings, so matplotlib's own
    ONEDNN_DEFAULT_FPMATH_MODE="STRICT",  # others compute in 16 bits
    TF_XLA_FLAGS="",  # automatic compilation gives other bits
    TF_USE_LEGACY_KERAS="0",
)
# ONNX Runtime counts its use and sends that to its maker unless told otherwise; nothing here is sent anywhere.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
