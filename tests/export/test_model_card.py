"""The model card says what the numbers say, and changes with them."""

import copy

import pytest

from helpers.export import model_card
from helpers.export.formats import FORMATS

FACTS = {
    "candidate": "tuned",
    "label": "residual CNN, 16 channels",
    "profile": "quick",
    "champion": {"by_rule": "tuned", "overridden": False, "candidates": ["tuned", "transfer"]},
    "signature": {"input": {"shape": [None, 28, 28, 1]}, "output": {"shape": [None, 2]}},
    "classes": ["Shirt", "Coat"],
    "data": {
        "title": "Garments",
        "about": "Made up.",
        "licence": "MIT",
        "first_source": "a test",
        "split": "its own",
        "counts": {"train": 6000, "test": 100},
    },
    "metrics": {
        "test": {
            "n": 100,
            "accuracy": 0.9,
            "accuracy_ci95": [0.826, 0.945],
            "macro_f1": 0.899,
            "ece": 0.08,
            "ece_scaled": 0.012,
            "temperature": 0.66,
            "confusion": [[45, 7], [3, 45]],
            "recommendations": ["Collect shirts."],
            "per_class": {
                "Shirt": {
                    "precision": 0.94,
                    "precision_ci95": [0.83, 0.98],
                    "recall": 0.87,
                    "recall_ci95": [0.75, 0.94],
                    "f1": 0.9,
                    "f1_ci95": [0.83, 0.96],
                    "support": 52,
                },
                "Coat": {"precision": None, "recall": 0.94, "f1": None, "support": 48},
            },
        }
    },
    "formats": [
        {"format": item.name, "bytes": 500_000, "accuracy": 0.9, "same_labels": 100, "n": 100}
        for item in FORMATS
    ],
    "trained_by": "09_tuning",
    "seed": 0,
    "hashes": {"model": "m" * 64, "train": "r" * 64, "test": "t" * 64, "source": "s" * 64},
    "versions": {"keras": "3.15.1"},
    "cpu": "a processor",
}


def test_card_has_every_section_and_its_numbers():
    text = model_card.render(FACTS)
    for title in (
        "# Model card: Garments, residual CNN",
        "## Intended use",
        "## Data",
        "## Accuracy by class",
        "## Calibration",
        "## Limits",
        "## Watching it at work",
        "## Formats",
        "## Where it comes from",
    ):
        assert title in text
    assert "90.0% of 100 test images are told right (95% interval 82.6 to 94.5%)" in text
    assert "| Shirt | 0.940 (0.830–0.980) | 0.870 (0.750–0.940) | 0.900 (0.830–0.960) | 52 |" in text
    assert "| Coat | – | 0.940 | – | 48 |" in text
    assert "Its most frequent mistakes among 10: 7 × Shirt taken for Coat; 3 × Coat taken for Shirt." in text
    assert "Shirt 48.0%, Coat 52.0%" in text
    assert "28 × 28 grey pixels" in text
    assert "chosen by rule" in text


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("metrics", "test", "accuracy"), 0.5, "50.0% of 100 test images"),
        (("metrics", "test", "temperature"), 2.5, "temperature 2.500"),
        (("metrics", "test", "confusion"), [[52, 0], [0, 48]], "No test image is told wrong."),
        (("champion", "overridden"), True, "**chosen by hand**; the rule would have chosen tuned"),
        (("signature", "input", "shape"), [None, 64, 48, 3], "64 × 48 colour (red, green, blue) pixels"),
        (("profile",), "standard", "Profile of the run: standard."),
    ],
)
def test_changed_fact_changes_the_text(path, value, words):
    facts = copy.deepcopy(FACTS)
    part = facts
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert words in model_card.render(facts)
    assert words not in model_card.render(FACTS)
