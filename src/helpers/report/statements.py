"""What stages concluded, read from their metrics."""

from dataclasses import dataclass

from helpers.report.data_facts import metrics_file
from helpers.report.models import MetricsByStage
from helpers.series import conclusions


@dataclass(frozen=True)
class Statement:
    """A conclusion's text and the file that holds its numbers; several files are separated by commas."""

    text: str
    source: str


def statements(metrics: MetricsByStage, *places: tuple[str, str]) -> list[Statement]:
    """Return conclusions as their stages worded them; those that were not logged are left out.

    Args:
        metrics: metrics by stage.
        *places: stage and id of each conclusion.
    """
    logged = [(stage, conclusions.read(metrics.get(stage, {})).get(name)) for stage, name in places]
    return [
        Statement(conclusion.text, conclusion.source or metrics_file(stage))
        for stage, conclusion in logged
        if conclusion is not None
    ]


def text(metrics: MetricsByStage, *places: tuple[str, str]) -> str:
    """Return the texts of some conclusions, joined; empty where none was logged."""
    return " ".join(statement.text for statement in statements(metrics, *places))
