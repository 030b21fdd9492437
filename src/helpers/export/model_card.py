"""Render the model card: the use of a version, its quality and its limits, from the facts of its manifest.

After M. Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from helpers import wording
from helpers.export.formats import FORMATS


def front_matter(facts: Mapping[str, Any]) -> str:
    """Return the head of a model card's file: the metadata that the Hugging Face hub reads, with `model-index`.

    Args:
        facts: from `version_facts.collect`.

    Source: https://huggingface.co/docs/hub/model-cards

    Example:
        `path.write_text(model_card.front_matter(facts) + text)`
    """
    test = facts["metrics"]["test"]
    scores = [
        {"type": kind, "name": name, "value": round(test[key], 4)}
        for kind, name, key in (("accuracy", "Accuracy", "accuracy"), ("f1", "Macro-F1", "macro_f1"))
    ]
    title = facts["data"]["title"]
    data = {"name": title, "type": title.lower(), "split": "test"}
    result = {"task": {"type": "image-classification"}, "dataset": data, "metrics": scores}
    head = {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["onnx", "tflite", "tensorflow.js"],
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": facts["label"], "results": [result]}],
    }
    return f"---\n{yaml.safe_dump(head, allow_unicode=True, sort_keys=False)}---\n"


def render(facts: Mapping[str, Any]) -> str:
    """Return the model card as Markdown.

    Args:
        facts: from `version_facts.collect`: the manifest of a version without its files.

    Example:
        `model_card.render(version_facts.collect(run, choice, chosen, rows))`
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": wording.escape_markdown, "percent": wording.percent}
    test, by_name = facts["metrics"]["test"], {row["format"]: row for row in facts["formats"]}
    card = environment.get_template("model_card.md.j2").render(
        facts,
        test=test,
        formats=[(item, by_name[item.name]) for item in FORMATS if not by_name[item.name]["left_out"]],
        predicted=np.sum(test["confusion"], axis=0) / np.sum(test["confusion"]),
        score=wording.score,
    )
    return re.sub(r"\n{3,}", "\n\n", card)  # where a conclusion is absent
