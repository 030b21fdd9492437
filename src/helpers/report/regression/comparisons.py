"""Candidates before and after: each score, whether its difference is shown, and what to call it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers import wording
from helpers.report.regression import significance
from helpers.report.regression.reference import AcceptedCandidate
from helpers.wording import capital, listing

IMPROVEMENT, REGRESSION, NOISE, UNCHANGED = "improvement", "regression", "noise", "unchanged"
NOT_TESTED = "not tested"
ACCURACY, MACRO_F1, RECALL, CALIBRATION = "accuracy", "macro-F1", "recall", "calibration error"


@dataclass(frozen=True)
class Pair:
    """Two candidates to compare: the same one before and after, or two champions.

    Attributes:
        label: what to call the two in a sentence.
        before: of the accepted run.
        after: of the present one.
    """

    label: str
    before: AcceptedCandidate
    after: AcceptedCandidate

    @property
    def paired(self) -> bool:
        """Whether both answered for the same images, by the hashes of labels and images.

        The labels alone do not tell: those of a folder are sorted, and alike for other images of the same number.
        """
        images = {side.images_sha256 for side in (self.before, self.after)} - {""}
        return self.before.labels_sha256 == self.after.labels_sha256 and len(images) < 2

    @property
    def same_answers(self) -> bool:
        """Whether both gave the same answer for every image."""
        return self.paired and np.array_equal(self.before.predicted, self.after.predicted)


@dataclass(frozen=True)
class Change:
    """One score of a pair.

    Attributes:
        label: what the pair is called.
        score: "accuracy", "macro-F1", "recall" or "calibration error".
        of_class: the class, for recall; else empty.
        before: in the accepted run.
        after: in the present one.
        interval: 95% interval of after − before, or None.
        p_value: two-sided, corrected by Holm's method, or None.
        verdict: "improvement", "regression", "noise", "unchanged" or "not tested".
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
    def named(self) -> bool:
        """Whether a difference is shown."""
        return self.verdict in (IMPROVEMENT, REGRESSION)

    @property
    def words(self) -> wording.ChangeWords:
        """Its numbers as words."""
        share = self.score in (ACCURACY, RECALL)
        return wording.change_words(self.before, self.after, self.interval, self.p_value, share=share)

    @property
    def title(self) -> str:
        """What was measured."""
        return f"recall of {self.of_class}" if self.of_class else self.score

    @property
    def sentence(self) -> str:
        """Tell the change in a sentence."""
        words, start = self.words, f"{capital(self.label)}: {self.title}"
        if self.verdict == UNCHANGED:
            return f"{start} {words.after}, unchanged."
        if self.verdict == NOT_TESTED:
            return f"{start} {words.before} → {words.after} ({words.difference}), not tested."
        end = {IMPROVEMENT: "an improvement", REGRESSION: "a regression"}.get(self.verdict, self.verdict)
        return f"{start} {words.before} → {words.after} ({words.difference}, {words.p_value}): {end}."


@dataclass(frozen=True)
class Compared:
    """What became of one pair.

    Attributes:
        label: what it is called.
        paired: whether on the same images.
        different: images with another answer; None where the images are others.
        n: test images now.
        changes: accuracy, macro-F1, calibration error, then the recall of each class that can be compared.
    """

    label: str
    paired: bool
    different: int | None
    n: int
    changes: tuple[Change, ...]

    @property
    def main(self) -> tuple[Change, ...]:
        """All changes but those of single classes."""
        return tuple(change for change in self.changes if change.score != RECALL)

    @property
    def recalls(self) -> tuple[Change, ...]:
        """The changes of single classes."""
        return tuple(change for change in self.changes if change.score == RECALL)

    @property
    def shown(self) -> tuple[Change, ...]:
        """What a table shows: all but the classes whose recall did not change by more than noise."""
        return (*self.main, *(change for change in self.recalls if change.named))

    @property
    def same(self) -> bool:
        """Whether every image got the same answer."""
        return self.different == 0

    @property
    def worse(self) -> bool:
        """Whether a score is shown to have dropped."""
        return any(change.verdict == REGRESSION for change in self.changes)

    @property
    def sentence(self) -> str:
        """Tell how accuracy changed, and which other scores changed by more than noise."""
        text = self.changes[0].sentence
        for word, verdict in (("Worse", REGRESSION), ("Better", IMPROVEMENT)):
            mine = [change for change in self.changes[1:] if change.verdict == verdict]
            if mine:
                text += (
                    f" {word}: {listing([f'{change.title} ({change.words.difference})' for change in mine])}."
                )
        return text


