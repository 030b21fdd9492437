"""The explorer: one page with all test images, to filter, to sort, to open, and to see on a map, for every candidate.

Its data are the thumbnails that 07_evaluation saved and the predictions of each candidate, as typed arrays inside the page.
"""

import base64
import csv
from typing import Any

import numpy as np

from helpers.interpret import explored
from helpers.interpret.calibration import Scaling, at_temperature
from helpers.report import collect
from helpers.report.data_facts import ACQUIRE
from helpers.report.html import pages
from helpers.report.models import EXPORT
from helpers.series import stages

NAME = "explorer.html"
CORRECTED = "labels.csv"  # in which 01_acquire keeps the corrections that it applied
TOP = 5  # most probable classes saved for each image; with 1,000 classes all would take 80 MB
SCALE = 65_535  # probabilities are saved in two bytes


def sources(series: collect.Series) -> list[collect.Record]:
    """Return the evaluations that have what the explorer shows; without one, there is no page."""
    records = (series.by_name[stage.name] for stage in stages.of_notebook("07_evaluation"))
    return [record for record in records if record.intact and record.holds(explored.FILE)]


def render(renderer: pages.Renderer, records: list[collect.Record]) -> str:
    """Return the page.

    Args:
        renderer: the renderer of the series.
        records: as `sources` returns them, at least one; those of another test part than the first one's are left out.
    """
    shown = [explored.load(record.folder / explored.FILE) for record in records]
    rows = shown[0].rows
    same = [place for place, one in enumerate(shown) if np.array_equal(one.rows, rows)]
    # an evaluation that had finished before 05 has no training images
    best = max(same, key=lambda place: (len(shown[place].suspects) > 0, shown[place].side))
    sharpest, of_training = shown[best], _label_errors(records[best], "train")
    with np.load(records[0].folder / "test_predictions.npz") as saved:
        labels = np.concatenate([saved["labels"][rows], sharpest.suspect_labels])
    names = [records[place].stage.candidate for place in same]
    champion = renderer.series.by_name[EXPORT].metrics.get("candidate")
    model = champion if champion in names else names[-1]
    content = {
        "model": model,
        "classes": records[0].metrics["class_names"],
        **_thumbnails(sharpest),
        "tests": len(rows),
        "rows": _packed(np.concatenate([rows, sharpest.suspects]), np.uint32),
        "labels": _packed(labels, np.uint16),
        "copied": _packed(sharpest.copied, np.uint8),
        "sha256": base64.b64encode(bytes.fromhex("".join(sharpest.sha256))).decode(),
        "earlier": _applied(renderer.series.by_name[ACQUIRE]),
        "groups": sharpest.groups if any(sharpest.groups) else [],
        "near": _near(shown[same[names.index(model)]].mistakes),
        "candidates": [
            _candidate(records[place], shown[place], labels, sharpest, of_training) for place in same
        ],
    }
    return renderer.page(
        "explorer.html.j2",
        title="Explorer",
        contents=(),
        scripts=("explorer.js",),
        style=("explorer.css",),
        content=content,
        shown=len(rows),
        total=sharpest.total,
    )


def _candidate(
    record: collect.Record,
    shown: explored.Explored,
    labels: np.ndarray,
    sharpest: explored.Explored,
    of_training: dict[int, list[float]],
) -> dict[str, Any]:
    """Return a candidate's predictions, after scaling as the service returns them, and its map.

    For training images, predictions and label errors are those of the cross-validation, the same for each candidate.
    """
    with np.load(record.folder / "test_predictions.npz") as saved:
        on_test = at_temperature(saved["probabilities"][shown.rows], *Scaling.of(record.metrics))
    probabilities = np.concatenate([on_test, sharpest.suspect_probabilities])
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    of_test = _label_errors(record, "test")
    errors = [of_test.get(row) for row in shown.rows.tolist()]
    errors += [of_training.get(row) for row in sharpest.suspects.tolist()]
    return {
        "name": record.stage.candidate,
        "label": record.metrics["label"],
        "top": _packed(top, np.uint16),
        "probabilities": _packed(SCALE * np.take_along_axis(probabilities, top, 1) + 0.5, np.uint16),
        "ofLabel": _packed(SCALE * np.take_along_axis(probabilities, labels[:, None], 1) + 0.5, np.uint16),
        "places": _packed(SCALE * shown.places + 0.5, np.uint16),
        "alike": _packed(shown.alike, np.uint16),
        "unknown": None if shown.unknown is None else _packed(shown.unknown, np.float32),
        "maps": _maps(shown.mistakes),
        "labelErrors": {place: error for place, error in enumerate(errors) if error is not None},
    }


def _label_errors(record: collect.Record, part: str) -> dict[int, list[float]]:
    """Return the possible label errors of a part by their rows: the suggested label, and the quality of the present one."""
    with (record.folder / "doubtful_labels.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    return {
        int(line["row"]): [int(line["suggested"]), float(line["quality"])]
        for line in lines
        if (line["part"] == "test") == (part == "test")  # 07 names the parts of the split, too
    }


def _maps(mistakes: explored.Mistakes | None) -> dict[str, Any] | None:
    """Return the Grad-CAM maps of a candidate's mistakes; None if it has none."""
    if mistakes is None or mistakes.maps.size == 0:
        return None
    height, width = mistakes.maps.shape[1:]
    return {
        "images": _packed(mistakes.images, np.uint16),
        "height": height,
        "width": width,
        "values": _packed(mistakes.maps, np.uint8),
    }


def _near(mistakes: explored.Mistakes | None) -> dict[str, Any] | None:
    """Return the training images most like the mistakes of the candidate that is shown first; for all, they would be too many."""
    if mistakes is None:
        return None
    return {
        "images": _packed(mistakes.images, np.uint16),
        "near": _packed(mistakes.near, np.uint16),
        "rows": _packed(mistakes.rows, np.uint32),
        "labels": _packed(mistakes.labels, np.uint16),
        **_thumbnails(mistakes),
    }


def _thumbnails(shown: explored.Explored | explored.Mistakes) -> dict[str, Any]:
    """Return the sheets of thumbnails, with the paths of their images."""
    return {
        "paths": shown.paths if any(shown.paths) else [],
        "sheets": [base64.b64encode(sheet).decode() for sheet in shown.sheets],
        **{name: getattr(shown, name) for name in ("side", "cell", "columns")},
    }


def _applied(record: collect.Record) -> list[list[str]]:
    """Return the rows of the corrections of labels that a run applied."""
    if not record.holds(CORRECTED):
        return []
    with (record.folder / CORRECTED).open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))[1:]


def _packed(values: np.ndarray, kind: type) -> str:
    """Return an array as base64, as little-endian numbers of a type, row by row."""
    return base64.b64encode(np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<"))).decode()
