"""What changed since the accepted run, and which of it is a regression."""

from collections.abc import Sequence
from dataclasses import dataclass

from helpers import wording
from helpers.errors import OsemnError
from helpers.report import collect
from helpers.report.regression import accept, comparisons, differences
from helpers.report.regression import reference as accepted
from helpers.report.regression.comparisons import IMPROVEMENT, NOISE, REGRESSION, Change, Compared, Pair
from helpers.wording import capital, listing, percent


@dataclass(frozen=True)
class Changes:
    """A run beside the accepted one.

    Attributes:
        when: when that one was accepted, for readers.
        compared: each candidate that is in both, and the two champions where they are not the same candidate.
        new: candidates of this run only, by what they are called.
        vanished: candidates of the accepted run only.
        incomparable: candidates whose classes are not the same.
        champion: what became of the champion, in a sentence.
        confusion: what changed in the champion's confusion matrix; None where the images are not the same.
        figures: figures that changed, both versions.
        other_figures: how many further figures changed, by the stage's record.
        times: of each stage, then of all together.
        validation: what the models compared on validation images are called, and how their accuracy changed; not tested.
        surroundings: how machine, seeds and versions differ, in sentences.
        seeds: how far the champion's accuracy lies apart between seeds, in a sentence; empty where one was trained.
    """

    when: str
    compared: tuple[Compared, ...]
    new: tuple[str, ...]
    vanished: tuple[str, ...]
    incomparable: tuple[str, ...]
    champion: str
    confusion: differences.ConfusionChange | None
    figures: tuple[differences.FigurePair, ...]
    other_figures: tuple[tuple[collect.Record, int], ...]
    times: tuple[differences.TimeChange, ...]
    validation: tuple[tuple[str, wording.ChangeWords], ...]
    surroundings: tuple[str, ...]
    seeds: str

    @property
    def all(self) -> list[Change]:
        """Every change of a score."""
        return [change for one in self.compared for change in one.changes]

    @property
    def improvements(self) -> list[Change]:
        """The improvements that are shown."""
        return [change for change in self.all if change.verdict == IMPROVEMENT]

    @property
    def regressions(self) -> list[Change]:
        """The regressions that are shown."""
        return [change for change in self.all if change.verdict == REGRESSION]

    @property
    def paired(self) -> bool:
        """Whether both runs answered for the same test images."""
        return all(one.paired for one in self.compared)

    @property
    def unchanged(self) -> bool:
        """Whether the same candidates gave the same answer for every test image."""
        same_candidates = not (self.new or self.vanished or self.incomparable)
        return same_candidates and bool(self.compared) and all(one.same for one in self.compared)

    @property
    def headline(self) -> str:
        """Tell in one sentence what changed."""
        if self.unchanged:
            return (
                f"Nothing changed in the answers since the run that was accepted on {self.when}: every candidate gives every "
                "test image the same label."
            )
        if not self.compared:
            return f"No candidate can be compared with the run that was accepted on {self.when}."
        noise = sum(change.verdict == NOISE for change in self.all)
        tested = noise + len(self.improvements) + len(self.regressions)
        return (
            f"Since the run that was accepted on {self.when}: {_count(len(self.improvements), IMPROVEMENT)}, "
            f"{_count(len(self.regressions), REGRESSION)}; {noise:,} of {tested:,} compared scores differ by noise only."
        )

    @property
    def others(self) -> list[str]:
        """Tell what is new, gone, or cannot be compared."""
        new = [f"{capital(label)} is new: the accepted run did not evaluate it." for label in self.new]
        return [*([self.champion] if self.champion else []), *new, *_gone(self)]

    @property
    def sentences(self) -> list[str]:
        """Tell what became of each candidate, regressions first."""
        moved = sorted((one for one in self.compared if not one.same), key=lambda one: not one.worse)
        same = [one.label for one in self.compared if one.same]
        rest = [f"The same answers as before: {listing(same)}."] if same and not self.unchanged else []
        return [*self.others, *(one.sentence for one in moved), *rest]

    @property
    def how(self) -> str:
        """Tell how the differences were tested, and what the tests do not speak of."""
        corrected = "p-values are corrected by Holm's method over the candidates, and over the classes where single classes are compared."
        if not self.compared:
            return ""
        if not self.paired:
            return (
                "The test images are not those of the accepted run, so that nothing can be compared image by image: shares are "
                f"compared as independent samples (Fisher's exact test), macro-F1 by a bootstrap of each run; {corrected}"
            )
        return (
            f"Accuracy and recall are compared on the same images by McNemar's exact test, macro-F1 by swapping the two answers of images at random; {corrected} "
            "These tests speak of these test images and of the two trained networks: trained again from another seed, a network may "
            f"move by as much.{' ' + self.seeds if self.seeds else ''}"
        )

    @property
    def named_times(self) -> list[differences.TimeChange]:
        """The stages that took clearly more or less time."""
        return [change for change in self.times if change.stage and change.verdict != differences.NOISE]

    @property
    def time_noise(self) -> str:
        """Tell of the stages whose times say nothing."""
        rest = sum(bool(change.stage) for change in self.times) - len(self.named_times)
        which = "the other " if self.named_times else ""
        return (
            f"The times of {which}{_count(rest, 'stage')} differ by a factor under {differences.RATIO:g} or by less than "
            f"{differences.SECONDS:g} s: noise."
            if rest
            else ""
        )

    @property
    def lines(self) -> list[str]:
        """All of it in lines, as the command line prints it."""
        found = [self.headline]
        for one in self.compared:
            found += [change.sentence for change in one.shown]
            rest = len(one.recalls) - sum(change.named for change in one.recalls)
            if rest and not one.same:
                found.append(
                    f"{capital(one.label)}: recall of {'the other ' if len(one.recalls) > rest else ''}{_count(rest, 'class', 'classes')}: noise."
                )
        found += [*self.others, *self.surroundings, *(change.sentence for change in self.named_times)]
        return [*found, self.time_noise] if self.time_noise else found


