"""Differences between the accepted run and the present one beside the scores: confusions, machine, seeds, versions."""

from dataclasses import dataclass

from helpers.report import collect, provenance
from helpers.report.regression.comparisons import Pair
from helpers.report.regression.reference import AcceptedRun
from helpers.wording import signed

GRID = 15  # classes: a larger matrix does not fit on a page
LARGEST = 12  # cells listed of a larger matrix


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix, before and after.

    Attributes:
        true: the true class.
        predicted: the predicted class.
        before: number of images in the accepted run.
        after: number of images now.
    """

    true: str
    predicted: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        """The change in the number of images."""
        return self.after - self.before

    @property
    def text(self) -> str:
        """The change with its sign; a dot for none."""
        return signed(self.difference, 0) if self.difference else "·"

    @property
    def kind(self) -> str:
        """The direction: "better", "worse" or "same". More images on the diagonal are better, elsewhere worse."""
        gain = self.difference if self.true == self.predicted else -self.difference
        return "better" if gain > 0 else "worse" if gain < 0 else "same"


@dataclass(frozen=True)
class ConfusionChange:
    """The champion's confusion matrix minus that of the accepted champion.

    Attributes:
        class_names: K names.
        rows: K rows of K cells; rows are true classes.
    """

    class_names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def complete(self) -> bool:
        """True if the matrix is small enough for a page."""
        return len(self.class_names) <= GRID

    @property
    def changed(self) -> list[Cell]:
        """The cells that changed, largest change first."""
        cells = [cell for row in self.rows for cell in row if cell.difference]
        return sorted(cells, key=lambda cell: -abs(cell.difference))

    @property
    def largest(self) -> list[Cell]:
        """The cells with the largest changes."""
        return self.changed[:LARGEST]


def confusion_change(pair: Pair) -> ConfusionChange:
    """Return the change of the confusion matrix of a pair on the same images."""
    names, before, after = pair.after.class_names, pair.before.confusion, pair.after.confusion
    rows = tuple(
        tuple(
            Cell(true, predicted, int(before[row, column]), int(after[row, column]))
            for column, predicted in enumerate(names)
        )
        for row, true in enumerate(names)
    )
    return ConfusionChange(names, rows)


def environment_changes(reference: AcceptedRun, series: collect.Series) -> list[str]:
    """Return the differences in machine, seeds and versions as sentences; empty where they are the same."""
    then = reference.environment
    now = provenance.environment(record.manifest for record in series.records if record.intact)
    sentences = []
    if then["machines"] != now["machines"]:
        sentences.append(f"Another machine: {'; '.join(then['machines'])} → {'; '.join(now['machines'])}.")
    if then["seeds"] != now["seeds"]:
        sentences.append(f"Another seed: {', '.join(then['seeds'])} → {', '.join(now['seeds'])}.")
    before, after = (
        {name: " and ".join(versions) for name, versions in side["versions"].items()} for side in (then, now)
    )
    changed = [
        f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return [*sentences, f"Other versions: {'; '.join(changed)}."] if changed else sentences
