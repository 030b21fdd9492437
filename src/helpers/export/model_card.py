"""Render the model card: the use of a version, its quality and its limits, from the facts of its manifest.

After M. Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from helpers import wording
from helpers.export.formats import FORMATS


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
    environment.filters |= {"plain": _plain, "percent": wording.percent}
    test, by_name = facts["metrics"]["test"], {row["format"]: row for row in facts["formats"]}
    card = environment.get_template("model_card.md.j2").render(
        facts,
        test=test,
        formats=[(item, by_name[item.name]) for item in FORMATS if not by_name[item.name]["left_out"]],
        predicted=np.sum(test["confusion"], axis=0) / np.sum(test["confusion"]),
        score=wording.score,
    )
    return re.sub(r"\n{3,}", "\n\n", card)  # where a conclusion is absent


def _plain(text: object) -> str:
    """Return text on one line, without meaning to Markdown: class names come from folders that anyone may name."""
    return wording.escape_markdown(" ".join(str(text).split()))
