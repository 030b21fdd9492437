"""The model card: what a version is for, how good it is, and when to distrust it; rendered from its manifest's facts.

After M. Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers import wording
from helpers.export.formats import FORMATS


def render(facts: Mapping[str, Any]) -> str:
    """Return the model card as Markdown.

    Args:
        facts: as `facts.collect` returns them: the manifest of a version without its files.
    """
    parts = (
        _head(facts),
        _use(facts),
        _data(facts),
        _accuracy(facts),
        _calibration(facts),
        _limits(facts),
        _drift(facts),
        _formats(facts),
        _origin(facts),
    )
    return "\n\n".join(parts) + "\n"


def _head(facts: Mapping[str, Any]) -> str:
    test, data = facts["metrics"]["test"], facts["data"]
    champion = facts["champion"]
    how = (
        f"It was **chosen by hand**; the rule would have chosen {champion['by_rule']}."
        if champion["overridden"]
        else "It was chosen by rule: the cheapest candidate that is not significantly worse than the best on validation images "
        "(McNemar's exact test, α = 0.05)."
    )
    return (
        f"# Model card: {data['title']}, {facts['label']}\n\n"
        f"{wording.percent(test['accuracy'])} of {test['n']:,} test images are told right "
        f"(95% interval {wording.interval(*test['accuracy_ci95'])}), macro-F1 {test['macro_f1']:.3f}.\n\n"
        f"The candidate `{facts['candidate']}` is the champion among {wording.listing(champion['candidates'])}. {how}"
    )


def _use(facts: Mapping[str, Any]) -> str:
    height, width, channels = facts["signature"]["input"]["shape"][1:]
    colour = "grey" if channels == 1 else "colour (red, green, blue)"
    return (
        "## Intended use\n\n"
        f"Tells which of {len(facts['classes'])} classes a picture of {height} × {width} {colour} pixels shows: "
        f"{', '.join(facts['classes'])}. Pixels are raw values from 0 to 255; normalisation and resizing are inside the model. "
        "It is made for pictures like those of its data set and for learning how such a model is built, checked and served; "
        "it has no class for anything else, and names one of its classes whatever it is shown. Not for decisions about people."
    )


def _data(facts: Mapping[str, Any]) -> str:
    data = facts["data"]
    return (
        "## Data\n\n"
        f"{data['about']} Licence: {data['licence']}. {data['counts']['train']:,} images for training and validation, "
        f"{data['counts']['test']:,} sealed until the evaluation; split: {data['split']}. First fetched from: "
        f"{data['first_source']}. Profile of the run: {facts['profile']}."
    )


def _accuracy(facts: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            *(wording.score(found, key) for key in ("precision", "recall", "f1")),
            f"{found['support']:,}",
        )
        for name in facts["classes"]
        for found in [facts["metrics"]["test"]["per_class"][name]]
    ]
    return "## Accuracy by class\n\nOn the test images, with 95% intervals.\n\n" + _table(
        ("class", "precision", "recall", "F1", "images"), rows
    )


def _calibration(facts: Mapping[str, Any]) -> str:
    test = facts["metrics"]["test"]
    return (
        "## Calibration\n\n"
        f"The model's probabilities are as trained; their expected calibration error is {test['ece']:.3f} (15 bins). Divided by "
        f"the temperature {test['temperature']:.3f}, which was fitted on validation images, the logits give {test['ece_scaled']:.3f}. "
        "The temperature is in `manifest.json`; no label depends on it."
    )


def _limits(facts: Mapping[str, Any]) -> str:
    test = facts["metrics"]["test"]
    lines = [f"- {text}" for text in test["recommendations"]]
    return (
        "## Limits\n\n"
        f"{_confusions(test['confusion'], facts['classes'])}\n\n"
        + ("The evaluation recommends:\n\n" + "\n".join(lines) + "\n\n" if lines else "")
        + "Nothing was tried with pictures from other sources, of other kinds, or made to deceive."
    )


def _confusions(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    counts = np.array(confusion)
    np.fill_diagonal(counts, 0)
    pairs = [(int(counts[row, column]), row, column) for row, column in zip(*np.nonzero(counts), strict=True)]
    if not pairs:
        return "No test image is told wrong."
    texts = [
        f"{count} × {classes[row]} taken for {classes[column]}"
        for count, row, column in sorted(pairs, reverse=True)[:5]
    ]
    return f"Its most frequent mistakes among {counts.sum():,}: {'; '.join(texts)}."


def _drift(facts: Mapping[str, Any]) -> str:
    shares = facts["metrics"]["test"]
    return (
        "## Watching it at work\n\n"
        "Labels arrive late or never, so watch what arrives at once: how often each class is predicted (on test images "
        f"{_predicted_shares(shares['confusion'], facts['classes'])}), confidence, and brightness and contrast of the pictures. "
        "When they move, look at the pictures first; measure accuracy on a freshly labelled sample of a few hundred before "
        f"training again. Accuracy below {wording.percent(shares['accuracy_ci95'][0])} there, beyond its own interval, is a loss."
    )


def _predicted_shares(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    counts = np.array(confusion).sum(axis=0)
    return ", ".join(
        f"{name} {wording.percent(count / counts.sum())}" for name, count in zip(classes, counts, strict=True)
    )


def _formats(facts: Mapping[str, Any]) -> str:
    by_name = {row["format"]: row for row in facts["formats"]}
    rows = [
        (
            f"`{item.file}`",
            item.title,
            item.used_by,
            f"{by_name[item.name]['bytes'] / 1e6:.2f} MB",
            wording.percent(by_name[item.name]["accuracy"]),
            f"{by_name[item.name]['same_labels']:,} of {by_name[item.name]['n']:,}",
        )
        for item in FORMATS
    ]
    return (
        "## Formats\n\n"
        "Each takes raw pixels, any number of images, and was scored on all test images in a process of its own.\n\n"
        + _table(("file", "format", "for", "size", "test accuracy", "same label as Keras"), rows)
        + "\n\n```python\nimport numpy as np, onnxruntime\n"
        'session = onnxruntime.InferenceSession("model.onnx")\n'
        'probabilities = session.run(["probabilities"], {"image": images.astype(np.float32)})[0]  # images: [N, H, W, C], 0–255\n```'
    )


def _origin(facts: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(facts["versions"].items()))
    return (
        "## Where it comes from\n\n"
        f"Trained by `{facts['trained_by']}`, seed {facts['seed']}; sha256 of the Keras file `{facts['hashes']['model']}`, of the "
        f"training images `{facts['hashes']['train']}`, of the test images `{facts['hashes']['test']}`, of the code that exported it "
        f"`{facts['hashes']['source']}`. {versions}; {facts['cpu']}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
