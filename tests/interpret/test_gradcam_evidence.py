"""Measurements on the maps, their figures and conclusions; a model without maps gets the reason instead."""

from dataclasses import replace

import keras
import notebook_code
import numpy as np
import pandas as pd
import pytest

from helpers import figures
from helpers.errors import OsemnError
from helpers.interpret import gradcam_conclusions as conclusions
from helpers.interpret import gradcam_evidence
from helpers.interpret import gradcam_plots as plots
from helpers.interpret.gradcam_checks import Randomised
from helpers.interpret.gradcam_evidence import Unmeasured
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


def test_model_without_convolution_gets_a_reason_in_place_of_maps_and_measurements():
    dense = notebook_code.functions("04_baseline")["dense_network"]((12, 12, 1), 3)
    explained = gradcam_evidence.explain(dense, rows())
    assert "no convolutional layer" in explained.reason
    assert "There are no Grad-CAM maps of the net" in conclusions.maps("net", explained).text
    chosen = gradcam_evidence.examples(explained, correct=True)
    assert len(chosen) == 0
    assert "no convolutional layer" in figures.alt_text(plots.panel(explained, chosen))
    for measured, draw, conclude in (
        (gradcam_evidence.measure_energy(explained), plots.energy, conclusions.where_it_looks),
        (gradcam_evidence.perturb(explained, 5, seed=0), plots.perturbation, conclusions.perturbation),
        (gradcam_evidence.randomise(explained, 5, seed=0), plots.randomisation, conclusions.randomisation),
    ):
        assert measured.as_metrics() == {}
        assert "no convolutional layer" in figures.alt_text(draw(measured))
        assert "no convolutional layer" in conclude("net", measured).text


def test_layer_that_does_not_exist_is_an_error():
    with pytest.raises(OsemnError, match="no layer 'nowhere'"):
        gradcam_evidence.explain(network(), rows(), layer="nowhere")


def test_measurements_of_a_convolutional_model_have_figures_numbers_and_conclusions():
    explained = gradcam_evidence.explain(network(), rows())
    energy = gradcam_evidence.measure_energy(explained)
    assert energy.as_metrics()["pixels"] == pytest.approx(0.25)
    assert len(energy.table) == 6
    perturbed = gradcam_evidence.perturb(explained, 8, seed=0)
    assert set(perturbed.as_metrics()) == {"deletion", "insertion"}
    randomised = gradcam_evidence.randomise(explained, 6, seed=0)
    assert isinstance(randomised.as_metrics()["fit"], bool)
    for figure, conclusion in (
        (plots.energy(energy), conclusions.where_it_looks("model", energy)),
        (plots.perturbation(perturbed), conclusions.perturbation("model", perturbed)),
        (plots.randomisation(randomised), conclusions.randomisation("model", randomised)),
    ):
        assert conclusion.text in figures.alt_text(figure)


@pytest.mark.parametrize(
    ("empty", "words"),
    [(0, "no map is empty."), (1, "one map is empty, because"), (2, "2 maps are empty, because")],
)
def test_empty_maps_are_counted_in_words(empty, words):
    explained = gradcam_evidence.explain(network(), rows())
    maps = np.ones_like(explained.maps)
    maps[:empty] = 0
    assert words in conclusions.maps("net", replace(explained, maps=maps)).text


@pytest.mark.parametrize(
    ("deletion", "words"),
    [
        (
            Mean(9, -0.15, (-0.19, -0.11)),
            "deletion lowers the area under the confidence curve significantly (−0.150, 95% interval −0.190 to −0.110), as expected of good maps",
        ),
        (
            Mean(9, 0.15, (0.11, 0.19)),
            "deletion raises the area under the confidence curve significantly (+0.150, 95% interval +0.110 to +0.190), the opposite of what",
        ),
        (
            Mean(9, 0.02, (-0.01, 0.05)),
            "deletion does not change the area under the confidence curve significantly (+0.020, 95% interval −0.010 to +0.050)",
        ),
        (
            Mean(1, 0.02, None),
            "deletion changes the area under the confidence curve by +0.020 (too few images for an interval)",
        ),
    ],
)
def test_perturbation_is_worded_by_its_interval(deletion, words, monkeypatch):
    gains = {"deletion": deletion, "insertion": Mean(9, 0.1, (0.05, 0.15))}
    monkeypatch.setattr(gradcam_evidence.Perturbation, "gains", gains)
    assert words in conclusions.perturbation("net", gradcam_evidence.Perturbation(9, {})).text


def by_class(*means: Mean) -> pd.DataFrame:
    """Return a table of correct predictions in the classes a, b, …"""
    index = pd.MultiIndex.from_product(
        [list("abcdef")[: len(means)], ["correct"]], names=["class", "prediction"]
    )
    return pd.DataFrame([vars(mean) for mean in means], index)


GOOD, BAD, OPEN = Mean(9, 0.1, (0.05, 0.15)), Mean(9, -0.1, (-0.15, -0.05)), Mean(9, 0.01, (-0.05, 0.06))
FEW = Mean(1, 0.1, None)


