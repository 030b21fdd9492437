#!/usr/bin/env bash
# With `stratify`, scikit-learn's train_test_split draws a different test set whenever train_size changes, even if
# test_size and random_state stay the same.
#
# Versions: scikit-learn 1.9.1, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: random_state and test_size fix the test set, and train_size only decides how many of the other images are
#   used. This is true without `stratify`.
# What is true: without `stratify`, the test images come first in the shuffled order. With it, each class is shuffled and
#   the training images come first, so a larger training set pushes the test set along. The training set of one call can
#   contain the complete test set of another.
# Why it matters: a learning curve that splits again for each training size compares scores from different test images.
#   A model saved from a larger size may have been trained on the images that test a smaller one. Split off the test set
#   once, and take the training subsets from the rest.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
from sklearn.model_selection import train_test_split

labels = np.repeat(np.arange(10), 500)
images = np.arange(len(labels))


def split(train_size, stratify):
    train, test = train_test_split(images, train_size=train_size, test_size=1000, random_state=0, stratify=stratify)
    return set(train.tolist()), set(test.tolist())


checks = []
for name, stratify, seen_before in (("plain", None, [1000, 1000, 0, 0]), ("stratified", labels, [0, 0, 1000, 1000])):
    _, small_test = split(1000, stratify)
    seen = [len(small_test & split(size, stratify)[1]) for size in (2000, 4000)]
    seen += [len(small_test & split(size, stratify)[0]) for size in (2000, 4000)]
    print(f"{name}: where the 1,000 test images of train_size=1000 are found in the splits of other sizes")
    for kind, size, number in zip(("test", "test", "training", "training"), (2000, 4000) * 2, seen):
        print(f"  train_size={size}, {kind} set: expected {1000 if kind == 'test' else 0}, seen {number}")
    checks.append(seen == seen_before)
sys.exit(0 if all(checks) else "the behaviour has changed")
EOF
