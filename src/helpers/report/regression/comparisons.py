"""Compares candidates before and after: each score, and whether its difference is significant."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from helpers import wording
from helpers.report.regression import significance
from helpers.report.regression.reference import AcceptedCandidate
from helpers.report.regression.significance import TestedChange
from helpers.wording import capital

IMPROVEMENT, REGRESSION, NOT_SIGNIFICANT = "improvement", "regression", "not significant"
UNCHANGED, NOT_TESTED = "unchanged", "not tested"
ACCURACY, MACRO_F1, RECALL, CALIBRATION = "accuracy", "macro-F1", "recall", "calibration error"


@dataclass(frozen=True)
class Pair:
    """Two candidates to compare: the same one before and after, or two champions.

    Attributes:
        label: the pair's name in sentences.
        before: the candidate of the accepted run.
        after: the candidate of the present run.
    """

    label: str
    before: AcceptedCandidate
    after: AcceptedCandidate

    @property
    def paired(self) -> bool:
        """True if both predicted the same images, by the hashes of labels and images.

        The labels alone are not enough: those of an image folder are sorted, and so may be equal for other images.
        """
        images = {side.images_sha256 for side in (self.before, self.after)} - {""}
        return self.before.labels_sha256 == self.after.labels_sha256 and len(images) < 2

    @property
    def unchanged(self) -> bool:
        """True if every image has the same prediction."""
        return self.paired and np.array_equal(self.before.predicted, self.after.predicted)


@dataclass(frozen=True)
class Change:
    """The change of one score of a pair.

    Attributes:
        label: the pair's name.
        score: "accuracy", "macro-F1", "recall" or "calibration error".
        of_class: the class of a recall; empty for other scores.
        before: in the accepted run.
        after: in the present run.
        interval: 95% interval of after − before, or None.
        p_value: two-sided, corrected by Holm's method, or None.
        verdict: "improvement", "regression", "not significant", "unchanged" or "not tested".
    """

    label: str
    score: str
    of_class: str
    before: float
    after: float
    interval: tuple[float, float] | None
    p_value: float | None
    verdict: str

    @property
    def significant(self) -> bool:
        """True if the score improved or dropped significantly."""
        return self.verdict in (IMPROVEMENT, REGRESSION)

    @property
    def words(self) -> wording.ChangeWords:
        """Its numbers as text."""
        share = self.score in (ACCURACY, RECALL)
        return wording.change_words(self.before, self.after, self.interval, self.p_value, share=share)

    @property
    def title(self) -> str:
        """The score's name."""
        return f"recall of {self.of_class}" if self.of_class else self.score

    @property
    def sentence(self) -> str:
        """The change as a sentence."""
        words, start = self.words, f"{capital(self.label)}: {self.title}"
        if self.verdict == UNCHANGED:
            return f"{start} {words.after}, unchanged."
        if self.verdict == NOT_TESTED:
            return f"{start} {words.before} → {words.after} ({words.difference}), not tested."
        end = {IMPROVEMENT: "an improvement", REGRESSION: "a regression"}.get(self.verdict, self.verdict)
        return f"{start} {words.before} → {words.after} ({words.difference}, {words.p_value}): {end}."


@dataclass(frozen=True)
class Compared:
    """All changes of one pair.

    Attributes:
        label: the pair's name.
        paired: True if both predicted the same images.
        different: number of images with another prediction; None where the images differ.
        n: number of test images now.
        changes: accuracy, macro-F1, calibration error, then the recall of each class that can be compared.
    """

    label: str
    paired: bool
    different: int | None
    n: int
    changes: tuple[Change, ...]

    @property
    def listed(self) -> tuple[Change, ...]:
        """The rows of a table: all changes but those of the classes whose recall did not change significantly."""
        return tuple(change for change in self.changes if change.score != RECALL or change.significant)

    @property
    def unlisted(self) -> int:
        """The number of classes whose recall did not change significantly."""
        return len(self.changes) - len(self.listed)

    @property
    def same(self) -> bool:
        """True if every image has the same prediction."""
        return self.different == 0


