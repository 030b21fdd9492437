"""What the first screen draws: the axis of the candidates' intervals, the accuracies to compare with, the map of the series."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers import paths
from helpers.report import collect
from helpers.report.data_facts import ACQUIRE
from helpers.series import stages
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
    """A horizontal axis for accuracies.

    Attributes:
        low: its left end.
        high: its right end.
    """

    low: float
    high: float

    def at(self, value: float) -> str:
        """Return the place of a value, as a percentage of the axis's length."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """Place and label of each tick."""
        step = next((step for step in _STEPS if (self.high - self.low) / step <= _MOST_TICKS), _STEPS[-1])
        places = range(math.ceil(self.low / step), math.floor(min(self.high, 1.0) / step) + 1)
        return [(self.at(place * step), percent(place * step, 0 if step >= 0.01 else 1)) for place in places]


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


def axis(rows: Sequence[Mapping[str, Any]], known: Sequence[Reference]) -> Axis:
    """Return an axis that shows all intervals and seeds of some candidates, and the accuracies to compare with."""
    values = [value for row in rows for value in (row["low"], row["high"], *row["seeds"])]
    values += [one.accuracy for one in known]
    length = max(values) - min(values)
    margin = max(_MARGIN * length, (_SHORTEST - length) / 2)
    return Axis(min(values) - margin, max(values) + margin)


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
