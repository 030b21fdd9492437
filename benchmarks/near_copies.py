"""Near copies of photographs: how many made ones are found, how many different images are taken for copies, what it costs.

    .venv/bin/python benchmarks/near_copies.py NAME=FOLDER … [--copies 1000] [--signatures 100000]

Each folder holds images of one set, in any sub-folders. Files with the same bytes count once. Copies are made of images of
at least 48 pixels, drawn with a seed: mirrored, flipped, resized by 0.5 to 2, JPEG quality 50, cropped by up to 5% of each
side, brightness ± 10%, and all of it together. A pair within the set that is taken for a copy is listed with its paths, to
be looked at: sets have true copies. Writes benchmarks/results/near_copies.json.
"""

import argparse
import hashlib
import io
import os
import resource
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

from helpers import paths
from helpers.obtain import copies, image_facts, signatures
from helpers.obtain.images import formats
from helpers.series import manifests, runs

SMALLEST = 48  # pixels: halved, smaller ones are icons
CHANGES = ("mirrored", "flipped", "resized", "jpeg_50", "cropped", "brightness", "together")


def opened(path: Path) -> Image.Image:
    """Return an image in RGB, white behind transparency."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def thumbnail(image: Image.Image) -> np.ndarray:
    """Return the thumbnail that the index makes of a made copy."""
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)
    with formats.opened(content) as stored:
        return image_facts.thumbnail(stored, "auto")


def changed(image: Image.Image, change: str, generator: np.random.Generator) -> Image.Image:
    """Return a made copy of an image."""
    width, height = image.size
    if change == "together":
        chosen = ("cropped", "resized", "brightness", "mirrored", "jpeg_50")
        for step in chosen[: 3 + generator.integers(0, 2)] + chosen[4:]:
            image = changed(image, step, generator)
        return image
    if change == "mirrored":
        return ImageOps.mirror(image)
    if change == "flipped":
        return ImageOps.flip(image)
    if change == "brightness":
        return ImageEnhance.Brightness(image).enhance(generator.choice([0.9, 1.1]))
    if change == "resized":
        factor = 2.0 ** generator.uniform(-1, 1)
        return image.resize(
            (max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.BICUBIC
        )
    if change == "cropped":
        kept = 1 - generator.uniform(0, 0.05, 2)
        left, top = generator.uniform(0, 1 - kept) * (width, height)
        return image.crop(
            tuple(np.rint((left, top, left + kept[0] * width, top + kept[1] * height)).astype(int))
        )
    content = io.BytesIO()
    image.save(content, "JPEG", quality=50)
    return Image.open(content)


def image_files(folder: Path) -> list[Path]:
    """Return the images in a folder, one of each content."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return list({hashlib.sha256(path.read_bytes()).digest(): path for path in files}.values())


def search(thumbnails: list[np.ndarray]) -> copies.NearCopies:
    """Return the near copies among thumbnails."""
    return copies.near(signatures.of_thumbnails(np.array(thumbnails)), thumbnails.__getitem__)


def measured(name: str, folder: Path, made: int) -> dict[str, object]:
    """Return the numbers of a set."""
    files = image_files(folder)
    thumbnails = [image_facts.thumbnail_of(path, "auto") for path in files]
    started = perf_counter()
    inside = search(thumbnails)
    seconds, n = perf_counter() - started, len(files)
    numbers = copies.together(pd.Series([""] * n), pd.Series(np.arange(n).astype(str)), inside)
    sizes = np.bincount(numbers)
    result = {
        "images": n,
        "seconds": seconds,
        "pairs_in_the_set": len(inside.first),
        "of_all_pairs": len(inside.first) / (n * (n - 1) / 2),
        "images_in_them": int(sizes[sizes > 1].sum()),
        "largest_group": int(sizes.max()),
        "alike": inside.alike,
        "capped": inside.capped,
        "pairs": [
            [str(files[row].relative_to(folder)) for row in pair] + [round(float(distance), 3)]
            for *pair, distance in zip(inside.first, inside.second, inside.distance, strict=True)
        ],
        "found": {},
    }
    generator = np.random.default_rng(0)
    large = [row for row, path in enumerate(files) if min(Image.open(path).size) >= SMALLEST]
    for change in CHANGES:
        rows = generator.choice(large, min(made // len(CHANGES), len(large)), replace=False)
        copied = [thumbnail(changed(opened(files[row]), change, generator).convert("RGB")) for row in rows]
        near = search(thumbnails + copied)
        pairs = set(zip(near.first.tolist(), near.second.tolist(), strict=True))
        result["found"][change] = [
            sum((row, n + number) in pairs for number, row in enumerate(rows.tolist())),
            len(rows),
        ]
        print(name, change, result["found"][change], flush=True)
    return result


def growth(folders: list[Path], count: int) -> dict[str, float]:
    """Return the cost of a search among `count` crops of photographs, each of 40 to 70% of a side."""
    generator = np.random.default_rng(0)
    images = [opened(path) for folder in folders for path in image_files(folder)]
    thumbnails = np.empty((count, signatures.SIDE, signatures.SIDE, 3), np.uint8)
    for row in range(count):
        image = images[row % len(images)]
        size = np.array(image.size) * generator.uniform(0.4, 0.7, 2)
        corner = (np.array(image.size) - size) * generator.uniform(0, 1, 2)
        crop = image.resize(
            (signatures.SIDE,) * 2, Image.Resampling.BILINEAR, box=(*corner, *(corner + size))
        )
        thumbnails[row] = np.asarray(crop)
    started, phashes = perf_counter(), []
    for start in range(0, count, 128):  # as many at a time as in the index
        phashes += signatures.of_thumbnails(thumbnails[start : start + 128])
    signed = perf_counter() - started
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    near = copies.near(phashes, thumbnails.__getitem__)
    return {
        "signatures": count,
        "microseconds_a_signature": 1e6 * signed / count,
        "seconds": perf_counter() - started - signed,
        "added_memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "pairs": len(near.first),
        "capped": near.capped,
    }


def main() -> None:
    """Measure each set, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--copies", type=int, default=1000, help="made copies of each set")
    parser.add_argument(
        "--signatures", type=int, default=100_000, help="for the cost of a large search; 0 to skip it"
    )
    given = parser.parse_args()
    folders = {name: Path(folder) for name, _, folder in (one.partition("=") for one in given.sets)}
    file = paths.project_root() / "benchmarks" / "results" / "near_copies.json"
    result = {"cpu": runs.cpu_name(), "cores": os.cpu_count(), "sets": {}}
    for name, folder in folders.items():
        result["sets"][name] = measured(name, folder, given.copies)
        manifests.write_json(file, result)
    if given.signatures:
        result["growth"] = growth(list(folders.values()), given.signatures)
        print(result["growth"])
        manifests.write_json(file, result)


if __name__ == "__main__":
    main()
