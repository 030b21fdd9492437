"""Shortcuts: whether the class can be told from the file alone, without looking at what the image shows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from helpers import scoring, wording

FILE, PIXELS = "the file", "the pixels"
# What may give the class away, by the columns of the index. What describes the file is never a property of the subject; what
# describes the pixels may be, and so may the bytes of a compressed file, which grow with the detail that it shows.
COLUMNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "size": (FILE, ("width", "height")),
    "format": (FILE, ("format",)),
    "mode": (FILE, ("mode",)),
    "camera": (FILE, ("camera",)),
    "time": (FILE, ("time",)),
    "orientation": (FILE, ("orientation",)),
    "file size": (PIXELS, ("bytes",)),
    "brightness": (PIXELS, ("brightness", "contrast")),
    "mean colour": (PIXELS, ("red", "green", "blue")),
    "border": (PIXELS, ("border",)),
    "sharpness": (PIXELS, ("sharpness", "entropy")),
}
_MOST_IMAGES = 10_000  # a sample of them takes seconds, and its interval is within one point for two classes
_MOST_CLASSES = 50  # the largest; a forest's memory grows with them
_FEWEST = 10  # images and groups of a class: five in each half
_GAIN = 0.1  # of the way from guessing to certainty: less gives a model no reason to look nowhere else
_ONE_CLASS = 0.5  # the same for a single class, which hardly raises the mean over many
_TREES = 40  # enough for a forest on a dozen columns


@dataclass(frozen=True, eq=False)
class Shortcuts:
    """How well classes can be told from the index's columns.

    Attributes:
        table: a row for each property that varies, and one for each kind's properties together (`"all of the file"`), best
            first: `property`, `kind` (`FILE` or `PIXELS`), `accuracy` (balanced: the mean over classes), `low`, `high` (95%
            interval), `p_value` (of guessing, corrected for the number of rows), `telling` (whether it tells classes apart),
            `example`.
        constant: the properties that are the same for all images.
        images: number of images used, a sample of large data sets.
        classes: number of classes used, the largest ones with at least ten images in ten groups.
        all_classes: number of classes in the index.
    """

    table: pd.DataFrame
    constant: list[str]
    images: int
    classes: int
    all_classes: int

    def telling(self, kind: str) -> pd.DataFrame:
        """Return the rows of a kind whose property tells classes apart, best first."""
        return self.table[self.table["telling"].astype(bool) & (self.table["kind"] == kind)]


def search(index: pd.DataFrame, seed: int) -> Shortcuts:
    """Measure how well each property of the files, and of their mean pixels, tells the classes apart.

    A decision tree on each property, and a random forest on the properties of each kind, predict each half of the images from
    the other; images with the same `together` are in one half. The mean over classes of the correctly classified proportion is
    1 / K for every prediction that does not know the class, however unequal the classes are. A property tells classes apart if
    that mean is significantly higher, and by enough to matter. Predictions of one half depend on the labels of the other, so
    each half is tested alone: the p-value is twice the smaller one, with Holm's correction for the number of rows.

    Args:
        index: the index, one row per image.
        seed: draws the sample and the folds.

    Source: R. Geirhos et al. (2020), "Shortcut learning in deep neural networks", for the problem; S. Holm (1979) for the
    correction; E. Korn and B. Graubard (1998) for the interval: Wilson's, with the number of
    independent images.

    Example:
        `shortcuts.search(index_table, seed)`
    """
    rows = _usable(index, seed)
    values = _numbers(rows)
    varying = {name: [c for c in columns if rows[c].nunique() > 1] for name, (_, columns) in COLUMNS.items()}
    constant = [name for name, columns in varying.items() if not columns]
    chosen = {name: (COLUMNS[name][0], columns) for name, columns in varying.items() if columns}
    for kind in (FILE, PIXELS):
        several = [columns for of_kind, columns in chosen.values() if of_kind == kind]
        if len(several) > 1:
            chosen[f"all of {kind}"] = (kind, [column for columns in several for column in columns])
    labels, groups = pd.factorize(rows["label"], sort=True)[0], rows["together"].to_numpy()
    classes = int(rows["label"].nunique())
    if classes < 2 or not chosen:
        return Shortcuts(_table([]), constant, len(rows), classes, int(index["label"].nunique()))
    folds = list(StratifiedGroupKFold(2, shuffle=True, random_state=seed).split(values, labels, groups))
    measured, ranks = [], values.rank(pct=True, na_option="top")
    # leaves of five images and a bounded number of them: one column needs no more
    bounds = {"min_samples_leaf": 5, "max_leaf_nodes": 32 + 4 * classes, "class_weight": "balanced"}
    tree = DecisionTreeClassifier(random_state=seed, **bounds)
    forest = RandomForestClassifier(_TREES, random_state=seed, **bounds)
    for name, (kind, columns) in chosen.items():
        model = forest if name.startswith("all of") else tree
        predicted = cross_val_predict(model, values[columns], labels, cv=folds)
        chances = [_chance(labels[test], predicted[test], groups[test]) for _, test in folds]
        score = {**_score(labels, predicted, groups), "p_value": min(1.0, 2 * min(chances))}
        mine = labels == score.pop("best")
        gaps = ranks.loc[mine, columns].mean() - ranks.loc[~mine, columns].mean()
        example = _example(rows, gaps.abs().idxmax(), rows["label"][mine].iloc[0])
        measured.append({"property": name, "kind": kind, "example": example, **score})
    return Shortcuts(_table(measured, classes), constant, len(rows), classes, int(index["label"].nunique()))


def _usable(index: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows of the largest classes with enough images and groups; a sample if there are many."""
    by_class = index.groupby("label")["together"].agg(["size", "nunique"])
    enough = by_class[by_class.min(axis=1) >= _FEWEST]["size"].nlargest(_MOST_CLASSES)
    rows = index[index["label"].isin(enough.index)]
    return rows.sample(min(len(rows), _MOST_IMAGES), random_state=seed).sort_index()


