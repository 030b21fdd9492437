"""Renders the report: one HTML page per executed notebook, and an index with the results.

`render` writes `reports/<dataset>/<profile>/`; `is_current` checks, without rendering, whether that folder is up to date.
Pages open offline: they contain all their images, and link only to each other.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers import paths
from helpers.errors import OsemnError
from helpers.export import browser_page
from helpers.obtain import ledger
from helpers.report import collect
from helpers.report.regression import reference
from helpers.series import manifests

INDEX = "index.html"
RECORD = "report.json"
SCHEMA = 1
LOCK_SECONDS = 60.0  # a report takes a few seconds


def render(dataset: str, profile: str) -> Path:
    """Render every executed notebook of the finished stages, and the index; return the index's path.

    The earlier report is replaced only once the new one is complete.

    Args:
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.

    Raises:
        OsemnError: no stage has been run; an image has no alt text; another report is being rendered; the reference of the
            accepted run is damaged.
        MissingInputError: an executed notebook was edited.
    """
    folder = paths.report_folder(dataset, profile)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        manifests.recover(folder)
        series = collect.collect(dataset, profile)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / collect.METRICS_FOLDER).mkdir(parents=True)
        _write(series, partial)
        manifests.write_json(partial / RECORD, _record(series, partial))
        manifests.publish(partial, folder)
    return folder / INDEX


def accept(dataset: str, profile: str) -> Path:
    """Accept the present run as the reference of later runs; return the reference's file.

    Raises:
        OsemnError: a stage is not done; the reference cannot be written; a report is being rendered.
    """
    from helpers.report.regression import accept as accepting

    folder = paths.report_folder(dataset, profile)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        return accepting.accept(dataset, profile)


def is_current(dataset: str, profile: str) -> bool:
    """Return True if the rendered report matches the manifests of the stages.

    This reads the manifests, hashes the templates, this package and the pages, and imports no renderer.
    """
    folder = paths.report_folder(dataset, profile)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        made_from, files = record["made_from"], record["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if record.get("schema") != SCHEMA or INDEX not in files:
        return False
    return made_from == _made_from(dataset, profile) and not manifests.faults(folder, {"outputs": files})


def _lock(folder: Path) -> FileLock:
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise OsemnError(
            f"Another report is being rendered in {paths.shown(folder)}.", "wait until it has finished"
        ) from None
    return lock


def _write(series: collect.Series, partial: Path) -> None:
    """Write the pages, the index and a copy of each stage's metrics."""
    from helpers.report.html import cards, charts, explorer, index, pages
    from helpers.report.regression import changes

    renderer = pages.Renderer(series)
    for record in series.pages:
        (partial / record.page).write_text(renderer.notebook(record), encoding="utf-8")
    for record in series.records:
        if record.metrics_file is not None:
            shutil.copyfile(record.metrics_file, partial / record.metrics_copy)
    if evaluated := explorer.sources(series):
        (partial / explorer.NAME).write_text(explorer.render(renderer, evaluated), encoding="utf-8")
    if drawn := charts.render(renderer):
        (partial / charts.NAME).write_text(drawn, encoding="utf-8")
    for name, text in cards.markdown(series).items():
        (partial / f"{name}.md").write_text(text, encoding="utf-8")
        (partial / f"{name}.html").write_text(cards.page(renderer, name, text), encoding="utf-8")
    (partial / cards.GLOSSARY).write_text(cards.glossary(renderer), encoding="utf-8")
    write_demo(series, partial)
    since = changes.compare(series)
    beside = [file.name for file in partial.iterdir()]
    (partial / INDEX).write_text(index.render(renderer, since, beside), encoding="utf-8")


def write_demo(series: collect.Series, folder: Path) -> str:
    """Write the demo page of the series' own model version into a report's folder; return the page's name.

    The name is empty, and nothing is written, where there is no version, where it was removed, or where TensorFlow.js is
    unavailable.
    """
    name = series.by_name[reference.EXPORT].metrics.get("version")
    if not name:
        return ""
    try:
        version = browser_page.find_version(series.dataset, name)
        browser_page.write(version, folder / browser_page.NAME, folder)
    except OsemnError:
        return ""
    return browser_page.NAME


def _record(series: collect.Series, partial: Path) -> dict[str, Any]:
    files = [file for file in partial.rglob("*") if file.is_file()]
    return {
        "schema": SCHEMA,
        "dataset": paths.dataset_slug(series.dataset),
        "profile": series.profile,
        "made_from": _made_from(series.dataset, series.profile),
        "files": manifests.describe_files(partial, files),
    }


def _made_from(dataset: str, profile: str) -> dict[str, str]:
    """Return the hashes of everything that determines the report's content."""
    hashes = {
        "template": _digest(collect.template_folder()),
        "glossary": manifests.sha256(collect.glossary_file()),
        "demo": _digest(paths.web_folder()) + manifests.sha256(Path(browser_page.__file__)),
        "source": _digest(Path(__file__).parent, "*.py"),
        "accepted": reference.reference_sha256(dataset, profile),
    }
    for stage in collect.stages.STAGES:
        manifest = paths.stage_folder(dataset, profile, stage.name) / manifests.NAME
        hashes[stage.name] = manifests.sha256(manifest) if manifest.is_file() else "not run"
    openings = ledger.of_manifest(manifests.read(paths.stage_folder(dataset, profile, "01_acquire")))
    hashes["openings"] = manifests.sha256(openings) if openings.is_file() else "none"
    table = repr(collect.stages.STAGES).encode()
    return {**hashes, "stages": hashlib.sha256(table).hexdigest()}


def _digest(folder: Path, pattern: str = "*") -> str:
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob(pattern) if file.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
