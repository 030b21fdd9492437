"""Runs the series at the quick profile on a folder of colour photographs, like a user with images of their own.

    .venv/bin/python benchmarks/folder_run.py [--profile quick]

The images are non-overlapping tiles of photographs that come with scikit-image, one class per photograph, written as PNG
files into class folders. Tiles of one photograph are similar, so the accuracies only show that the series works. The
benchmark checks that every stage runs unattended, and measures how long it takes. Writes benchmarks/results/folder_run.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import skimage.data
from PIL import Image

from helpers import paths
from helpers.series import manifests, runs, stages

PHOTOGRAPHS = {
    "cat": skimage.data.chelsea,
    "coffee": skimage.data.coffee,
    "gravel": skimage.data.gravel,
    "grass": skimage.data.grass,
    "brick": skimage.data.brick,
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
    "retina": skimage.data.retina,
    "tissue": skimage.data.immunohistochemistry,
}
SIDE, TILES = 32, 250  # pixels; tiles per class, at most


def write_tiles(folder: Path) -> dict[str, int]:
    """Write the tiles and return their number by class."""
    counts = {}
    for name, photograph in PHOTOGRAPHS.items():
        (folder / name).mkdir(parents=True)
        picture = Image.fromarray(photograph()).convert("RGB")
        columns, rows = (side // SIDE for side in picture.size)
        places = [(column * SIDE, row * SIDE) for row in range(rows) for column in range(columns)]
        chosen = places[:: max(1, -(-len(places) // TILES))]
        for number, (left, top) in enumerate(chosen):
            picture.crop((left, top, left + SIDE, top + SIDE)).save(folder / name / f"{number:03}.png")
        counts[name] = len(chosen)
    return counts


def logged(folder: Path, profile: str, stage: str) -> dict[str, Any]:
    """Return the metrics of a stage of the run."""
    return json.loads((paths.stage_folder(str(folder), profile, stage) / "metrics.json").read_text())


def main() -> None:
    """Write the images, run the series, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="quick")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osemn-folder-") as place:
        folder = Path(place) / "photographs"
        counts = write_tiles(folder)
        os.environ["OSEMN_OUTPUT_DIR"] = str(Path(place) / "output")
        command = [sys.executable, "-m", "helpers.cli", "run", "--dataset", str(folder)]
        started = time.monotonic()
        done = subprocess.run([*command, "--profile", given.profile], check=False)
        seconds = time.monotonic() - started
        if done.returncode:
            sys.exit(done.returncode)
        manifest_by_stage = {
            stage.name: manifests.read(paths.stage_folder(str(folder), given.profile, stage.name))
            for stage in stages.STAGES
        }
        report = paths.report_folder(str(folder), given.profile)
        champion = logged(folder, given.profile, "10_export")["candidate"]
        scores = logged(folder, given.profile, f"07_evaluation/{champion}")
        result = {
            "cpu": runs.cpu_name(),
            "cores": os.cpu_count(),
            "profile": given.profile,
            "images": counts,
            "pixels": [SIDE, SIDE, 3],
            "seconds": round(seconds),
            "stages": {
                name: round(manifest["notebook_seconds"]) for name, manifest in manifest_by_stage.items()
            },
            "pages": sorted(page.name for page in report.glob("*.html")),
            "champion": {key: scores[key] for key in ("label", "accuracy", "accuracy_ci95", "n")},
        }
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "folder_run.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
