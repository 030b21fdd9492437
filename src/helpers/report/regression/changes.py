"""Changes since the accepted run, and which of them are regressions."""

from dataclasses import dataclass

from helpers import wording
from helpers.errors import OsemnError
from helpers.report import collect
from helpers.report.regression import accept, comparisons, differences, reference
from helpers.report.regression.comparisons import (
    IMPROVEMENT,
    NOT_SIGNIFICANT,
    REGRESSION,
    Change,
    Compared,
    Pair,
)
from helpers.report.regression.reference import AcceptedCandidate, AcceptedRun
from helpers.wording import capital, count, listing, percent


@dataclass(frozen=True)
class Changes:
    """A run compared with the accepted one.

    Attributes:
        when: the date of acceptance.
        compared: each candidate that is in both runs, and the two champions where they are different candidates.
        new: labels of candidates that only this run has.
        vanished: labels of candidates that only the accepted run has.
        incomparable: labels of candidates with other classes than before.
        champion: a sentence about a champion that changed or is missing; else empty.
        leading: the label in `compared` of the pair of champions; empty where they cannot be compared.
        confusion: change of the champion's confusion matrix; None where the test images differ.
        validation: label and change of validation accuracy of each compared model; not tested.
        environment: differences in machine, seeds and versions, as sentences.
        seeds: the champion's test accuracy by seed, as a sentence; empty where one seed was trained.
    """

    when: str
    compared: tuple[Compared, ...]
    new: tuple[str, ...]
    vanished: tuple[str, ...]
    incomparable: tuple[str, ...]
    champion: str
    leading: str
    confusion: differences.ConfusionChange | None
    validation: tuple[tuple[str, wording.ChangeWords], ...]
    environment: tuple[str, ...]
    seeds: str

    @property
    def all(self) -> list[Change]:
        """The changes of all scores."""
        return [change for one in self.compared for change in one.changes]

    def having(self, verdict: str) -> list[Change]:
        """Return the changes with a verdict."""
        return [change for change in self.all if change.verdict == verdict]

    @property
    def paired(self) -> bool:
        """True if both runs predicted the same test images."""
        return all(one.paired for one in self.compared)

    @property
    def unchanged(self) -> bool:
        """True if the same candidates made the same prediction for every test image."""
        same_candidates = not (self.new or self.vanished or self.incomparable)
        return same_candidates and bool(self.compared) and all(one.same for one in self.compared)

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        if self.unchanged:
            return (
                f"Nothing changed in the predictions since the run accepted on {self.when}: every candidate assigns the same "
                "label to every test image."
            )
        if not self.compared:
            return f"No candidate can be compared with the run accepted on {self.when}."
        counts = [len(self.having(verdict)) for verdict in (IMPROVEMENT, REGRESSION, NOT_SIGNIFICANT)]
        return (
            f"Since the run accepted on {self.when}: {count(counts[0], IMPROVEMENT)}, {count(counts[1], REGRESSION)}"
            f"{self._of_them()}; {counts[2]:,} of {sum(counts):,} tested differences are not significant."
        )

    def _of_them(self) -> str:
        """Return how many of the significant changes are the champion's; empty where there are none, or no champion."""
        significant = [change for change in self.all if change.significant]
        if not significant or not self.leading:
            return ""
        mine = sum(change.label == self.leading for change in significant)
        return f", {f'{mine:,}' if mine else 'none'} of them of the champion"

    @property
    def gone(self) -> list[str]:
        """Sentences about candidates that are missing or cannot be compared."""
        vanished = [
            f"{capital(label)} is gone: the accepted run evaluated it, this one did not."
            for label in self.vanished
        ]
        return vanished + [
            f"{capital(label)} cannot be compared: its classes differ from those of the accepted run."
            for label in self.incomparable
        ]

    @property
    def others(self) -> list[str]:
        """Sentences about candidates that are new, missing, or cannot be compared."""
        new = [f"{capital(label)} is new: the accepted run did not evaluate it." for label in self.new]
        return [*([self.champion] if self.champion else []), *new, *self.gone]

    @property
    def sentences(self) -> list[str]:
        """What the table of the scores cannot show: other candidates, and those with the same predictions."""
        same = [one.label for one in self.compared if one.same]
        rest = [f"The same predictions as before: {listing(same)}."] if same and not self.unchanged else []
        return [*self.others, *rest]

    @property
    def how(self) -> str:
        """The tests behind the verdicts, and their limits."""
        if not self.compared:
            return ""
        corrected = (
            "p-values are corrected by Holm's method over the candidates, and over the classes for recall."
        )
        if not self.paired:
            return (
                "The test images differ from those of the accepted run, so proportions are compared as independent samples "
                f"(Fisher's exact test), macro-F1 by a bootstrap of each run; {corrected}"
            )
        return (
            "Accuracy and recall are compared on the same images by McNemar's exact test, macro-F1 by a permutation test; "
            f"{corrected} These tests hold for these test images and the two trained networks: trained from another seed, a "
            f"network may move by as much. {self.seeds}"
        ).rstrip()

    @property
    def lines(self) -> list[str]:
        """The lines that the command line prints."""
        lines = [self.headline]
        for one in self.compared:
            lines += [change.sentence for change in one.listed]
            if one.unlisted and not one.same:
                classes = count(one.unlisted, "class", "classes")
                lines.append(f"{capital(one.label)}: recall of {classes}: {NOT_SIGNIFICANT}.")
        return [*lines, *self.others, *self.environment]


