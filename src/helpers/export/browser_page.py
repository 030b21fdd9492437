"""Build the page that tries a version in the browser: one file that opens by double click, or a folder for a web server.

The page is written by hand in `web/`. This module adds a version's model, card and hard test images, and TensorFlow.js.
"""

import base64
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import mistune
import numpy as np
from markupsafe import Markup

from helpers import paths
from helpers.errors import OsemnError, UsageError
from helpers.export import browser_runtime, registry, versions
from helpers.export.versions import Version
from helpers.obtain.images.pictures import Preparation
from helpers.series import disk, output_paths, stages

NAME = "try_it.html"
SCRIPTS = ("framing.js", "files.js", "pad.js", "model.js", "main.js")
"""Each script needs only those before it."""
HALF_AGREES = 0.999
"""Fraction of test images whose labels the half-precision model must keep; otherwise the page gets the full one."""
_IMPORT = re.compile(r'^import .* from "\./.*";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def write(version: Version, path: Path, report: Path | None = None) -> Path:
    """Write the page of a version as one file that holds everything; return its path.

    Args:
        version: intact, and checked by its export.
        path: the file to write; it appears by one rename.
        report: the folder of the report; its pages are linked if they exist.

    Raises:
        OsemnError: the version lacks something that the page needs, or TensorFlow.js is unavailable.
    """
    runtime = browser_runtime.folder()
    scripts = [(runtime / file.name).read_text(encoding="utf-8") for file in browser_runtime.SCRIPTS]
    page = _render(
        version,
        path.parent,
        report,
        facts=facts(version),
        wasm=_base64(runtime / browser_runtime.BINARY.name),
        style=Markup(_file("demo.css")),
        scripts=[_inline(content) for content in (*scripts, script())],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, page.encode())
    return path


def write_folder(version: Version, folder: Path, report: Path | None = None) -> Path:
    """Write the page of a version as a folder of files, for servers that forbid inline scripts; return its index.

    Under `Content-Security-Policy: default-src 'self'; script-src 'self'` WebAssembly is forbidden too; the page then uses the
    plain JavaScript back end.

    Args:
        version: as for `write`.
        folder: is created; files of the same names in it are replaced.
        report: as for `write`.

    Raises:
        OsemnError: as for `write`.
    """
    runtime = browser_runtime.folder()
    files = [*(file.name for file in browser_runtime.SCRIPTS), "demo.js"]
    known = {**facts(version), "wasm": browser_runtime.BINARY.name}
    page = _render(version, folder, report, facts=known, files=files)
    folder.mkdir(parents=True, exist_ok=True)
    for file in browser_runtime.FILES:
        shutil.copyfile(runtime / file.name, folder / file.name)
    (folder / "demo.js").write_text(script(), encoding="utf-8")
    (folder / "demo.css").write_text(_file("demo.css"), encoding="utf-8")
    disk.write(folder / "index.html", page.encode())
    return folder / "index.html"


def facts(version: Version) -> dict[str, Any]:
    """Return the facts about a version that the page's script needs, as plain JSON types.

    Raises:
        OsemnError: the version has no model for the browser: it was exported before the page existed.
    """
    manifest = version.manifest
    try:
        return {
            "version": version.name,
            "classes": manifest["classes"],
            "shape": manifest["signature"]["input"]["shape"][1:],
            "framing": manifest["framing"],
            "fit": Preparation.of(manifest.get("preparation")).fit,
            "temperature": manifest["metrics"]["test"]["temperature"],
            "exponent": manifest["metrics"]["test"].get("exponent", 1.0),
            "model": _model(version.folder / model_format(manifest)),
            "gallery": _gallery(version.folder / versions.GALLERY),
        }
    except (KeyError, OSError, ValueError) as error:
        problem = f"its manifest lacks {error}" if isinstance(error, KeyError) else str(error)[:200]
        run = ["osemn", "run", "--dataset", manifest["dataset"], "--profile", manifest["profile"]]
        raise OsemnError(
            f"Version {version.name} cannot be tried in the browser: {problem}.",
            f"export the model again: {shlex.join([*run, '--from', '10_export'])}",
        ) from None


def model_format(manifest: Mapping[str, Any]) -> str:
    """Return the folder of the model for the page: half precision if that keeps the labels."""
    half = next((row for row in manifest["formats"] if row["format"] == "tfjs_half"), None)
    return "tfjs_half" if half and half["same_labels"] >= HALF_AGREES * half["n"] else "tfjs"


def script() -> str:
    """Return the page's own script: the modules of `web/`, joined in one function.

    Browsers do not load modules from a page that is opened by double click.
    """
    modules = "\n".join(_EXPORT.sub("", _IMPORT.sub("", _file(name))) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{modules}}})();\n'


