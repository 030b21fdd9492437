"""The champion: the cheapest candidate that is not significantly worse than the best, chosen on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers import scoring, wording
from helpers.errors import OsemnError, UsageError, nearest

ALPHA = 0.05


@dataclass(frozen=True)
class Option:
    """A candidate as the rule sees it.

    Attributes:
        name: such as "fine_tuned".
        label: what people call it.
        predicted: `[N] int64`, its validation predictions.
        latency_ms: how long it takes for one image.
    """

    name: str
    label: str
    predicted: np.ndarray
    latency_ms: float


@dataclass(frozen=True)
class Row:
    """An option with its accuracy and its comparison with the best.

    Attributes:
        option: the candidate.
        score: accuracy with interval and macro-F1, on validation.
        against_best: the best minus this one, image by image; None for the best itself.
        eligible: whether it is not significantly worse than the best.
    """

    option: Option
    score: scoring.Score
    against_best: scoring.Comparison | None
    eligible: bool


@dataclass(frozen=True)
class Choice:
    """What the rule says, and what was done.

    Attributes:
        rows: all candidates, the cheapest first.
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
        """Whether somebody chose another one than the rule."""
        return self.champion != self.by_rule

    def row(self, name: str) -> Row:
        """Return the row of a candidate."""
        return next(row for row in self.rows if row.option.name == name)

    def table(self) -> list[dict[str, object]]:
        """Return one dictionary of plain values for each candidate, the cheapest first."""
        return [
            {
                "candidate": row.option.name,
                "what it is": row.option.label,
                "validation accuracy": row.score.accuracy,
                "from": row.score.accuracy_ci95[0],
                "to": row.score.accuracy_ci95[1],
                "ms for one image": row.option.latency_ms,
                "p against the best": row.against_best.p_value if row.against_best else None,
                "not shown to be worse": row.eligible,
                "champion": row.option.name == self.champion,
            }
            for row in self.rows
        ]

    def against_best(self) -> list[dict[str, object]]:
        """Return the paired tests behind the rule: the best minus each other candidate, in percentage points."""
        return [
            {"best": self.best, "other": row.option.name, **row.against_best.as_metrics()}
            for row in self.rows
            if row.against_best is not None
        ]

    def shown(self) -> list[dict[str, str]]:
        """Return the table as texts that can be read at a glance."""
        return [
            {
                "candidate": f"{row.option.name} ★" if row.option.name == self.champion else row.option.name,
                "what it is": row.option.label,
                "validation accuracy": f"{wording.percent(row.score.accuracy)} ({wording.interval(*row.score.accuracy_ci95)})",
                "one image": f"{row.option.latency_ms:.2f} ms",
                "against the best": "is the best"
                if row.against_best is None
                else f"{'not shown to be' if row.eligible else 'is'} worse, {wording.p_value(row.against_best.p_value)}",
            }
            for row in self.rows
        ]

    @property
    def sentence(self) -> str:
        """The rule at work, in words."""
        best, chosen = self.row(self.best), self.row(self.by_rule)
        text = f"The most accurate candidate is the {best.option.label} ({wording.percent(best.score.accuracy)} on validation). "
        worse = [row for row in self.rows if not row.eligible]
        if worse:
            named = "; ".join(
                f"{row.option.label} ({wording.p_value(row.against_best.p_value)})" for row in worse
            )
            text += f"Significantly worse: {named}. "
        if self.by_rule == self.best:
            text += "No cheaper one is as good as far as can be shown, so the rule chooses it."
        else:
            text += (
                f"The {chosen.option.label} is not shown to be worse ({wording.p_value(chosen.against_best.p_value)}) and the cheapest of "
                f"those: {chosen.option.latency_ms:.2f} ms for one image instead of {best.option.latency_ms:.2f} ms, so the "
                "rule chooses it."
            )
        if self.overridden:
            text += f" The parameter `champion` overrides the rule: {self.champion} is exported."
        return text


def choose(options: Sequence[Option], labels: np.ndarray, num_classes: int, override: str = "") -> Choice:
    """Apply the rule: of the candidates that McNemar's exact test does not show to be worse than the best, the cheapest.

    Args:
        options: the candidates, all with predictions of the same images.
        labels: `[N] int64`, the true labels of these images.
        num_classes: K.
        override: a candidate's name to export whatever the rule says; empty for the rule.

    Raises:
        OsemnError: there are no candidates.
        UsageError: the override is none of them.
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
        eligible = comparison is None or comparison.p_value >= ALPHA
        rows.append(Row(option, scores[option.name], comparison, eligible))
    by_rule = next(row.option.name for row in rows if row.eligible)
    return Choice(tuple(rows), best.name, by_rule, override or by_rule)
