"""The notebook's evidence goes on without maps where there can be none, and says why."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.errors import OsemnError
from helpers.interpret import gradcam_evidence
from helpers.interpret import gradcam_plots as plots
from helpers.model import architectures
from helpers.obtain import data
from helpers.scoring import Mean

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def rows(black: bool = True, channels: int = 1) -> data.Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(60, 256, (30, 12, 12, channels), dtype=np.uint8)
    if black:
        images[:, :3] = images[:, 9:] = 0
        images[:, :, :3] = images[:, :, 9:] = 0
    return data.Dataset(images, np.arange(30) % 3, ("a", "b", "c"))


def network(channels: int = 1) -> keras.Model:
    statistics = {"mean": [60.0] * channels, "standard_deviation": [60.0] * channels}
    return architectures.residual_cnn((12, 12, channels), 3, **statistics, width=8)


def test_model_without_convolution_has_no_maps_and_no_evidence_but_figures():
    found = gradcam_evidence.explain(architectures.dense_network((12, 12, 1), 3), rows())
    assert "no convolutional layer" in found.reason
    assert "There are no maps" in found.sentence
    chosen = gradcam_evidence.examples(found, right=True)
    assert len(chosen) == 0
    assert isinstance(
        plots.panel(rows().images[chosen], *gradcam_evidence.panel(found, chosen), nothing=found.nothing),
        Figure,
    )
    for evidence in (
        gradcam_evidence.energy(found),
        gradcam_evidence.perturb(found, 5, seed=0),
        gradcam_evidence.randomise(found, 5, seed=0),
    ):
        assert "no convolutional layer" in evidence.sentence
        assert evidence.metrics == {}
        assert isinstance(evidence.figure(), Figure)


def test_layer_that_was_asked_for_and_does_not_exist_is_an_error():
    with pytest.raises(OsemnError, match="no layer 'nowhere'"):
        gradcam_evidence.explain(network(), rows(), layer="nowhere")


def test_evidence_of_a_convolutional_model_has_figures_numbers_and_words():
    found = gradcam_evidence.explain(network(), rows())
    energy = gradcam_evidence.energy(found)
    assert 0 <= energy.metrics["pixels"] <= 1
    assert energy.metrics["pixels"] == pytest.approx(0.25)
    assert len(energy.table) == 6
    perturbed = gradcam_evidence.perturb(found, 8, seed=0)
    assert set(perturbed.metrics) == {"deletion", "insertion"}
    randomised = gradcam_evidence.randomise(found, 6, seed=0)
    assert isinstance(randomised.metrics["fit"], bool)
    for evidence in (energy, perturbed, randomised):
        assert isinstance(evidence.figure(), Figure)
        assert evidence.sentence.replace("**", "") in evidence.alt


@pytest.mark.parametrize(
    ("empty", "words"),
    [(0, "no map is empty."), (1, "one map is empty, because"), (2, "2 maps are empty, because")],
)
def test_empty_maps_are_counted_in_words(empty, words):
    found = gradcam_evidence.explain(network(), rows())
    maps = np.ones_like(found.maps)
    maps[:empty] = 0
    assert words in replace(found, maps=maps).sentence


@pytest.mark.parametrize(
    ("mean", "wanted", "words"),
    [
        (
            Mean(9, -0.15, (-0.19, -0.11)),
            -1,
            "0.150 smaller than in random order (-0.190 to -0.110), as it should be",
        ),
        (
            Mean(9, 0.15, (0.11, 0.19)),
            -1,
            "0.150 larger than in random order (+0.110 to +0.190), **the wrong way round**",
        ),
        (
            Mean(9, 0.02, (-0.01, 0.05)),
            1,
            "**not shown to differ** from random order (+0.020, -0.010 to +0.050)",
        ),
    ],
)
def test_perturbation_is_worded_by_its_interval(mean, wanted, words):
    assert gradcam_evidence.gain_words(mean, wanted) == words


def test_where_the_background_is_not_black_energy_says_so():
    found = gradcam_evidence.explain(network(3), rows(black=False, channels=3))
    assert "no black background" in gradcam_evidence.energy(found).sentence


def test_wrong_predictions_have_a_map_for_the_true_class_beside_the_other():
    found = gradcam_evidence.explain(network(), rows())
    chosen = gradcam_evidence.examples(found, right=False)
    maps, captions = gradcam_evidence.panel(found, chosen, true_class=True)
    assert len(maps) == 2
    assert all(values.shape == (len(chosen), 12, 12) for values in maps)
    assert all(len(texts) == 3 for texts in captions)
    assert isinstance(plots.panel(rows().images[chosen], maps, captions, nothing=""), Figure)
    assert not found.right[chosen].any()
