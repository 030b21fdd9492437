"""The figure of 01_acquire."""

import numpy as np
from matplotlib.figure import Figure

from helpers import figures
from helpers.obtain import data, splits


def raw_images(dataset: data.Dataset, title: str, count: int, seed: int) -> Figure:
    """Return a stratified sample of images, ordered by class, ten in a row.

    Args:
        dataset: the images to draw from.
        title: the data set's name, for the alt text.
        count: number of images.
        seed: draws the sample.

    Example:
        `run.show(plots.raw_images(train, card["title"], 40, seed), "samples")`
    """
    sample = splits.stratified_sample(dataset.labels, count, seed)[:100]  # ten rows at most
    sample = sample[np.argsort(dataset.labels[sample], kind="stable")]
    names = [dataset.class_names[label] for label in dataset.labels[sample]]
    height, width, _ = dataset.image_shape
    titles = [figures.label(name, 14) for name in names]
    figure = figures.image_grid(dataset.images[sample], titles, columns=10)
    return figures.with_alt(
        figure,
        f"{len(sample)} raw training images of {title}, {height} by {width} pixels, "
        f"ordered by class from {names[0]} to {names[-1]}.",
    )