def _numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return all columns as numbers: words by how frequent they are, times in seconds, NaN where there is none."""
    values = pd.DataFrame(index=rows.index)
    for column in (column for _, columns in COLUMNS.values() for column in columns):
        given = rows[column]
        if column == "time":
            times = pd.to_datetime(given, errors="coerce", utc=True, format="ISO8601")
            values[column] = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        elif pd.api.types.is_numeric_dtype(given):
            values[column] = given.astype(float)
        else:
            values[column] = given.map(given.value_counts().rank(method="first"))
    return values


def _deviation(weights: np.ndarray, groups: np.ndarray) -> float:
    """Return the standard deviation of a sum over images, where those of a group count as one observation."""
    return float(np.sqrt(pd.Series(weights).groupby(groups).sum().pow(2).sum()))


def _chance(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> float:
    """Return the one-sided p-value of the mean recall of predictions that saw none of these labels, against guessing."""
    present, labels = np.unique(labels, return_inverse=True)
    support, hits = np.bincount(labels), predicted == present[labels]
    # the recall of guesses as frequent as these
    guessed = np.array([np.mean(predicted == label) for label in present])
    weights = (hits - guessed[labels]) / support[labels]
    return float(stats.norm.sf(weights.sum() / max(_deviation(weights, groups), 1e-9)))


def _score(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Return balanced accuracy, its interval, its gain over guessing, and the class told best with its own gain."""
    support, hits = np.bincount(labels), labels == predicted
    classes, recall = len(support), np.bincount(labels, hits) / support
    accuracy = float(recall.mean())
    spread = _deviation((hits - recall[labels]) / (support[labels] * classes), groups)
    fewest = pd.Series(groups).groupby(labels).nunique().min() * classes
    effective = min(len(labels), accuracy * (1 - accuracy) / spread**2 if spread else fewest)
    low, high = scoring.wilson_interval(round(accuracy * effective), max(1, round(effective)))
    false_alarms = (np.bincount(predicted, minlength=classes) - recall * support) / (len(labels) - support)
    told = recall - false_alarms
    return {
        "accuracy": accuracy, "low": min(low, accuracy), "high": max(high, accuracy),
        "gain": (accuracy - 1 / classes) / (1 - 1 / classes), "one_class": float(told.max()), "best": int(told.argmax()),
    }  # fmt: skip


def _table(measured: list[dict], classes: int = 2) -> pd.DataFrame:
    names = ["property", "kind", "accuracy", "low", "high", "p_value", "telling", "example"]
    if not measured:
        return pd.DataFrame(columns=names)
    table = pd.DataFrame(measured).sort_values("accuracy", ascending=False, kind="stable", ignore_index=True)
    ranks = table["p_value"].rank(method="first")
    corrected = (table["p_value"] * (len(table) - ranks + 1)).iloc[np.argsort(ranks)].cummax().clip(upper=1)
    table["p_value"] = corrected.sort_index()
    large = (table["gain"] >= _GAIN) | (table["one_class"] >= _ONE_CLASS)
    return table.assign(telling=large & (table["p_value"] < scoring.LEVEL))[names]


def _example(rows: pd.DataFrame, column: str, name: str) -> str:
    """Return how a class differs from the others in a column, in words."""
    mine, given = rows["label"] == name, rows[column]
    label = {"bytes": "file size", "border": "brightness of the border"}.get(column, column)
    if column not in ("time", "orientation") and pd.api.types.is_numeric_dtype(given):
        inner, outer = given[mine].median(), given[~mine].median()
        return f"the median {label} is {inner:,.0f} in {name} and {outer:,.0f} in the other classes"
    words = given.replace("", "none").astype(str).str[:10] if column == "time" else given.replace("", "none")
    common, other = words[mine].mode()[0], words[~mine].mode()[0]
    parts = [(words[mine] == common).mean(), (words[~mine] == common).mean()]
    shown = f"{label} {common}" if common != "none" else f"no {label}"
    text = f"{wording.percent(parts[0], 0)} of {name} and {wording.percent(parts[1], 0)} of the other classes have {shown}"
    return text if common == other else f"{text}, most of the others {label} {other}"
