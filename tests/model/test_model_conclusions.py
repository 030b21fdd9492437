"""The conclusions of 04 to 06: what they say, and the numbers and tests behind them."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers import scoring
from helpers.model import conclusions, fine_tuning
from helpers.model.baselines import Result
from helpers.series.metrics import Metric

LABELS = np.arange(400) % 4


def predictions(correct: int) -> np.ndarray:
    """Return predictions of which only the first `correct` are the true labels."""
    return np.where(np.arange(400) < correct, LABELS, (LABELS + 1) % 4)


def row(label: str, correct: int) -> Result:
    return Result(label, 1_000, 5_000, 12.0, 50.0, scoring.score(LABELS, predictions(correct), 4))


def result(side: int, correct: int, seconds: float, from_cache: bool = False) -> SimpleNamespace:
    title, predicted = f"EfficientNet-Lite0 at {side} px", predictions(correct)
    train = SimpleNamespace(seconds=seconds, from_cache=from_cache, values=np.zeros((1_600, 2)))
    return SimpleNamespace(
        title=title,
        source=SimpleNamespace(backbone="efficientnet_lite0", resolution=side),
        train=train,
        predicted=predicted,
        score=scoring.score(LABELS, predicted, 4),
        as_row=lambda: {"resolution": side},
        head=SimpleNamespace(title="logistic regression"),
        top=SimpleNamespace(count_params=lambda: 2_570),
        fit=SimpleNamespace(seconds=4.0),
        extraction_seconds=seconds,
    )


def history(accuracy: float, val_accuracy: float) -> dict[str, list[float]]:
    losses = {"loss": [0.6, 0.5], "val_loss": [0.6, 0.5]}
    return {"accuracy": [0.7, accuracy], "val_accuracy": [0.7, val_accuracy], **losses}


def test_learning_curves_name_every_model():
    conclusion = conclusions.learning_curves({"CNN": history(0.9, 0.8), "dense network": history(0.8, 0.8)})
    assert "The learning curves of the CNN show high variance" in conclusion.text
    assert "The learning curves of the dense network show no overfitting" in conclusion.text
    assert conclusion.text.endswith("every training improves at its end.")
    assert set(conclusion.numbers) == {"CNN", "dense network"}


@pytest.mark.parametrize(("second", "words"), [(330, "do not overlap"), (370, "overlap")])
def test_best_baseline_is_compared_by_intervals(second, words):
    rows = {"majority": row("majority class", 100), "svm": row("SVM", second), "cnn": row("CNN", 380)}
    conclusion = conclusions.baselines(rows, Metric("accuracy"))
    assert conclusion.text.startswith(
        "The best baseline, the CNN, classifies 95.0% of 400 validation images correctly"
    )
    assert f"the intervals {words}." in conclusion.text
    assert conclusion.text.endswith("reaches 25.0%.")


def test_cnn_is_set_beside_the_forest():
    conclusion = conclusions.cnn_against_forest(row("three-layer CNN", 380), row("random forest", 340))
    assert conclusion.numbers["points"] == pytest.approx(10)
    assert "+10.00 points" in conclusion.text


def test_frozen_features_name_the_network_and_its_cost():
    conclusion = conclusions.frozen_features(row("frozen", 360), result(64, 360, 20.0, from_cache=True))
    assert (
        "A head (logistic regression) with 2,570 parameters on the frozen features of EfficientNet-Lite0 at 64 px classifies 90.0% of"
        in (conclusion.text)
    )
    assert "20 s, timed when the cache was made" in conclusion.text


def test_resolution_is_tested_between_the_fastest_and_the_best_of_the_others():
    results = [result(64, 340, 10.0), result(96, 372, 22.0), result(128, 345, 40.0)]
    conclusion = conclusions.resolution(LABELS, results)
    expected = scoring.compare(LABELS, predictions(372), predictions(340)).corrected(2)
    assert conclusion.numbers["p_value"] == expected.p_value
    assert (conclusion.numbers["from"], conclusion.numbers["to"]) == (results[0].title, results[1].title)
    assert conclusion.text.startswith(
        "Of the resolutions 64, 96 and 128 px, with heads fitted on 1,600 images, a frozen EfficientNet-Lite0 at 96 px is the "
        "most accurate: it classifies 93.0% of 400 validation images correctly"
    )
    assert (
        "From EfficientNet-Lite0 at 64 px to EfficientNet-Lite0 at 96 px the difference is" in conclusion.text
    )
    assert "+8.00 points" in conclusion.text
    assert "which is statistically significant" in conclusion.text
    assert "after correction for 2 candidates" in conclusion.text
    assert "22 s instead of 10 s" in conclusion.text


def test_a_single_resolution_is_said_to_be_the_only_one():
    assert "the only setting in this run" in conclusions.resolution(LABELS, [result(64, 340, 1.0)]).text


def test_copies_of_the_training_images_are_compared_with_the_plain_head():
    plain, copied = result(64, 340, 10.0), result(64, 342, 20.0)
    none = conclusions.further_views(LABELS, plain, None, False, 0)
    assert "without mirrored or augmented copies" in none.text
    conclusion = conclusions.further_views(LABELS, plain, copied, True, 1)
    assert "With a mirrored copy and 1 augmented copy of each training image" in conclusion.text
    assert "which is not statistically significant" in conclusion.text
    assert conclusion.numbers["mirrored"] is True
    only = conclusions.further_views(LABELS, plain, copied, False, 2).text
    assert "With 2 augmented copies of each training image" in only


def test_variants_are_compared_with_the_frozen_network_and_with_each_other():
    predicted = {
        name: predictions(n) for name, n in (("frozen", 340), ("top_blocks", 350), ("all_blocks", 372))
    }
    differences = fine_tuning.compare_variants(LABELS, predicted)
    assert list(differences) == [
        ("top_blocks", "frozen"),
        ("all_blocks", "frozen"),
        ("all_blocks", "top_blocks"),
    ]
    plain = scoring.compare(LABELS, predicted["top_blocks"], predicted["frozen"])
    assert differences["top_blocks", "frozen"].p_value == min(1.0, 2 * plain.p_value)
    titles = {"frozen": "frozen", "top_blocks": "top 14 blocks", "all_blocks": "all blocks"}
    conclusion = conclusions.unfrozen_blocks(titles, differences)
    assert "All blocks against top 14 blocks: +5.50 points" in conclusion.text
    assert set(conclusion.numbers) == {
        "top_blocks_against_frozen",
        "all_blocks_against_frozen",
        "all_blocks_against_top_blocks",
    }


def test_fine_tuning_is_tested_against_the_frozen_network():
    gain = fine_tuning.compare_variants(LABELS, {"frozen": predictions(340), "all_blocks": predictions(372)})[
        "all_blocks", "frozen"
    ]
    after = {"accuracy": 0.93, "n": 400, "samples": 2_000, "seconds": 98.0}
    conclusion = conclusions.fine_tuning("fine-tuned EfficientNet-Lite0, 64 px", 0.85, after, gain, 1)
    assert conclusion.text.startswith(
        "The fine-tuned EfficientNet-Lite0, 64 px classifies 93.0% of 400 validation images correctly, the frozen network 85.0%"
    )
    assert "+8.00 points (95% interval" in conclusion.text
    assert "correction" not in conclusion.text
    assert conclusion.numbers["points"] == pytest.approx(8.0)


@pytest.mark.parametrize(("smallest", "words"), [(0.1, "neither vanish nor explode"), (1e-5, "look at")])
def test_gradients_are_compared_at_the_end(smallest, words):
    norms = {"step": [1, 2], "blocks": {"stem": [9.0, smallest], "head": [9.0, 1.0]}}
    conclusion = conclusions.gradients("all blocks", SimpleNamespace(gradient_norms=norms))
    assert words in conclusion.text
    assert conclusion.numbers["spread"] == pytest.approx(1.0 / smallest)
