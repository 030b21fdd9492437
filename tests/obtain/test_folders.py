import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from helpers.errors import AcquisitionError, UsageError
from helpers.obtain import folders, formats, pictures, sources


def picture(path, color=(200, 30, 60), size=(20, 12), **options):
    """Write a picture of one colour; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(color, int) else "RGBA" if len(color) == 4 else "RGB"
    Image.new(mode, size, color).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten colour images each."""
    root = tmp_path / "my photos"
    for number in range(10):
        picture(root / "cat" / f"{number}.png", (250, number, 0))
        picture(root / "dog" / f"{number}.JPG", (0, number, 250))
    return root


def load(folder, **options):
    return folders.load(folder, progress=False, **options)


def test_classes_are_the_sub_folders_in_the_order_of_their_names(folder):
    content = load(folder, image_size=16)
    assert content.dataset.class_names == ("cat", "dog")
    assert content.dataset.images.shape == (20, 16, 16, 3)
    assert content.dataset.labels.tolist() == [0] * 10 + [1] * 10
    assert content.files[0] == "cat/0.png"
    assert content.dataset.images[3, 8, 8].tolist() == [250, 3, 0]
    assert content.unreadable == ()


def test_both_parts_hold_the_classes_mixed(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    acquired = sources.acquire(str(folder), test_fraction=0.3, seed=0)
    for part in (acquired.train, acquired.test):
        assert np.abs(np.diff(part.labels)).sum() > 1, "one class after the other"
        greenest = part.images.reshape(len(part), -1, 3).argmax(axis=2)
        assert ((greenest == 0).all(axis=1) == (part.labels == 0)).all(), "each with its own label"
    assert np.array_equal(
        sources.acquire(str(folder), test_fraction=0.3, seed=0).train.images, acquired.train.images
    )


def test_size_zero_means_64_pixels(folder):
    assert load(folder).dataset.image_shape == (64, 64, 3)


def test_loading_twice_gives_the_same_arrays(folder):
    np.testing.assert_array_equal(load(folder).dataset.images, load(folder).dataset.images)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (8, 8), (300, 200)])
def test_images_of_any_size_are_resized(folder, size):
    picture(folder / "cat" / "odd.png", (10, 20, 30), size)
    content = load(folder, image_size=8)
    odd = content.dataset.images[content.files.index("cat/odd.png")]
    assert (odd == [10, 20, 30]).all()


def test_the_largest_centred_square_is_used(tmp_path):
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 255
    Image.fromarray(image).save(tmp_path / "wide.png")
    assert (formats.decode(tmp_path / "wide.png", 10) == 255).all()


def test_an_image_is_turned_as_its_exif_orientation_says(tmp_path):
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(image).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    decoded = formats.decode(tmp_path / "turned.jpg", 32)
    assert decoded[:10].mean() < 10
    assert decoded[22:].mean() > 245


def test_transparent_pixels_become_white(tmp_path):
    picture(tmp_path / "clear.png", (10, 20, 30, 0))
    picture(tmp_path / "half.png", (0, 0, 0, 128))
    palette = Image.new("P", (4, 4))
    palette.info["transparency"] = 0
    palette.save(tmp_path / "palette.gif", transparency=0)
    assert (formats.decode(tmp_path / "clear.png", 4) == 255).all()
    assert (formats.decode(tmp_path / "half.png", 4) == 127).all()
    assert (formats.decode(tmp_path / "palette.gif", 4) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_rescaled_to_eight(tmp_path, suffix):
    values = np.full((4, 4), 128 * 257, np.uint16)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    assert (formats.decode(tmp_path / f"deep.{suffix}", 4) == 128).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_common_kind_of_pixel_is_read(tmp_path, mode):
    path = tmp_path / ("image.tif" if mode in ("CMYK", "YCbCr") else "image.png")
    Image.new("RGB", (6, 6), "white").convert(mode).save(path)
    assert formats.decode(path, 4).min() >= 254


def test_auto_is_grey_if_all_images_are(tmp_path):
    for number in range(4):
        picture(tmp_path / "a" / f"{number}.png", 10 * number)
        picture(tmp_path / "b" / f"{number}.png", (90, 90, 90))  # grey, though stored in colour
    assert load(tmp_path, image_size=8).dataset.image_shape == (8, 8, 1)
    assert load(tmp_path, image_size=8).dataset.images[1].tolist() == np.full((8, 8, 1), 10).tolist()
    assert load(tmp_path, image_size=8, color_mode="rgb").dataset.image_shape == (8, 8, 3)
    picture(tmp_path / "b" / "colour.png", (90, 91, 90))
    assert load(tmp_path, image_size=8).dataset.image_shape == (8, 8, 3)
    assert load(tmp_path, image_size=8, color_mode="grayscale").dataset.image_shape == (8, 8, 1)


def test_grey_values_survive_the_way_to_grey():
    images = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(pictures.to_grey(images)[..., 0], images[..., 0])
    green = np.zeros((1, 1, 1, 3), np.uint8)
    green[..., 1] = 255
    assert pictures.to_grey(green).item() == 150


def damage(folder):
    """Put files that cannot be read into the class `cat`."""
    whole = (folder / "cat" / "0.png").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    (folder / "cat" / "text.png").write_text("this is not an image")
    (folder / "cat" / "empty.png").write_bytes(b"")
    (folder / "cat" / "short.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cat" / "short.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    (folder / "cat" / "broken link.png").symlink_to("nowhere.png")
    return {"text.png", "empty.png", "short.png", "short.jpg", "broken link.png"}


def test_unreadable_files_are_listed_and_not_fatal(folder):
    names = damage(folder)
    content = load(folder, image_size=8)
    reasons = dict(content.unreadable)
    assert set(reasons) == {f"cat/{name}" for name in names}
    assert all(reasons.values())
    assert not any(str(folder) in reason for reason in reasons.values())
    assert reasons["cat/text.png"] == "it is not an image"
    assert reasons["cat/empty.png"] == "the file is empty"
    assert len(content.dataset) == 20


@pytest.mark.parametrize("limit", [1_500, 1_000])
def test_images_of_absurd_size_are_unreadable(folder, monkeypatch, limit):
    monkeypatch.setattr(formats, "MAX_PIXELS", limit)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    picture(folder / "dog" / "huge.png", size=(50, 42))
    content = load(folder, image_size=8)
    assert [name for name, _ in content.unreadable] == ["dog/huge.png"]
    assert "pixels" in content.unreadable[0][1]


def test_hidden_files_and_other_files_are_left_alone(folder):
    (folder / ".hidden").mkdir()
    (folder / "__MACOSX").mkdir()
    (folder / "cat" / ".DS_Store").write_bytes(b"x")
    (folder / "cat" / "._0.png").write_bytes(b"x")
    (folder / "cat" / "notes.txt").write_text("x")
    (folder / "cat" / "nested").mkdir()
    picture(folder / "loose.png")
    content = load(folder, image_size=8)
    assert len(content.dataset) == 20
    assert content.unreadable == ()
    assert content.ignored == 1


def test_reading_images_warns_nobody(folder):
    damage(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder, image_size=8)


# Folders that cannot be used


@pytest.mark.parametrize("function", [load, folders.fingerprint])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "There is no folder"),
        (lambda root: root.mkdir(), "holds nothing"),
        (lambda root: picture(root / "a.png"), "holds 1 images but no sub-folders"),
        (lambda root: picture(root / "cat" / "a.png"), "holds one class, 'cat'; at least two"),
        (lambda root: (root / ".cat").mkdir(parents=True), "holds nothing"),
    ],
)
def test_a_folder_without_two_classes_is_a_wrong_call(tmp_path, function, make, message):
    make(tmp_path / "root")
    with pytest.raises(UsageError, match=message):
        function(tmp_path / "root")


