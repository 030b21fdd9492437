"""The gallery draws each image in its own row."""

import numpy as np

from helpers import figures
from helpers.scrub import plots


def test_rows_may_have_different_numbers_of_images():
    """A set of 70 images ends its first epoch with a step of 6."""
    images = np.full((8, 4, 4, 1), 255.0)
    figure = plots.gallery({"step 1": images, "step 2": images[:3], "step 3": images})
    rows = [int(min(image.get_extent()[2:])) for image in figure.axes[0].images]
    assert [rows.count(row) for row in range(3)] == [8, 3, 8]
    assert figures.alt_text(figure) == "8 images in 3 rows: step 1; step 2; step 3."
