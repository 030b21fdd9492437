import json

import numpy as np
import pytest

from helpers.errors import MissingInputError, OsemnError, SealedTestSetError
from helpers.obtain import data
from helpers.obtain import ledger as openings
from helpers.series import manifests, seal, stages
from helpers.series.runs import Run

PLANNED_STAGES = (
    "10_export",
    "11_serving",
)
EVALUATIONS = [stage.name for stage in stages.STAGES if stage.notebook in seal.TEST_STAGES]
EVERY_OTHER_STAGE = sorted({*stages.BY_NAME, *PLANNED_STAGES}.difference(EVALUATIONS))


def make_dataset(per_class=(6, 4), shape=(8, 8, 1)):
    labels = np.repeat(np.arange(len(per_class)), per_class).astype(np.int64)
    images = np.arange(labels.size * np.prod(shape), dtype=np.int64).reshape(-1, *shape).astype(np.uint8)
    return data.Dataset(images, labels, tuple(f"class {i}" for i in range(len(per_class))))


def make_run(tmp_path, monkeypatch, stage, reads=("01_acquire", "03_preprocess"), **parameters):
    """A run of any stage, planned ones too, on a made 01_acquire and 03_preprocess."""
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "runs" / "digits" / parameters.get("profile", "smoke")
    upstream = {}
    for name in reads:
        (folder / name).mkdir(parents=True)
    if "01_acquire" in reads:
        data.save(folder / "01_acquire" / "train.npz", make_dataset())
        data.save(folder / "01_acquire" / "test.npz", make_dataset((2, 3)))
    if "03_preprocess" in reads:
        np.savez(folder / "03_preprocess" / "split.npz", train_index=[0, 2, 7], validation_index=[1, 9])
    for name in reads:
        files = (folder / name).iterdir()
        upstream[name] = {"outputs": manifests.describe_files(folder / name, files)}
    spec = stages.Stage(stage, stage, "–", reads=reads, writes=())
    values = {"dataset": "digits", "profile": "smoke", "seed": 0, **parameters}
    return Run(spec, values, upstream=upstream)


def ledger(run):
    return openings.read(openings.of_manifest(run.upstream["01_acquire"]))


def test_saved_data_set_is_read_back_unchanged(tmp_path):
    dataset = make_dataset(shape=(5, 7, 3))
    data.save(tmp_path / "d.npz", dataset)
    again = data.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(again.images, dataset.images)
    np.testing.assert_array_equal(again.labels, dataset.labels)
    assert again.class_names == dataset.class_names
    assert again.image_shape == (5, 7, 3)
    assert (len(again), again.num_classes) == (10, 2)


def test_saving_twice_gives_the_same_bytes(tmp_path, monkeypatch):
    data.save(tmp_path / "a.npz", make_dataset())
    monkeypatch.setattr("time.time", lambda: 4e9)
    data.save(tmp_path / "b.npz", make_dataset())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_that_is_no_data_set_is_a_clear_error(tmp_path):
    (tmp_path / "d.npz").write_bytes(b"no zip file")
    with pytest.raises(OsemnError, match="run notebooks/01_acquire"):
        data.load(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        (np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int64), ("a",)),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64), ("a",)),
        (np.zeros((2, 4, 4, 4), np.uint8), np.zeros(2, np.int64), ("a",)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int64), ("a",)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int32), ("a",)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]), ("a",)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.array([0, -1]), ("a",)),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(images, labels, names):
    with pytest.raises(OsemnError, match="not labelled images"):
        data.Dataset(images, labels, names)


def test_subset_keeps_the_order_asked_for():
    dataset = make_dataset()
    subset = dataset.subset([9, 0])
    np.testing.assert_array_equal(subset.images[0], dataset.images[9])
    assert subset.labels.tolist() == [1, 0]


def test_training_part_and_split_come_from_their_stages(tmp_path, monkeypatch):
    run = make_run(tmp_path, monkeypatch, "04_baseline")
    train, validation = data.load_split(run)
    assert len(data.load_training(run)) == 10
    assert train.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(validation.images, make_dataset().images[[1, 9]])
    assert set(run.inputs) == {"01_acquire/train.npz", "03_preprocess/split.npz"}


def test_a_stage_that_does_not_read_the_split_is_refused_it(tmp_path, monkeypatch):
    run = make_run(tmp_path, monkeypatch, "02_explore", reads=("01_acquire",))
    with pytest.raises(MissingInputError, match="may not read from 03_preprocess"):
        data.load_split(run)


