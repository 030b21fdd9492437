"""Helpers shared by the OSEMN Vision notebooks; importing this package imports no library."""

import os

# TensorFlow reads this once, when it is imported, whoever imports it. Left alone it uses oneDNN only on processors with
# AVX-512; on others a training step takes 1.2 to 2 times as long without it (benchmarks/onednn.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# ONNX Runtime counts its use and sends that to its maker unless told otherwise; nothing here is sent anywhere.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
