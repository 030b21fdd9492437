"""One's own images stay on disk: what is read from the cache, what is decoded, and what can go wrong."""

import json
import os
import resource
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from helpers.errors import AcquisitionError, OsemnError
from helpers.obtain import data, sources
from helpers.obtain.images import formats, from_disk, image_cache, pictures
from helpers.obtain.options import Options
from helpers.obtain.places import download
from photographs import class_folders, photograph, write

QUIET = download.Network(progress=False)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pixels"


@pytest.fixture
def pets(tmp_path):
    return class_folders(tmp_path / "pets", {"cat": 20, "dog": 20})


def saved(place, folder, **options):
    """Return the training and the test file of 01_acquire."""
    acquired = sources.acquire(str(place), Options(image_size=16, network=QUIET, **options))
    files = folder / "train.npz", folder / "test.npz"
    data.save(files[0], acquired.train)
    data.save(files[1], acquired.test)
    return acquired, *files


def prepared(pets, acquired, part: str, side: int, channels: int = 3) -> np.ndarray:
    """Return the images of a part as the service prepares them."""
    rows = acquired.index[(acquired.index["part"] == "test") == (part == "test")].sort_values("row")
    preparation, images = pictures.Preparation.of(acquired.card["preparation"]), []
    for path in rows["path"]:
        with formats.opened(pets / path) as image:
            images.append(pictures.prepare(image, side, side, channels, preparation=preparation))
    return np.stack(images)


@pytest.mark.parametrize("cache_gb", [20.0, 0.0])
@pytest.mark.parametrize("fit", pictures.FITS)
def test_pixels_are_those_that_the_service_makes_at_any_side(pets, tmp_path, fit, cache_gb):
    acquired, train, test = saved(pets, tmp_path, fit=fit, cache_gb=cache_gb)
    for path, name in ((train, "train"), (test, "test")):
        for side in (None, 64, 224):
            images = data.load(path, side).images
            assert np.array_equal(images[:], prepared(pets, acquired, name, side or 16))
            assert bool(images.cache) == bool(cache_gb)


def test_images_are_read_like_an_array(pets, tmp_path):
    _, train, _ = saved(pets, tmp_path)
    images = data.load(train).images
    array = images[:]
    assert (images.shape, images.dtype, images.ndim, len(images)) == (array.shape, np.uint8, 4, 32)
    mask = np.arange(32) % 3 == 0
    for index in (
        0,
        -1,
        np.int64(5),
        slice(3, 9),
        slice(None, None, -2),
        [4, 4, 1],
        np.array([31, 0, 7, 8, 9]),
        mask,
        [],
    ):
        assert np.array_equal(images[index], array[index])
    part = images.subset(np.array([5, 3, 30]))
    assert np.array_equal(part[1:], array[[3, 30]])
    assert np.array_equal(part.subset(np.array([2]))[0], array[30])
    assert [image.shape for image in part] == [(16, 16, 3)] * 3
    for wrong in (lambda: images[32], lambda: part[3]):
        with pytest.raises(IndexError):
            wrong()
    for whole in (lambda: np.asarray(images), lambda: images[..., 0]):
        with pytest.raises(TypeError, match="images"):
            whole()


def test_stages_find_labels_names_and_weights_but_no_pixels(pets, tmp_path):
    table = "".join(
        f"pets/{name}/{n:03}.png,{name},{1 + n % 2}\n" for name in ("cat", "dog") for n in range(20)
    )
    (tmp_path / "labels.csv").write_text(f"file,label,weight\n{table}")
    acquired, train, test = saved(tmp_path / "labels.csv", tmp_path)
    loaded = data.load(train, 32)
    assert (loaded.class_names, loaded.image_shape, loaded.from_disk) == (("cat", "dog"), (32, 32, 3), True)
    assert np.array_equal(loaded.labels, acquired.train.labels)
    assert set(loaded.weights) == {1.0, 2.0}
    rows = np.array([7, 2])
    assert np.array_equal(loaded.subset(rows).weights, loaded.weights[rows])
    assert "images" not in np.load(train)
    assert data.load(test).subset([]).images[:].shape == (0, 16, 16, 3)


