"""Choose the champion: the fastest candidate that is not significantly worse than the best on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from helpers import scoring, wording
from helpers.errors import OsemnError, UsageError, nearest
from helpers.series.conclusions import Conclusion


@dataclass(frozen=True)
class Option:
    """A candidate with what the rule needs to know about it.

    Attributes:
        name: such as `"fine_tuned"`.
        label: its name in a sentence.
        predicted: `[N] int64`, its validation predictions.
        latency_ms: time to predict one image.
    """

    name: str
    label: str
    predicted: np.ndarray
    latency_ms: float


@dataclass(frozen=True)
class Row:
    """An option with its accuracy and its comparison with the most accurate one.

    Attributes:
        option: the candidate.
        score: accuracy with interval and macro-F1, on validation.
        against_best: the best minus this one, image by image; None for the best itself.
    """

    option: Option
    score: scoring.Score
    against_best: scoring.Comparison | None

    @property
    def eligible(self) -> bool:
        """Whether it is not significantly worse than the best."""
        return self.against_best is None or not self.against_best.significant


@dataclass(frozen=True)
class Choice:
    """What the rule chooses, and what is exported.

    Attributes:
        rows: all candidates, fastest first.
        best: the name of the most accurate one.
        by_rule: the name of the one that the rule chooses.
        champion: the name of the one that is exported.
    """

    rows: tuple[Row, ...]
    best: str
    by_rule: str
    champion: str

    @property
    def overridden(self) -> bool:
        """Whether the parameter `champion` names another candidate than the rule chooses."""
        return self.champion != self.by_rule

    def row(self, name: str) -> Row:
        """Return the row of a candidate."""
        return next(row for row in self.rows if row.option.name == name)

    def table(self) -> pd.DataFrame:
        """Return one row per candidate, fastest first.

        Example:
            `choice.table().round(3)`
        """
        return pd.DataFrame(
            {
                "candidate": row.option.name,
                "model": row.option.label,
                "ms per image": row.option.latency_ms,
                "validation accuracy": row.score.accuracy,
                "from": row.score.accuracy_ci95[0],
                "to": row.score.accuracy_ci95[1],
                "against the best": wording.p_value(row.against_best.p_value) if row.against_best else "–",
                "significantly worse": not row.eligible,
                "champion": row.option.name == self.champion,
            }
            for row in self.rows
        ).set_index("candidate")

    def against_best(self) -> list[dict[str, Any]]:
        """Return the paired tests behind the rule: the best minus each other candidate, in percentage points."""
        return [
            {"best": self.best, "other": row.option.name, **row.against_best.as_metrics()}
            for row in self.rows
            if row.against_best is not None
        ]

    def conclusion(self) -> Conclusion:
        """Return which candidate is exported, and why.

        Example:
            `run.conclude(choice.conclusion())`
        """
        best, chosen = self.row(self.best), self.row(self.by_rule)
        n = f"{best.score.n:,} validation images"
        lead = f"the most accurate candidate on {n} ({wording.percent(best.score.accuracy)})"
        faster = self.rows[: self.rows.index(chosen)]
        excluded = [f"the {row.option.label} ({_gap(row.against_best)})" for row in faster]
        if chosen is best:
            text = f"The rule chooses the {best.option.label}: it is {lead}{'' if excluded else ' and the fastest'}."
        else:
            text = (
                f"The rule chooses the {chosen.option.label}: it is the fastest candidate that is not significantly worse "
                f"({_gap(chosen.against_best)}) than the {best.option.label}, {lead}, and takes {chosen.option.latency_ms:.2f} ms "
                f"for one image instead of {best.option.latency_ms:.2f} ms."
            )
        if excluded:
            text += f" Faster, but significantly worse: {wording.listing(excluded)}."
        if self.overridden:
            text += f" The parameter champion overrides the rule: {self.champion} is exported."
        numbers = {"accuracy": best.score.accuracy, "against_best": self.against_best()}
        numbers["latency_ms"] = {row.option.name: row.option.latency_ms for row in self.rows}
        return Conclusion("champion", text, numbers, f"McNemar's exact test at 5%, {n}")


def _gap(comparison: scoring.Comparison) -> str:
    """Return by how much the best candidate is better: p-value and interval, in words."""
    low, high = (wording.points(100 * end) for end in comparison.ci95)
    points = wording.points(100 * comparison.difference)
    return f"by {points} points, 95% interval {low} to {high}, {wording.p_value(comparison.p_value)}"


def choose(options: Sequence[Option], labels: np.ndarray, num_classes: int, override: str = "") -> Choice:
    """Apply the rule: of the candidates that McNemar's exact test does not find worse than the best, take the fastest.

    Args:
        options: the candidates, all with predictions of the same images.
        labels: `[N] int64`, the true labels of these images.
        num_classes: K.
        override: the candidate to export whatever the rule chooses; empty for the rule.

    Raises:
        OsemnError: there are no candidates.
        UsageError: the override is not one of them.

    Example:
        `choice = champion.choose(options, validation.labels, 10)`
    """
    if not options:
        raise OsemnError("There is no candidate to choose from.", "run the notebooks 04 to 09 first")
    names = [option.name for option in options]
    if override and override not in names:
        raise UsageError(f"There is no candidate '{override}'.", nearest(override, names))
    scores = {option.name: scoring.score(labels, option.predicted, num_classes) for option in options}
    best = max(options, key=lambda option: (scores[option.name].accuracy, -option.latency_ms))
    rows = []
    for option in sorted(options, key=lambda option: option.latency_ms):
        comparison = None if option is best else scoring.compare(labels, best.predicted, option.predicted)
        rows.append(Row(option, scores[option.name], comparison))
    by_rule = next(row.option.name for row in rows if row.eligible)
    return Choice(tuple(rows), best.name, by_rule, override or by_rule)