def test_a_class_left_without_images_is_named_with_the_unreadable_files(folder):
    for path in (folder / "dog").iterdir():
        path.write_text("not an image")
    with pytest.raises(
        AcquisitionError, match=r"'dog' has 0; at least 3 .* Unreadable: 10 \(dog/0.JPG: it is not"
    ):
        load(folder)


def test_a_class_with_too_few_images_for_three_parts_is_named(folder):
    for number in range(2):
        picture(folder / "bird" / f"{number}.png")
    with pytest.raises(AcquisitionError, match="'bird' has 2; at least 3 are needed"):
        load(folder)
    picture(folder / "bird" / "2.png")
    assert load(folder, image_size=8).dataset.num_classes == 3


def test_a_folder_in_which_nothing_can_be_read_says_so(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_text("not an image")
    with pytest.raises(AcquisitionError, match="holds no readable image in its 2 sub-folders"):
        load(tmp_path)


# As a data set


def test_a_folder_is_split_by_class_and_seed(folder):
    (folder / "cat" / "text.png").write_text("this is not an image")
    first = sources.acquire(str(folder), image_size=8, test_fraction=0.3, seed=1)
    assert first.card["class_counts"] == {"train": {"cat": 7, "dog": 7}, "test": {"cat": 3, "dog": 3}}
    assert first.card["unreadable"] == [{"file": "cat/text.png", "reason": "it is not an image"}]
    assert first.card["dataset"] == "my_photos"
    assert (
        first.card["sha256"]
        == sources.acquire(str(folder), image_size=8, test_fraction=0.3, seed=1).card["sha256"]
    )
    assert (
        first.card["sha256"]
        != sources.acquire(str(folder), image_size=8, test_fraction=0.3, seed=2).card["sha256"]
    )


def test_the_card_of_a_folder_holds_no_path_of_this_machine(folder):
    damage(folder)
    assert str(folder.parent) not in str(sources.acquire(str(folder), image_size=8).card)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: picture(root / "cat" / "new.png"),
        lambda root: (root / "cat" / "0.png").unlink(),
        lambda root: (root / "cat" / "0.png").rename(root / "dog" / "0.png"),
        lambda root: (root / "cat").rename(root / "tiger"),
        lambda root: (root / "cat" / "0.png").write_bytes(b"x"),
        lambda root: os.utime(root / "cat" / "0.png", ns=(1, 1)),
    ],
)
def test_the_fingerprint_follows_every_change_of_a_folder(folder, change):
    before = sources.fingerprint(str(folder))
    assert sources.fingerprint(str(folder)) == before
    change(folder)
    assert sources.fingerprint(str(folder)) != before


def test_the_fingerprint_leaves_out_what_is_not_read(folder):
    before = sources.fingerprint(str(folder))
    (folder / "cat" / ".DS_Store").write_bytes(b"x")
    (folder / "cat" / "notes.txt").write_text("x")
    assert sources.fingerprint(str(folder)) == before
