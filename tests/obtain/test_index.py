import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
from indexed_images import listed, write_images
from PIL import ExifTags, Image

from helpers.errors import AcquisitionError
from helpers.obtain import catalogue, data, image_facts, index, measures
from helpers.obtain.images import formats
from helpers.obtain.options import Options


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "photos")


def build(folder, **options):
    cache = folder.parent / "cache"
    return index.build(listed(folder), Options(**options), cache, progress=False)


def row_of(folder, name, **options):
    table, _ = build(folder, **options)
    return table.set_index("path").loc[name]


def reason_of(folder, name):
    table, skipped = build(folder)
    assert name not in set(table["path"])
    return dict(zip(skipped["path"], skipped["reason"], strict=True))[name]


def save_photo(path, size=(400, 300), taken="2024:05:01 12:30:05", **tags):
    """Write a JPEG that is dark on its left and bright on its right, with EXIF data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (40, 40, 40))
    image.paste((200, 100, 50), (size[0] // 2, 0, *size))
    exif = image.getexif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon", "Canon EOS R5\0 "
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    exif.update({ExifTags.Base[name]: value for name, value in tags.items()})
    image.save(path, exif=exif)
    return path


def test_index_has_a_row_for_each_image_in_the_order_of_the_listing(folder):
    table, skipped = build(folder)
    assert table["path"].tolist() == listed(folder).files["path"].tolist()
    assert table["label"].tolist() == ["cat"] * 3 + ["dog"] * 3
    assert table["id"].tolist() == list(range(6))
    assert set(index.DTYPES) - set(table) == {"row", "together"}
    assert {name: str(table[name].dtype) for name in table} == {name: index.DTYPES[name] for name in table}
    assert len(skipped) == 0


def test_facts_of_a_photograph(folder):
    path = save_photo(folder / "dog" / "photo.jpg", Orientation=6)
    row = row_of(folder, "dog/photo.jpg")
    assert (row["width"], row["height"], row["format"], row["mode"]) == (400, 300, "JPEG", "RGB")
    assert (row["time"], row["camera"], row["orientation"]) == ("2024-05-01T12:30:05", "Canon EOS R5", 6)
    assert row["bytes"] == path.stat().st_size
    assert row["sha256"] == image_facts.sha256(path.read_bytes())
    assert row["red"] == pytest.approx(120, abs=2)
    assert row["blue"] == pytest.approx(45, abs=2)
    assert (row["low"], row["high"]) == pytest.approx((40, 200), abs=3)


def test_thumbnail_is_upright_and_complete(folder):
    """Turned by 90° the bright half is below; a crop would lose the ends of a wide image."""
    upright = image_facts.thumbnail_of(save_photo(folder / "a.jpg", (800, 100), Orientation=6), "auto")
    assert upright.shape == (64, 64, 3)
    assert upright[:30].max() < 50
    assert upright[34:, :, 0].min() > 190


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", ""])
def test_senseless_time_counts_as_absent(folder, taken):
    save_photo(folder / "dog" / "photo.jpg", taken=taken)
    assert row_of(folder, "dog/photo.jpg")["time"] == ""


def test_damaged_exif_data_leave_an_image_readable(folder):
    path = save_photo(folder / "dog" / "photo.jpg")
    content = path.read_bytes()
    start = content.index(b"Exif\0\0") + 6
    path.write_bytes(content[:start] + bytes(60) + content[start + 60 :])
    row = row_of(folder, "dog/photo.jpg")
    assert (row["time"], row["camera"], row["orientation"]) == ("", "", 1)


def test_range_of_deep_images_is_that_of_the_raw_values(folder):
    Image.fromarray(np.linspace(7, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)).save(
        folder / "dog" / "scan.png"
    )
    row = row_of(folder, "dog/scan.png")
    assert (row["low"], row["high"]) == (7, 4095)
    assert row["brightness"] == pytest.approx(127.5, abs=2), "the window spreads 12 bits"
    dark = row_of(folder, "dog/scan.png", window="full")
    assert dark["brightness"] == pytest.approx(8, abs=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_every_kind_of_pixels_has_the_facts(folder, mode):
    image = Image.new("RGB", (30, 20), (90, 90, 90)).convert("I" if mode == "I;16" else mode)
    image = image.convert(mode)
    suffix = {"CMYK": "jpg", "F": "tif"}.get(mode, "png")
    image.save(folder / "cat" / f"odd.{suffix}")
    row = row_of(folder, f"cat/odd.{suffix}")
    assert row["mode"] == mode
    assert not row[list(measures.NAMES)].isna().any()
    assert 0 <= row["low"] <= row["high"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "bmp", "avif", "jp2"])
def test_truncated_image_is_listed_with_its_reason(folder, suffix):
    generator = np.random.default_rng(0)
    path = folder / "dog" / f"short.{suffix}"
    Image.fromarray(generator.integers(0, 256, (600, 500, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.9)])
    with pytest.raises(Exception):  # noqa: B017, PT011 - the index agrees with decoding, whatever that raises
        formats.decode(path, 64)
    assert reason_of(folder, f"dog/{path.name}")


def test_reasons_are_words(folder):
    (folder / "dog" / "empty.png").touch()
    (folder / "dog" / "text.png").write_text("not an image")
    os.mkfifo(folder / "dog" / "pipe.png")
    (folder / "dog" / "gone.png").symlink_to(folder / "nowhere")
    _, skipped = build(folder)
    assert dict(zip(skipped["path"], skipped["reason"], strict=True)) == {
        "dog/empty.png": "the file is empty",
        "dog/text.png": "it is not an image",
        "dog/pipe.png": "it is a named pipe, not a file",
        "dog/gone.png": "no such file or directory",
    }
    table, again = build(folder)
    assert len(table) == 6
    assert again.equals(skipped), "unreadable files are tried again, as a new version may read them"


def test_folder_without_a_readable_image_gives_an_empty_index(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "gone.png").symlink_to(tmp_path / "nowhere")
    table, skipped = build(tmp_path / "photos")
    assert len(table) == 0
    assert set(index.DTYPES) - set(table) == {"row", "together"}
    assert skipped["path"].tolist() == ["gone.png"]


def test_very_large_file_is_not_read_into_memory(folder, monkeypatch):
    monkeypatch.setattr(image_facts, "MAX_BYTES", 100)
    _, skipped = build(folder)
    assert len(skipped) == 6
    assert skipped["reason"].str.startswith("it is larger than").all()


def test_file_that_changes_while_it_is_read_is_read_again(folder, monkeypatch):
    path, other = folder / "cat" / "0000.png", (folder / "dog" / "0005.png").read_bytes()
    opened = []

    def open_and_change(name, mode):
        opened.append(name)
        stream = open(name, mode)  # noqa: PTH123, SIM115
        if name == str(path) and opened.count(name) == 1:
            path.write_bytes(other + b"more")
        return stream

    monkeypatch.setattr(image_facts, "open", open_and_change, raising=False)
    table, _ = build(folder)
    assert opened.count(str(path)) == 2
    assert table["sha256"][0] == image_facts.sha256(other + b"more")


def test_file_that_does_not_stop_changing_is_listed_and_not_remembered(folder, monkeypatch):
    path = folder / "cat" / "0000.png"

    def open_and_append(name, mode):
        if name == str(path):
            with path.open("ab") as stream:
                stream.write(b"more")
        return open(name, mode)  # noqa: PTH123

    with monkeypatch.context() as patched:
        patched.setattr(image_facts, "open", open_and_append, raising=False)
        assert reason_of(folder, "cat/0000.png") == image_facts.CHANGING
    table, skipped = build(folder)
    assert len(table) == 6
    assert len(skipped) == 0


def test_processes_give_the_same_index_as_threads(folder, monkeypatch, tmp_path):
    (folder / "dog" / "text.png").write_text("not an image")
    table, skipped = build(folder)
    monkeypatch.setattr(index, "_PROCESSES_FROM", 1)
    monkeypatch.setattr(index.joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(index, "_CHUNK", 2)
    parallel, also = index.build(listed(folder), Options(), tmp_path / "other", progress=False)
    pd.testing.assert_frame_equal(parallel, table)
    assert also.equals(skipped)


def _killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_worker_is_an_error_that_says_what_to_do(folder, monkeypatch):
    monkeypatch.setattr(index, "_PROCESSES_FROM", 1)
    monkeypatch.setattr(index.joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(image_facts, "of_files", _killed)
    with pytest.raises(AcquisitionError, match="run this again"):
        build(folder)


KILLED = """
import sys, time
from pathlib import Path
from indexed_images import listed
from helpers.obtain import index
from helpers.obtain.options import Options
index._PROCESSES_FROM, index._CHUNK, index._SECONDS = 1, 1, 0.0
add = index.Catalogue.add
def slowly(*arguments):
    add(*arguments)
    time.sleep(0.05)