def found(series: collect.Series, *, pictures: bool = True) -> Changes | None:
    """Return what changed in a series since the accepted run; None where none was accepted.

    Args:
        series: the present run; stages that are not whole are left out.
        pictures: whether to make the pairs of figures.

    Raises:
        OsemnError: the reference is damaged; a file changed while it was read.
    """
    reference = accepted.read(series.dataset, series.profile)
    if reference is None:
        return None
    before, after = reference.candidates, accepted.evaluated(series)
    both = [name for name in after if name in before]
    alike = [name for name in both if before[name].class_names == after[name].class_names]
    pairs = [Pair(after[name].label, before[name], after[name]) for name in alike]
    champion, sentence = _champions(reference, series, after)
    if champion is not None and champion.before.name != champion.after.name:
        pairs.append(champion)
    drawn = differences.figure_pairs(reference, series) if pictures else []
    return Changes(
        reference.when,
        tuple(comparisons.compare(pairs)),
        tuple(after[name].label for name in after if name not in before),
        tuple(before[name].label for name in before if name not in after),
        tuple(after[name].label for name in both if name not in alike),
        sentence,
        differences.confusion_change(champion) if champion is not None and champion.paired else None,
        tuple(drawn),
        _other_figures(reference, series, drawn),
        tuple(differences.time_changes(reference, series)),
        _validation(reference, series),
        tuple(differences.surroundings(reference, series)),
        _seeds(series),
    )


def checked(dataset: str, profile: str) -> Changes:
    """Return what changed since the accepted run, for a check: both must be there and whole.

    Raises:
        OsemnError: no run was accepted; a stage of the present one is not done; the reference is damaged.
    """
    series = collect.collect(dataset, profile)
    accept.require_whole(series, "checked")
    changes = found(series, pictures=False)
    if changes is None:
        raise OsemnError(
            "There is nothing to check against: no run of this data set and profile has been accepted.",
            f"accept one first: {accepted.command(dataset, profile)}",
        )
    return changes


def regressions(changes: Changes) -> list[str]:
    """Return what a check fails on: scores that are shown to have dropped, and candidates that are gone."""
    return [*(change.sentence for change in changes.regressions), *_gone(changes)]


def refuse(changes: Changes, dataset: str, profile: str) -> None:
    """Refuse a run that is worse than the accepted one.

    Raises:
        OsemnError: there is a regression; the message names each.
    """
    worse = regressions(changes)
    if worse:
        listed = "\n".join(f"  - {sentence}" for sentence in worse)
        raise OsemnError(
            f"{capital(_count(len(worse), REGRESSION))} since the run that was accepted on {changes.when}:\n{listed}",
            f"find the cause, or accept the present run: {accepted.command(dataset, profile)}",
        )


def _gone(changes: Changes) -> list[str]:
    return [
        *(
            f"{capital(label)} is gone: the accepted run evaluated it, this one did not."
            for label in changes.vanished
        ),
        *(
            f"{capital(label)} cannot be compared: the classes are not those of the accepted run."
            for label in changes.incomparable
        ),
    ]


def _champions(
    reference: accepted.AcceptedRun, series: collect.Series, after: dict[str, accepted.AcceptedCandidate]
) -> tuple[Pair | None, str]:
    """Return the two champions where they can be compared, and what became of the champion, in a sentence."""
    before, name = reference.candidates[reference.champion], accepted.champion(series)
    if name not in after:
        return None, "This run has no evaluated champion."
    now = after[name]
    changed = name != before.name
    label = f"the champion ({now.label} instead of {before.label})" if changed else now.label
    sentence = f"The champion changed from {before.label} to {now.label}." if changed else ""
    pair = Pair(label, before, now)
    return (pair if before.class_names == now.class_names else None), sentence


def _other_figures(
    reference: accepted.AcceptedRun, series: collect.Series, drawn: Sequence[differences.FigurePair]
) -> tuple[tuple[collect.Record, int], ...]:
    shown = {(pair.record.stage.name, pair.name) for pair in drawn}
    counts: dict[str, int] = {}
    for stage, name in differences.changed_figures(reference, series):
        if (stage, name) not in shown:
            counts[stage] = counts.get(stage, 0) + 1
    return tuple((series.by_name[stage], count) for stage, count in counts.items())


def _validation(
    reference: accepted.AcceptedRun, series: collect.Series
) -> tuple[tuple[str, wording.ChangeWords], ...]:
    before = reference.validation
    return tuple(
        (label, wording.change_words(before[label], now, None, None, share=True))
        for label, now in accept.validation(series).items()
        if label in before
    )


def _seeds(series: collect.Series) -> str:
    """Tell how far the champion's test accuracy lies apart between seeds, where more than one was trained."""
    record = series.by_name.get(f"{accepted.EVALUATION}/{accepted.champion(series)}")
    accuracies = record.metrics.get("test_accuracy_by_seed") or [] if record is not None else []
    if len(accuracies) < 2:
        return ""
    return f"Here {len(accuracies)} seeds of the champion reach {listing([percent(one) for one in sorted(accuracies)])} of the test images."


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{f'{number:,}' if number else 'no'} {noun if number < 2 else plural or noun + 's'}"
