#!/usr/bin/env bash
# Sorting, filtering or merely converting a table in Polars gives its classes new numbers in pandas.
#
# Versions: polars 2.1.0, pandas 3.1.1, pyarrow 26.0.1, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: a pandas categorical column has fixed classes. They keep their order, and so their codes, through Polars, as
#   they do through Parquet and DuckDB.
# What is true: pandas hands the list of classes to Polars, which keeps only the values. On the way back, the classes are
#   numbered in the order in which the rows mention them, so only a table sorted by label keeps its numbers by luck.
#   Classes without rows are lost, and an ordered column is no longer ordered. A column of type polars.Enum keeps all this.
# Why it matters: `cat.codes` is a common way from a label column to class numbers. After Polars, the names are correct but
#   training and test tables number them differently, and a perfect model scores near chance. Cast to polars.Enum with all
#   classes first, or map names to numbers by a fixed list.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
import pandas as pd
import polars as pl

NAMES = ["bag", "boot", "coat", "dress", "sandal", "shirt"]
names = np.random.default_rng(0).choice(NAMES, 1000)
table = pd.DataFrame({"image": np.arange(1000), "label": pd.Categorical(names, categories=NAMES, ordered=True)})
table.to_parquet("labels.parquet")
true_number = table["label"].cat.codes.to_numpy()  # what a perfect model predicts

ROUTES = {
    "through Parquet": lambda: pd.read_parquet("labels.parquet"),
    "through Polars": lambda: pl.from_pandas(table).to_pandas(),
    "through Polars, sorted by label": lambda: pl.from_pandas(table).sort("label").to_pandas(),
    "through Polars, sorted by image, last first": lambda: pl.from_pandas(table).sort("image", descending=True).to_pandas(),
    "through Polars, without bags": lambda: pl.from_pandas(table).filter(pl.col("label") != "bag").to_pandas(),
    "through Polars as Enum": lambda: pl.from_pandas(table, schema_overrides={"label": pl.Enum(NAMES)}).to_pandas(),
}
accuracy, ordered = {}, {}
for route, make in ROUTES.items():
    result = make()
    assert (result["label"].astype(str).to_numpy() == names[result["image"]]).all()  # names never change
    accuracy[route] = (result["label"].cat.codes.to_numpy() == true_number[result["image"]]).mean()
    ordered[route] = result["label"].dtype.ordered
    print(f"{route}: accuracy of a perfect model expected 100%, seen {accuracy[route]:.0%}; ordered expected True, "
          f"seen {ordered[route]}; classes {result['label'].cat.categories.tolist()}")
plain = [accuracy[route] for route in ("through Polars", "through Polars, without bags")]
same = accuracy["through Parquet"] == accuracy["through Polars as Enum"] == 1.0 and max(plain) < 0.5
sys.exit(0 if same and not ordered["through Polars"] else "the behaviour has changed")
EOF
