#!/usr/bin/env bash
# A table of file names does not survive pandas' to_csv and read_csv: a name with a carriage return becomes two rows, and the
# values beside it move to the second one. Neither call warns.
#
# Versions: pandas 3.1.1, on Python 3.11 (3.12 alike; Python 3.13 has a csv module that quotes the character). Seen: 2026-11-28.
# A good guess: to_csv quotes whatever read_csv would take for a separator, a quote or the end of a line, so that a table of
#   paths and labels comes back as it was. Names on Linux and on cameras' memory cards may hold any byte but "/" and NUL.
# What is true: to_csv leaves quoting to Python's csv module, which before 3.13 quotes a carriage return only if the line
#   terminator contains one, and pandas' terminator on Linux is "\n". read_csv takes a lone carriage return for the end of a
#   line. A line feed in the name is quoted, and survives.
# Why it matters: an index of images gets a row without a label and a row whose path does not exist; the number of images
#   grows by one, and a column of whole numbers becomes one of floats. Write with lineterminator="\r\n", or as Parquet.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pandas==3.1.1

"$work/venv/bin/python" - "$work" <<'EOF'
import sys
from pathlib import Path

import pandas as pd

table = pd.DataFrame({"path": ["scan\r2.png", "scan\n3.png", "scan 4.png"], "label": [0, 1, 1]})
path = Path(sys.argv[1]) / "labels.csv"
rows = {}
for terminator in ("\n", "\r\n"):
    table.to_csv(path, index=False, lineterminator=terminator)
    again = pd.read_csv(path)
    rows[terminator] = again["path"].tolist(), again["label"].tolist()
    print(f"lines end with {terminator!r}: expected {table['path'].tolist()}, {table['label'].tolist()}")
    print(f"{'':>{len(repr(terminator)) + 16}} seen     {rows[terminator][0]}, {rows[terminator][1]}")
paths, labels = rows["\n"]
same = paths == ["scan", "2.png", "scan\n3.png", "scan 4.png"] and labels[0] != labels[0] and labels[1:] == [0, 1, 1]
same = same and rows["\r\n"] == (table["path"].tolist(), table["label"].tolist())
sys.exit(0 if same else "the behaviour has changed")
EOF
