#!/usr/bin/env bash
# joblib.Memory computes again for an equal DataFrame or array whose memory is laid out in another way.
#
# Versions: joblib 1.6.0, pandas 3.1.1, numpy 2.4.6. Seen: 2026-11-28.
# A good guess: the cache's key is a hash of the values, so that equal input gives a hit, as joblib.hash promises the same
#   hash for the same input.
# What is true: the hash covers the layout, too. An array has another hash in column order, which DataFrame.to_numpy() often
#   returns; a DataFrame has another one if a column was added afterwards, until it is copied. `equals` and `==` see no
#   difference, and nothing warns.
# Why it matters: features that take hours are cached by their table. A script that adds the same column in another place
#   computes them again, and keeps both results on the disk. A check that two runs saw the same data by joblib.hash fails
#   although they did. Pass np.ascontiguousarray(...) and df.copy(), or hash the bytes of the values.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q joblib==1.6.0 pandas==3.1.1 numpy==2.4.6

WORK="$work" "$work/venv/bin/python" - <<'EOF'
import os
import sys

import joblib
import numpy as np
import pandas as pd

calls = []


def compute(values):
    calls.append(1)
    return float(np.asarray(values).sum())


features = joblib.Memory(os.environ["WORK"], verbose=0).cache(compute)
values = np.arange(12.0).reshape(4, 3)
table = pd.DataFrame(values.copy(), columns=["width", "height", "label"])
added = table[["width", "height"]].copy()
added["label"] = table["label"]
array = table.to_numpy()
assert added.equals(table) and (array == values).all()

seen = {}
for name, first, second in (
    ("a table and its copy", table, table.copy()),
    ("a table and one whose last column was added", table, added),
    ("the latter, copied", table, added.copy()),
    ("an array and the same from a table", values, array),
    ("the latter, in row order", values, np.ascontiguousarray(array)),
):
    calls.clear()
    features.clear(warn=False)
    features(first), features(second)
    seen[name] = len(calls)
    print(f"{name}: computed once expected, {seen[name]} times seen")
sys.exit(0 if list(seen.values()) == [1, 2, 1, 2, 1] else "the behaviour has changed")
EOF
