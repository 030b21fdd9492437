#!/usr/bin/env bash
# scikit-learn's PCA returns components that do not exist if float32 data are bright, although PCA subtracts the mean.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6. Seen: 2026-11-28.
# A good guess: PCA centres the data first, so a constant added to all values changes nothing.
# What is true: with at least ten rows for each column (and up to 1,000 columns), svd_solver="auto" chooses
#   "covariance_eigh", which computes X'X - n m'm without centring X. In float32 the two large terms do not cancel: with a
#   mean of 30,000 and a standard deviation of 10, as in 16-bit scans, the second variance is some thirty times too large,
#   and the components are those of the rounding errors. With svd_solver="full" the same data give the right
#   ones.
# Why it matters: memory is saved by float32, the number of images crosses ten per feature one day, and the plot of the
#   first two components shows noise that looks like structure. Centre the data, use float64, or name the solver.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
from sklearn.decomposition import PCA

COLUMNS = 30
generator = np.random.default_rng(0)
spread = np.r_[10, 5, np.ones(COLUMNS - 2)]
turned = np.linalg.qr(generator.normal(size=(COLUMNS, COLUMNS)))[0]
values = (spread * generator.normal(size=(3000, COLUMNS))) @ turned
ratio = {}
for mean in (0, 30_000):
    for rows in (290, 3000):
        data = (values[:rows] + mean).astype(np.float32)
        exact = PCA(2).fit(data.astype(np.float64))
        for solver in ("auto", "full"):
            fitted = PCA(2, svd_solver=solver).fit(data)
            ratio[mean, rows, solver] = fitted.explained_variance_[1] / exact.explained_variance_[1]
            angle = abs(fitted.components_[0] @ exact.components_[0])
            print(f"mean {mean:>6,}, {rows:>5,} rows, {solver}: second variance {ratio[mean, rows, solver]:.2f} times the "
                  f"right one (expected 1.00); cosine to the first component {angle:.2f} (expected 1.00)")
wrong = ratio.pop((30_000, 3000, "auto"))
sys.exit(0 if wrong > 3 and all(abs(one - 1) < 0.02 for one in ratio.values()) else "the behaviour has changed")
EOF
