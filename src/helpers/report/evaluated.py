"""What 07 and 08 found of each candidate: accuracy on the test images, and where the candidates look."""

from dataclasses import dataclass
from typing import Any

from helpers.report.data_facts import metrics_file
from helpers.report.models import MetricsByStage
from helpers.series import stages
from helpers.wording import capital, interval, listing, p_value, percent, points

EVALUATION, GRAD_CAM = "07_evaluation", "08_grad_cam"


@dataclass(frozen=True)
class TestedModel:
    """One candidate on the test images.

    Attributes:
        candidate: its name.
        label: what it is called.
        n: test images.
        accuracy: share of right predictions.
        low: lower end of its 95% interval.
        high: upper end of it.
        macro_f1: mean of the classes' F1.
        ece: expected calibration error after temperature scaling.
        compared: paired differences to the candidates before it, as 07 logged them.
        source: the file that its numbers come from.
    """

    candidate: str
    label: str
    n: int
    accuracy: float
    low: float
    high: float
    macro_f1: float
    ece: float
    compared: tuple[dict[str, Any], ...]
    source: str

    @property
    def interval(self) -> str:
        """The 95% interval in words."""
        return interval(self.low, self.high)


def tested(metrics: MetricsByStage) -> list[TestedModel]:
    """Return the evaluated candidates, in the order of the stages."""
    found = []
    for candidate in stages.CANDIDATES:
        stage = f"{EVALUATION}/{candidate}"
        logged = metrics.get(stage)
        if logged:
            found.append(
                TestedModel(
                    candidate,
                    logged["label"],
                    logged["n"],
                    logged["accuracy"],
                    *logged["accuracy_ci95"],
                    logged["macro_f1"],
                    logged["ece_scaled"],
                    tuple(logged["compared"]),
                    metrics_file(stage),
                )
            )
    return found


def test_accuracy(metrics: MetricsByStage) -> tuple[str, list[str]]:
    """Return what the candidates reach on the test images and which differences are shown, with its sources."""
    found = tested(metrics)
    if not found:
        return "", []
    accuracies = listing([f"{one.label} {percent(one.accuracy)} ({one.interval})" for one in found])
    text = f"On the {found[0].n:,} test images: {accuracies}."
    last = found[-1]
    if last.compared:
        text += f" {capital(last.label)} is " + "; ".join(_verdict(one, found) for one in last.compared) + "."
    return text, [one.source for one in found]


def _verdict(compared: dict[str, Any], found: list[TestedModel]) -> str:
    labels = {one.candidate: one.label for one in found}
    other = labels.get(compared["other"], compared["other"])
    if not compared["shown"]:
        return f"not shown to differ from {other} ({p_value(compared['p_value'])})"
    word = "better" if compared["points"] > 0 else "worse"
    return f"{word} than {other} by {points(abs(compared['points']))} percentage points ({p_value(compared['p_value'])})"


def looking(metrics: MetricsByStage) -> tuple[str, list[str]]:
    """Return where the candidates look and whose maps are fit for evidence, with its sources."""
    found = {
        candidate: metrics[f"{GRAD_CAM}/{candidate}"]
        for candidate in stages.CANDIDATES
        if metrics.get(f"{GRAD_CAM}/{candidate}")
    }
    if not found:
        return "", []
    parts = [f"{logged['label']} {_where(logged)}{_unfit(logged)}" for logged in found.values()]
    return f"Grad-CAM: {'; '.join(parts)}.", [metrics_file(f"{GRAD_CAM}/{name}") for name in found]


def _where(logged: dict[str, Any]) -> str:
    """Return where one candidate looks."""
    if logged["reason"]:
        return "has no maps"
    ends = (logged["energy"].get("above_pixels") or {}).get("ci95")
    if not ends:
        return "looks at places that were not measured"
    if ends[0] > 0:
        return "looks more at the object than chance would"
    if ends[1] < 0:
        return "looks more at the background than chance would"
    return "is not shown to look more at the object than chance would"


def _unfit(logged: dict[str, Any]) -> str:
    """Return why one candidate's maps are not fit for evidence; empty where they are, or where there are none."""
    if logged["reason"]:
        return ""
    deletion = (logged["perturbation"].get("deletion") or {}).get("ci95")
    if not logged["randomised"].get("fit"):
        why = "they do not depend on its weights"
    elif deletion is None or deletion[1] >= 0:
        why = "deleting what they mark does not lower the confidence faster than chance"
    else:
        return ""
    return f"; its maps are not fit for evidence ({why})"
