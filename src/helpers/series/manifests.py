"""Manifests: hashes of what a stage read and wrote; a stage is done if and only if its manifest verifies."""

import ast
import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helpers
from helpers import paths
from helpers.errors import MissingInputError
from helpers.series import disk, notebook_cells, stages

NAME = "manifest.json"
NOTEBOOK = "notebook.ipynb"  # as executed
FAILED = "failed.ipynb"  # as far as it ran
ABSENT = "absent"  # in place of the hash of an optional input that did not exist
SCHEMA = 1


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, so that a reader sees either the old file or the complete new one."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    disk.write(path, f"{text}\n".encode())


def describe_files(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return `{relative path: {sha256, bytes}}` of files inside `folder`."""
    return {
        file.relative_to(folder).as_posix(): {"sha256": sha256(file), "bytes": file.stat().st_size}
        for file in sorted(files)
    }


def read(folder: Path) -> dict[str, Any] | None:
    """Return a folder's manifest, or None if it does not exist or cannot be read."""
    content = disk.read_json(folder / NAME)
    return content if content.get("schema") == SCHEMA else None


def output_sha256(manifest: dict[str, Any] | None, file: str) -> str | None:
    """Return the hash of a stage's file from its manifest: `ABSENT` without a manifest, None without such a file."""
    return ABSENT if manifest is None else manifest["outputs"].get(file, {}).get("sha256")


def faults(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Return a message for each file of a manifest that is missing, truncated or changed."""
    messages = []
    for name, expected in manifest["outputs"].items():
        file, shown = folder / name, paths.shown(folder / name)
        if not file.is_file():
            messages.append(f"{shown} is missing")
        elif file.stat().st_size != expected["bytes"]:
            messages.append(f"{shown} has {file.stat().st_size} bytes, expected {expected['bytes']}")
        elif sha256(file) != expected["sha256"]:
            messages.append(f"{shown} was changed after it was written (its sha256 differs)")
    return messages


def command(dataset: str, profile: str) -> str:
    """Return the command that runs the series, as it is typed."""
    return shlex.join(["osemn", "run", "--dataset", dataset, "--profile", profile])


def require(folder: Path, stage: str, run: str = "osemn run") -> dict[str, Any]:
    """Return the manifest of an input stage after verifying all its files.

    Args:
        folder: the stage's folder.
        stage: its name.
        run: the command that runs the series, for the message.

    Raises:
        MissingInputError: the stage has not been run, or a file is missing or changed. The message names the file and
            the notebook to run.
    """
    manifest = read(folder)
    if manifest is None:
        raise MissingInputError(
            f"{stage} has not been run: there is no {paths.shown(folder / NAME)}.",
            _remedy(stage, "first", run),
        )
    damaged = faults(folder, manifest)
    if damaged:
        raise MissingInputError(
            f"The files of {stage} are damaged: {'; '.join(damaged)}.", _remedy(stage, "again", run)
        )
    return manifest


def _remedy(stage: str, when: str, run: str) -> str:
    spec = stages.find(stage)
    chosen = f" for the candidate '{spec.candidate}'" if spec.candidate else ""
    return f"run notebooks/{spec.notebook}.ipynb{chosen} {when}, or '{run} --until {stage}'"


def changed_inputs(manifest: dict[str, Any], by_stage: Mapping[str, dict[str, Any] | None]) -> list[str]:
    """Return the files of the given stages that have changed since this stage read them."""
    changed = []
    for name, digest in manifest.get("inputs", {}).items():
        stage, file = stages.split_input(name)
        if stage in by_stage and output_sha256(by_stage[stage], file) != digest:
            changed.append(name)
    return changed


_PARTS = ("01_acquire/train.npz", "01_acquire/test.npz", "03_preprocess/split.npz")


def require_current(stage: str, by_stage: Mapping[str, dict[str, Any]], run: str) -> None:
    """Check that an input stage has read the images and the split that there are now.

    Otherwise a model could meet validation images that it was trained on, after another split. Other inputs may have changed: by hand,
    a stage is often run again without those that follow.

    Args:
        stage: its name.
        by_stage: the manifests of the inputs, its own among them.
        run: the command that runs the series, for the message.

    Raises:
        MissingInputError: it was run with other ones.
    """
    changed = [file for file in changed_inputs(by_stage[stage], by_stage) if file in _PARTS]
    if changed:
        raise MissingInputError(
            f"{stage} is out of date: these have changed since it was run: {', '.join(changed)}.",
            _remedy(stage, "again", run),
        )


def publish(partial: Path, final: Path) -> None:
    """Replace a stage's folder by a finished one, so that the two are never mixed."""
    retired = final.with_name(f"{final.name}.old")
    shutil.rmtree(retired, ignore_errors=True)
    if final.exists():
        final.rename(retired)
    partial.rename(final)
    shutil.rmtree(retired, ignore_errors=True)


def recover(final: Path) -> None:
    """Undo a `publish` that was killed between its two renames."""
    retired = final.with_name(f"{final.name}.old")
    if final.exists():
        shutil.rmtree(retired, ignore_errors=True)
    elif retired.exists():
        retired.rename(final)


# a line that may begin an import of helpers, with the names in parentheses after it
_IMPORT = re.compile(r"^[ \t]*((?:from|import)[ \t].*?\bhelpers\b[^(\n]*(?:\([^)]*\))?.*)$", re.MULTILINE)


@cache
def _imports(source: str) -> frozenset[Path]:
    """Return the files of the helper modules that source code imports, at any level."""
    package = Path(helpers.__file__).parent
    names: set[str] = set()
    try:
        tree = ast.parse("\n".join(_IMPORT.findall(source)))  # a tenth of the time of the whole
    except SyntaxError:
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "helpers":
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.split(".")[0] == "helpers")
    places = [package.joinpath(*name.split(".")[1:]) for name in names]
    files = (file for place in places for file in (place.with_suffix(".py"), place / "__init__.py"))
    return frozenset(file for file in files if file.is_file())


@cache
def _beside(module_file: Path) -> frozenset[Path]:
    """Return the scripts and pages in a module's folder that its code names."""
    source = module_file.read_text(encoding="utf-8")
    others = (file for file in module_file.parent.iterdir() if file.is_file() and file.suffix != ".py")
    return frozenset(file for file in others if f'"{file.name}"' in source)


def source_files(notebook: str) -> tuple[str, list[Path]]:
    """Return the code that a run of a notebook executes, and the files of its helpers.

    Parameters are left out, as they are compared by value.
    """
    left_out = (notebook_cells.is_parameters_cell, notebook_cells.is_skipped)
    cells = [c for c in notebook_cells.code_cells(notebook) if not any(leave(c) for leave in left_out)]
    code = "\n\n".join("".join(c["source"]) for c in cells)
    python = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))
    return code, _with_imports(_imports(python))


def _with_imports(modules: Iterable[Path]) -> list[Path]:
    """Return the files of helper modules, of all helpers that they import, and the files beside them that they name."""
    pending, files = list(modules), set()
    while pending:
        module = pending.pop()
        if module not in files:
            files |= {module, *_beside(module)}
            pending.extend(_imports(module.read_text(encoding="utf-8")))
    return sorted(files)


def source_sha256(notebook: str) -> str:
    """Return the hash of the code that a notebook's results depend on: its cells and its helpers."""
    return _digest(*source_files(notebook))


def code_sha256(module: str) -> str:
    """Return the hash of a helper module and all helpers that it imports, to stamp results that outlive a run.

    Args:
        module: its name within `helpers`, such as `"model.tuning.spaces"`.
    """
    file = Path(helpers.__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    return _digest("", _with_imports([file]))


def _digest(code: str, files: Iterable[Path]) -> str:
    package = Path(helpers.__file__).parent
    digest = hashlib.sha256(code.encode())
    for file in files:
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