index.Catalogue.add = slowly
index.build(listed(Path(sys.argv[1])), Options(), Path(sys.argv[2]), progress=False)
"""


def test_killed_index_goes_on_where_it_was_and_leaves_no_process(tmp_path, monkeypatch):
    folder, cache = write_images(tmp_path / "photos", 200), tmp_path / "cache"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}  # noqa: PTH120
    process = subprocess.Popen([sys.executable, "-c", KILLED, folder, cache], env=environment)
    for _ in range(600):
        if len(list(cache.rglob("files-*"))) >= 5:
            break
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    record = catalogue.Catalogue(cache, folder).files.read().to_pandas()
    assert 5 <= len(record) < 200
    read, names = image_facts.read, []
    monkeypatch.setattr(image_facts, "read", lambda path: (names.append(path), read(path))[1])
    table, _ = index.build(listed(folder), Options(), cache, progress=False)
    assert 200 - len(record) <= len(names) <= 200 - len(record) + 1, "only what was not on record"
    undisturbed, _ = index.build(listed(folder), Options(), tmp_path / "other", progress=False)
    assert table.equals(undisturbed)


def dataset(count, channels=1, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28, channels), dtype=np.uint8)
    return data.Dataset(images, np.arange(count, dtype=np.int64) % 2, ("zero", "one"))


def test_index_of_arrays_has_the_same_columns(folder):
    train, test = dataset(300), dataset(20, seed=1)
    table = index.of_arrays(train, test)
    files, _ = build(folder)
    assert set(index.DTYPES) - set(table) == {"together"}
    assert all(table[name].dtype == files[name].dtype for name in files)
    assert table["part"].tolist() == ["train"] * 300 + ["test"] * 20
    assert table["row"].tolist() == [*range(300), *range(20)]
    assert table["label"].tolist()[:2] == ["zero", "one"]
    last = test.images[19]
    assert table["sha256"].iloc[-1] == image_facts.sha256(last.tobytes())
    assert (table["low"].iloc[-1], table["high"].iloc[-1]) == (last.min(), last.max())
    assert table["brightness"].iloc[-1] == pytest.approx(last.mean(), rel=1e-5)
    assert table["red"].equals(table["blue"].rename("red"))


def test_measures_of_known_images():
    images = np.zeros((4, 20, 20, 3), np.uint8)
    images[1] = 255
    images[2, ::2, ::2] = images[2, 1::2, 1::2] = 200
    images[3, 1:-1, 1:-1, 0] = 100
    values = measures.of_images(images)
    assert values["brightness"] == pytest.approx([0, 255, 100, 0.299 * 81], abs=0.01)
    assert values["contrast"][:3] == pytest.approx([0, 0, 100], abs=0.01)
    assert values["entropy"][:3] == pytest.approx([0, 0, 1], abs=1e-6)
    assert values["sharpness"][:3] == pytest.approx([0, 0, 800**2], rel=1e-3)
    assert values["red"][3] == pytest.approx(81, abs=0.01)
    assert values["green"][3] == 0
    assert values["border"] == pytest.approx([0, 255, 100, 0], abs=0.01)


def test_measures_do_not_depend_on_the_images_beside():
    images = np.random.default_rng(0).integers(0, 256, (130, 64, 64, 3), dtype=np.uint8)
    together = measures.of_images(images)
    for count in (1, 2, 7):
        alone = measures.of_images(images[3 : 3 + count])
        assert all((alone[name] == together[name][3 : 3 + count]).all() for name in measures.NAMES)


def test_blurred_image_is_less_sharp():
    sharp = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(sharp).resize((16, 16)).resize((64, 64)))
    values = measures.of_images(np.stack([sharp, soft]))["sharpness"]
    assert values[1] < values[0] / 10


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3)])
def test_smallest_images_have_measures(shape):
    assert all(
        np.isfinite(v).all() for v in measures.of_images(np.full((2, *shape, 1), 7, np.uint8)).values()
    )


def test_bursts_are_of_one_camera_and_without_long_pauses():
    times = ["10:00:00", "10:00:02", "10:00:04", "10:00:07", "10:00:01", "", "10:00:00"]
    table = pd.DataFrame(
        {
            "time": [f"2024-05-01T{time}" if time else "" for time in times],
            "camera": ["a", "a", "a", "a", "b", "a", ""],
        },
        index=[9, 8, 7, 6, 5, 4, 3],
    )
    groups = index.bursts(table, seconds=2.0)
    assert groups.tolist() == [
        *["a 2024-05-01T10:00:00"] * 3,
        "a 2024-05-01T10:00:07",
        "b 2024-05-01T10:00:01",
        "",
        "2024-05-01T10:00:00",
    ]
    assert groups.index.equals(table.index)
    assert index.bursts(table.assign(time=""), seconds=2.0).tolist() == [""] * 7


def test_index_is_read_as_it_was_written_and_always_the_same_bytes(folder, tmp_path):
    table = build(folder)[0].assign(row=range(6), together=range(6))
    index.write(table.sample(frac=1, axis=1, random_state=0), tmp_path / "a.parquet")
    index.write(table, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    pd.testing.assert_frame_equal(index.read(tmp_path / "a.parquet"), table[list(index.DTYPES)])
    with pytest.raises(KeyError, match="together"):
        index.write(table.drop(columns="together"), tmp_path / "c.parquet")


def test_copy_elsewhere_has_the_same_index_but_for_its_place(folder, tmp_path):
    table, _ = build(folder)
    shutil.copytree(folder, tmp_path / "copy" / "photos")
    assert build(tmp_path / "copy" / "photos")[0].equals(table)
