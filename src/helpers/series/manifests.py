"""Manifests: what a stage read and wrote, by hash; a stage is done if and only if its manifest verifies."""

import ast
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import helpers
from helpers import paths
from helpers.errors import MissingInputError
from helpers.series import notebook_cells, seal, stages

NAME = "manifest.json"
ABSENT = "absent"  # stands for the hash of a file that a stage would have looked at and did not find
SCHEMA = 1


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with seal.verifying(), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the whole new one: temporary file, sync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def describe_files(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return `{relative path: {sha256, bytes}}` of files inside `folder`."""
    return {
        file.relative_to(folder).as_posix(): {"sha256": sha256(file), "bytes": file.stat().st_size}
        for file in sorted(files)
    }


def read(folder: Path) -> dict[str, Any] | None:
    """Return a folder's manifest, or None where there is none or it cannot be read."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    return content


def output_sha256(manifest: dict[str, Any] | None, file: str) -> str | None:
    """Return the hash of a stage's file by its manifest; `ABSENT` without a manifest, None if the stage left no such file."""
    return ABSENT if manifest is None else manifest["outputs"].get(file, {}).get("sha256")


def faults(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Return what is wrong with the files that a manifest lists: missing, cut short or changed."""
    found = []
    for name, expected in manifest["outputs"].items():
        file = folder / name
        if not file.is_file():
            found.append(f"{paths.shown(file)} is missing")
        elif file.stat().st_size != expected["bytes"]:
            found.append(f"{paths.shown(file)} has {file.stat().st_size} bytes, expected {expected['bytes']}")
        elif sha256(file) != expected["sha256"]:
            found.append(f"{paths.shown(file)} was changed after it was written (its sha256 differs)")
    return found


def require(folder: Path, stage: str) -> dict[str, Any]:
    """Return the manifest of an input stage whose files are all whole.

    Raises:
        MissingInputError: the stage has not been run, or one of its files is missing or changed; the
            message names the file and the notebook to run.
    """
    manifest = read(folder)
    spec = stages.find(stage)
    chosen = f" for the candidate '{spec.candidate}'" if spec.candidate else ""
    remedy = f"run notebooks/{spec.notebook}.ipynb{chosen} first, or 'osemn run --until {stage}'"
    if manifest is None:
        raise MissingInputError(
            f"{stage} has not been run: there is no {paths.shown(folder / NAME)}.", remedy
        )
    found = faults(folder, manifest)
    if found:
        raise MissingInputError(
            f"The files of {stage} are not whole: {'; '.join(found)}.", remedy.replace("first", "again")
        )
    return manifest


def publish(partial: Path, final: Path) -> None:
    """Put a finished folder in the place of the one before, so that no moment shows a mixture of both."""
    retired = final.with_name(f"{final.name}.old")
    shutil.rmtree(retired, ignore_errors=True)
    if final.exists():
        final.rename(retired)
    partial.rename(final)
    shutil.rmtree(retired, ignore_errors=True)


def recover(final: Path) -> None:
    """Undo a `publish` that was killed between its two renames."""
    retired = final.with_name(f"{final.name}.old")
    if not retired.exists():
        return
    if final.exists():
        shutil.rmtree(retired, ignore_errors=True)
    else:
        retired.rename(final)


@cache
def _helper_imports(module_file: Path) -> frozenset[Path]:
    return _imports(module_file.read_text(encoding="utf-8"))


def _imports(source: str) -> frozenset[Path]:
    """Return the files of the helper modules that a piece of source imports, anywhere in it."""
    package = Path(helpers.__file__).parent
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "helpers":
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.split(".")[0] == "helpers")
    found = set()
    for name in names:
        location = package.joinpath(*name.split(".")[1:])
        found.update(
            file for file in (location.with_suffix(".py"), location / "__init__.py") if file.is_file()
        )
    return frozenset(found)


@cache
def _beside(module_file: Path) -> frozenset[Path]:
    """Return the files that lie beside a module and that its code names: scripts and pages that it uses."""
    source = module_file.read_text(encoding="utf-8")
    others = (file for file in module_file.parent.iterdir() if file.is_file() and file.suffix != ".py")
    return frozenset(file for file in others if f'"{file.name}"' in source)


def source_files(stage: str) -> tuple[str, list[Path]]:
    """Return a notebook's code (without its parameters, which are compared by value) and the files of its helpers."""
    content = json.loads(paths.notebook(stages.notebook_of(stage)).read_text(encoding="utf-8"))
    cells = [
        "".join(cell["source"])
        for cell in content["cells"]
        if cell["cell_type"] == "code" and not notebook_cells.is_parameters_cell(cell)
    ]
    code = "\n\n".join(cells)
    python = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))
    return code, _with_all_they_import(_imports(python))


def _with_all_they_import(modules: Iterable[Path]) -> list[Path]:
    """Return the files of helper modules, of the helpers that these import, and what lies beside and is named."""
    pending, files = list(modules), set()
    while pending:
        module = pending.pop()
        if module not in files:
            files |= {module, *_beside(module)}
            pending.extend(_helper_imports(module))
    return sorted(files)


def source_sha256(stage: str) -> str:
    """Return the hash of what a stage's result depends on in code: its notebook's cells and its helpers."""
    return _digest(*source_files(stage))


def code_sha256(module: str) -> str:
    """Return the hash of a helper module and of all helpers that it imports: for what outlives a run, such as a study.

    Args:
        module: its name within `helpers`, such as `"model.tuning.spaces"`.
    """
    return _digest(
        "",
        _with_all_they_import(
            [Path(helpers.__file__).parent.joinpath(*module.split(".")).with_suffix(".py")]
        ),
    )


def _digest(code: str, files: Iterable[Path]) -> str:
    package = Path(helpers.__file__).parent
    digest = hashlib.sha256(code.encode())
    for file in files:
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