@pytest.mark.parametrize(
    ("over", "classes", "words"),
    [
        (GOOD, (GOOD, FEW), "prefer the object significantly. In every class with enough images, those of correct"),
        (GOOD, (GOOD, OPEN, BAD), "prefer the background in c (−10.0 points, −15.0 to −5.0); they prefer neither significantly in b (+1.0"),
        (BAD, (BAD,), "prefer the background significantly."),
        (OPEN, (OPEN,), "prefer neither object nor background significantly."),
        (FEW, (FEW,), "There are too few maps to say whether they prefer the object."),
    ],
)  # fmt: skip
def test_where_it_looks_is_worded_by_its_intervals(over, classes, words):
    energy = gradcam_evidence.Energy(by_class(*classes), GOOD, Mean(0, None, None), over, 0.25)
    text = conclusions.where_it_looks("net", energy).text
    assert words in text, text
    assert (
        "is +10.0 points (95% interval +5.0 to +15.0) where the prediction is correct and unknown (no such"
        in text
    )


def test_maps_without_preference_have_none_however_large_the_object_is():
    """Large objects are misclassified more often: with one yardstick for all images, flat maps would prefer them."""
    images = np.zeros((40, 12, 12, 1), np.uint8)
    images[:20, 1:11, 1:11] = images[20:, 4:8, 4:8] = 200
    part = data.Dataset(images, np.repeat([0, 1], 20), ("large", "small"))
    probabilities = np.tile([0.1, 0.9], (40, 1))  # every large one is misclassified
    maps = np.random.default_rng(0).random((40, 12, 12)).astype(np.float32)
    explained = gradcam_evidence.Explained(None, part, probabilities, "any", maps, "layer", "")
    energy = gradcam_evidence.measure_energy(explained)
    assert energy.incorrect.ci95[0] < 0 < energy.incorrect.ci95[1]
    assert abs(energy.incorrect.value) < 0.02
    looking = replace(explained, maps=np.where(images[..., 0] > 0, 3, 1) * maps)
    assert gradcam_evidence.measure_energy(looking).incorrect.ci95[0] > 0


@pytest.mark.parametrize(
    ("correlation", "deletion", "words"),
    [
        (
            Mean(9, 0.1, (0.0, 0.2)),
            Mean(9, -0.1, (-0.15, -0.05)),
            "are fit for evidence: they depend on its weights",
        ),
        (
            Mean(9, 0.8, (0.7, 0.9)),
            Mean(9, -0.1, (-0.15, -0.05)),
            "are not fit for evidence: they do not depend",
        ),
        (
            Mean(9, 0.1, (0.0, 0.2)),
            Mean(9, -0.1, (-0.25, 0.05)),
            "are not fit for evidence: deleting what they mark",
        ),
    ],
)
def test_maps_are_evidence_only_if_they_pass_both_checks(correlation, deletion, words, monkeypatch):
    monkeypatch.setattr(gradcam_evidence.Perturbation, "gains", {"deletion": deletion})
    randomised = Randomised((3,), ("first",), (correlation,))
    conclusion = conclusions.evidence("net", gradcam_evidence.Perturbation(9, {}), randomised)
    assert words in conclusion.text
    assert conclusion.numbers["fit"] == ("are fit" in words)
    assert "no Grad-CAM maps" in conclusions.evidence("net", Unmeasured("None."), randomised).text


def test_where_the_background_is_not_black_energy_is_not_measured():
    explained = gradcam_evidence.explain(network(3), rows(black=False, channels=3))
    energy = gradcam_evidence.measure_energy(explained)
    assert isinstance(energy, Unmeasured)
    assert "no black background" in energy.reason


def test_misclassified_images_have_a_map_for_the_true_class_next_to_the_other():
    explained = gradcam_evidence.explain(network(), rows())
    chosen = gradcam_evidence.examples(explained, correct=False)
    assert not explained.correct[chosen].any()
    figure = plots.panel(explained, chosen, true_class=True)
    titles = [axis.get_title() for axis in figure.axes]
    assert sum(title.startswith("→ ") for title in titles) == len(chosen)
    assert sum(title.startswith("for ") for title in titles) == len(chosen)
    assert f"{len(chosen)} images" in figures.alt_text(figure)
    assert figures.alt_text(figure).count("predicted as") == len(chosen)


def test_maps_of_one_image_are_drawn_side_by_side_with_their_classes_and_probabilities():
    image, heat = rows().images[0], np.linspace(0, 1, 144, dtype=np.float32).reshape(12, 12)
    figure = plots.maps_of_one(image, {2: heat, 0: heat.T}, np.array([0.25, 0.05, 0.7]), ("a", "b", "c"))
    assert len(figure.axes) == 5
    assert figures.alt_text(figure) == "Grad-CAM maps of one image: for c (70%), for a (25%)."
    assert np.array_equal(figure.axes[3].images[0].get_array(), heat.T)
