"""The choice of a backbone by a cross-validated head on the features of a sample."""

import numpy as np
import pandas as pd
import pytest

from helpers.errors import UsageError
from helpers.model.backbones import choice, features
from helpers.series.metrics import Metric

ACCURACY = Metric("accuracy")
LABELS = np.arange(120, dtype=np.int64) % 3


def rows(signal: float, seed: int = 0) -> np.ndarray:
    """Return features whose classes are as far apart as the signal says, `float32 [120, 16]`."""
    generator = np.random.default_rng(seed)
    return (signal * np.eye(16)[LABELS] + generator.normal(size=(120, 16))).astype(np.float32)


@pytest.fixture
def backbones(monkeypatch):
    """Replace the passes through networks by features of a given quality; return what was asked of them."""
    asked = []

    class Source:
        def __init__(self, name, shape, resolution, interpolation):
            self.name, self.base = name, self
            asked.append((name, shape, resolution))

        def count_params(self):
            return 1_000

    def install(**signals):
        def extract(source, images, progress):
            where = images[:, 0, 0, 0].astype(int)  # the first pixel holds the row's number
            return features.Features(rows(signals[source.name])[where], 1.0, False, None)

        monkeypatch.setattr(choice.features, "extractor", Source)
        monkeypatch.setattr(choice.features, "extract", extract)
        return asked

    return install


def images(side: int) -> np.ndarray:
    numbered = np.zeros((120, side, side, 1), np.uint8)
    numbered[:, 0, 0, 0] = np.arange(120)
    return numbered


def chosen(**options) -> choice.Choice:
    names = ["efficientnet_lite2", "efficientnet_lite0", "efficientnet_lite1"]
    settings = {"metric": ACCURACY, "sample": 90, **options}
    return choice.choose(names, images, LABELS, np.arange(120), **settings)


def test_clearly_better_backbone_is_chosen_although_it_is_larger(backbones):
    backbones(efficientnet_lite0=0.3, efficientnet_lite1=0.3, efficientnet_lite2=4.0)
    result = chosen()
    assert result.winner == "efficientnet_lite2"
    assert result.table["backbone"].tolist() == [f"efficientnet_lite{number}" for number in range(3)]
    assert result.rule() == (
        "EfficientNet-Lite2 has the best accuracy, by a linear head on frozen features, cross-validated on 90 training images."
    )


def test_smallest_backbone_is_chosen_among_equals(backbones):
    backbones(efficientnet_lite0=2.0, efficientnet_lite1=2.0, efficientnet_lite2=2.0)
    assert chosen().winner == "efficientnet_lite0"


def test_each_backbone_sees_the_sample_at_its_own_resolution_or_at_the_one_asked_for(backbones):
    asked = backbones(efficientnet_lite0=2.0, efficientnet_lite1=2.0, efficientnet_lite2=2.0)
    result = chosen()
    assert [(shape[0], side) for _, shape, side in asked] == [(224, 224), (240, 240), (260, 260)]
    assert result.images == 90
    assert set(chosen(resolution=64).table["resolution"]) == {64}


def test_rule_names_the_larger_backbone_that_a_smaller_one_nearly_equals():
    table = pd.DataFrame(
        {
            "backbone": ["efficientnet_lite0", "efficientnet_lite1"],
            "value": [0.80, 0.81],
            "standard_error": [0.02, 0.02],
        }
    )
    assert choice.smallest_near_best(table) == 0
    assert choice.smallest_near_best(table.assign(standard_error=0.005)) == 1
    rule = choice.Choice("efficientnet_lite0", table, Metric("macro_f1"), 500).rule()
    assert rule.startswith("EfficientNet-Lite1 has the best macro-F1")
    assert rule.endswith("EfficientNet-Lite0 is smaller and within one standard error of it.")


def test_images_of_a_group_never_tell_each_other_apart():
    """Features that only recognise the group are worth nothing where groups stay together."""
    groups = np.repeat(np.arange(40), 3)
    labels = np.random.default_rng(1).permutation(40)[groups] % 2
    values = np.eye(40, dtype=np.float32)[groups]
    assert choice.score(values, labels, np.arange(120), 2, ACCURACY, 0)[0] == 1.0
    assert choice.score(values, labels, groups, 2, ACCURACY, 0)[0] < 0.7


def test_unknown_backbone_is_refused():
    with pytest.raises(UsageError, match="efficientnet_lite9"):
        choice.choose(["efficientnet_lite9"], images, LABELS, np.arange(120), metric=ACCURACY)
