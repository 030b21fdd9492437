"""What stages concluded, read from their metrics."""

from collections.abc import Mapping
from typing import Any

from helpers.series import conclusions
from helpers.series.conclusions import Conclusions


def read(metrics: Mapping[str, Mapping[str, Any]], *places: tuple[str, str]) -> Conclusions:
    """Return conclusions as their stages worded them; those that were not logged are left out.

    Args:
        metrics: metrics by stage.
        *places: stage and id of each conclusion.

    Example:
        `stage_conclusions.read(metrics, ("09_tuning", "search_gain"))`
    """
    logged = [(stage, conclusions.read(metrics.get(stage, {})).get(name)) for stage, name in places]
    return Conclusions(
        conclusion if conclusion.source else conclusion.from_file(f"{stage}/metrics.json")
        for stage, conclusion in logged
        if conclusion is not None
    )


def joined(metrics: Mapping[str, Mapping[str, Any]], *places: tuple[str, str]) -> str:
    """Return the texts of some conclusions as one; empty where none was logged."""
    return " ".join(conclusion.text for conclusion in read(metrics, *places))
