#!/usr/bin/env bash
# papermill passes a tuple to a notebook as text, while its own record of the parameters says that it was a list.
#
# Versions: papermill 2.7.0, ipykernel 7.4.0, nbformat 5.11.1. Seen: 2026-11-28.
# A good guess: a tuple arrives as a tuple, or as a list, as JSON and YAML would have it.
# What is true: papermill writes lists, dictionaries and Python's numbers as such, and of anything else the text: the
#   notebook gets "(8, 16)". In the metadata of the executed notebook the tuple becomes a list of numbers. The same holds for
#   the values of a dictionary, whose numeric keys become text, too. NumPy's numbers, in contrast, raise an error.
# Why it matters: a loop over the widths of a network goes over eight characters, `len` and `in` answer about text, and a
#   check of the type in the metadata passes. Convert tuples to lists before passing them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q papermill==2.7.0 ipykernel==7.4.0 nbformat==5.11.1

cd "$work"
JUPYTER_PATH="$work/venv/share/jupyter" "$work/venv/bin/python" - <<'EOF'
import sys

import nbformat
import papermill

parameters = nbformat.v4.new_code_cell("widths = (4, 8)\nrates = {}", metadata={"tags": ["parameters"]})
used = nbformat.v4.new_code_cell("print(len(widths), max(widths), rates)")
notebook = nbformat.v4.new_notebook(cells=[parameters, used])
notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
nbformat.write(notebook, "train.ipynb")

seen = {}
for name, widths in (("list", [8, 16]), ("tuple", (8, 16))):
    values = {"widths": widths, "rates": {2: 0.5}}
    done = papermill.execute_notebook("train.ipynb", "out.ipynb", values, progress_bar=False)
    recorded = nbformat.read("out.ipynb", 4).metadata.papermill.parameters["widths"]
    seen[name] = done.cells[-1].outputs[0].text.strip()
    print(f"{name}: length and largest width, and rates, expected 2 16 {{2: 0.5}}, seen {seen[name]}; recorded {recorded}")
    assert recorded == [8, 16]
same = seen == {"list": "2 16 {'2': 0.5}", "tuple": "7 8 {'2': 0.5}"}
sys.exit(0 if same else "the behaviour has changed")
EOF
