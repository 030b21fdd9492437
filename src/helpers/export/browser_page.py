"""The page that tries a version in the browser: one file that opens by double click, or a folder to be served.

The page is written by hand in `web/`; here a version's model, card and hard test images, and TensorFlow.js, are put into it.
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

from helpers import paths, wording
from helpers.errors import OsemnError, UsageError
from helpers.export import browser_runtime, registry, versions
from helpers.export.versions import Version
from helpers.series import output_paths, stages

NAME = "try_it.html"
SCRIPTS = ("framing.js", "files.js", "pad.js", "model.js", "main.js")
"""In an order in which each needs only those before it."""
HALF_AGREES = 0.999
"""Share of test images whose labels the half-precision model must keep; otherwise the page has the full one."""
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src blob:; base-uri 'none'; form-action 'none'"
)
_SERVED_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
_IMPORT = re.compile(r'^import .* from "\./.*";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def write(version: Version, path: Path, report: Path | None = None) -> Path:
    """Write the page of a version as one file that holds everything; return its path.

    Args:
        version: whole, and proven by its export.
        path: the file to write; it appears by one rename.
        report: the folder of the report whose pages are linked, where they are there.

    Raises:
        OsemnError: the version lacks what the page needs, TensorFlow.js cannot be had, or the folder cannot be made.
    """
    _make_folder(path.parent)
    runtime = browser_runtime.folder()
    scripts = [(runtime / file.name).read_text(encoding="utf-8") for file in browser_runtime.SCRIPTS]
    binary = base64.b64encode((runtime / browser_runtime.BINARY.name).read_bytes()).decode()
    parts = {
        "style": Markup(
            f'{_policy(_POLICY)}\n<link rel="icon" href="data:,">\n<style>\n{_file("demo.css")}</style>'
        ),
        "scripts": Markup(
            "\n".join(
                [
                    f'<script type="application/json" id="facts">{_json(facts(version))}</script>',
                    f'<script type="application/octet-stream" id="wasm">{binary}</script>',
                    *(f"<script>{_inline(script)}</script>" for script in scripts),
                    f"<script>\n{_inline(script())}</script>",
                ]
            )
        ),
    }
    registry.write_whole(path, _page(version, parts, path.parent, report).encode())
    return path


def write_folder(version: Version, folder: Path, report: Path | None = None) -> Path:
    """Write the page of a version as files to be served, for servers that forbid scripts inside of pages.

    Under `Content-Security-Policy: default-src 'self'; script-src 'self'` WebAssembly is forbidden too, and the plain back
    end computes.

    Args:
        version: as for `write`.
        folder: is made; files of the same names in it are replaced.
        report: as for `write`.

    Raises:
        OsemnError: as for `write`.
    """
    _make_folder(folder)
    runtime = browser_runtime.folder()
    for file in browser_runtime.FILES:
        shutil.copyfile(runtime / file.name, folder / file.name)
    (folder / "demo.js").write_text(script(), encoding="utf-8")
    (folder / "demo.css").write_text(_file("demo.css"), encoding="utf-8")
    known = {**facts(version), "wasm": browser_runtime.BINARY.name}
    parts = {
        "style": Markup(f'{_policy(_SERVED_POLICY)}\n<link rel="stylesheet" href="demo.css">'),
        "scripts": Markup(
            "\n".join(
                [
                    f'<script type="application/json" id="facts">{_json(known)}</script>',
                    *(f'<script src="{file.name}"></script>' for file in browser_runtime.SCRIPTS),
                    '<script src="demo.js"></script>',
                ]
            )
        ),
    }
    registry.write_whole(folder / "index.html", _page(version, parts, folder, report).encode())
    return folder / "index.html"


def facts(version: Version) -> dict[str, Any]:
    """Return what the page's script knows of a version, as plain JSON types.

    Raises:
        OsemnError: the version has no model for the browser; it was exported before the page was made.
    """
    manifest = version.manifest
    try:
        shape = manifest["signature"]["input"]["shape"][1:]
        temperature = manifest["metrics"]["test"]["temperature"]
        return {
            "version": version.name,
            "classes": manifest["classes"],
            "shape": shape,
            "framing": manifest["framing"],
            "temperature": temperature,
            "model": _model(version.folder / model_format(manifest)),
            "gallery": _gallery(version.folder / versions.GALLERY),
        }
    except (KeyError, OSError, ValueError) as error:
        lacking = f"its manifest lacks {error}" if isinstance(error, KeyError) else str(error)[:200]
        command = ["osemn", "run", "--dataset", manifest["dataset"], "--profile", manifest["profile"]]
        raise OsemnError(
            f"Version {version.name} cannot be tried in the browser: {lacking}.",
            f"export the model again: {shlex.join([*command, '--from', '10_export'])}",
        ) from None


def model_format(manifest: Mapping[str, Any]) -> str:
    """Return the folder of the model that the page has: in half precision, where that keeps the labels."""
    rows = {row["format"]: row for row in manifest["formats"]}
    half = rows.get("tfjs_half")
    return "tfjs_half" if half and half["same_labels"] >= HALF_AGREES * half["n"] else "tfjs"


def script() -> str:
    """Return the page's own script: the modules of `web/`, one after the other, in a function of their own.

    A module of its own would not be loaded from a file that is opened by double click.
    """
    modules = "\n".join(_EXPORT.sub("", _IMPORT.sub("", _file(name))) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{modules}}})();\n'


def find_version(dataset: str, name: str = "") -> Version:
    """Return a version of the registry by name, or the current one.

    Raises:
        UsageError: there is none of that name.
        OsemnError: none is promoted yet, or a file of it is missing or changed.
    """
    known = registry.Registry(dataset)
    version = known.find(name) if name else known.current()
    versions.verify(version)
    return version


def check_target(page: Path | None, folder: Path | None) -> None:
    """Refuse a page or a folder that cannot be written.

    Args:
        page: the file wanted, or None.
        folder: the folder wanted, or None.

    Raises:
        UsageError: both are wanted, the page's name does not end in .html, the page is a folder or the folder a file, or there
            nothing can be written.
    """
    if page is not None and folder is not None:
        raise UsageError("One page or a folder of files, not both.", "leave out --output or --files")
    if page is not None and page.suffix.lower() != ".html":
        raise UsageError(f"{page} is no name of a page.", "let it end in .html")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file.", "name a folder for --files")
    if page is not None:
        output_paths.check_file(page)
    if folder is not None:
        output_paths.check_folder(folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OsemnError(
            f"The folder {folder} cannot be made: {(error.strerror or str(error)).lower()}.",
            "name another with --output or --files, or set OSEMN_OUTPUT_DIR to a folder that you may write to",
        ) from None


def _model(folder: Path) -> dict[str, Any]:
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (group,) = model["weightsManifest"]
    content = b"".join((folder / name).read_bytes() for name in group["paths"])
    return {
        "topology": model["modelTopology"],
        "signature": model["signature"],
        "weightSpecs": group["weights"],
        "weights": base64.b64encode(content).decode(),
    }


def _gallery(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as content:
        images, labels = content["images"], content["labels"]
    return {"images": base64.b64encode(images.tobytes()).decode(), "labels": labels.tolist()}


def _page(version: Version, parts: dict[str, Markup], place: Path, report: Path | None) -> str:
    manifest = version.manifest
    height, width = manifest["signature"]["input"]["shape"][1:3]
    test = manifest["metrics"]["test"]
    loader = jinja2.FileSystemLoader(paths.web_folder())
    template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return template.get_template("index.html.j2").render(
        title=manifest["data"]["title"],
        framing=manifest["framing"],
        height=height,
        width=width,
        rebuild=shlex.join(["osemn", "demo", "--dataset", manifest["dataset"]]),
        steps=[(stage.title, _address(stage, place, report)) for stage in steps(manifest)],
        model=f"{wording.capital(manifest['label'])}: {wording.percent(test['accuracy'])} of {test['n']:,} test images right "
        f"({wording.interval(*test['accuracy_ci95'])}). Version {version.name}.",
        card=Markup(_card(version)),
        runtime_version=browser_runtime.VERSION,
        licence=_file("tensorflow-js.LICENSE.txt"),
        **parts,
    )


def steps(manifest: Mapping[str, Any]) -> list[stages.Stage]:
    """Return the stages that a version came from, in order."""
    names = [stage.name for stage in stages.until(manifest["trained_by"])]
    names += [f"{notebook}/{manifest['candidate']}" for notebook in ("07_evaluation", "08_grad_cam")]
    return [stages.find(name) for name in (*names, "10_export")]


def _address(stage: stages.Stage, place: Path, report: Path | None) -> str:
    page = f"{stage.slug}.html"
    if report is None or not (report / page).is_file():
        return ""
    return quote(Path(os.path.relpath(report / page, place)).as_posix())


def _policy(content: str) -> str:
    return f'<meta http-equiv="Content-Security-Policy" content="{content}">'


def _card(version: Version) -> str:
    text = (version.folder / "model_card.md").read_text(encoding="utf-8")
    lower = re.sub("^#", "##", text, flags=re.MULTILINE)
    return mistune.create_markdown(escape=True, plugins=["table"])(lower)


def _file(name: str) -> str:
    return (paths.web_folder() / name).read_text(encoding="utf-8")


def _json(content: Any) -> str:
    """Return JSON that no parser of HTML can take for the end of a script."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _inline(content: str) -> str:
    """Return a script that can stand inside of a page."""
    return re.sub("<(?=/script)", r"\\x3c", content, flags=re.IGNORECASE).replace("<!--", r"\x3c!--")
