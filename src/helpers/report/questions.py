"""The questions that a reviewer asks, answered by the conclusions of the stages."""

from collections.abc import Iterable

from helpers.report.models import (
    EVALUATION,
    EXPORT,
    FINE_TUNING,
    TRANSFER,
    TUNING,
    MetricsByStage,
    find_champion,
)
from helpers.report.stage_conclusions import read
from helpers.series.conclusions import Conclusion
from helpers.wording import TWO_NETWORKS, sources

OWN = {
    "best_model": "Which model is best?",
    "complexity": "What does complexity buy?",
    "confusions": "Are the classes confused that looked alike?",
}
ASKED = {
    "Was transfer learning worth it?": (
        (TRANSFER, "frozen_features"),
        (FINE_TUNING, "fine_tuning"),
        (f"{EVALUATION}/fine_tuned", "against_others"),
    ),
    "Was tuning worth it?": (
        (TUNING, "from_scratch"),
        (TUNING, "search_gain"),
        (TUNING, "tuned_network"),
        (TUNING, "against_baseline"),
        (f"{EVALUATION}/tuned", "against_others"),
    ),
    "Would more images help?": ((TRANSFER, "data_size"),),
    "Why this model and not the others?": ((EXPORT, "champion"),),
}
FEW_IMAGES = "How accurate is it over all images, as the test images are few?"
Answer = tuple[str, str, str]


def answers(metrics: MetricsByStage, established: Iterable[Conclusion] = ()) -> list[Answer]:
    """Return question, reply and the files that hold the numbers; questions to which no stage logged a conclusion are left out.

    Args:
        metrics: metrics by stage.
        established: the conclusions of 12_report that compare stages.
    """
    rows = [(OWN[one.id], one.text, one.source) for one in established if one.id in OWN]
    for question, places in {**_few_images(metrics), **ASKED}.items():
        logged = read(metrics, *places)
        if logged:
            answer = " ".join(conclusion.text for conclusion in logged)
            if answer.count(TWO_NETWORKS) > 1:
                answer = f"{answer.replace(f' {TWO_NETWORKS}', '')} {TWO_NETWORKS}"
            files = sources(conclusion.source for conclusion in logged)
            rows.append((question, answer, files))
    return rows


def _few_images(metrics: MetricsByStage) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the question after the accuracy over all images, where 07 cross-validated it: with many images there is none."""
    stage = f"{EVALUATION}/{find_champion(metrics)}"
    measured = any(one.numbers for one in read(metrics, (stage, "out_of_fold")))
    return {FEW_IMAGES: ((stage, "test_accuracy"), (stage, "out_of_fold"))} if measured else {}
