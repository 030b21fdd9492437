"""The conclusions of a stage: worded once, logged with their numbers, and printed wherever they are needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from helpers import wording

KEY = "conclusions"  # in metrics.json


@dataclass(frozen=True)
class Conclusion:
    """A statement with the numbers behind it.

    In a notebook, a cell that ends with a conclusion shows its text.

    Attributes:
        id: its name within the stage, such as `"calibration"`.
        text: one or two sentences, without markup.
        numbers: the numbers in the text by name; plain JSON values.
        test: the test or interval behind it, such as `"McNemar's test, 10,000 test images"`; empty if there is none.
        source: the file that holds the numbers, relative to the run's folder, or several; if empty, `Run.conclude` fills it in.
    """

    id: str
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    test: str = ""
    source: str = ""

    def from_file(self, source: str) -> "Conclusion":
        """Return the same conclusion with the file that holds its numbers."""
        return replace(self, source=source)

    def _repr_markdown_(self) -> str:
        return wording.escape_markdown(self.text)


class Conclusions(tuple[Conclusion, ...]):
    """Some conclusions; a notebook shows one as a paragraph, several as a list."""

    def _repr_markdown_(self) -> str:
        if len(self) == 1:
            return self[0]._repr_markdown_()
        return "\n".join(f"- {wording.escape_markdown(conclusion.text)}" for conclusion in self)


def read(metrics: Mapping[str, Any]) -> dict[str, Conclusion]:
    """Return the conclusions in a stage's metrics, by id; empty if it logged none.

    Args:
        metrics: the content of the stage's `metrics.json`.
    """
    return {entry["id"]: Conclusion(**entry) for entry in metrics.get(KEY, [])}


def as_metrics(conclusions: Iterable[Conclusion]) -> list[dict[str, Any]]:
    """Return conclusions as plain JSON."""
    return [dict(vars(conclusion)) for conclusion in conclusions]
