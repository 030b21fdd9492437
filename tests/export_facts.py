"""The facts of a version, as the model card reads them."""

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
    "conclusions": {
        "test_accuracy": "90.0% of 100 test images are classified correctly.",
        "champion": "The rule chooses the tuned network.",
        "confusions": "Shirt is predicted as Coat 7 times.",
        "recommendation_1": "Collect shirts.",
        "recommendation_2": "Collect coats.",
        "parity": "All formats predict the same label.",
    },
    "formats": [
        {
            "format": item.name,
            "bytes": 500_000,
            "accuracy": 0.9,
            "same_labels": 100,
            "n": 100,
            "left_out": False,
        }
        for item in FORMATS
    ],
    "trained_by": "09_tuning",
    "seed": 0,
    "hashes": {"model": "m" * 64, "train": "r" * 64, "test": "t" * 64, "source": "s" * 64},
    "versions": {"keras": "3.15.1"},
    "cpu": "a processor",
}