def compare(pairs: Sequence[Pair]) -> list[Compared]:
    """Compare pairs of the same classes.

    Each of three questions (did accuracy change, did macro-F1, did the recall of a class) is one family: its p-values are
    corrected by Holm's method over all pairs, and over all classes. Where no answer differs there is nothing to test, and
    the family is smaller for it (R. E. Tarone, 1990).

    Args:
        pairs: each with the same class names on both sides.
    """
    accuracy = _corrected([None if pair.same_answers else _accuracy(pair) for pair in pairs])
    macro_f1 = _corrected([None if pair.same_answers else _macro_f1(pair) for pair in pairs])
    places = [
        (position, index)
        for position, pair in enumerate(pairs)
        for index in range(len(pair.after.class_names))
    ]
    tests = _corrected([_recall(pairs[position], index) for position, index in places])
    recalls = dict(zip(places, tests, strict=True))
    found = []
    for position, pair in enumerate(pairs):
        changes = [
            _change(pair, ACCURACY, accuracy[position], pair.after.accuracy),
            _change(pair, MACRO_F1, macro_f1[position], pair.after.macro_f1),
            _calibration(pair),
        ]
        for index, name in enumerate(pair.after.class_names):
            support = [int(side.confusion[index].sum()) for side in (pair.before, pair.after)]
            if all(support):
                now = int(pair.after.confusion[index, index]) / support[1]
                changes.append(_change(pair, RECALL, recalls[position, index], now, name))
        different = int(np.sum(pair.before.predicted != pair.after.predicted)) if pair.paired else None
        found.append(Compared(pair.label, pair.paired, different, pair.after.n, tuple(changes)))
    return found


def _corrected(
    tests: Sequence[significance.TestedChange | None],
) -> list[tuple[significance.TestedChange, float] | None]:
    """Return each test with its corrected p-value; None stays None and counts for nothing."""
    corrected = iter(significance.holm([test.p_value for test in tests if test is not None]))
    return [None if test is None else (test, next(corrected)) for test in tests]


def _accuracy(pair: Pair) -> significance.TestedChange:
    before, after = pair.before, pair.after
    if pair.paired:
        return significance.paired_share(after.labels, before.predicted, after.predicted)
    right = [int(np.trace(side.confusion)) for side in (before, after)]
    return significance.independent_share(right[0], before.n, right[1], after.n)


def _macro_f1(pair: Pair) -> significance.TestedChange:
    before, after = pair.before, pair.after
    if not pair.paired:
        return significance.independent_macro_f1(before.confusion, after.confusion)
    count = len(after.class_names)
    return significance.paired_macro_f1(after.labels, before.predicted, after.predicted, count)


def _recall(pair: Pair, index: int) -> significance.TestedChange | None:
    """Test one class; None where it has no images, or where no answer to them differs."""
    before, after = pair.before, pair.after
    counts = [
        (int(side.confusion[index, index]), int(side.confusion[index].sum())) for side in (before, after)
    ]
    if not all(n for _, n in counts):
        return None
    if not pair.paired:
        return significance.independent_share(*counts[0], *counts[1])
    mine = after.labels == index
    one, other = before.predicted[mine], after.predicted[mine]
    if np.array_equal(one == index, other == index):
        return None
    return significance.paired_share(after.labels[mine], one, other)


def _change(
    pair: Pair,
    score: str,
    test: tuple[significance.TestedChange, float] | None,
    now: float,
    of_class: str = "",
) -> Change:
    if test is None:
        return Change(pair.label, score, of_class, now, now, None, None, UNCHANGED)
    found, p_value = test
    verdict = NOISE
    if p_value < significance.LEVEL:
        verdict = IMPROVEMENT if found.after > found.before else REGRESSION
    ends = (found.low, found.high)
    return Change(pair.label, score, of_class, found.before, found.after, ends, p_value, verdict)


def _calibration(pair: Pair) -> Change:
    before, after = pair.before.ece, pair.after.ece
    verdict = UNCHANGED if before == after else NOT_TESTED
    return Change(pair.label, CALIBRATION, "", before, after, None, None, verdict)
