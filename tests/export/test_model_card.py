"""The model card prints the conclusions and the numbers of a version, and changes with them."""

import copy

import mistune
import pytest
from huggingface_hub import ModelCard

from export_facts import FACTS
from helpers.export import model_card
from helpers.series import manifests


def test_card_has_every_section_and_its_numbers():
    text = model_card.render(FACTS)
    for title in (
        "# Model card: Garments, residual CNN",
        "## Intended use",
        "## Data",
        "## Accuracy by class",
        "## Calibration",
        "## Where it looks",
        "## Limits",
        "## Monitoring",
        "## Formats",
        "## Provenance",
    ):
        assert title in text
    assert "| Shirt | 0.940 (0.830–0.980) | 0.870 (0.750–0.940) | 0.900 (0.830–0.960) | 52 |" in text
    assert "| Coat | – | 0.940 | – | 48 |" in text
    assert "Shirt 48.0%, Coat 52.0%" in text
    assert "28 × 28 grey pixels" in text
    assert "\n\n\n" not in text


def test_template_belongs_to_the_source_of_the_export():
    _, files = manifests.source_files("10_export")
    assert "model_card.md.j2" in {file.name for file in files}


def test_card_prints_the_conclusions_of_the_stages():
    text = model_card.render(FACTS)
    for conclusion in FACTS["conclusions"].values():
        assert conclusion in text
    assert "- Collect shirts.\n- Collect coats.\n" in text
    assert "Grad-CAM checks of this model had not been run" in text
    looked = FACTS["conclusions"] | {"where_it_looks": "Most of the heat lies on the garment."}
    text = model_card.render({**FACTS, "conclusions": looked})
    assert "Most of the heat lies on the garment." in text
    assert "had not been run" not in text


def test_class_names_and_conclusions_have_no_meaning_to_markdown():
    names = ["a|b*c", "<i>\n# Coat"]
    facts = copy.deepcopy(FACTS)
    scores = facts["metrics"]["test"]["per_class"]
    facts["metrics"]["test"]["per_class"] = dict(zip(names, scores.values(), strict=True))
    facts |= {"classes": names, "conclusions": {"confusions": "[a|b*c] is predicted as <i>."}}
    text = model_card.render(facts)
    assert "| a\\|b\\*c | 0.940" in text
    assert "| \\<i\\> \\# Coat | – |" in text
    assert "\\[a\\|b\\*c\\] is predicted as \\<i\\>." in text
    html = mistune.create_markdown(escape=True, plugins=["table"])(text)
    assert "<td>a|b*c</td>" in html
    assert "<td>&lt;i&gt; # Coat</td>" in html


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("conclusions", "test_accuracy"), "50.0% of 100 test images", "50.0% of 100 test images"),
        (("metrics", "test", "temperature"), 2.5, "divide the logits by the temperature 2.500"),
        (("metrics", "test", "exponent"), 1.75, "to the power 1.750, divide it by the temperature 0.660"),
        (("metrics", "test", "confusion"), [[52, 0], [0, 48]], "Shirt 52.0%, Coat 48.0%"),
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


def test_the_hub_reads_the_scores_from_the_head_of_the_card():
    card = ModelCard(model_card.front_matter(FACTS) + model_card.render(FACTS))
    results = {one.metric_name: one for one in card.data.eval_results}
    assert (results["Accuracy"].metric_value, results["Macro-F1"].metric_value) == (0.9, 0.899)
    assert results["Accuracy"].dataset_name == "Garments"
    assert results["Accuracy"].task_type == "image-classification"
    assert card.data.model_name == "residual CNN, 16 channels"
    assert card.text.startswith("# Model card")


def test_card_says_what_the_model_does_with_images_of_none_of_its_classes():
    without = model_card.render(FACTS)
    assert "was not tested with images from other sources, of other kinds" in without
    conclusions = {**FACTS["conclusions"], "unknown": "Of 200 digits, 97.0% are rejected."}
    card = model_card.render({**FACTS, "conclusions": conclusions})
    assert "checked and served. Of 200 digits, 97.0% are rejected. It is not made for decisions" in " ".join(
        card.split()
    )
    assert "It has no class for anything else" in without
    assert "It has no class for anything else" not in card
    assert "was not tested with images of its classes from other sources" in card
