"""The sentence about tuning: what the search gained over the defaults, and what it cost."""

from helpers.report.models import TUNING, MetricsByStage
from helpers.wording import duration, points


def search(metrics: MetricsByStage) -> str:
    """Return whether 09's search paid, worded by whether the gain was shown; empty where 09 logged none."""
    logged = metrics.get(TUNING, {})
    gain = logged.get("gain") or {}
    if not {"points", "ci95", "basis", "count"} <= set(gain):
        return ""
    low, high = gain["ci95"]
    verdict = (
        "found settings that look better than the defaults"
        if low > 0 and gain["basis"] == "images"
        else "gained over the defaults"
        if low > 0
        else "found settings that do worse than the defaults"
        if high < 0
        else "is not shown to have gained anything over the defaults"
    )
    seconds, trials = logged.get("search_seconds"), logged.get("trials")
    cost = f" of {trials} settings" if trials else ""
    cost += f" in {duration(seconds)}" if seconds is not None else ""
    if gain["basis"] == "defaults":
        return f"The search{cost} found nothing better than the defaults."
    interval = f"{points(gain['points'])} percentage points, 95% interval {points(low)} to {points(high)}"
    if gain["basis"] == "seeds":
        basis = f"over {gain['count']} seeds of full training"
        basis += ", so the defaults were kept" if gain["points"] < 0 else ""
    else:
        basis = (
            f"on {gain['count']:,} validation images after trials of equal length; the winner was picked on "
            "these images, which flatters it"
        )
    return f"The search{cost} {verdict}: {interval}, {basis}."
