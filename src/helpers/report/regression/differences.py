"""What differs between the accepted run and the present one beside the scores: mistakes, figures, times, surroundings."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from helpers import paths
from helpers.report import collect
from helpers.report.html.pages import clock
from helpers.report.regression import accept, thumbnails
from helpers.report.regression import reference as accepted
from helpers.report.regression.comparisons import Pair
from helpers.wording import signed

GRID = 15  # classes up to which the whole matrix is shown
LARGEST = 12  # cells shown of a larger one
SLOWER, FASTER, NOISE = "slower", "faster", "noise"
RATIO, SECONDS = 1.5, 5.0


@dataclass(frozen=True)
class Cell:
    """One kind of answer before and after.

    Attributes:
        true: the class of the images.
        predicted: what they were taken for.
        before: how many images, in the accepted run.
        after: how many now.
    """

    true: str
    predicted: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        """How many more now."""
        return self.after - self.before

    @property
    def text(self) -> str:
        """The difference with its sign; a dot for none."""
        return signed(self.difference, 0) if self.difference else "·"

    @property
    def kind(self) -> str:
        """ "better", "worse" or "same": more on the diagonal is better, more elsewhere is worse."""
        gain = self.difference if self.true == self.predicted else -self.difference
        return "better" if gain > 0 else "worse" if gain < 0 else "same"


@dataclass(frozen=True)
class ConfusionChange:
    """The champion's confusion matrix now, less that of the accepted champion.

    Attributes:
        label: what the pair is called.
        class_names: K names.
        rows: K rows of K cells; rows are true classes.
    """

    label: str
    class_names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def whole(self) -> bool:
        """Whether the matrix is small enough to be shown whole."""
        return len(self.class_names) <= GRID

    @property
    def changed(self) -> list[Cell]:
        """The cells that changed, the most changed first."""
        cells = [cell for row in self.rows for cell in row if cell.difference]
        return sorted(cells, key=lambda cell: -abs(cell.difference))

    @property
    def largest(self) -> list[Cell]:
        """The most changed cells."""
        return self.changed[:LARGEST]


def confusion_change(pair: Pair) -> ConfusionChange:
    """Return what changed in the confusion matrix of a pair on the same images."""
    names, before, after = pair.after.class_names, pair.before.confusion, pair.after.confusion
    rows = tuple(
        tuple(
            Cell(true, predicted, int(before[row, column]), int(after[row, column]))
            for column, predicted in enumerate(names)
        )
        for row, true in enumerate(names)
    )
    return ConfusionChange(pair.label, names, rows)


@dataclass(frozen=True)
class Shown:
    """A figure to embed: a WebP file as base64, what it shows, and its size in pixels."""

    data: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class FigurePair:
    """A figure that changed.

    Attributes:
        record: the stage that drew it.
        name: its file in the stage's folder.
        before: the accepted one.
        after: the present one.
    """

    record: collect.Record
    name: str
    before: Shown
    after: Shown

    @property
    def title(self) -> str:
        """What the figure is called, after its file."""
        return PurePosixPath(self.name).stem.replace("_", " ")


def changed_figures(reference: accepted.AcceptedRun, series: collect.Series) -> list[tuple[str, str]]:
    """Return stage and file of each figure that is in both runs and not the same."""
    now = accept.figures(series)
    return [
        (stage, name)
        for stage, files in now.items()
        for name, digest in files.items()
        if reference.figures.get(stage, {}).get(name, digest) != digest
    ]


def figure_pairs(reference: accepted.AcceptedRun, series: collect.Series) -> list[FigurePair]:
    """Return the figures that changed and of which the reference kept a copy, both made equally small.

    Raises:
        OsemnError: a figure does not say what it shows, or changed while it was read.
    """
    changed, found = set(changed_figures(reference, series)), []
    for picture in reference.pictures:
        if (picture.stage, picture.name) not in changed:
            continue
        record = series.by_name[picture.stage]
        where = paths.shown(record.folder / picture.name)
        now = thumbnails.shrink(accepted.content_of(record, picture.name), where)
        kept = base64.b64encode((reference.folder / picture.file).read_bytes()).decode()
        found.append(
            FigurePair(
                record,
                picture.name,
                Shown(kept, picture.alt, picture.width, picture.height),
                Shown(now.data, now.alt, now.width, now.height),
            )
        )
    return found


@dataclass(frozen=True)
class TimeChange:
    """How long a stage took, in seconds.

    Attributes:
        title: what the stage is called.
        stage: its name; empty for all stages together.
        before: in the accepted run.
        after: in the present one.
    """

    title: str
    stage: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """How many times as long it took."""
        return self.after / self.before if self.before > 0 else float("inf") if self.after > 0 else 1.0

    @property
    def factor(self) -> str:
        """The ratio with two significant digits."""
        return f"{self.ratio:.2g}" if self.ratio < 99.5 else f"{self.ratio:,.0f}"

    @property
    def verdict(self) -> str:
        """ "slower" or "faster" by half and by five seconds at least; else "noise"."""
        if abs(self.after - self.before) < SECONDS or 1 / RATIO < self.ratio < RATIO:
            return NOISE
        return SLOWER if self.after > self.before else FASTER

    @property
    def sentence(self) -> str:
        """Tell the change in a sentence."""
        return f"{self.title}: {clock(self.before)} → {clock(self.after)} ({self.factor} times as long): {self.verdict}."


def time_changes(reference: accepted.AcceptedRun, series: collect.Series) -> list[TimeChange]:
    """Return the times of the stages that are known in both runs, and at last of all of them together."""
    now = accept.seconds(series)
    found = [
        TimeChange(record.stage.title, stage, float(reference.seconds[stage]), now[stage])
        for stage, record in series.by_name.items()
        if stage in now and stage in reference.seconds
    ]
    if found:
        total = (sum(change.before for change in found), sum(change.after for change in found))
        found.append(TimeChange("All stages together", "", *total))
    return found


def surroundings(reference: accepted.AcceptedRun, series: collect.Series) -> list[str]:
    """Return how machine, seeds and versions differ, in sentences; nothing where they are the same."""
    now = accept.environment(record.manifest for record in series.records if record.whole)
    found = []
    if reference.machines != tuple(now["machines"]):
        found.append(
            f"Another machine: {'; '.join(reference.machines)} → {'; '.join(now['machines'])}. Times differ for that alone."
        )
    if reference.seeds != tuple(now["seeds"]):
        found.append(f"Another seed: {', '.join(reference.seeds)} → {', '.join(now['seeds'])}.")
    changed = _changed_versions(reference.versions, now["versions"])
    if changed:
        found.append(f"Other versions: {'; '.join(changed)}.")
    return found


def _changed_versions(before: Mapping[str, tuple[str, ...]], after: Mapping[str, list[str]]) -> list[str]:
    return [
        f"{name} {' and '.join(before.get(name, ('none',)))} → {' and '.join(after.get(name, ('none',)))}"
        for name in sorted({*before, *after})
        if tuple(before.get(name, ())) != tuple(after.get(name, ()))
    ]
