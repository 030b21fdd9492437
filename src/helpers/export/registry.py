"""Choose which version of a data set's champion is served: promote, roll back, prune.

models/<dataset>/current   the names of the promoted versions, the one that is served first
"""

import math

import numpy as np

from helpers import paths, wording
from helpers.errors import OsemnError, UsageError
from helpers.export import versions
from helpers.export.version_store import NAME, VersionStore
from helpers.export.versions import Version
from helpers.series import disk
from helpers.series.conclusions import Conclusion

CURRENT = "current"


class Registry(VersionStore):
    """The versions of one data set, one of which is served.

    Args:
        dataset: the data set of the series; a folder of images is called by its own name.
    """

    def promoted(self) -> list[str]:
        """Return the names of the promoted versions, the one that is served first; empty before the first promotion.

        Raises:
            OsemnError: the file that lists them holds something else.
        """
        path = self.folder / CURRENT
        if not path.is_file():
            return []
        names = path.read_text(encoding="utf-8", errors="backslashreplace").split()
        bad = [name for name in names if not NAME.fullmatch(name)]
        if bad:
            raise OsemnError(
                f"{paths.shown(path)} names '{bad[0]}', which is not a version.",
                "promote a version again: osemn models promote VERSION",
            )
        return names

    def current(self) -> Version:
        """Return the version that is served.

        Raises:
            OsemnError: none has been promoted yet, or it was removed.
        """
        names = self.promoted()
        if names:
            return self.find(names[0])
        promote = "promote one: osemn models promote VERSION (osemn models lists them)"
        raise OsemnError(
            f"No version of {self.dataset} is promoted yet.",
            promote if self.versions() else self.how_to_export(),
        )

    def promote(self, name: str) -> Version:
        """Serve a version, after checking its files and golden outputs; if a check fails, nothing changes.

        Raises:
            UsageError: there is no such version.
            OsemnError: a file is missing, changed or not listed, or the golden inputs do not give the golden outputs.
        """
        with self._locked():
            version = self._checked(name)
            try:
                before = self.promoted()
            except OsemnError:
                before = []
            self._set_current([name, *(other for other in before if other != name)])
            return version

    def rollback(self) -> Version:
        """Serve the version that was promoted before the current one, after the same checks as `promote`.

        Raises:
            UsageError: none was promoted before.
            OsemnError: as for `promote`; the current one stays.
        """
        with self._locked():
            known = {version.name for version in self.versions()}
            earlier = [name for name in self.promoted()[1:] if name in known]
            if not earlier:
                raise UsageError(
                    "There is no version to go back to.", "promote one by name: osemn models promote VERSION"
                )
            version = self._checked(earlier[0])
            self._set_current(earlier)
            return version

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest versions; return the names of the removed.

        The current one and the one that `rollback` goes back to stay, however old they are.

        Args:
            keep: number of versions to keep, at least 1; these two are included, and stay even if `keep` is 1.

        Raises:
            UsageError: `keep` is less than 1.
            OsemnError: the current one is missing; nothing is removed.
        """
        if keep < 1:
            raise UsageError(f"Cannot keep {keep} versions.", "use --keep with 1 or more")
        with self._locked():
            names = [version.name for version in self.versions()]
            promoted = self.promoted()
            if promoted and promoted[0] not in names:
                raise OsemnError(
                    f"The served version, {promoted[0]}, is missing from {paths.shown(self.folder)}; nothing was removed.",
                    "serve another first: osemn models rollback, or osemn models promote VERSION",
                )
            needed = [name for name in promoted if name in names][:2]
            newest = [name for name in names if name not in needed][: max(0, keep - len(needed))]
            removed = [name for name in names if name not in (*needed, *newest)]
            for name in removed:
                self.remove(name)
            return removed

    def promote_new(self, name: str, when: str) -> Conclusion:
        """Promote a new version if it may be; return what was done and why.

        Args:
            name: the new version.
            when: "always", "never", or "unless_worse": unless the served one is significantly better.

        Raises:
            UsageError: there is no such version.
            OsemnError: as for `promote`.

        Example:
            `run.conclude(registry.promote_new(made.name, "unless_worse"))`
        """
        worth, reason = self.worth_promoting(name)
        promoted = when == "always" or (when == "unless_worse" and worth)
        if promoted:
            self.promote(name)
        text = f"Version {name} {'is served now' if promoted else 'is in the registry, but not served'} (promote is {when}): {reason}."
        return Conclusion("promotion", text, {"version": name, "promoted": promoted})

    def worth_promoting(self, name: str) -> tuple[bool, str]:
        """Return whether a version may replace the current one without being asked for, and why.

        The same network, by the hash of its weights, may: the hashes of files differ from export to export. Another one may unless the current one is significantly better on the same test images, by McNemar's paired test. If a manifest
        does not record which images were classified correctly, two independent samples are compared, which misses smaller
        losses; the reason then says so. A current version that cannot be read may always be replaced.

        Sources: `scoring.compare`; R. Newcombe (1998), "Interval estimation for the difference between independent
        proportions", method 10.

        Raises:
            UsageError: there is no such version.
        """
        version = self.find(name)
        try:
            served = self.current()
        except OsemnError:
            return True, "no version was served before"
        try:
            theirs, their_images = served.manifest["metrics"]["test"], served.manifest["hashes"]["test"]
            accuracy, lowest = float(theirs["accuracy"]), float(theirs["accuracy_ci95"][0])
        except (KeyError, IndexError, TypeError, ValueError):
            return True, f"the manifest of {served.name}, which was served, cannot be read"
        mine = version.manifest["metrics"]["test"]
        weights = [one.manifest["hashes"].get("weights") for one in (served, version)]
        if weights[0] and weights[0] == weights[1]:
            return True, f"it has the same weights as {served.name}, which was served"
        compared = (
            f"{wording.percent(accuracy)} against {wording.percent(mine['accuracy'])} of the test images"
        )
        if version.manifest["hashes"]["test"] != their_images:
            return True, f"{served.name} was tested on other images"
        paired = [versions.correct_predictions(one.manifest) for one in (served, version)]
        if all(correct is not None for correct in paired):
            better, words = _compare(*paired)
            compared += f", {words}"
        else:
            margin = math.hypot(accuracy - lowest, mine["accuracy_ci95"][1] - mine["accuracy"])
            better = accuracy - mine["accuracy"] > margin
            compared += ", compared as if they were different images"
        which = "is served, is" if better else "was served, is not"
        return not better, f"{served.name}, which {which} significantly better: {compared}"

    def _checked(self, name: str) -> Version:
        version = self.find(name)
        versions.verify(version)
        versions.replay(version)
        return version

    def _set_current(self, names: list[str]) -> None:
        disk.write(self.folder / CURRENT, "".join(f"{name}\n" for name in names).encode())


def _compare(one: np.ndarray, other: np.ndarray) -> tuple[bool, str]:
    """Return whether one is significantly better, and by how much, from which of the same images each classified correctly."""
    from helpers import scoring  # scikit-learn takes long to import, and only a new version is compared

    comparison = scoring.compare(np.ones(len(one), bool), one, other)
    words = wording.difference(comparison.as_metrics())
    return comparison.significant and comparison.difference > 0, words