def compare(series: collect.Series) -> Changes | None:
    """Compare a series with the accepted run; None where no run was accepted.

    Args:
        series: the present run; stages that are not intact are left out.

    Raises:
        OsemnError: the reference is damaged; a file changed while it was read.
    """
    accepted = reference.read(series.dataset, series.profile)
    if accepted is None:
        return None
    before, after = accepted.candidates, reference.evaluated(series)
    both = [name for name in after if name in before]
    alike = [name for name in both if before[name].class_names == after[name].class_names]
    pairs = [Pair(after[name].label, before[name], after[name]) for name in alike]
    champion, sentence = _champions(accepted, series, after)
    if champion is not None and champion.before.name != champion.after.name:
        pairs.append(champion)
    return Changes(
        accepted.when,
        tuple(comparisons.compare(pairs)),
        tuple(after[name].label for name in after if name not in before),
        tuple(before[name].label for name in before if name not in after),
        tuple(after[name].label for name in both if name not in alike),
        sentence,
        champion.label if champion is not None else "",
        differences.confusion_change(champion) if champion is not None and champion.paired else None,
        tuple(
            (label, wording.change_words(accepted.validation[label], now, None, None, share=True))
            for label, now in accept.validation(series).items()
            if label in accepted.validation
        ),
        tuple(differences.environment_changes(accepted, series)),
        _seeds(series),
    )


def check(dataset: str, profile: str) -> Changes:
    """Compare a complete run with the accepted one.

    Raises:
        OsemnError: no run was accepted; a stage of the present one is not done; the reference is damaged.
    """
    series = collect.collect(dataset, profile)
    accept.require_complete(series, "checked")
    changes = compare(series)
    if changes is None:
        raise OsemnError(
            "There is nothing to check against: no run of this data set and profile has been accepted.",
            f"accept one first: {reference.command(dataset, profile)}",
        )
    return changes


def regressions(changes: Changes) -> list[str]:
    """Return the reasons for which a check fails: significant drops of scores, and missing candidates."""
    return [*(change.sentence for change in changes.having(REGRESSION)), *changes.gone]


def refuse(changes: Changes, dataset: str, profile: str) -> None:
    """Refuse a run that is worse than the accepted one.

    Raises:
        OsemnError: there is a regression; the message lists all of them.
    """
    worse = regressions(changes)
    if worse:
        listed = "\n".join(f"  - {sentence}" for sentence in worse)
        raise OsemnError(
            f"{capital(count(len(worse), REGRESSION))} since the run accepted on {changes.when}:\n{listed}",
            f"find the cause, or accept the present run: {reference.command(dataset, profile)}",
        )


def _champions(
    accepted: AcceptedRun, series: collect.Series, after: dict[str, AcceptedCandidate]
) -> tuple[Pair | None, str]:
    """Return the two champions where they can be compared, and a sentence about a change of the champion."""
    before, name = accepted.candidates[accepted.champion], reference.champion(series)
    if name not in after:
        return None, "This run has no evaluated champion."
    now = after[name]
    changed = name != before.name
    label = f"the champion ({now.label} instead of {before.label})" if changed else now.label
    sentence = f"The champion changed from {before.label} to {now.label}." if changed else ""
    return (Pair(label, before, now) if before.class_names == now.class_names else None), sentence


def _seeds(series: collect.Series) -> str:
    """Return the champion's test accuracy by seed as a sentence; empty where fewer than two seeds were trained."""
    record = series.by_name.get(f"{reference.EVALUATION}/{reference.champion(series)}")
    accuracies = record.metrics.get("test_accuracy_by_seed") or [] if record is not None else []
    if len(accuracies) < 2:
        return ""
    reached = listing([percent(accuracy) for accuracy in sorted(accuracies)])
    return f"Here the {len(accuracies)} seeds of the champion reach a test accuracy of {reached}."
