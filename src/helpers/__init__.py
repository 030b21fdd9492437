"""Helpers shared by the OSEMN Vision notebooks; importing this package imports no library."""

import os

# TensorFlow reads this once, when it is imported, whoever imports it. Left alone it uses oneDNN only on processors with
# AVX-512; on others a training step takes 1.2 to 2 times as long without it (benchmarks/onednn.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
