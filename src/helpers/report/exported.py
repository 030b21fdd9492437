"""The export in the report: which candidate is the champion, whether every format predicts the same, and the page to try it."""

from pathlib import Path

from helpers.errors import OsemnError
from helpers.report import collect
from helpers.report.data_facts import metrics_file
from helpers.report.models import MetricsByStage

EXPORT = "10_export"


def champion(metrics: MetricsByStage) -> tuple[str, list[str]]:
    """Return what 10_export found, and the files that it comes from; empty where it has not been run."""
    logged = metrics.get(EXPORT, {})
    parts = [logged.get(name, "") for name in ("chosen_because", "agreement")]
    text = " ".join(part for part in parts if part)
    return (text, [metrics_file(EXPORT)]) if text else ("", [])


def write_demo(series: collect.Series, folder: Path) -> str:
    """Write the page that tries the series' own version into a report's folder; return its name.

    The name is empty, and nothing is written, where there is no version, where it was removed since, or where TensorFlow.js
    cannot be had.
    """
    name = series.by_name[EXPORT].metrics.get("version")
    if not name:
        return ""
    from helpers.export import browser_page

    try:
        browser_page.write(
            browser_page.find_version(series.dataset, name), folder / browser_page.NAME, folder
        )
    except OsemnError:
        return ""
    return browser_page.NAME
