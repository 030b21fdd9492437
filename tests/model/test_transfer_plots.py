import itertools
import subprocess
import sys
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from helpers import figures
from helpers.model import fine_tuning_plots, plots, transfer_plots
from helpers.series.metrics import Metric

pytestmark = pytest.mark.filterwarnings("error")

SIDES = (32, 32, 16, 16, 8, 8, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2)
CHANNELS = (32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320, 1280)
NAMES = ("stem", *(f"block{number}" for number in range(16)), "head")
HEAD = (
    ("global average pooling", "1,280 features"),
    ("batch normalisation", ""),
    ("dropout", "0.3"),
    ("dense, ReLU", "256 units"),
    ("dropout", "0.3"),
    ("softmax", "10 classes"),
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def make_blocks(trained: int = 0, names=NAMES, sides=SIDES, channels=CHANNELS) -> list[SimpleNamespace]:
    rows = enumerate(zip(names, sides, channels, strict=True))
    return [
        SimpleNamespace(
            name=name,
            output_shape=(side, side, channel),
            parameters=1_000 * (index + 1),
            trainable=index >= len(names) - trained,
            trained=1_000 * (index + 1) * (index >= len(names) - trained),
        )
        for index, (name, side, channel) in rows
    ]


def many_blocks(count: int) -> list[SimpleNamespace]:
    sides = [max(1, 128 >> index // 3) for index in range(count)]
    return make_blocks(3, [f"block_{index}_x" for index in range(count)], sides, range(16, 16 + count))


def texts(figure: Figure) -> list[str]:
    """Return all that stands in a figure's axes, ticks and titles with it."""
    figure.canvas.draw()
    words = []
    for axis in figure.axes:
        labels = [*axis.get_xticklabels(), *axis.get_yticklabels(), axis.title, axis.xaxis.label]
        words += [text.get_text() for text in (*axis.texts, *labels, axis.yaxis.label)]
    return [text for text in words if text]


def outside(figure: Figure) -> list[str]:
    """Return the words which are cut off by the figure's border."""
    figure.canvas.draw()
    page = figure.bbox
    words = [text for axis in figure.axes for text in axis.texts]
    words += [label for axis in figure.axes for label in axis.get_xticklabels() + axis.get_yticklabels()]
    boxes_of = [(text.get_text(), text.get_window_extent()) for text in words if text.get_text()]
    return [
        text
        for text, box in boxes_of
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1
    ]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of words in the first axes which cover one another."""
    figure.canvas.draw()
    words = [text for text in figure.axes[0].texts if text.get_text()]
    extents = [(text.get_text(), text.get_window_extent()) for text in words]
    return [
        (first, second)
        for index, (first, box) in enumerate(extents)
        for second, other in extents[index + 1 :]
        if box.overlaps(other)
    ]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def bars(axis) -> list[np.ndarray]:
    """Return the two ends of every interval, `[2, 2]` each."""
    return [segment for container in axis.containers for segment in container[2][0].get_segments()]


def resolutions(rows) -> pd.DataFrame:
    names = ["backbone_label", "resolution", "accuracy", "low", "high", "extraction_seconds", "samples"]
    return pd.DataFrame(rows, columns=names)


def test_plots_do_not_load_tensorflow():
    modules = "helpers.model.transfer_plots, helpers.model.fine_tuning_plots"
    code = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_shows_every_image_at_every_resolution_pixel_by_pixel(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 10, channels), dtype=np.uint8)
    larger = {side: np.full((3, side, side, channels), 255.4, dtype=np.float32) for side in (16, 32)}
    figure = transfer_plots.resizing(images, larger, ["cat", "dog", "a class with a long name"], "bilinear")
    drawn = [axis.images[0] for axis in figure.axes]
    assert [picture.get_array().shape[:2] for picture in drawn] == 3 * [(8, 10), (16, 16), (32, 32)]
    assert all(picture.get_interpolation() == "nearest" for picture in drawn)
    np.testing.assert_array_equal(np.asarray(drawn[3].get_array()).reshape(8, 10, channels), images[1])
    assert drawn[1].get_array().max() == 255
    assert {"8 × 10, original", "16 px, bilinear", "32 px, bilinear", "cat", "dog"} <= set(texts(figure))


def test_resizing_draws_every_resolution_at_the_same_size():
    images = np.zeros((3, 28, 28, 1), np.uint8)
    larger = {side: np.zeros((3, side, side, 1), np.float32) for side in (64, 96, 128)}
    figure = transfer_plots.resizing(images, larger, ["a", "b", "c"], "bicubic")
    figure.canvas.draw()
    sizes = np.array([axis.get_window_extent().size for axis in figure.axes])
    np.testing.assert_allclose(sizes, sizes[0, 0], atol=1)


def test_architecture_names_every_block_and_layer_with_shape_and_parameters():
    figure = transfer_plots.architecture(make_blocks(5), HEAD)
    words = " ".join(texts(figure)).replace("\n", " ")
    assert all(name in words for name in NAMES)
    assert all(text in words for text in ("32 × 32 × 16", "2 × 2 × 1,280", "1.0 k", "18 k"))
    assert all(f"{title} {detail}".strip() in words for title, detail in HEAD)
    assert legend(figure) == ["frozen", "trained", "new head, trained"]
    assert "18 blocks with 171,000 parameters, 13 of them frozen" in figures.alt_text(figure)


@pytest.mark.parametrize("trained", [0, 5, 18])
def test_architecture_colours_trained_blocks_unlike_frozen_ones(trained):
    figure = transfer_plots.architecture(make_blocks(trained), HEAD)
    assert plots.TRAINED != plots.FROZEN
    colors = [to_hex(bar.get_facecolor()).upper() for bar in figure.axes[0].patches]
    new = [transfer_plots.NEW_HEAD] * len(HEAD)
    assert colors == [plots.FROZEN] * (18 - trained) + [plots.TRAINED] * trained + new


def test_architecture_draws_larger_feature_maps_taller():
    figure = transfer_plots.architecture(make_blocks(), HEAD)
    assert [bar.get_bbox().y1 for bar in figure.axes[0].patches] == [*SIDES, *[1] * len(HEAD)]
    assert figure.axes[0].get_yscale() == "log"


@pytest.mark.parametrize(
    "blocks", [make_blocks(1, ["only"], [1], [8]), many_blocks(6), many_blocks(24)], ids=len
)
@pytest.mark.parametrize("head", [HEAD, HEAD[:2]], ids=len)
def test_architecture_keeps_words_apart_and_inside_the_page(blocks, head):
    figure = transfer_plots.architecture(blocks, head)
    assert not outside(figure)
    assert not overlaps(figure)
    extents = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(extents))


def test_unfrozen_colours_one_cell_for_each_block_of_each_variant():
    variants = {"frozen": make_blocks(0), "top blocks": make_blocks(4), "all blocks": make_blocks(18)}
    figure = fine_tuning_plots.unfrozen(variants)
    (cells,) = figure.axes[0].collections
    trained = np.asarray(cells.get_array()).reshape(3, 18)
    assert trained.sum(axis=1).tolist() == [0, 4, 18]
    assert trained[1].nonzero()[0].tolist() == [14, 15, 16, 17]
    figure.canvas.draw()
    colors = [to_hex(color).upper() for color in cells.get_facecolor()]
    assert (colors[0], colors[-1]) == (plots.FROZEN, plots.TRAINED)
    assert "top blocks: 66 k of 171 k parameters are trained" in figures.alt_text(figure)
    assert legend(figure) == ["frozen", "trained"]


def test_unfrozen_says_how_many_parameters_are_trained():
    variants = {
        "frozen": make_blocks(0),
        "top": make_blocks(2),
        "all": make_blocks(18),
        "in part": make_blocks(18),
    }
    for block in variants["in part"]:
        block.trained -= 500
    written = texts(fine_tuning_plots.unfrozen(variants))
    assert {
        "frozen\nnone of 171 k",
        "top\n35 k of 171 k",
        "all\nall of 171 k",
        "in part\n162 k of 171 k",
    } <= set(written)
    assert {f"{name}\n{number + 1:.1f} k" for number, name in enumerate(NAMES[:9])} <= set(written)


@pytest.mark.parametrize("blocks", [make_blocks(5), many_blocks(6), many_blocks(24)], ids=len)
def test_unfrozen_keeps_words_apart_and_inside_the_page(blocks):
    figure = fine_tuning_plots.unfrozen({"a variant with a long title": blocks})
    assert not outside(figure)
    extents = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(extents))


def test_unfrozen_refuses_variants_of_different_backbones():
    with pytest.raises(ValueError, match="zip"):
        fine_tuning_plots.unfrozen({"one": make_blocks(), "other": make_blocks()[:-1]})


def test_accuracy_by_resolution_draws_intervals_and_costs_where_the_table_says():
    rows = [("A", 96, 0.91, 0.90, 0.93, 40.0, 20_000), ("A", 64, 0.89, 0.87, 0.90, 10.0, 20_000)]
    figure = transfer_plots.accuracy_by_resolution(resolutions(rows))
    left, right = figure.axes
    np.testing.assert_allclose(bars(left), [[[64, 0.87], [64, 0.90]], [[96, 0.90], [96, 0.93]]])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[0.5, 0.89], [2.0, 0.91]])
    assert right.get_xscale() == "log"
    assert [(text.get_text(), text.xy) for text in right.texts] == [
        ("64 px", (0.5, 0.89)),
        ("96 px", (2.0, 0.91)),
    ]
    assert list(left.get_xticks()) == [64, 96]


def test_accuracy_by_resolution_draws_one_line_for_each_backbone():
    rows = [(name, side, 0.9, 0.89, 0.91, 9.0, 20_000) for name in "ABC" for side in (64, 96)]
    figure = transfer_plots.accuracy_by_resolution(resolutions(rows))
    assert legend(figure) == ["A", "B", "C"]
    assert len({line.get_color() for line in figure.axes[1].lines}) == 3
    assert len({float(segment[0, 0]) for segment in bars(figure.axes[0])}) == 6  # none covers another


@pytest.mark.parametrize("seconds", [12.0, 0.0, float("nan")])
def test_accuracy_by_resolution_draws_one_row_and_leaves_out_costs_not_measured(seconds):
    figure = transfer_plots.accuracy_by_resolution(resolutions([("A", 64, 0.9, 0.88, 0.91, seconds, 1_000)]))
    figure.canvas.draw()
    assert len(figure.axes[1].texts) == (seconds > 0)
    if seconds > 0:
        low, high = figure.axes[1].get_xlim()
        assert any(low <= tick <= high for tick in figure.axes[1].get_xticks())


def heat(axis) -> np.ma.MaskedArray:
    return axis.collections[-1].get_array()


def test_gradient_norms_are_drawn_as_logarithms_on_one_scale_with_the_input_at_the_top():
    norms = {
        "top": {"step": [10, 20], "blocks": {"head": [0.1, 1.0]}},
        "all": {"step": [10, 20], "blocks": {"stem": [1e-4, 1e-3], "head": [10.0, 1.0]}},
    }
    figure = fine_tuning_plots.gradient_norms(norms)
    top, whole, bar = figure.axes
    np.testing.assert_allclose(heat(whole), [[-4, -3], [1, 0]])
    assert heat(top).mask.tolist() == [[True, True], [False, False]]
    assert top.collections[-1].get_clim() == whole.collections[-1].get_clim() == (-4, 1)
    assert [label.get_text() for label in top.get_yticklabels()] == ["stem", "head"]
    assert top.yaxis_inverted()
    assert "input at the top" in top.get_ylabel()
    assert "log10" in bar.get_ylabel()
    assert legend(figure) == ["no gradient"]


def test_gradient_norms_name_the_recorded_steps_and_the_last_norms():
    norms = {"all": {"step": [10, 20, 40], "blocks": {"stem": [1.0, 2.0, 3.0], "head": [1.0, 1.0, 0.5]}}}
    figure = fine_tuning_plots.gradient_norms(norms)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["10", "20", "40"]
    assert "between 0.5 (head) and 3 (stem)" in figures.alt_text(figure)


def test_gradient_norms_mark_what_is_not_finite_and_survive_zeros():
    blocks = {"stem": [0.0, 1e-3, np.inf], "head": [0.1, np.nan, 0.2]}
    figure = fine_tuning_plots.gradient_norms({"all": {"step": [1, 2, 3], "blocks": blocks}})
    figure.canvas.draw()
    marked, drawn = (mesh.get_array().mask for mesh in figure.axes[0].collections)
    assert (~marked).tolist() == [[False, False, True], [False, True, False]]
    assert drawn.tolist() == [[True, False, True], [False, True, False]]
    assert legend(figure) == ["no gradient", "not finite"]


@pytest.mark.parametrize("value", [0.02, 0.0])
def test_gradient_norms_draw_a_single_number(value):
    figure = fine_tuning_plots.gradient_norms({"one": {"step": [7], "blocks": {"stem": [value]}}})
    figure.canvas.draw()
    assert heat(figure.axes[0]).shape == (1, 1)
    low, high = figure.axes[0].collections[-1].get_clim()
    assert low < high


def test_gradient_norms_keep_the_labels_of_eighteen_blocks_apart():
    blocks = {name: [0.1, 0.2] for name in NAMES}
    figure = fine_tuning_plots.gradient_norms(
        {"all": {"step": [1, 2], "blocks": blocks}, "frozen": {"step": [1], "blocks": {}}}
    )
    figure.canvas.draw()
    extents = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(extents) == 18
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(extents))


def test_schedules_draw_each_rate_by_step_on_linear_axes():
    steps = list(range(5))
    rates = {"head": (steps, [0.0, 1e-3, 8e-4, 4e-4, 0.0]), "stem": (steps, [0.0, 1e-4, 8e-5, 4e-5, 0.0])}
    axis = fine_tuning_plots.schedules(rates).axes[0]
    np.testing.assert_allclose(axis.lines[1].get_xydata(), np.transpose(rates["stem"]))
    assert (axis.get_xscale(), axis.get_yscale(), axis.get_ylim()[0]) == ("linear", "linear", 0)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["head", "stem"]
    assert "0.0002" in [label.get_text() for label in axis.get_yticklabels()]
    assert "head peaks at 0.001 at step 1 and ends at 0" in figures.alt_text(axis.figure)


def test_mixtures_have_a_line_for_each_variant_and_a_ring_at_the_fraction_taken():
    mixed = {
        "top 2 blocks": SimpleNamespace(fraction=0.5, scores={0.0: 0.8, 0.5: 0.9, 1.0: 0.85}),
        "all blocks": SimpleNamespace(fraction=1.0, scores={0.0: 0.8, 0.5: 0.7, 1.0: 0.95}),
    }
    figure = fine_tuning_plots.mixtures(mixed, Metric("accuracy"))
    line, ring, _, other = figure.axes[0].lines
    assert np.array_equal(line.get_ydata(), [0.8, 0.9, 0.85])
    assert (*ring.get_xdata(), *ring.get_ydata()) == (0.5, 0.9)
    assert (*other.get_xdata(), *other.get_ydata()) == (1.0, 0.95)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == list(mixed)
    assert figures.alt_text(figure).endswith(
        "top 2 blocks: 50% of the way, 0.900; all blocks: 100% of the way, 0.950."
    )


def test_comparison_draws_one_interval_a_row_with_its_numbers_beside_it():
    rows = [("frozen (05)", 0.90, 0.89, 0.92, 14.2), ("all blocks", 0.94, 0.935, 0.945, 1_450.0)]
    figure = fine_tuning_plots.comparison(
        pd.DataFrame(rows, columns=["label", "accuracy", "low", "high", "seconds"])
    )
    axis = figure.axes[0]
    np.testing.assert_allclose(bars(axis), [[[0.89, 0], [0.92, 0]], [[0.935, 1], [0.945, 1]]])
    assert {
        "frozen (05)",
        "all blocks",
        "90.0% (89.0 to 92.0%), 14.2 s",
        "94.0% (93.5 to 94.5%), 24 min",
    } <= set(texts(figure))
    assert axis.yaxis_inverted()


@pytest.mark.parametrize("count", [1, 8])
def test_comparison_keeps_its_numbers_right_of_the_axes_and_inside_the_page(count):
    label = "all blocks, discriminative rates"
    numbers = {"accuracy": 0.9, "low": 0.89, "high": 0.92, "seconds": 300}
    figure = fine_tuning_plots.comparison(pd.DataFrame([{"label": label, **numbers}] * count))
    assert not outside(figure)
    assert not overlaps(figure)
    border = figure.axes[0].get_window_extent().x1
    assert all(text.get_window_extent().x0 > border for text in figure.axes[0].texts)


def test_fine_tuning_curves_draw_windows_and_validation_points():
    curve = {
        "passes": [0.25, 0.75],
        "loss": [0.9, 0.5],
        "accuracy": [0.7, 0.8],
        "val_passes": range(2),
        "val_loss": [np.nan, 0.4],
        "val_accuracy": [0.75, 0.85],
    }
    figure = plots.learning_curves({"all blocks": curve})
    drawn = {line.get_label(): line for line in figure.axes[1].lines}
    assert drawn["all blocks, training"].get_xydata().tolist() == [[0.25, 0.7], [0.75, 0.8]]
    assert drawn["all blocks, validation"].get_xydata().tolist() == [[0, 0.75], [1, 0.85]]
