#!/usr/bin/env bash
# scikit-learn's normalize turns float16 images into zeros, without an error.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6. Seen: 2026-11-28.
# A good guess: the length of each row is computed in at least 32 bits, as in scikit-learn's distances, and each row gets
#   length 1 to three digits.
# What is true: normalize accepts float16 and keeps it for the sum of squares, which exceeds its largest number, 65,504, for
#   two bright pixels of 255. The length becomes infinite, and each row divided by it is zero. Features of a network, which
#   people store in float16, pass that bound with some hundred values of about 10.
# Why it matters: cosine similarity and nearest neighbours after normalising see identical zeros for all images: each is a
#   copy of each. Convert to float32 before.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'EOF'
import sys

import numpy as np
from sklearn.preprocessing import normalize

generator = np.random.default_rng(0)
rows = {"pixels": generator.integers(0, 256, (50, 28 * 28)), "features": generator.gamma(2, 5, (50, 1280))}
zeros = {}
for name, values in rows.items():
    for kind in (np.float64, np.float32, np.float16):
        lengths = np.linalg.norm(normalize(values.astype(kind)).astype(np.float64), axis=1)
        zeros[name, kind] = int((lengths == 0).sum())
        print(f"{name}, {kind.__name__}: rows of length 1 expected {len(lengths)}, seen "
              f"{(np.abs(lengths - 1) < 0.01).sum()}; rows of zeros {zeros[name, kind]}")
same = all(count == (50 if kind is np.float16 else 0) for (_, kind), count in zeros.items())
sys.exit(0 if same else "the behaviour has changed")
EOF
