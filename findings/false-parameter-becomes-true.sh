#!/usr/bin/env bash
# papermill passes NumPy's False to a notebook as the text "False", which is true, and its integers as text.
#
# Versions: papermill 2.7.0, ipykernel 7.4.0, numpy 2.4.6. Seen: 2026-11-28.
# A good guess: a NumPy number arrives as the Python number, or papermill refuses it.
# What is true: papermill writes a parameter's type only if it is one of Python's own; of anything else it writes the text.
#   NumPy's float64 is a subclass of float and arrives as a number, so a sweep over rates works. Its bool, int64 and float32
#   are not: they become "False", "3" and "0.5". A tuple becomes the text "(28, 28)". No warning is given.
# Why it matters: a sweep over the rows of an array or of a DataFrame's values trains every run with augmentation on and
#   reports the runs as on and off. Convert values with .item() or .tolist() before passing them, and check their types in
#   the notebook.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q papermill==2.7.0 ipykernel==7.4.0 nbformat==5.11.1 numpy==2.4.6

cd "$work"
JUPYTER_PATH="$work/venv/share/jupyter" "$work/venv/bin/python" - <<'EOF'
import sys

import nbformat
import numpy as np
import papermill

parameters = nbformat.v4.new_code_cell("augment, rate, depth = True, 0.1, 2", metadata={"tags": ["parameters"]})
used = nbformat.v4.new_code_cell("print('on' if augment else 'off', rate, type(depth).__name__)")
notebook = nbformat.v4.new_notebook(cells=[parameters, used])
notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
nbformat.write(notebook, "train.ipynb")


def printed(**values):
    done = papermill.execute_notebook("train.ipynb", "out.ipynb", values, progress_bar=False)
    return done.cells[-1].outputs[0].text.strip()


plain = printed(augment=False, rate=0.5, depth=3)
of_numpy = printed(augment=np.bool_(False), rate=np.float64(0.5), depth=np.int64(3))
print(f"Python's False, 0.5 and 3: {plain}")
print(f"NumPy's False, 0.5 and 3: expected {plain}, seen {of_numpy}")
sys.exit(0 if (plain, of_numpy) == ("off 0.5 int", "on 0.5 str") else "the behaviour has changed")
EOF
