#!/usr/bin/env bash
# Hugging Face datasets' imagefolder loader takes a class called "test tube" for the test set: all other classes and every
# label are dropped without a message.
#
# Versions: datasets 5.2.0, Pillow 13.0.0. Seen: 2026-11-27.
# A good guess: a folder called exactly "train" or "test" is a split, and a folder with any other name is a class.
# What is true: a split's keyword counts as soon as it stands in a folder's name as a separate word, for instance in
#   "test tube", "training shoe" or "dev-board". If one folder matches, only matching folders are read. One folder is left,
#   one class needs no label, and the label column disappears as well. "testtube" is read as a class.
# Why it matters: laboratory ware, shoes and electronics have such class names. The data set loads without an error and
#   lacks all other classes. Compare the number of rows with the number of files, or list the files of each split in
#   `data_files`.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0 pillow==13.0.0

cd "$work"
HF_HOME="$work/cache" "$work/venv/bin/python" - <<'EOF'
import sys
from pathlib import Path

import datasets
from PIL import Image

datasets.disable_progress_bars()


def load(root, classes):
    for name in classes:
        folder = Path(root, name)
        folder.mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), 20 * number).save(folder / f"{number}.png")
    splits = datasets.load_dataset("imagefolder", data_dir=root)
    return {split: (len(rows), "label" in rows.column_names) for split, rows in splits.items()}


expected = {"train": (30, True)}
seen = {}
for number, third in enumerate(("testtube", "test tube", "test_tube", "training shoe", "dev-board", "eval kit")):
    seen[third] = load(f"images{number}", ("beaker", "flask", third))
    print(f"classes beaker, flask, {third}: (rows, has labels) expected {expected}, seen {seen[third]}")
split = {"test tube": "test", "test_tube": "test", "training shoe": "train", "dev-board": "validation", "eval kit": "test"}
same = all(seen[name] == {part: (10, False)} for name, part in split.items())
sys.exit(0 if same and seen["testtube"] == expected else "the behaviour has changed")
EOF
