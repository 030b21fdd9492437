#!/usr/bin/env bash
# seaborn's heatmap turns column labels upright if they would overlap, but in a constrained or tight layout it leaves
# overlapping labels at some figure widths.
#
# Versions: seaborn 0.13.2, matplotlib 3.11.2, pandas 3.1.1, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: labels that overlap in the saved figure are turned, since heatmap draws the figure to find out.
# What is true: while it measures the column labels, the row labels still stand upright. It then lays them flat if they
#   overlap each other. In a constrained or tight layout, flat row labels take width from the matrix at the next draw, and
#   the column labels are not measured again. Without a layout engine the matrix keeps its width and the guess holds.
# Why it matters: the confusion matrix is the most common figure of image classification, and its labels are class names.
#   Whether they can be read depends on a half inch of figure width. Set the rotation explicitly.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q seaborn==0.13.2 matplotlib==3.11.2 pandas==3.1.1 numpy==2.4.6

MPLBACKEND=Agg "$work/venv/bin/python" - <<'EOF'
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

NAMES = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot".split()
matrix = pd.DataFrame(np.eye(10), NAMES, NAMES)


def overlaps(layout, width):
    figure, axes = plt.subplots(figsize=(width, 4), layout=layout)
    sns.heatmap(matrix, ax=axes)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    plt.close(figure)
    return sum(left.overlaps(right) for left, right in zip(boxes, boxes[1:]))


seen = {}
for layout in (None, "constrained", "tight"):
    seen[layout] = {float(width): overlaps(layout, width) for width in np.arange(6, 11, 0.25)}
    bad = {width: number for width, number in seen[layout].items() if number}
    print(f"layout {layout}: widths (inches) with overlapping labels: expected none, seen {sorted(bad) or 'none'}")
sys.exit(0 if not any(seen[None].values()) and any(seen["constrained"].values()) else "the behaviour has changed")
EOF
