"""Choose the champion: the fastest candidate that is shown to lose less than a margin against the best on validation images.

That a difference is not significant does not show that it is small: with few images nothing is significant. So a faster candidate
has to prove good enough; where the images cannot prove that, the best one is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from helpers import scoring, wording
from helpers.errors import OsemnError, UsageError, nearest
from helpers.series import metrics
from helpers.series.conclusions import Conclusion

MARGIN = 0.01  # one point of accuracy, as 10_export has it
FEW = 50  # validation images: the 95% interval of an accuracy of 85% is then 20 points wide


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
    """An option with its scores and its comparison with the best one.

    Attributes:
        option: the candidate.
        score: accuracy with interval and macro-F1, on validation.
        value: the metric by which candidates are compared, on validation.
        against_best: the best minus this one, from `metrics.tested`; None for the best itself.
        loss: the best minus this one in the metric; None for the best itself.
        eligible: whether it is the best, or is shown to lose less than the margin.
    """

    option: Option
    score: scoring.Score
    value: float
    against_best: dict[str, Any] | None
    loss: metrics.Difference | None
    eligible: bool


@dataclass(frozen=True)
class Choice:
    """What the rule chooses, and what is exported.

    Attributes:
        rows: all candidates, fastest first.
        best: the name of the best one by the metric.
        metric: by which they are compared.
        margin: what the champion may lose against the best.
        by_rule: the name of the one that the rule chooses.
        champion: the name of the one that is exported.
    """

    rows: tuple[Row, ...]
    best: str
    metric: metrics.Metric
    margin: float
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
                f"validation {self.metric.title}": row.value,
                "loss": row.loss.value if row.loss else 0.0,
                "loss at most": row.loss.upper95 if row.loss else 0.0,
                "within the margin": row.eligible,
                "champion": row.option.name == self.champion,
            }
            for row in self.rows
        ).set_index("candidate")

    def against_best(self) -> list[dict[str, Any]]:
        """Return what the best candidate gains over each other one, with its interval, as `metrics.tested` words it."""
        return [
            {"best": self.best, "other": row.option.name, **row.against_best}
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
        lead = f"the best candidate on {n} by {self.metric.title} ({self.metric.words(best.value)})"
        margin = self.metric.difference_words(self.margin)
        faster = self.rows[: self.rows.index(chosen)]
        excluded = [f"the {row.option.label} loses {self._loss(row)}" for row in faster]
        if chosen is best:
            text = f"The {best.option.label} is {lead}{'' if excluded else ' and the fastest'}."
        else:
            text = (
                f"The {chosen.option.label} is the fastest candidate that is shown to lose less than {margin} "
                f"({self._loss(chosen)}) against the {best.option.label}, {lead}, and takes {chosen.option.latency_ms:.2f} ms "
                f"for one image instead of {best.option.latency_ms:.2f} ms."
            )
        if excluded:
            text += f" A faster one would be taken if, with 95% confidence, it lost less than {margin}: {wording.listing(excluded)}."
        if best.score.n < FEW:
            text += f" {n} hardly tell candidates apart; 03_preprocess.validation_fraction holds out more."
        if self.overridden:
            text += f" The parameter champion overrides the rule: {self.champion} is exported."
        numbers = {"accuracy": best.score.accuracy, "against_best": self.against_best()}
        numbers |= {"metric": self.metric.name, "margin": self.margin}
        numbers["values"] = {row.option.name: row.value for row in self.rows}
        numbers["loss_at_most"] = {row.option.name: row.loss.upper95 for row in self.rows if row.loss}
        numbers["latency_ms"] = {row.option.name: row.option.latency_ms for row in self.rows}
        return Conclusion("champion", text, numbers, f"one-sided 95% bound by bootstrap, {n}")

    def _loss(self, row: Row) -> str:
        """Return what a candidate loses against the best, and at most, in words."""
        words = self.metric.difference_words
        lost, most = words(row.loss.value), words(row.loss.upper95)
        return f"{lost} on these images, and at most {most}"


def choose(
    options: Sequence[Option],
    labels: np.ndarray,
    num_classes: int,
    metric: metrics.Metric,
    *,
    margin: float = MARGIN,
    override: str = "",
) -> Choice:
    """Apply the rule: of the candidates that lose, with 95% confidence, less than the margin against the best, take the fastest.

    Args:
        options: the candidates, all with predictions of the same images.
        labels: `[N] int64`, the true labels of these images.
        num_classes: K.
        metric: by which they are compared.
        margin: what the champion may lose, in units of the metric: 0.01 is one point of accuracy.
        override: the candidate to export whatever the rule chooses; empty for the rule.

    Raises:
        OsemnError: there are no candidates.
        UsageError: the override is not one of them.

    Source: the one-sided bound of a test of non-inferiority, as in S. Wellek (2010), "Testing statistical hypotheses of equivalence
    and noninferiority".

    Example:
        `choice = champion.choose(options, validation.labels, 10, Metric("accuracy"))`
    """
    if not options:
        raise OsemnError("There is no candidate to choose from.", "run the notebooks 04 to 09 first")
    names = [option.name for option in options]
    if override and override not in names:
        raise UsageError(f"There is no candidate '{override}'.", nearest(override, names))
    values = {option.name: metric(labels, option.predicted, num_classes) for option in options}
    # rounded, as equal means of recalls differ in their last bit
    best = max(options, key=lambda option: (round(values[option.name], 9), -option.latency_ms))
    rows = []
    for option in sorted(options, key=lambda option: option.latency_ms):
        score = scoring.score(labels, option.predicted, num_classes)
        if option is best:
            rows.append(Row(option, score, values[option.name], None, None, True))
            continue
        paired = metrics.tested(metric, labels, best.predicted, option.predicted, num_classes)
        loss = metrics.compare(metric, labels, best.predicted, option.predicted, num_classes)
        rows.append(Row(option, score, values[option.name], paired, loss, loss.upper95 < margin))
    by_rule = next(row.option.name for row in rows if row.eligible)
    return Choice(tuple(rows), best.name, metric, margin, by_rule, override or by_rule)
