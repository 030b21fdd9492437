"""Sentences of earlier reports that their own numbers did not bear out are in no notebook and in no helper."""

import ast
import json
import re

import pytest

from helpers import paths

# the sentence as it was printed: the pattern that finds it, and any other wording with the same fault
FALSE = {
    "**Yes**: fine-tuned beats the tuned residual CNN": r"\*\*Yes\*\*:",
    "still improving in its last epochs: a longer schedule may help": r"still improving|longer schedule may help",
    "48 of 48 compared scores differ by noise only": r"\bnoise only|only noise\b",
    "looks more at the object than chance would": r"than chance would",
    "Coat and Shirt: expect mistakes there first": r"expect mistakes there",
    "the last row is the policy as training uses it": r"as training uses it",
    "At most 3,315 pictures a second": r"[Aa]t most [\d,{}]+ (pictures|images) (a|per) second",
    "Dropout and batch normalisation work only while training": r"[Bb]atch normalisation (work|is active|are active) only",
    "A stratified subset of the training part is what all heads are fitted on": r"subset [^.]*all heads are fitted",
    "two to three minutes on two cores at quick": r"(one|two|three|four|half|\d) (to \w+ )?minutes? on two cores",
    "Accuracy below 92.8% there is a loss": r"there is a loss",
    "a disagreement ends the export here": r"disagreement ends the export",
    "On all images of this kind its accuracy lies within 92.8% to 93.7%": r"images of this kind|accuracy lies within",
    "Collect or re-label images of Shirt": r"[Cc]ollect or re-?label",
    "no imbalance shown (test of uniformity, p > 0.999)": r"no imbalance shown",
}


@pytest.fixture(scope="module")
def prose() -> str:
    """Return the text cells of all notebooks and the strings of all helpers, with {} for what a string fills in."""
    root, texts = paths.project_root(), []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    for path in sorted((root / "src" / "helpers").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(" ".join(text.split()) for text in texts)


@pytest.mark.parametrize(("sentence", "pattern"), FALSE.items(), ids=FALSE)
def test_a_sentence_that_was_found_false_does_not_come_back(sentence: str, pattern: str, prose: str) -> None:
    assert re.search(pattern, sentence), "the pattern finds the sentence itself"
    hit = re.search(f".{{0,60}}(?:{pattern}).{{0,60}}", prose)
    assert not hit, f"“{sentence}” was found false: {hit and hit.group()}"
