"""Made photographs: smooth random colours, no two alike, in the layouts that people bring."""

from pathlib import Path

import numpy as np
from PIL import Image


def photograph(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Return a random colour image of low frequencies, of width and height `size`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write(path: Path, seed: int, size: tuple[int, int] = (48, 40), **options) -> Path:
    """Write a photograph; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photograph(seed, size).save(path, **options)
    return path


def class_folders(root: Path, classes: dict[str, int], first_seed: int = 0, ending: str = "png") -> Path:
    """Write a folder with one sub-folder per class, with the given number of photographs each."""
    seed = first_seed
    for name, count in classes.items():
        for number in range(count):
            write(root / name / f"{number:03}.{ending}", seed)
            seed += 1
    return root
