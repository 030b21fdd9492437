"""Build a version whose model is trained on scikit-learn's digits for a few seconds, for tests of the page that tries it."""

import json
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import registry_versions
from helpers.export import formats, tfjs, version_facts
from helpers.export.registry import Registry
from helpers.export.versions import Version
from helpers.model import architectures
from helpers.obtain import data
from helpers.obtain.images import framing
from helpers.series import seeds

TRAINED = 1_000
"""The number of training images; those after them are the test images."""
CARD = f"""# Model card

Only a test.

| a | b |
|---|---|
| 1 | 2 |

```python
{"a_long_line_of_code = " * 12}
```
"""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return all images, `uint8 [N, 8, 8, 1]`, and labels, `int64 [N]`."""
    source = load_digits()
    return (source.images * 255 / 16).round().astype(np.uint8)[..., np.newaxis], source.target


def train() -> keras.Model:
    """Return a small residual CNN that classifies most digits correctly."""
    seeds.seed_tensorflow(0)
    images, labels = digits()
    model = architectures.residual_cnn(
        (8, 8, 1), 10, mean=[78.0], standard_deviation=[96.0], width=16, early_pooling=False
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    model.fit(images[:TRAINED].astype(np.float32), labels[:TRAINED], epochs=8, batch_size=50, verbose=0)
    return model


def publish(model: keras.Model, folder: Path, classes: tuple[str, ...], half_agrees: bool = True) -> Version:
    """Publish and promote a version of digits; `half_agrees` decides which of its two models the page gets."""
    content = registry_versions.content(folder)
    for path in (content / "tfjs").iterdir():
        path.unlink()
    (content / "tfjs").rmdir()
    graph = formats.browser_graph(model)
    tfjs.write(graph, content / "tfjs")
    tfjs.write(graph, content / "tfjs_half", half=True)
    images, labels = digits()
    test = data.Dataset(images[TRAINED:], labels[TRAINED:].astype(np.int64), classes)
    probabilities = np.asarray(model(test.images.astype(np.float32), training=False))
    version_facts.write_gallery(content / "gallery.npz", test, probabilities)
    (content / "model_card.md").write_text(CARD, encoding="utf-8")
    known = registry_versions.facts(
        classes=list(classes),
        signature={"input": {"name": "image", "shape": [None, 8, 8, 1]}},
        framing=asdict(framing.FRAMINGS["digits"]),
        data={"title": "scikit-learn's digits"},
        trained_by="09_tuning",
        formats=[{"format": "tfjs_half", "n": 1000, "same_labels": 1000 if half_agrees else 998}],
    )
    # the golden outputs are those of the registry's own small ONNX model, which has other classes
    registry = Registry("digits")
    version = registry.publish(content, json.loads(json.dumps(known)))
    return registry.promote(version.name)
