"""Every format predicts what Keras predicts, in its own process; a difference stops the export."""

import dataclasses
import filecmp
import json
import shutil
import types
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers

from helpers.errors import AcquisitionError, OsemnError
from helpers.export import browser_runtime, format_scores, formats, parity, score, tfjs
from helpers.model import architectures
from helpers.obtain.places import idx
from helpers.series import quiet

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def network() -> keras.Model:
    made = architectures.residual_cnn((16, 16, 1), 4, mean=[80.0], standard_deviation=[60.0], width=8)
    return architectures.averaging_views(made, flip=True, shift=1)


def pictures(n: int = 60, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, 16, 16, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def runtime() -> None:
    try:
        browser_runtime.folder()
    except AcquisitionError as error:
        pytest.skip(f"TensorFlow.js is unavailable here: {error.problem.splitlines()[0]}")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[keras.Model, Path]:
    keras.utils.set_random_seed(0)
    model, folder = network(), tmp_path_factory.mktemp("exported")
    model.save(folder / "model.keras")
    formats.write_all(model, folder / "model.keras", folder / "version", pictures(30))
    return model, folder / "version"


@pytest.mark.parametrize("item", formats.FORMATS, ids=lambda item: item.name)
def test_format_agrees_with_keras_in_its_own_process(exported, item, tmp_path, request):
    if item.runtime == "tfjs":
        request.getfixturevalue("runtime")
    model, version = exported
    images = pictures(300)
    raw = parity.write_raw_images("own", images, tmp_path)
    [(probabilities, times)] = format_scores.score_formats([item], version, raw)
    expected = model(images.astype(np.float32), training=False).numpy()
    assert probabilities.shape == (300, 4)
    assert probabilities.dtype == np.float32
    agreement = parity.compare(expected, probabilities, expected.argmax(axis=1))
    if item.exact:
        assert agreement.equal
        assert agreement.largest_difference < 1e-5
    else:
        assert agreement.accuracy > 0.97
        assert agreement.largest_difference < 0.05, "an integer view with the wrong scale is further off"
    assert 0 < times["latency_ms_1"] < times["latency_ms_64"]
    assert times["seconds_to_first"] > 0


def test_onnx_is_checked_names_its_ends_and_leaves_the_batch_free(exported):
    model = onnx.load(exported[1] / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["probabilities", "embedding"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_saved_model_has_the_signature_that_tensorflow_serving_calls(exported):
    loaded = tf.saved_model.load(str(exported[1] / "saved_model"))
    serve = loaded.signatures["serving_default"]
    (taken,) = serve.structured_input_signature[1].values()
    assert taken.shape.as_list() == [None, 16, 16, 1]
    assert taken.dtype == tf.float32


def test_integer_variant_takes_and_gives_bytes_and_is_small(exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(exported[1] / "model_int8.tflite"))
    ends = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert [end["dtype"] for end in ends] == [np.uint8, np.uint8]
    assert interpreter.get_signature_list()
    assert all(
        detail["dtype"] in (np.int8, np.int32, np.uint8) for detail in interpreter.get_tensor_details()
    )


def test_tfjs_files_are_the_same_every_time(exported, tmp_path):
    for name in ("one", "two"):
        tfjs.write(formats.browser_graph(exported[0]), tmp_path / name)
    names = [path.name for path in (tmp_path / "one").iterdir()]
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False)[0] == names


def test_tfjs_keeps_weights_that_two_views_share_once_and_cuts_them_into_shards(
    exported, tmp_path, monkeypatch
):
    monkeypatch.setattr(tfjs, "SHARD_BYTES", 10_000)
    tfjs.write(formats.browser_graph(exported[0]), tmp_path / "tfjs")
    (group,) = json.loads((tmp_path / "tfjs" / "model.json").read_text(encoding="utf-8"))["weightsManifest"]
    assert len(group["paths"]) > 1
    total = sum((tmp_path / "tfjs" / name).stat().st_size for name in group["paths"])
    assert total == sum(4 * int(np.prod(weight["shape"])) for weight in group["weights"])
    assert total < 1.1 * 4 * exported[0].count_params()


@pytest.mark.parametrize(
    ("layer", "operation", "hint"),
    [
        (lambda: layers.Activation("gelu"), "Erfc", "approximate=True"),
        (lambda: layers.Resizing(8, 8, antialias=True), "ScaleAndTranslate", "antialias=False"),
        (lambda: layers.Resizing(8, 8, interpolation="bicubic"), "ResizeBicubic", "bilinear or nearest"),
        (lambda: layers.Lambda(tf.nn.softsign, output_shape=(4, 4, 1)), "Softsign", "tfjs.OPERATIONS"),
    ],
)
def test_tfjs_refuses_an_operation_that_the_browser_lacks_by_name(tmp_path, layer, operation, hint):
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(layer()(image))))
    with pytest.raises(OsemnError, match=f"does not support these operations: {operation}") as refused:
        tfjs.write(formats.browser_graph(model), tmp_path / "tfjs")
    assert hint in str(refused.value)
    assert not (tmp_path / "tfjs").exists()


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: layers.Activation("gelu"), "No Op registered for Erfc"),
        (lambda: layers.Resizing(8, 8, antialias=True), "ScaleAndTranslate"),
    ],
)
def test_format_that_cannot_be_written_is_named(tmp_path, layer, reason):
    image = keras.Input((16, 16, 1))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(layers.Flatten()(layer()(image))))
    model.save(tmp_path / "model.keras")
    with pytest.raises(OsemnError, match=f"cannot be written as ONNX: .*{reason}"):
        formats.write_all(model, tmp_path / "model.keras", tmp_path / "version", pictures(10))