def test_the_test_part_is_decoded_only_when_it_is_loaded(pets, tmp_path, cache):
    _, train, test = saved(pets, tmp_path)
    data.load(train, 48)
    assert {np.load(path).shape for path in cache.glob("*.npy")} == {(32, 16, 16, 3), (32, 48, 48, 3)}
    data.load(test, 48)
    assert (8, 48, 48, 3) in {np.load(path).shape for path in cache.glob("*.npy")}


def test_the_hash_follows_content_and_preparation_but_not_the_place(pets, tmp_path):
    acquired, train, _ = saved(pets, tmp_path)
    part = data.load(train, 32).images
    hashes = {data.array_sha256(data.load(train, side).images) for side in (16, 32)}
    hashes |= {
        data.array_sha256(part.subset(np.arange(5))),
        data.array_sha256(part.subset(np.arange(5)[::-1])),
    }
    hashes.add(saved(pets, tmp_path, fit="pad")[0].card["sha256"]["train"])
    assert len(hashes) == 5
    moved = shutil.copytree(pets, tmp_path / "elsewhere" / "pets")
    assert saved(moved, tmp_path)[0].card["sha256"] == acquired.card["sha256"]


@pytest.mark.parametrize(("mode", "channels"), [("auto", 1), ("grayscale", 1), ("rgb", 3)])
def test_grey_images_have_one_channel_unless_colours_are_asked_for(tmp_path, mode, channels):
    for seed in range(20):
        path = write(tmp_path / "scans" / ("ill", "well")[seed % 2] / f"{seed}.png", seed)
        with Image.open(path) as image:
            image.convert("L").convert("RGB" if seed % 3 else "L").save(path)
    acquired, train, _ = saved(tmp_path / "scans", tmp_path, color_mode=mode)
    assert np.array_equal(
        data.load(train).images[:], prepared(tmp_path / "scans", acquired, "train", 16, channels)
    )
    photograph(50).save(tmp_path / "scans" / "ill" / "colour.png")
    assert saved(tmp_path / "scans", tmp_path)[0].train.image_shape[-1] == 3, "one image has colours"


# What goes wrong


def test_an_altered_array_is_made_again_and_another_one_is_kept(pets, tmp_path, cache):
    _, train, _ = saved(pets, tmp_path)
    expected = data.load(train).images[:]
    (array,) = cache.glob("*.npy")
    content, inode = array.read_bytes(), array.stat().st_ino
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(data.load(train).images[:], expected)
    assert array.stat().st_ino == inode, "it was written again"
    for altered in (content[:-1] + bytes([content[-1] ^ 1]), content[:-100], b""):
        array.write_bytes(altered)
        with pytest.warns(UserWarning, match="was altered after it was written; it is made again"):
            assert np.array_equal(data.load(train).images[:], expected)
        assert array.read_bytes() == content


def test_an_array_that_is_cut_short_while_it_is_read_gives_no_pixels(pets, tmp_path, cache):
    _, train, _ = saved(pets, tmp_path)
    images = data.load(train).images
    (array,) = cache.glob("*.npy")
    with array.open("r+b") as stream:
        stream.truncate(1_000)
    with pytest.raises((OsemnError, OSError)):
        images[:]
    array.unlink()
    assert images[:].any(), "without its array, images are decoded"


def test_a_kill_loses_nothing_and_is_never_taken_for_a_complete_array(pets, tmp_path, cache, monkeypatch):
    _, train, _ = saved(pets, tmp_path)
    decode, decoded = from_disk.ImageFiles._decode, []

    def killed(files, row, pixels):
        decoded.append(row)
        if len(decoded) == 20:
            raise KeyboardInterrupt
        decode(files, row, pixels)

    monkeypatch.setattr(from_disk.ImageFiles, "_decode", killed)
    with pytest.raises(KeyboardInterrupt):
        data.load(train, 32)
    (partial,) = cache.glob("*.partial")
    done = partial.stat().st_size // (32 * 32 * 3)
    assert 0 < done < 32
    with partial.open("ab") as stream:
        stream.write(b"half an image")
    decoded[:] = [None] * 20
    images = data.load(train, 32).images
    assert sorted(decoded[20:]) == list(range(done, 32)), "it begins at the start"
    monkeypatch.setattr(from_disk.ImageFiles, "_decode", decode)
    array = images[:]
    for path in cache.glob("*.npy"):
        path.unlink()
    assert np.array_equal(data.load(train, 32).images[:], array)


