"""Measures the report's explorer in headless Chromium: size, opening, filters, and what it adds to the rendering.

    .venv/bin/python benchmarks/explorer.py [--dataset fashion_mnist] [--profile quick] [--renderings 3]

Needs a finished run. A page is usable when its first images are drawn. A filter is timed from the choice of an option until
the frame after it is painted. Reports with and without the explorer are rendered in turns. Adds to
benchmarks/results/explorer.json.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from helpers import paths
from helpers.report import collect, render
from helpers.report.html import explorer, pages
from helpers.series import manifests, runs

RESULTS = paths.project_root() / "benchmarks" / "results" / "explorer.json"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STARTS = 9
FILTERS = (
    ("t", "0"),
    ("r", "wrong"),
    ("t", ""),
    ("s", "loss"),
    ("m", "error"),
    ("r", ""),
    ("m", ""),
    ("s", "index"),
)
CHOOSE = """async ([name, value]) => {
    const field = document.getElementById("filters").elements[name];
    const start = performance.now();
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - start;
}"""


def spread(values: list[float]) -> dict[str, float]:
    """Return the median and the largest of some values."""
    return {"median": float(np.median(values)), "longest": max(values)}


def in_browser(browser: Browser, page: Path) -> dict[str, Any]:
    """Return the seconds from opening the page until it is usable, and the milliseconds of filters."""
    seconds, milliseconds = [], []
    for _ in range(STARTS):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        tab = context.new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector("body[data-state=ready]")
        seconds.append(tab.evaluate("performance.now()") / 1e3)
        milliseconds += [tab.evaluate(CHOOSE, list(choice)) for choice in FILTERS]
        context.close()
    return {"seconds_to_usable": spread(seconds), "milliseconds_of_a_filter": spread(milliseconds)}


def renderings(dataset: str, profile: str, count: int) -> dict[str, dict[str, float]]:
    """Return the CPU seconds to render the report with and without the explorer, in turns: other programs do not change them."""
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    sources = explorer.sources
    for _ in range(count):
        for kind, function in (("without", lambda _: []), ("with", sources)):
            explorer.sources = function
            start = time.process_time()
            render.render(dataset, profile)
            seconds[kind].append(time.process_time() - start)
    return {f"cpu_seconds_of_rendering_{kind}": spread(values) for kind, values in seconds.items()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--renderings", type=int, default=3)
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        parser.error(f"Chromium is not installed (looked for {', '.join(BROWSERS)})")
    series = collect.collect(options.dataset, options.profile)
    if not (evaluated := explorer.sources(series)):
        parser.error("no evaluation has saved what the explorer shows: osemn run --until 07_evaluation")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        page = Path(place) / explorer.NAME
        page.write_text(explorer.render(pages.Renderer(series), evaluated), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        result = {
            "cpu": runs.cpu_name(),
            "cores": os.cpu_count(),
            "browser": browser.version,
            "bytes": page.stat().st_size,
            **in_browser(browser, page),
        }
        browser.close()
    if options.renderings:
        result |= renderings(options.dataset, options.profile, options.renderings)
    print(json.dumps(result, indent=2))
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    manifests.write_json(RESULTS, {**known, paths.dataset_slug(options.dataset): result})


if __name__ == "__main__":
    main()
