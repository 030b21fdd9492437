"""What the first screen draws: the forest plot of the candidates, the accuracies to compare with, the map of the series."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers import paths
from helpers.report import collect
from helpers.report.data_facts import ACQUIRE
from helpers.series import stages
from helpers.series.metrics import Metric
from helpers.wording import percent

CARD = "data_card.json"
# Accuracy and source of a published result.
PUBLISHED = {
    "fashion_mnist": (
        0.963,
        "WRN-28-10 with random erasing, listed in the data set's own README (H. Xiao et al., 2017)",
    )
}
_MOST_TICKS = 7  # more labels would touch on a phone
_STEPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_MARGIN = 0.02  # of the axis, so that no mark lies on its end
_SHORTEST = 0.01  # the axis is at least this long: two ticks with one decimal


@dataclass(frozen=True)
class Reference:
    """An accuracy to compare with.

    Attributes:
        label: its short name.
        accuracy: 0–1.
        source: who measured it.
    """

    label: str
    accuracy: float
    source: str


@dataclass(frozen=True)
class Axis:
    """A horizontal axis for values of a metric.

    Attributes:
        low: its left end.
        high: its right end.
        in_percent: whether its labels are percentages.
    """

    low: float
    high: float
    in_percent: bool = True

    def at(self, value: float) -> str:
        """Return the place of a value, as a percentage of the axis's length."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """Place and label of each tick."""
        step = next((step for step in _STEPS if (self.high - self.low) / step <= _MOST_TICKS), _STEPS[-1])
        places = range(math.ceil(self.low / step), math.floor(min(self.high, 1.0) / step) + 1)
        digits = 0 if step >= 0.01 else 1
        label = (
            (lambda value: percent(value, digits))
            if self.in_percent
            else (lambda value: f"{value:.{digits + 2}f}")
        )
        return [(self.at(place * step), label(place * step)) for place in places]


@dataclass(frozen=True)
class Forest:
    """The forest plot of the candidates, by the metric of the series as far as 07 measured its interval, or else by accuracy.

    Attributes:
        title: of the metric.
        axis: its axis.
        rows: by candidate: `value`, `low`, `high`, `seeds` and `words`.
        references: accuracies to compare with; none for another metric.
    """

    title: str
    axis: Axis
    rows: dict[str, dict[str, Any]]
    references: list[Reference]


def references(series: collect.Series) -> list[Reference]:
    """Return the accuracy of people, as far as the data card knows it, and a published one."""
    acquired, known = series.by_name[ACQUIRE], []
    if acquired.holds(CARD):
        card = json.loads((acquired.folder / CARD).read_text(encoding="utf-8"))
        if card.get("people"):
            accuracy, _, source = card["people"]
            known.append(Reference("people", accuracy, source))
    published = PUBLISHED.get(paths.dataset_slug(series.dataset))
    return [*known, Reference("published", *published)] if published else known


def forest(candidates: Sequence[Mapping[str, Any]], metric: Metric, known: list[Reference]) -> Forest:
    """Return the forest plot of some candidates, at least one, with all intervals and seeds on its axis.

    Args:
        candidates: rows of `models.list_tested`.
        metric: of the series.
        known: accuracies to compare with.
    """
    by_accuracy = metric.name == "accuracy" or not all(row.get("value_ci95") for row in candidates)
    if by_accuracy:
        metric = Metric("accuracy")
    else:  # seeds, people and published results are accuracies
        known = []
    rows = {}
    for row in candidates:
        value, low, high = (
            (row["accuracy"], row["low"], row["high"]) if by_accuracy else (row["value"], *row["value_ci95"])
        )
        words, seeds = [metric.words(one) for one in (value, low, high)], row["seeds"] if by_accuracy else []
        rows[row["candidate"]] = {"value": value, "low": low, "high": high, "seeds": seeds, "words": words}
    values = [value for row in rows.values() for value in (row["low"], row["high"], *row["seeds"])]
    values += [one.accuracy for one in known]
    length = max(values) - min(values)
    margin = max(_MARGIN * length, (_SHORTEST - length) / 2)
    drawn = Axis(min(values) - margin, max(values) + margin, metric.in_percent)
    return Forest(metric.title, drawn, rows, known)


def series_map(series: collect.Series) -> list[list[list[collect.Record]]]:
    """Return the map of the series: columns from left to right, of notebooks, of the notebook's runs.

    A notebook stands one column to the right of the last one that it reads.
    """
    depth: dict[str, int] = {}
    for stage in stages.STAGES:
        behind = [depth[stages.find(name).notebook] + 1 for name in stage.reads]
        depth[stage.notebook] = max([depth.get(stage.notebook, 0), *behind])
    runs = {
        name: [record for record in series.records if record.stage.notebook == name]
        for name in stages.NOTEBOOKS
    }
    columns: list[list[list[collect.Record]]] = [[] for _ in range(max(depth.values()) + 1)]
    for name, place in depth.items():
        columns[place].append(runs[name])
    return columns


def reads(runs: Sequence[collect.Record]) -> list[str]:
    """Return the numbers of the notebooks that some runs of one notebook need, such as `01`."""
    numbers = {name[:2] for record in runs for name in record.stage.reads}
    return sorted(numbers)
