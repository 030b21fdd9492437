#!/usr/bin/env bash
# scikit-learn's NearestNeighbors reports a distance above zero between most identical images once the pixels are scaled to
# [0, 1], while the same images as integers have distance zero.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: two equal rows have distance 0.0 exactly, in every data type.
# What is true: with many columns, scikit-learn computes |x|^2 - 2xy + |y|^2, and for fractions the rounding errors of the
#   three terms do not cancel. For integer pixels all terms are exact. How many pairs are affected depends on the
#   processor's matrix routines. The default metric and algorithm are used here.
# Why it matters: a search for exact duplicates or for leaks from training to test images that asks for `distance == 0`
#   finds all of them in raw pixels and misses most after the usual division by 255. Compare bytes or hashes instead, or
#   allow a tolerance.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
from sklearn.neighbors import NearestNeighbors

pixels = np.random.default_rng(0).integers(0, 256, (2000, 28 * 28), dtype=np.uint8)
train, test = pixels, pixels[::2]  # every test image is in the training set
found = {}
for name, scale in (
    ("uint8, 0 to 255", lambda images: images),
    ("float64, 0 to 1", lambda images: images / 255),
    ("float32, 0 to 1", lambda images: (images / 255).astype(np.float32)),
):
    neighbours = NearestNeighbors(n_neighbors=1).fit(scale(train))
    distance, index = neighbours.kneighbors(scale(test))
    assert (index[:, 0] == np.arange(0, 2000, 2)).all()  # the neighbour itself is always the copy
    found[name] = int((distance == 0).sum())
    print(f"{name}: duplicates at distance 0: expected {len(test)}, seen {found[name]}; largest {distance.max():.1e}")
raw, *scaled = found.values()
sys.exit(0 if raw == len(test) and max(scaled) < 0.9 * len(test) else "the behaviour has changed")
EOF