def find_version(dataset: str, name: str = "") -> Version:
    """Return a version of the registry by name, or the current one.

    Raises:
        UsageError: there is no version of that name.
        OsemnError: none is promoted yet, or one of its files is missing or changed.
    """
    known = registry.Registry(dataset)
    version = known.find(name) if name else known.current()
    versions.verify(version)
    return version


def check_target(page: Path | None, folder: Path | None) -> None:
    """Refuse a page or a folder that cannot be written.

    Args:
        page: the file to write, or None.
        folder: the folder to write, or None.

    Raises:
        UsageError: both are given, the page's name does not end in .html, or one of them cannot be written to.
    """
    if page is not None and folder is not None:
        raise UsageError("Choose one page or a folder of files, not both.", "leave out --output or --files")
    if page is not None:
        output_paths.check_file(page, ".html")
    if folder is not None:
        output_paths.check_folder(folder)


def steps(manifest: Mapping[str, Any]) -> list[stages.Stage]:
    """Return the stages that produced a version, in order."""
    names = [stage.name for stage in stages.until(manifest["trained_by"])]
    names += [f"{notebook}/{manifest['candidate']}" for notebook in ("07_evaluation", "08_grad_cam")]
    return [stages.find(name) for name in (*names, "10_export")]


def _render(version: Version, folder: Path, report: Path | None, **parts: Any) -> str:
    """Return the page as HTML, for a file in a folder."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.web_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template("index.html.j2").render(
        manifest=version.manifest,
        version=version.name,
        steps=[(stage.title, _address(stage, folder, report)) for stage in steps(version.manifest)],
        rebuild=shlex.join(["osemn", "demo", "--dataset", version.manifest["dataset"]]),
        card=_card(version),
        runtime_version=browser_runtime.VERSION,
        licence=_file("tensorflow-js.LICENSE.txt"),
        **parts,
    )


def _address(stage: stages.Stage, folder: Path, report: Path | None) -> str:
    """Return the link from a folder to a stage's page; empty if there is none."""
    page = f"{stage.slug}.html"
    if report is None or not (report / page).is_file():
        return ""
    return quote(Path(os.path.relpath(report / page, folder)).as_posix())


def _card(version: Version) -> Markup:
    text = (version.folder / "model_card.md").read_text(encoding="utf-8")
    body = text[text.index("# ") :]  # without the metadata on top
    lower = re.sub("^#", "##", body, flags=re.MULTILINE)
    return Markup(mistune.create_markdown(escape=True, plugins=["table"])(lower))


def _model(folder: Path) -> dict[str, Any]:
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (group,) = model["weightsManifest"]
    return {
        "topology": model["modelTopology"],
        "signature": model["signature"],
        "weightSpecs": group["weights"],
        "weights": _base64(*(folder / name for name in group["paths"])),
    }


def _gallery(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as content:
        images, labels = content["images"], content["labels"]
    return {"images": base64.b64encode(images.tobytes()).decode(), "labels": labels.tolist()}


def _base64(*files: Path) -> str:
    return base64.b64encode(b"".join(file.read_bytes() for file in files)).decode()


def _file(name: str) -> str:
    return (paths.web_folder() / name).read_text(encoding="utf-8")


def _inline(content: str) -> Markup:
    """Return a script that can stand inside a page: no text in it ends the script."""
    return Markup(re.sub("<(?=/script)", r"\\x3c", content, flags=re.IGNORECASE).replace("<!--", r"\x3c!--"))