@pytest.mark.parametrize("stage", EVERY_OTHER_STAGE)
def test_sealed_test_set_refuses_every_stage_but_the_evaluation(tmp_path, monkeypatch, stage):
    run = make_run(tmp_path, monkeypatch, stage)
    monkeypatch.setattr(data, "load", lambda path: pytest.fail("the file was opened"))
    with pytest.raises(SealedTestSetError, match=f"{stage} asked for the test set"):
        data.load_test(run, model_sha256="")
    assert run.inputs == {}
    assert ledger(run) == []


def test_sealed_test_set_opens_for_the_evaluation_and_records_each_opening(tmp_path, monkeypatch):
    run = make_run(tmp_path, monkeypatch, EVALUATIONS[-1], candidate="tuned")
    assert data.load_test(run, model_sha256="abc").labels.tolist() == [0, 0, 1, 1, 1]
    data.load_test(run, model_sha256="def", further=["seed 1", "seed 2"])
    entries = ledger(run)
    assert entries == data.test_openings(run)
    assert [entry["stage"] for entry in entries] == [EVALUATIONS[-1]] * 2
    assert [entry["models"] for entry in entries] == [["abc"], ["def", "seed 1", "seed 2"]]
    assert entries[0]["called_by"] == "by hand"


def test_all_profiles_and_copies_that_share_the_cache_add_to_the_ledger_of_the_same_test_images(
    tmp_path, monkeypatch
):
    data.load_test(make_run(tmp_path, monkeypatch, EVALUATIONS[0]), model_sha256="abc")
    run = make_run(tmp_path, monkeypatch, EVALUATIONS[0], profile="quick")
    data.load_test(run, model_sha256="def")
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "copy"))
    data.load_test(run, model_sha256="ghi")
    entries = data.test_openings(run)
    assert sorted(entry["profile"] for entry in entries) == ["quick", "quick", "smoke"]
    assert len({entry["copy"] for entry in entries}) == 2
    assert str(tmp_path) not in json.dumps(entries)
    other = make_run(tmp_path / "other", monkeypatch, EVALUATIONS[0])
    assert ledger(other) == []


def test_an_opening_is_on_record_even_if_reading_fails(tmp_path, monkeypatch):
    run = make_run(tmp_path, monkeypatch, EVALUATIONS[0])
    (run.root / "01_acquire" / "test.npz").write_bytes(b"broken")
    with pytest.raises(OsemnError):
        data.load_test(run, model_sha256="")
    assert len(ledger(run)) == 1


@pytest.mark.parametrize("values", [[0, 255], [7] * 9, list(range(256))])
def test_pixel_mean_and_sd_are_those_of_all_values(values):
    images = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
    expected = (np.mean(values) / 255, np.std(values) / 255)
    assert data.pixel_mean_and_sd(images) == pytest.approx(expected, abs=1e-15)


def test_the_pixel_histogram_counts_every_value_of_a_large_array():
    values = np.random.default_rng(0).integers(0, 256, (3, 700, 600, 1)).astype(np.uint8)
    np.testing.assert_array_equal(data.pixel_histogram(values), np.bincount(values.ravel(), minlength=256))


def test_the_hash_of_arrays_follows_values_shape_and_type_but_not_layout():
    array = np.arange(12, dtype=np.int64).reshape(3, 4)
    same = data.array_sha256(array)
    assert same == data.array_sha256(np.asfortranarray(array))
    assert same == data.array_sha256(array.astype(">i8"))
    others = (array + 1, array.reshape(4, 3), array.astype(np.int32))
    assert same not in {data.array_sha256(other) for other in others}


def test_rows_of_small_images_are_their_pixels_and_large_ones_are_bounded():
    generator = np.random.default_rng(0)
    small, large = (
        generator.integers(0, 256, (300, height, width, 3)).astype(np.uint8)
        for height, width in ((28, 28), (130, 70))
    )
    before = small.copy()
    np.testing.assert_array_equal(data.as_rows(small), small.reshape(300, -1).astype(np.float32) / 255.0)
    np.testing.assert_array_equal(small, before)
    rows = data.as_rows(large)
    assert rows.shape == (300, 65 * 35 * 3)
    assert rows.dtype == np.float32
    assert rows[299, 0] == pytest.approx(large[299, :2, :2, 0].mean() / 255.0)
