"""Peak memory and time of each stage as a set of photographs grows, from 20,000 to 200,000 images of 224 px.

    .venv/bin/python benchmarks/growth_photographs.py [--sizes 20000 200000] [--until 06_fine_tuning]

The photographs are made: a random pattern for each of ten classes, with noise, as JPEG of 224 px. The profile is smoke, in which
heads and fine-tuning take a fixed number of images and steps. Each size runs with a cache of its own; the peak is that of
all processes of a stage together. Processor seconds say how the time grows even if other programs run beside it. Writes
benchmarks/results/growth_photographs.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import paths
from helpers.series import manifests, records, stages

CLASSES, SIDE = 10, 224


def make(root: Path, images: int) -> Path:
    """Write made photographs in a folder for each class."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 256, (CLASSES, 7, 7, 3))
    for number in range(images):
        label = number % CLASSES
        path = root / f"class {label}" / f"{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.clip(patterns[label] + generator.normal(0, 70, (7, 7, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=85)
    return root


def measure(images: int, until: str) -> dict[str, dict[str, float]]:
    """Run the series on made images, and return peak memory and seconds by stage."""
    names = [stage.name for stage in stages.STAGES]
    with tempfile.TemporaryDirectory(prefix="osemn-growth-", dir=os.environ.get("OSEMN_OUTPUT_DIR")) as place:
        root = make(Path(place) / f"made_{images}", images)
        cache, output = Path(place) / "cache", Path(place) / "output"
        cache.mkdir()
        for folder in ("weights", "tfjs"):  # downloaded before, maybe
            (cache / folder).symlink_to(paths.cache_root() / folder)
        places = {"OSEMN_CACHE_DIR": str(cache), "OSEMN_OUTPUT_DIR": str(output)}
        command = [
            sys.executable,
            "-m",
            "helpers.cli",
            "run",
            "--dataset",
            str(root),
            "--profile",
            "smoke",
            "--until",
        ]
        result = {}
        for name in names[names.index("01_acquire") : names.index(until) + 1]:
            subprocess.run([*command, name], env={**os.environ, **places}, check=True)
            manifest = manifests.read(output / "runs" / root.name / "smoke" / name)
            result[name] = {
                "peak_memory_mb": manifest["peak_memory_mb"],
                "seconds": round(manifest["seconds"], 1),
                "processor_seconds": round(manifest["processor_seconds"], 1),
            }
            print(json.dumps({"images": images, name: result[name]}), flush=True)
    return result


def main() -> None:
    """Measure each size, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--until", default="06_fine_tuning")
    given = parser.parse_args()
    sizes = {str(images): measure(images, given.until) for images in given.sizes}
    result = {"cpu": records.cpu_name(), "cores": os.cpu_count(), "sizes": sizes}
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "growth_photographs.json", result)


if __name__ == "__main__":
    main()
