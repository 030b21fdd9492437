"""Measures the champion's browser page in headless Chromium: size, start, speed, labels, and digits drawn by a mouse.

    .venv/bin/python benchmarks/demo.py --dataset mnist --strokes 500
    .venv/bin/python benchmarks/demo.py --dataset mnist --strokes 500 --of validation --brush 24

Both browser models of a version predict the first 1,000 test images, and their labels are compared with Keras's. Digits are
drawn along the skeletons of real ones by mouse events on the pad, about a second each, and pass through the pad, the framing
and the model. Needs the data set's quick run. Adds to benchmarks/results/demo.json; results on validation images are only
printed.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from skimage.morphology import skeletonize

from helpers import paths, scoring
from helpers.export import browser_page, score
from helpers.obtain import data
from helpers.obtain.places import idx
from helpers.series import manifests, runs

RESULTS = paths.project_root() / "benchmarks" / "results" / "demo.json"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCALE = 10  # pixels of the pad for each of MNIST's
STEP = 8  # pixels of the pad between two mouse events
STARTS, PREDICTIONS, COMPARED = 9, 300, 1_000
NEIGHBOURS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
LABELS = """(images) => images.map((pixels) => {
    const probabilities = osemn.model.predict(Uint8Array.from(pixels)).probabilities;
    return probabilities.indexOf(Math.max(...probabilities));
})"""
SPEED = """([pixels, count]) => Array.from({ length: count }, () => osemn.model.predict(Uint8Array.from(pixels)).ms)"""
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def opened(browser: Browser, page: Path) -> Page:
    """Open a page in a new window and wait for its first prediction."""
    tab = browser.new_context(offline=True).new_page()
    tab.goto(page.as_uri())
    tab.wait_for_selector("body[data-state=ready]")
    return tab


def starts(browser: Browser, page: Path) -> list[float]:
    """Return the seconds from opening the page to the first prediction shown, each time in a new window."""
    seconds = []
    for _ in range(STARTS):
        tab = opened(browser, page)
        seconds.append(tab.evaluate("performance.now()") / 1e3)
        tab.context.close()
    return seconds


def strokes(image: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return the skeleton of a digit as lines of points (x, y) on the pad.

    Args:
        image: `uint8 [28, 28]`.
    """
    size = [SCALE * side for side in image.shape[::-1]]
    large = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    left = {(int(row), int(column)) for row, column in np.argwhere(skeletonize(large > 127))}
    every, lines = set(left), []
    while left:
        ends = [place for place in left if len(list(around(place, left))) == 1]
        line = [min(ends or left)]
        left.discard(line[0])
        touching = sorted(place for place in around(line[0], every) if place not in left)
        line[:0] = touching[:1] if len(lines) else []
        while following := sorted(around(line[-1], left), key=lambda place: turn(line, place)):
            line.append(following[0])
            left.discard(following[0])
        joined = sorted(set(around(line[-1], every)) - set(line))
        thinned = [*line[:-1:STEP], line[-1], *joined[:1]]
        lines.append([(column + 0.5, row + 0.5) for row, column in thinned])
    long = [line for line in lines if len(line) > 2]
    return long or lines


