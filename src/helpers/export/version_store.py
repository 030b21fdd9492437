"""Store versions of a data set's champion: each appears complete, by one rename, or not at all.

    models/<dataset>/20260131-142530-1a2b3c4d/   a version: every format, model_card.md, golden.npz, manifest.json

A version is first written to a folder whose name starts with a dot. Its manifest holds the sha256 of every file; its name ends
with the start of the manifest's own sha256.
"""

import contextlib
import os
import re
import shlex
import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.errors import OsemnError, UsageError, nearest
from helpers.export.versions import Version
from helpers.series import disk, manifests

NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
SCHEMA = 1
_DRAFT, _TRASH = ".draft-", ".trash-"
_LOCK_SECONDS = 60  # copying or removing a version takes a few seconds


class VersionStore:
    """The folder that holds the versions of one data set.

    Args:
        dataset: the data set of the series; a folder of images is called by its own name.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.folder = paths.models_folder(dataset)

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        names = [path.name for path in self.folder.glob("*-*-*") if NAME.fullmatch(path.name)]
        return [self._version(name) for name in sorted(names, reverse=True)]

    def how_to_export(self) -> str:
        """Return the command that makes a version, and the other data sets that have one."""
        others = sorted(path.name for path in self.folder.parent.glob("*") if any(path.glob("*-*-*")))
        made = f"export one: osemn run --dataset {shlex.quote(self.dataset)} --until 10_export"
        return f"{made}, or name a data set that has one: --dataset {' or '.join(others)}" if others else made

    def find(self, name: str) -> Version:
        """Return a version by its name.

        Raises:
            UsageError: this is not the name of a version, or there is no such version; the message suggests the nearest.
        """
        known = [version.name for version in self.versions()]
        remedy = nearest(name, known) if known else self.how_to_export()
        if not NAME.fullmatch(name):
            raise UsageError(f"'{name}' is not a version name (YYYYMMDD-HHMMSS-xxxxxxxx).", remedy)
        if name not in known:
            raise UsageError(f"There is no version '{name}'.", remedy)
        return self._version(name)

    def publish(self, folder: Path, facts: Mapping[str, Any]) -> Version:
        """Copy a folder's files into the registry as a new version, which appears complete or not at all.

        Args:
            folder: holds every format, `model_card.md` and `golden.npz`.
            facts: the content of the manifest apart from the files.

        Raises:
            OsemnError: the registry is not writable, or its disk is full.

        Example:
            `made = Registry(dataset).publish(version, facts)`
        """
        draft = self.folder / f"{_DRAFT}{uuid.uuid4().hex}"
        with self._locked():
            self._clear()
            try:
                draft.mkdir()
                for path in sorted(folder.rglob("*")):  # folders come before their files
                    copy = draft / path.relative_to(folder)
                    copy.mkdir() if path.is_dir() else shutil.copyfile(path, copy)
                return self.find(self._complete(draft, facts))
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _complete(self, draft: Path, facts: Mapping[str, Any]) -> str:
        """Write a draft's manifest, put everything on the disk, and rename the draft to a version; return its name."""
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        now = max([datetime.now(UTC), *(_after(version.name) for version in self.versions()[:1])])
        content = {
            "schema": SCHEMA,
            "dataset": paths.recorded_dataset(self.dataset),
            "created": now.isoformat(timespec="microseconds"),
            "draft": draft.name.removeprefix(_DRAFT),
            **facts,
            "files": manifests.describe_files(draft, files),
        }
        manifests.write_json(draft / manifests.NAME, content)
        for path in (draft, *draft.rglob("*")):
            _synchronise(path)
        name = f"{now:%Y%m%d-%H%M%S}-{manifests.sha256(draft / manifests.NAME)[:8]}"
        draft.rename(self.folder / name)
        _synchronise(self.folder)
        return name

    def remove(self, name: str) -> None:
        """Remove a version: it disappears by one rename."""
        trash = self.folder / f"{_TRASH}{uuid.uuid4().hex}"
        (self.folder / name).rename(trash)
        shutil.rmtree(trash)

    def _version(self, name: str) -> Version:
        folder = self.folder / name
        return Version(name, folder, disk.read_json(folder / manifests.NAME))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        shown = paths.shown(self.folder)
        busy = OsemnError(f"Another process is changing {shown}.", "try again when it has finished")
        with disk.report_write_errors(
            f"The registry {shown}", "OSEMN_OUTPUT_DIR", more="; nothing was changed"
        ):
            self.folder.mkdir(parents=True, exist_ok=True)
            with disk.locked(self.folder / ".lock", _LOCK_SECONDS, busy):
                yield

    def _clear(self) -> None:
        """Remove the leftovers of killed exports and removals, while no other process may export."""
        for leftover in (*self.folder.glob(f"{_DRAFT}*"), *self.folder.glob(f"{_TRASH}*")):
            shutil.rmtree(leftover, ignore_errors=True)


def _after(version: str) -> datetime:
    """Return the second after that in a version's name: a newer one sorts after it, even if the clock was set back."""
    return datetime.strptime(version[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) + timedelta(seconds=1)


def _synchronise(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
