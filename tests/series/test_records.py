import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest

from helpers.errors import OsemnError
from helpers.series import records


def figure_of(pixels: np.ndarray) -> plt.Figure:
    figure = plt.figure(figsize=(3.3, 2.7))
    figure.figimage(pixels, resize=False)
    return figure


def opened(shown) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(shown.data))


def test_plot_gets_a_palette_and_a_photograph_keeps_its_colours():
    plot = np.zeros((80, 80, 3), np.uint8)
    plot[20:40] = (255, 120, 0)
    photograph = np.random.default_rng(0).integers(0, 256, (500, 600, 3), np.uint8)
    few, many = (
        opened(records.image(figure_of(pixels), "test", "ein Bild, ünïcode")) for pixels in (plot, photograph)
    )
    assert (few.mode, many.mode) == ("P", "RGB")
    assert few.size == many.size == (633, 518), "two dots for each CSS pixel, rounded down"
    assert few.info["Description"] == many.info["Description"] == "ein Bild, ünïcode"
    assert round(few.info["dpi"][0]) == 2 * records.CSS_DPI
    colours = {colour for _, colour in few.convert("RGB").getcolors()}
    assert {(255, 120, 0), (0, 0, 0), (255, 255, 255)} <= colours
    kept = np.asarray(many)[-500:, :600]  # figimage draws from the lower left corner
    assert (kept == photograph[::-1]).all() or (kept == photograph).all()


def test_size_of_a_figure_does_not_depend_on_a_users_settings():
    pixels = np.zeros((80, 80), np.uint8)
    usual = records.image(figure_of(pixels), "test", "alt")
    with mpl.rc_context({"savefig.bbox": "tight"}):
        assert records.image(figure_of(pixels), "test", "alt").data == usual.data


def test_figure_without_alt_text_is_refused_and_one_that_was_shown_is_closed():
    figure = figure_of(np.zeros((8, 8), np.uint8))
    with pytest.raises(OsemnError, match="Figure 'curves' has no alt text"):
        records.image(figure, "curves")
    records.image(figure, "curves", "two curves")
    assert not plt.fignum_exists(figure.number)
