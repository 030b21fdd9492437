"""The sentences about the export: which candidate is the champion, and whether every format predicts the same."""

from helpers.report.compared import MetricsByStage
from helpers.report.facts import metrics_file

EXPORT = "10_export"


def champion(metrics: MetricsByStage) -> tuple[str, list[str]]:
    """Return what 10_export found, and the files that it comes from; empty where it has not been run."""
    logged = metrics.get(EXPORT, {})
    parts = [logged.get(name, "") for name in ("chosen_because", "agreement")]
    text = " ".join(part for part in parts if part)
    return (text, [metrics_file(EXPORT)]) if text else ("", [])
