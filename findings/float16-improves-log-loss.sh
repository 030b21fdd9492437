#!/usr/bin/env bash
# Storing predicted probabilities as float16 can cut scikit-learn's log_loss to a quarter and change which of two
# models has the lower loss.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: float16 keeps three digits of a probability, so the loss changes in the third digit.
# What is true: log_loss clips probabilities at the machine precision of their own data type. A confident mistake costs at
#   most 36.0 in float64, 15.9 in float32 and 6.9 in float16. The first lines of the documentation of the parameter say
#   so, but neither a warning nor the result shows it.
# Why it matters: networks return float32 or float16, and other libraries and models return float64. Log losses of these
#   are not comparable if there are confident mistakes, and a file of predictions saved in half precision favours the
#   overconfident model. Convert to one data type and clip at one value before comparing.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
from sklearn.metrics import log_loss

labels = np.tile([0, 1], 500)
wrong = np.arange(1000) % 25 == 0  # 4% mistakes in both models


def predictions(confidence):
    correct = np.where(wrong, 1 - confidence, confidence)
    return np.where(labels == 1, correct, 1 - correct)


overconfident, careful = predictions(1 - 1e-12), predictions(0.7)
losses = {}
for dtype in (np.float64, np.float32, np.float16):
    losses[dtype] = [log_loss(labels, model.astype(dtype)) for model in (overconfident, careful)]
for dtype, (first, second) in losses.items():
    expected = [round(float(loss), 2) for loss in losses[np.float64]]
    better = "the careful" if second < first else "the overconfident"
    print(f"{dtype.__name__}: overconfident model expected {expected[0]}, seen {first:.2f}; "
          f"careful model expected {expected[1]}, seen {second:.2f}; lower: {better} model")
(overconfident64, careful64), _, (overconfident16, careful16) = losses.values()
same = overconfident64 > 1.0 and overconfident16 < overconfident64 / 2 and abs(careful16 - careful64) < 0.01
sys.exit(0 if same and careful64 < overconfident64 and overconfident16 < careful16 else "the behaviour has changed")
EOF