def test_a_disk_that_takes_no_more_says_what_to_do_and_leaves_nothing_half(pets, tmp_path, cache):
    _, train, _ = saved(pets, tmp_path)
    before, limits = sorted(cache.iterdir()), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20 * 32 * 32 * 3, limits[1]))  # of 32 images
        with pytest.raises(AcquisitionError, match=r"the disk is full(?s:.)*cache_gb=0"):
            data.load(train, 32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(cache.iterdir()) == before
    assert data.load(train, 32).images.cache


def test_the_least_used_arrays_make_room(pets, tmp_path, cache):
    _, train, _ = saved(pets, tmp_path, cache_gb=32 * 3 * (64**2 + 48**2) / 1e9 + 1e-6)
    for side in (64, 48, 64):
        data.load(train, side)
        for array in cache.glob("*.npy"):
            status = array.stat()
            os.utime(array, ns=(status.st_atime_ns - 10**9, status.st_mtime_ns))
    images = data.load(train, 32).images
    assert {np.load(path).shape[1] for path in cache.glob("*.npy")} == {64, 32}
    assert images.cache
    too_large = data.load(train, 81).images
    assert too_large.cache is None
    assert too_large[:2].shape == (2, 81, 81, 3)


def test_images_are_decoded_when_read_if_the_disk_has_no_room(pets, tmp_path, monkeypatch):
    _, train, _ = saved(pets, tmp_path)
    expected = data.load(train, 32).images[:]
    shutil.rmtree(tmp_path / "cache" / "pixels")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    images = data.load(train, 32).images
    assert images.cache is None
    assert np.array_equal(images[:], expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: photograph(99).save(path), "has changed since it was indexed"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(b""), "has changed since it was indexed"),
    ],
)
@pytest.mark.parametrize("cache_gb", [20.0, 0.0])
def test_an_image_that_changes_after_it_was_indexed_is_named(pets, tmp_path, cache, change, said, cache_gb):
    acquired, train, _ = saved(pets, tmp_path, cache_gb=cache_gb)
    path = acquired.index.loc[acquired.index["part"] != "test", "path"].iloc[3]
    change(pets / path)
    with pytest.raises(AcquisitionError, match=f"The image {path} {said}(?s:.)*--from 01_acquire"):
        data.load(train, 32).images[:]
    assert not list(cache.glob("*.partial"))


def test_odd_shapes_become_squares_in_bounded_memory(tmp_path):
    for seed in range(8):
        write(tmp_path / "odd" / "flat" / f"{seed}.png", seed, size=(400 + seed, 1))
        write(tmp_path / "odd" / "wide" / f"{seed}.jpg", seed, size=(30_000, 40 + seed))
    for fit in pictures.FITS:
        acquired, train, _ = saved(tmp_path / "odd", tmp_path, fit=fit)
        assert np.array_equal(
            data.load(train, 32).images[:], prepared(tmp_path / "odd", acquired, "train", 32)
        )


def test_a_record_of_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "train.npz", labels=np.zeros(1, np.int64), class_names=np.array(["a"]))
    with pytest.raises(OsemnError, match="not a data set of this project"):
        data.load(tmp_path / "train.npz")
    np.savez(
        tmp_path / "train.npz", names=np.zeros(1, np.uint8), sha256=np.zeros((1, 32), np.uint8), how=np.array(json.dumps({"side": 3})),
        labels=np.zeros(1, np.int64), class_names=np.array(["a"]),
    )  # fmt: skip
    with pytest.raises(OsemnError, match="not a data set of this project"):
        data.load(tmp_path / "train.npz")