def around(place: tuple[int, int], places: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the neighbours of a place that are among some places."""
    for down, right in NEIGHBOURS:
        if (neighbour := (place[0] + down, place[1] + right)) in places:
            yield neighbour


def turn(line: list[tuple[int, int]], place: tuple[int, int]) -> float:
    """Return how sharply a line would turn to continue to a place; the lowest value is straight on."""
    start, end = line[-min(len(line), 6)], line[-1]
    before, after = np.subtract(end, start), np.subtract(place, end)
    lengths = np.linalg.norm(before) * np.linalg.norm(after)
    return -float(before @ after / lengths) if lengths else 0.0


def draw(tab: Page, lines: list[list[tuple[float, float]]]) -> int:
    """Clear the pad, draw lines on it with the mouse and return the label that the page shows, -1 for none."""
    tab.evaluate("osemn.page.pad.keep([])")
    box = tab.locator("#pad").bounding_box()
    for line in lines:
        tab.mouse.move(box["x"] + line[0][0], box["y"] + line[0][1])
        tab.mouse.down()
        for x, y in line[1:]:
            tab.mouse.move(box["x"] + x, box["y"] + y)
        tab.mouse.up()
    tab.evaluate(PAINTED)
    return int(tab.get_attribute("body", "data-label") or -1)


def test_images(dataset: str) -> np.ndarray:
    """Return the test images from the data set's raw file, `uint8 [N, H, W, 1]`."""
    _, _, images, _ = idx.DATASETS[dataset].files
    return score.read_idx(paths.cache_root() / dataset / images.name)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=sorted(idx.DATASETS), default="fashion_mnist")
    parser.add_argument("--strokes", type=int, default=0, help="digits to draw")
    parser.add_argument("--of", choices=("test", "validation"), default="test")
    parser.add_argument("--brush", type=int, default=0, help="width in pixels; by default the page's own")
    options = parser.parse_args()
    version = browser_page.find_version(options.dataset)
    folder = paths.run_folder(options.dataset, "quick")
    images = test_images(options.dataset)
    with np.load(
        folder / "07_evaluation" / version.manifest["candidate"] / "test_predictions.npz"
    ) as content:
        wanted, labels = content["predicted"][:COMPARED], content["labels"]
    if options.of == "validation":
        whole = data.load(folder / "01_acquire" / "train.npz")
        with np.load(folder / "03_preprocess" / "split.npz") as split:
            drawn = whole.subset(split["validation_index"])
        images_drawn, labels_drawn = drawn.images, drawn.labels
    else:
        images_drawn, labels_drawn = images, labels
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        parser.error(f"Chromium is not installed (looked for {', '.join(BROWSERS)})")
    full = [row for row in version.manifest["formats"] if row["format"] != "tfjs_half"]
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        pages = {
            "half": browser_page.write(version, Path(place) / "half.html"),
            "full": browser_page.write(
                replace(version, manifest={**version.manifest, "formats": full}), Path(place) / "full.html"
            ),
        }
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        result = {
            "cpu": runs.cpu_name(),
            "cores": os.cpu_count(),
            "browser": browser.version,
            "version": version.name,
            "model": browser_page.model_format(version.manifest),
            "bytes": {name: page.stat().st_size for name, page in pages.items()},
        }
        opened_after = starts(browser, pages["half"])
        result["seconds_to_first_prediction"] = {
            "median": float(np.median(opened_after)),
            "longest": max(opened_after),
        }
        for name, page in pages.items():
            tab = opened(browser, page)
            browser_labels = np.array(
                tab.evaluate(LABELS, [image.ravel().tolist() for image in images[:COMPARED]])
            )
            result[f"labels_as_keras_{name}"] = f"{int((browser_labels == wanted).sum())} of {COMPARED}"
            times = tab.evaluate(SPEED, [images[0].ravel().tolist(), PREDICTIONS])[PREDICTIONS // 10 :]
            result[f"milliseconds_{name}"] = {
                "median": float(np.median(times)),
                "p95": float(np.percentile(times, 95)),
            }
            tab.context.close()
        if options.strokes:
            tab = opened(browser, pages["half"])
            if options.brush:
                tab.locator("#brush").fill(str(options.brush))
            said = [draw(tab, strokes(image[..., 0])) for image in images_drawn[: options.strokes]]
            right = np.array(said) == labels_drawn[: options.strokes]
            low, high = scoring.wilson_interval(int(right.sum()), len(right))
            result["strokes"] = {
                "n": len(right),
                "right": int(right.sum()),
                "accuracy": float(right.mean()),
                "accuracy_ci95": [low, high],
                "brush": int(tab.input_value("#brush")),
                "wrong": [[int(row), int(labels_drawn[row]), said[row]] for row in np.flatnonzero(~right)],
            }
        browser.close()
    print(json.dumps(result, indent=2))
    if options.of == "test":
        known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        manifests.write_json(
            RESULTS, {**known, options.dataset: {**known.get(options.dataset, {}), **result}}
        )


if __name__ == "__main__":
    main()
