"""Near copies are found however they were made; different photographs are not taken for copies."""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import sparse
from sklearn.datasets import load_sample_images

from helpers.obtain import copies, signatures

TILES = [
    Image.fromarray(photograph[top : top + 140, left : left + 160])
    for photograph in load_sample_images().images
    for top in range(0, 420, 140)
    for left in range(0, 640, 160)
    if photograph[top : top + 140, left : left + 160].std() > 40  # no sky and no blurred background
]
NO_PAIRS = copies.NearCopies(*np.zeros((3, 0), np.int64))


def thumbnail(image: Image.Image) -> np.ndarray:
    size = (signatures.SIDE, signatures.SIDE)
    return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def near(thumbnails: list[np.ndarray], reader: Callable[[int], np.ndarray]) -> copies.NearCopies:
    images = np.array(thumbnails).reshape(-1, signatures.SIDE, signatures.SIDE, 3)
    return copies.near(signatures.of_thumbnails(images), reader)


def found(images: list[Image.Image]) -> set[tuple[int, int]]:
    thumbnails = [thumbnail(image) for image in images]
    pairs = near(thumbnails, thumbnails.__getitem__)
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def compressed(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=50)
    return Image.open(content)


def cropped(image: Image.Image) -> Image.Image:
    return image.crop((8, 0, 160, 133))  # 5% of one side and of another


CHANGES = {
    "mirrored": ImageOps.mirror,
    "flipped": ImageOps.flip,
    "turned by 180°": lambda image: image.rotate(180),
    "halved": lambda image: image.resize((80, 70)),
    "doubled": lambda image: image.resize((320, 280)),
    "compressed": compressed,
    "cropped": cropped,
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "several at once": lambda image: compressed(
        ImageEnhance.Brightness(ImageOps.mirror(image).resize((96, 84))).enhance(1.1)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found_and_nothing_else(change):
    expected = {(number, number + len(TILES)) for number in range(len(TILES))}
    pairs = found(TILES + [CHANGES[change](tile) for tile in TILES])
    assert pairs == expected


def test_different_photographs_are_not_copies():
    assert found(TILES) == set()


def test_images_that_show_nothing_are_left_out():
    blank = Image.new("RGB", (50, 50), (200, 10, 10))
    assert signatures.of_thumbnails(thumbnail(blank)[None])[0] == bytes(signatures.BYTES)
    assert found([blank, blank, TILES[0]]) == set()


def test_a_set_without_images_or_pairs_has_no_copies():
    assert found([]) == found(TILES[:1]) == set()


def test_a_signature_has_its_length_and_ignores_brightness():
    images = [thumbnail(ImageEnhance.Brightness(TILES[5]).enhance(by)) for by in (0.9, 0.7)]
    bright, dark = signatures.of_thumbnails(np.stack(images))
    assert len(bright) == signatures.BYTES
    difference = np.frombuffer(bright, np.int8).astype(int) - np.frombuffer(dark, np.int8)
    assert np.abs(difference).max() < 12


def test_thumbnails_are_read_only_for_candidates():
    images = [*TILES, ImageOps.mirror(TILES[3])]
    thumbnails, read = [thumbnail(image) for image in images], []

    def reader(row: int) -> np.ndarray:
        read.append(row)
        return thumbnails[row]

    near(thumbnails, reader)
    assert {3, len(TILES)} <= set(read)
    assert len(read) == len(set(read)) < len(images)


def test_many_images_of_one_kind_are_not_joined_by_likeness_alone():
    """Like solar cells of one make: the same outline with a faint mark of its own."""
    generator = np.random.default_rng(0)
    outline = np.asarray(TILES[5], np.float64)
    kind = []
    for _ in range(copies.MANY + 10):
        noise = Image.fromarray(generator.integers(0, 255, (35, 40), np.uint8))
        marks = np.asarray(noise.resize((160, 140)), np.float64) - 127
        kind.append(Image.fromarray(np.clip(outline + 0.1 * marks[..., None], 0, 255).astype(np.uint8)))
    thumbnails = [thumbnail(image) for image in [*kind, ImageOps.mirror(kind[0])]]
    pairs = near(thumbnails, thumbnails.__getitem__)
    assert pairs.alike > copies.MANY
    assert list(zip(pairs.first, pairs.second, strict=True)) == [(0, len(kind))]


def test_the_number_of_compared_pairs_is_bounded(monkeypatch):
    monkeypatch.setattr(copies, "_MOST_COMPARED", 5)
    thumbnails = [thumbnail(tile) for tile in TILES * 2]
    pairs = near(thumbnails, thumbnails.__getitem__)
    assert pairs.capped
    assert len(pairs.first) <= 5


def test_groups_exact_copies_and_near_copies_are_joined():
    groups = pd.Series(["", "x", "x", "", "", "", ""])
    exact = pd.Series(["a", "b", "c", "d", "a", "e", "f"])
    pairs = copies.NearCopies(np.array([2]), np.array([3]), np.array([0.1]))
    numbers = copies.together(groups, exact, pairs)
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [0, 1, 1, 1, 0, 2, 3]
    assert copies.together(groups[:0], exact[:0], NO_PAIRS).tolist() == []


def test_arrays_are_joined_by_exact_and_near_copies():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
    images[4] = images[1]
    images[5] = np.clip(images[2].astype(int) + 3, 0, 255)
    assert copies.together_of_arrays(images, 0.08).tolist() == [0, 1, 2, 3, 1, 2]


@pytest.mark.parametrize("shape", [(8, 8, 1), (30, 28, 3)])
def test_arrays_are_joined_as_brute_force_joins_them(shape):
    generator = np.random.default_rng(1)
    base = generator.integers(0, 200, (60, *shape))
    noise = generator.normal(0, 1, (600, *shape)) * generator.uniform(1, 25, (600, 1, 1, 1))
    images = np.clip(base[np.arange(600) % 60] + noise, 0, 255).astype(np.uint8)
    flat = images.reshape(600, -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    near = np.maximum(2 - 2 * flat @ flat.T, 0) <= 0.2**2
    wanted = sparse.csgraph.connected_components(near, directed=False)[1]
    assert 60 < wanted.max() + 1 < 550
    assert copies.together_of_arrays(images, 0.2).tolist() == wanted.tolist()


def test_arrays_are_joined_despite_brightness_and_contrast_but_flat_images_are_not():
    images = np.random.default_rng(0).integers(0, 128, (200, 16, 16, 1)).astype(np.uint8)
    images[150] = np.clip(images[20] * 1.5 + 30, 0, 255).astype(np.uint8)
    images[3], images[4] = 0, 255
    numbers = copies.together_of_arrays(images, 0.05)
    assert numbers[150] == numbers[20]
    assert len(np.unique(numbers)) == 199
    assert len(np.unique(copies.together_of_arrays(images, 0))) == 200


def test_a_thousand_copies_of_one_image_do_not_hide_its_near_copies():
    images = np.random.default_rng(0).integers(0, 256, (1_100, 8, 8, 1)).astype(np.uint8)
    images[100:] = images[0]
    images[1] = np.clip(images[0].astype(int) + 1, 0, 255)
    numbers = copies.together_of_arrays(images, 0.2)
    assert set(numbers[[0, 1, *range(100, 1_100)]]) == {0}
    assert numbers[:100].max() == 98