def compare(pairs: Sequence[Pair]) -> list[Compared]:
    """Compare pairs with the same classes.

    Accuracy, macro-F1 and the recall of the classes are one family of tests each: their p-values are corrected by Holm's
    method over all pairs, and over all classes. Equal predictions need no test, so they do not count (R. E. Tarone, 1990).

    Args:
        pairs: each with the same class names on both sides.
    """
    accuracy = _corrected([None if pair.unchanged else _accuracy(pair) for pair in pairs])
    macro_f1 = _corrected([None if pair.unchanged else _macro_f1(pair) for pair in pairs])
    places = [(pair, index) for pair in pairs for index in range(len(pair.after.class_names))]
    recalls = iter(_corrected([_recall(pair, index) for pair, index in places]))
    compared = []
    for pair, of_accuracy, of_macro_f1 in zip(pairs, accuracy, macro_f1, strict=True):
        changes = [
            _change(pair, ACCURACY, of_accuracy, pair.after.accuracy),
            _change(pair, MACRO_F1, of_macro_f1, pair.after.macro_f1),
            _calibration(pair),
        ]
        for index, name in enumerate(pair.after.class_names):
            tested, support = next(recalls), int(pair.after.confusion[index].sum())
            if support and pair.before.confusion[index].any():
                now = int(pair.after.confusion[index, index]) / support
                changes.append(_change(pair, RECALL, tested, now, name))
        different = int(np.sum(pair.before.predicted != pair.after.predicted)) if pair.paired else None
        compared.append(Compared(pair.label, pair.paired, different, pair.after.n, tuple(changes)))
    return compared


def _corrected(tests: Sequence[TestedChange | None]) -> list[TestedChange | None]:
    """Return each test with its corrected p-value; None stays None and does not count."""
    corrected = iter(significance.holm([test.p_value for test in tests if test is not None]))
    return [None if test is None else replace(test, p_value=next(corrected)) for test in tests]


def _accuracy(pair: Pair) -> TestedChange:
    before, after = pair.before, pair.after
    if pair.paired:
        return significance.paired_proportion(after.labels, before.predicted, after.predicted)
    correct = [int(np.trace(side.confusion)) for side in (before, after)]
    return significance.independent_proportion(correct[0], before.n, correct[1], after.n)


def _macro_f1(pair: Pair) -> TestedChange:
    before, after = pair.before, pair.after
    if not pair.paired:
        return significance.independent_macro_f1(before.confusion, after.confusion)
    count = len(after.class_names)
    return significance.paired_macro_f1(after.labels, before.predicted, after.predicted, count)


def _recall(pair: Pair, index: int) -> TestedChange | None:
    """Test one class; None where it has no images, or no prediction differs."""
    before, after = pair.before, pair.after
    rows = [side.confusion[index] for side in (before, after)]
    if not all(row.any() for row in rows):
        return None
    if not pair.paired:
        counts = [count for row in rows for count in (int(row[index]), int(row.sum()))]
        return significance.independent_proportion(*counts)
    mine = after.labels == index
    one, other = before.predicted[mine], after.predicted[mine]
    if np.array_equal(one == index, other == index):
        return None
    return significance.paired_proportion(after.labels[mine], one, other)


def _change(pair: Pair, score: str, test: TestedChange | None, now: float, of_class: str = "") -> Change:
    if test is None:
        return Change(pair.label, score, of_class, now, now, None, None, UNCHANGED)
    verdict = NOT_SIGNIFICANT
    if test.p_value < significance.LEVEL:
        verdict = IMPROVEMENT if test.after > test.before else REGRESSION
    ends = (test.low, test.high)
    return Change(pair.label, score, of_class, test.before, test.after, ends, test.p_value, verdict)


def _calibration(pair: Pair) -> Change:
    before, after = pair.before.ece, pair.after.ece
    verdict = UNCHANGED if before == after else NOT_TESTED
    return Change(pair.label, CALIBRATION, "", before, after, None, None, verdict)
