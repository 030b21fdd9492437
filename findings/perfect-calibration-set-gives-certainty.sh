#!/usr/bin/env bash
# scikit-learn's temperature scaling makes nearly every probability certain if no calibration image is misclassified.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6. Seen: 2026-11-28.
# A good guess: the single parameter cannot be far off with 300 images; if all of them are classified correctly, the
#   model is somewhat underconfident.
# What is true: without an error the likelihood grows with every increase of the factor, so the fit runs until the loss is
#   zero in floating point: here by a factor above 3,000. Afterwards nearly every probability is above 0.9999, those of
#   errors too. One misclassified image in the calibration set is enough for a factor of the usual size.
# Why it matters: small calibration sets of good models have no errors. The calibration that was to make probabilities
#   honest makes all of them certain, and the log loss on new images rises. Count the errors in the calibration set before
#   trusting the result, or add half an image's worth of error.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'EOF'
import sys

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

generator = np.random.default_rng(0)
direction = generator.normal(size=20)


def images(count):
    features = generator.normal(size=(count, 20))
    return features, (features @ direction + 0.5 * generator.normal(size=count) > 0).astype(int)


model = LogisticRegression().fit(*images(1000))
features, labels = images(400)
correct = model.predict(features) == labels
test, truth = images(20_000)
before = log_loss(truth, model.predict_proba(test))
print(f"accuracy {model.score(test, truth):.1%}, log loss without calibration {before:.3f}")
certain, loss = {}, {}
for errors in (0, 1, 5):
    rows = np.r_[np.flatnonzero(correct)[: 300 - errors], np.flatnonzero(~correct)[:errors]]
    scaled = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(features[rows], labels[rows])
    probabilities = scaled.predict_proba(test)
    certain[errors], loss[errors] = (probabilities.max(axis=1) > 0.9999).mean(), log_loss(truth, probabilities)
    print(f"{errors} of 300 calibration images misclassified: log loss expected at most about {before:.3f}, seen "
          f"{loss[errors]:.3f}; above 0.9999: {certain[errors]:.1%}")
same = certain[0] > 0.95 and loss[0] > 3 * before and certain[5] < 0.7
sys.exit(0 if same else "the behaviour has changed")
EOF
