#!/usr/bin/env bash
# NumPy's mean per colour channel of float32 images in channels-last order is far too small for large sets, while the same
# pixels in channels-first order give the correct mean.
#
# Versions: numpy 2.4.6. Seen: 2026-11-27.
# A good guess: numpy.mean adds in pairs, so the mean of float32 values in [0, 1] is correct to five digits.
# What is true: NumPy adds in pairs only along the last axis in memory. In channels-last order that axis is the channel,
#   which is not summed over, so each channel has one running float32 sum. From 2^24 = 16,777,216 on, adding a value
#   below 1 changes nothing. Each channel's mean is then 16,777,216 divided by the number of pixels: 600 images of
#   224 x 224 suffice to turn 0.8 into about 0.56, and no warning appears.
# Why it matters: this is the usual way to compute the constants that normalise a data set. Small test sets give correct
#   constants, and the full data set gives smaller ones. Use dtype=numpy.float64 in mean and std.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np

IMAGES, SIDE = 600, 224
image = np.random.default_rng(0).uniform(0.7, 0.9, (SIDE, SIDE, 3)).astype(np.float32)  # a bright photograph
expected = image.mean(axis=(0, 1), dtype=np.float64)

last = np.empty((IMAGES, SIDE, SIDE, 3), np.float32)
last[:] = image
few = last[:60].mean(axis=(0, 1, 2))
seen_last = last.mean(axis=(0, 1, 2))
seen_double = last.mean(axis=(0, 1, 2), dtype=np.float64)
del last
first = np.empty((IMAGES, 3, SIDE, SIDE), np.float32)
first[:] = image.transpose(2, 0, 1)
seen_first = first.mean(axis=(0, 2, 3))

for name, seen in (
    ("channels last, 60 images", few),
    (f"channels last, {IMAGES} images", seen_last),
    (f"channels last, {IMAGES} images, dtype=float64", seen_double),
    (f"channels first, {IMAGES} images", seen_first),
):
    print(f"{name}: expected {expected.round(3)}, seen {np.asarray(seen, float).round(3)}")
same = np.allclose(seen_last, 2**24 / (IMAGES * SIDE * SIDE), atol=1e-3)
correct = all(np.allclose(seen, expected, atol=5e-3) for seen in (few, seen_double, seen_first))
sys.exit(0 if same and correct else "the behaviour has changed")
EOF
