"""The registry: versions of a data set's champion, each whole or not there, and the one that is served.

    models/<dataset>/20260131-142530-1a2b3c4d/   a version: every format, model_card.md, golden.npz, manifest.json
    models/<dataset>/current                     the versions that were promoted, the one that is served first

A version is written to a folder whose name starts with a dot and appears by one rename. Its manifest holds the sha256 of
every file; its name ends with the start of the manifest's own.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from helpers import paths
from helpers.errors import OsemnError, UsageError, nearest
from helpers.export import versions
from helpers.export.versions import Version
from helpers.series import manifests

NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
CURRENT = "current"
SCHEMA = 1
_DRAFT, _TRASH = ".draft-", ".trash-"


class Registry:
    """The versions of one data set.

    Args:
        dataset: as the series is run for; a folder of images goes by its own name.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.folder = paths.models_folder(dataset)

    def versions(self) -> list[Version]:
        """Return all versions, the newest first."""
        if not self.folder.is_dir():
            return []
        names = sorted(
            (path.name for path in self.folder.iterdir() if NAME.fullmatch(path.name)), reverse=True
        )
        return [self._version(name) for name in names]

    def find(self, name: str) -> Version:
        """Return a version by its name.

        Raises:
            UsageError: that is no version's name, or there is no such version; the message names the nearest.
        """
        known = [version.name for version in self.versions()]
        if not NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' is no name of a version (YYYYMMDD-HHMMSS-xxxxxxxx).",
                nearest(name, known) if known else _NONE_YET,
            )
        if name not in known:
            raise UsageError(f"There is no version '{name}'.", nearest(name, known) if known else _NONE_YET)
        return self._version(name)

    def promoted(self) -> list[str]:
        """Return the names of the versions that were promoted, the one that is served first; empty before the first.

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
                f"{paths.shown(path)} names '{bad[0]}', which is no version.",
                "promote a version anew: osemn models promote VERSION",
            )
        return names

    def current(self) -> Version:
        """Return the version that is served.

        Raises:
            OsemnError: none was promoted yet, or it was removed.
        """
        names = self.promoted()
        if not names:
            raise OsemnError(
                f"No version of {self.dataset} is promoted yet.",
                _NONE_YET
                if not self.versions()
                else "promote one: osemn models promote VERSION (osemn models lists them)",
            )
        return self.find(names[0])

    def promote(self, name: str) -> Version:
        """Prove a version whole and able, then make it the one that is served; otherwise nothing changes.

        Raises:
            UsageError: there is no such version.
            OsemnError: a file is missing, changed or not listed, or the golden inputs do not give the golden outputs.
        """
        with self._locked():
            version = self.find(name)
            versions.verify(version)
            versions.replay(version)
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
            left = [name for name in self.promoted()[1:] if name in known]
            if not left:
                raise UsageError(
                    "There is no version to go back to.",
                    "promote one by its name: osemn models promote VERSION",
                )
            version = self.find(left[0])
            versions.verify(version)
            versions.replay(version)
            self._set_current(left)
            return version

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest versions; return the names of the removed.

        The current one stays, and the one that `rollback` goes back to, however old they are.

        Args:
            keep: how many to keep, at least 1; these two count, and stay even where fewer are to be kept.

        Raises:
            UsageError: `keep` is less than 1.
            OsemnError: the current one is not there any more; nothing is removed.
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
                trash = self.folder / f"{_TRASH}{uuid.uuid4().hex}"
                (self.folder / name).rename(trash)
                shutil.rmtree(trash)
            return removed

    def publish(self, folder: Path, facts: Mapping[str, Any]) -> Version:
        """Take a copy of a folder's files into the registry as a new version, whole or not at all.

        Args:
            folder: holds every format, `model_card.md` and `golden.npz`.
            facts: what the manifest says beside the files.

        Raises:
            OsemnError: the registry cannot be written to, or its disk is full.
        """
        with self.draft() as draft:
            for path in sorted(folder.rglob("*")):  # parents come before what is in them
                copy = draft.folder / path.relative_to(folder)
                copy.mkdir() if path.is_dir() else shutil.copyfile(path, copy)
            return draft.publish(facts)

    def worth_promoting(self, name: str) -> tuple[bool, str]:
        """Tell whether a version may take the place of the current one unasked, and why.

        It may unless the current one is significantly better on the same test images, by McNemar's test image by image. Where
        a manifest does not say which images were told right, two independent samples are compared, which overlooks smaller
        losses: the answer then says so. A current one that cannot be read stops nothing.

        Sources: `evaluation.compare`; R. Newcombe (1998), "Interval estimation for the difference between independent
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
        shown = f"{accuracy:.1%} against {mine['accuracy']:.1%} of the test images"
        if version.manifest["hashes"]["test"] != their_images:
            return True, f"{served.name} was tested on other images"
        paired = versions.right_answers(served.manifest), versions.right_answers(version.manifest)
        if all(right is not None for right in paired):
            better = _is_better(*paired)
        else:
            margin = math.hypot(accuracy - lowest, mine["accuracy_ci95"][1] - mine["accuracy"])
            better = accuracy - mine["accuracy"] > margin
            shown += ", as if they were different images"
        if better:
            return False, f"{served.name}, which is served, is significantly better ({shown})"
        return True, f"{served.name}, which was served, is not shown to be better ({shown})"

    @contextlib.contextmanager
    def draft(self) -> Iterator["Draft"]:
        """Give a folder to write a new version into; it disappears unless it was published.

        Raises:
            OsemnError: the registry cannot be written to, or its disk is full.
        """
        draft = Draft(self, self.folder / f"{_DRAFT}{uuid.uuid4().hex}")
        with self._locked():  # nobody clears while this one is being made
            self._clear()
            draft.lock.acquire()
            draft.folder.mkdir()
        try:
            with _write_trouble(self.folder):
                yield draft
        finally:
            draft.lock.release()
            shutil.rmtree(draft.folder, ignore_errors=True)
            Path(draft.lock.lock_file).unlink(missing_ok=True)

    def _version(self, name: str) -> Version:
        folder = self.folder / name
        try:
            content = json.loads((folder / manifests.NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        return Version(name, folder, content if isinstance(content, dict) else {})

    def _set_current(self, names: list[str]) -> None:
        with _write_trouble(self.folder):
            write_whole(self.folder / CURRENT, "".join(f"{name}\n" for name in names).encode())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with _write_trouble(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=60)
            except Timeout:
                raise OsemnError(
                    f"Somebody else is at work in {paths.shown(self.folder)}.",
                    "try again when they have ended",
                ) from None
            try:
                yield
            finally:
                lock.release()

    def _clear(self) -> None:
        """Remove what killed exports and prunings left; the system frees the lock of a process that dies."""
        for lock_file in self.folder.glob(f"{_DRAFT}*.lock"):
            with contextlib.suppress(Timeout, OSError), FileLock(lock_file, timeout=0):
                shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
                lock_file.unlink(missing_ok=True)
        for trash in self.folder.glob(f"{_TRASH}*"):
            shutil.rmtree(trash, ignore_errors=True)


def _is_better(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether the one is significantly better than the other, both `[N] bool`: the same images told right."""
    from helpers import scoring  # scikit-learn takes long to import, and only a new version is compared

    found = scoring.compare(np.ones(len(one), bool), one, other)
    return found.significant and found.difference > 0


class Draft:
    """A version that is being written; made by `Registry.draft`."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.folder = registry, folder
        self.lock = FileLock(f"{folder}.lock")

    def publish(self, facts: Mapping[str, Any]) -> Version:
        """Write the manifest and let the version appear, whole.

        Args:
            facts: what the manifest says beside the files: signature, classes, metrics, hashes, versions of packages.

        Raises:
            OsemnError: the registry cannot be written to, or its disk is full.
        """
        with _write_trouble(self.registry.folder):
            files = sorted(path for path in self.folder.rglob("*") if path.is_file())
            now = datetime.now(UTC)
            content = {
                "schema": SCHEMA,
                "dataset": self.registry.dataset,
                "created": now.isoformat(timespec="microseconds"),
                "draft": self.folder.name.removeprefix(_DRAFT),
                **facts,
                "files": manifests.describe_files(self.folder, files),
            }
            written = (
                json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
            )
            write_whole(self.folder / manifests.NAME, written.encode())
            for path in files:
                _synchronise(path)
            for path in (self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())):
                _synchronise(path)
            name = f"{now:%Y%m%d-%H%M%S}-{hashlib.sha256(written.encode()).hexdigest()[:8]}"
            self.folder.rename(self.registry.folder / name)
            _synchronise(self.registry.folder)
            return self.registry.find(name)


_WRITE_TROUBLE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EIO,
}
_NONE_YET = "make one: osemn run --until 10_export"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _synchronise(path: Path) -> None:
    """Make sure that a file's or a folder's content is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def _write_trouble(folder: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITE_TROUBLE:
            raise
        raise OsemnError(
            f"The registry {paths.shown(folder)} cannot be written to: {(error.strerror or str(error)).lower()}.",
            "make room there or set OSEMN_OUTPUT_DIR to a folder that you may write to; nothing was changed",
        ) from None
