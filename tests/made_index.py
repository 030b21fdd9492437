"""A made index: files whose properties are drawn at random, so that none knows the class."""

import numpy as np
import pandas as pd


def made_index(
    images: int = 300, classes: int = 3, *, group: int = 1, unequal: bool = False, seed: int = 0
) -> pd.DataFrame:
    """Return an index of random files; those of a group are alike and have one class."""
    random, groups = np.random.default_rng(seed), np.arange(images) // group
    count = groups.max() + 1
    sizes = (1.0 + np.arange(classes)) ** (2 if unequal else 0)

    def draw(values: list) -> np.ndarray:
        return np.asarray(random.choice(values, count))[groups]

    def normal(mean: float, deviation: float) -> np.ndarray:
        return random.normal(mean, deviation, count)[groups]

    return pd.DataFrame(
        {
            "id": np.arange(images), "row": np.arange(images), "path": [f"{number}.jpg" for number in range(images)],
            "label": [f"class {label}" for label in random.choice(classes, count, p=sizes / sizes.sum())[groups]],
            "part": "train", "group": "", "together": groups, "weight": 1.0,
            "width": draw([640, 800, 1024]), "height": draw([480, 600, 768]), "format": draw(["JPEG", "PNG", "WEBP"]),
            "mode": draw(["RGB", "L"]), "camera": draw(["", "one", "two"]), "orientation": draw([1, 6]).astype(np.int8),
            "time": draw([f"2024-0{month}-11T10:00:00" for month in range(1, 10)]), "bytes": draw(list(range(5_000, 90_000))),
            "brightness": normal(120, 20), "contrast": normal(50, 8), "sharpness": np.exp(normal(6, 0.5)), "entropy": normal(7, 0.3),
            "red": normal(120, 20), "green": normal(120, 20), "blue": normal(120, 20), "border": normal(120, 20),
        }
    )  # fmt: skip