def test_raw_images_are_read_back_as_they_are(tmp_path):
    for images in (pictures(7), pictures(7, channels=3)):
        path = parity.write_raw_images("own", images, tmp_path)
        assert np.array_equal(score.read_idx(path), images)


def test_test_images_are_the_third_file_of_a_data_set_whatever_its_name(tmp_path, monkeypatch):
    images = pictures(7)[..., 0]
    names = ("emnist-train-images", "emnist-train-labels", "emnist-test-images", "emnist-test-labels")
    files = tuple(
        dataclasses.replace(file, name=name)
        for file, name in zip(idx.DATASETS["mnist"].files, names, strict=True)
    )
    mine = dataclasses.replace(idx.DATASETS["mnist"], name="emnist", files=files)
    monkeypatch.setitem(idx.DATASETS, "emnist", mine)
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    made = parity.write_raw_images("emnist", images[..., np.newaxis], tmp_path)
    assert made.parent == tmp_path, "there is no such file in the cache yet"
    cached = tmp_path / "cache" / "emnist" / "emnist-test-images"
    cached.parent.mkdir(parents=True)
    made.rename(cached)
    assert parity.write_raw_images("emnist", images[..., np.newaxis], tmp_path) == cached


def probabilities(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_agreement_counts_ties_apart_from_disagreements():
    expected = probabilities((0.6, 0.4), (0.50002, 0.49998), (0.9, 0.1))
    close = parity.compare(
        expected, probabilities((0.6, 0.4), (0.49999, 0.50001), (0.9, 0.1)), np.array([0, 0, 1])
    )
    assert (close.same_labels, close.ties, close.equal) == (2, 1, True)
    assert close.accuracy == pytest.approx(1 / 3)
    far = parity.compare(
        expected, probabilities((0.6, 0.4), (0.50002, 0.49998), (0.1, 0.9)), np.array([0, 0, 1])
    )
    assert (far.same_labels, far.ties, far.equal) == (2, 0, False)


def test_float_format_that_disagrees_stops_the_export():
    expected = probabilities(*[(0.6, 0.4)] * 50)
    labels = np.zeros(50, np.int64)
    onnx_format = next(item for item in formats.FORMATS if item.name == "onnx")
    parity.check(onnx_format, parity.compare(expected, expected.copy(), labels), 0.0)
    moved = expected + probabilities((2e-4, -2e-4))
    with pytest.raises(
        OsemnError, match=r"ONNX disagrees with Keras: 0 of 50 labels differ .* by up to 0\.0002"
    ):
        parity.check(onnx_format, parity.compare(expected, moved, labels), 0.5)


def test_integer_variant_may_lose_only_what_is_allowed():
    expected = probabilities(*[(0.6, 0.4)] * 100)
    small = next(item for item in formats.FORMATS if not item.exact)

    def losing(count: int) -> parity.Agreement:
        actual = expected.copy()
        actual[:count] = (0.4, 0.6)
        return parity.compare(expected, actual, np.zeros(100, np.int64))

    assert parity.check(small, losing(8), 0.08)
    assert not parity.check(small, losing(8), 0.01)
    assert parity.check(small, losing(4), 0.01), "p = 0.125: not significant"
    half = next(item for item in formats.FORMATS if item.name == "tfjs_half")
    with pytest.raises(OsemnError, match=r"loses 8\.00 points of accuracy \(p = 0\.008; allowed: 1\)"):
        parity.check(half, losing(8), 0.01)


@pytest.mark.parametrize("actual", [probabilities((0.6, 0.4, 0.0)), probabilities((np.nan, 0.4))])
def test_other_shapes_and_values_that_are_not_finite_are_errors(actual):
    with pytest.raises(OsemnError, match="all of them finite numbers"):
        parity.compare(probabilities((0.6, 0.4)), actual, np.array([0]))


def test_conclusions_name_the_formats_the_ties_and_the_cost_of_integers():
    row = {"n": 100, "ties": 0, "largest_difference": 2e-6, "bytes": 400_000, "left_out": False}
    rows = [{**row, "format": item.name} for item in formats.FORMATS]
    small = next(row for row in rows if row["format"] == "litert_int8")
    small |= {
        "bytes": 100_000,
        "accuracy_change": -0.002,
        "accuracy_change_ci95": [-0.005, 0.001],
        "p_value": 0.5,
    }
    same, sizes = parity.conclusions(rows)
    assert (same.id, sizes.id) == ("parity", "sizes")
    assert "All 5 single-precision formats" in same.text
    assert "apart from" not in same.text
    assert "at most 0.000002" in same.text
    assert "25% as large as" in sizes.text
    assert "−0.20 points (95% interval −0.50 to +0.10, p = 0.500), which is not statistically" in sizes.text
    assert "left out" not in sizes.text
    small["left_out"] = True
    assert parity.conclusions(rows)[1].text.endswith("so the file is left out.")
    rows[1]["ties"] = 2
    assert "apart from 2 ties" in parity.conclusions(rows)[0].text


def test_process_that_fails_says_why(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    item = next(item for item in formats.FORMATS if item.name == "onnx")
    with pytest.raises(OsemnError, match=r"Scoring ONNX in its own process failed: .*model.onnx"):
        format_scores.score_formats([item], tmp_path, parity.write_raw_images("own", pictures(2), tmp_path))


def test_the_format_that_fails_is_named_among_others(exported, tmp_path):
    _, version = exported
    shutil.copy(version / "model.onnx", tmp_path)
    (tmp_path / "model.tflite").write_bytes(b"no model")
    items = [item for item in formats.FORMATS if item.name in ("onnx", "litert")]
    with pytest.raises(OsemnError, match="Scoring LiteRT in its own process failed"):
        format_scores.score_formats(items, tmp_path, parity.write_raw_images("own", pictures(2), tmp_path))


RECORDS_ITS_TURNS = """
import json, sys, time
import numpy as np
model, images, scored = sys.argv[2:5]
log = open(images, "a", buffering=1)
def work(kind):
    log.write(f"{time.time()} {kind} begins\\n")
    time.sleep(0.4)
    log.write(f"{time.time()} {kind} ends\\n")
work("prediction")
np.zeros((3, 2), "<f4").tofile(scored)
print(json.dumps({"first": time.time(), "classes": 2}), flush=True)
sys.stdin.readline()
work("measurement")
print(json.dumps({"latency_ms": {"1": 1.0}}))
"""


def test_formats_predict_side_by_side_and_are_measured_alone(tmp_path, monkeypatch):
    program, turns, seen = tmp_path / "program.py", tmp_path / "turns", []
    program.write_text(RECORDS_ITS_TURNS)
    monkeypatch.setattr(format_scores, "score", types.SimpleNamespace(__file__=str(program)))
    monkeypatch.setattr(format_scores.records, "usable_cores", lambda: 2)
    items = [item for item in formats.FORMATS if item.runtime != "tfjs"]
    results = format_scores.score_formats(items, tmp_path, turns, lambda *call: seen.append(call))
    assert [probabilities.shape for probabilities, _ in results] == [(3, 2)] * len(items)
    events = [line.split(" ", 1)[1] for line in sorted(turns.read_text().splitlines())]
    predicting = 2 * len(items)
    assert {event.split()[0] for event in events[:predicting]} == {"prediction"}, (
        "all before the first is measured"
    )
    assert events[predicting:] == ["measurement begins", "measurement ends"] * len(items)
    running = np.cumsum([1 if event.endswith("begins") else -1 for event in events[:predicting]])
    assert running.max() == 2
    assert [(done, total) for done, total, _ in seen] == [
        (done, len(items)) for done in range(1, 1 + len(items))
    ]


def test_a_program_that_hangs_is_ended(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import time\ntime.sleep(60)")
    monkeypatch.setattr(format_scores, "score", types.SimpleNamespace(__file__=str(program)))
    monkeypatch.setattr(format_scores, "SECONDS", 0.5)
    item = next(item for item in formats.FORMATS if item.name == "onnx")
    with pytest.raises(OsemnError, match=r"Scoring ONNX was ended: it took more than 0\.5 s"):
        format_scores.score_formats([item], tmp_path, tmp_path / "raw")


def test_output_of_converters_is_discarded(capfd):
    import os

    with quiet.discarded_output():
        print("by Python")
        os.write(1, b"by C\n")
        os.write(2, b"by C, too\n")
    print("after")
    assert capfd.readouterr() == ("after\n", "")
