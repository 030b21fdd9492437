#!/usr/bin/env bash
# A regularised logistic regression with a ROC AUC of 0.74 on new data gets 0.00 when scikit-learn's cross_val_predict
# collects its predictions by leave-one-out.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: leave-one-out trains on all images but one, so its AUC is almost unbiased. A model that has learned nothing
#   scores 0.5.
# What is true: leaving out an image of class 1 leaves fewer images of class 1, so this fold's model predicts a slightly
#   lower probability for every image, and the reverse for class 0. If the predictions of a strongly regularised model
#   differ less than that, the ranking over folds is decided by the fold's base rate alone, and is exactly inverted. Folds
#   without stratification have a weaker form of it. With stratified folds or an AUC per fold, the guess holds.
# Why it matters: people choose leave-one-out for small medical data sets, and a search over the strength of regularisation
#   then rejects good models. The documentation says that such a score may differ from the average over folds, not that a
#   good model can get zero. Use stratified folds.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6

OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, LeaveOneOut, StratifiedKFold, cross_val_predict


def draw(rng, images):
    labels = np.tile([0, 1], images // 2)
    features = rng.normal(size=(images, 10))
    features[:, :3] += 0.6 * labels[:, None]  # three of ten features carry some information
    return features, labels


seen = {}
for strength in (1.0, 1e-3, 1e-4):
    rows = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        features, labels = draw(rng, 100)
        new_features, new_labels = draw(rng, 10_000)
        model = LogisticRegression(C=strength)
        row = [roc_auc_score(new_labels, model.fit(features, labels).predict_proba(new_features)[:, 1])]
        for folds in (LeaveOneOut(), KFold(10, shuffle=True, random_state=seed),
                      StratifiedKFold(10, shuffle=True, random_state=seed)):
            scores = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")[:, 1]
            row.append(roc_auc_score(labels, scores))
        rows.append(row)
    new, *seen[strength] = np.mean(rows, axis=0)
    for name, auc in zip(("leave-one-out", "10 folds", "10 stratified folds"), seen[strength]):
        print(f"C={strength:g}, {name}: AUC expected about {new:.2f} (as on new data), seen {auc:.2f}")
weak, strong = seen[1.0], seen[1e-4]
same = weak[0] > 0.6 and strong[0] < 0.01 and strong[2] > 0.6
sys.exit(0 if same else "the behaviour has changed")
EOF
