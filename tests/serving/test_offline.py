"""`osemn predict` and `osemn drift` use the registry's current version, and name what they could not read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import registry_versions
import service_support
from conftest import osemn
from helpers import paths
from helpers.cli import main
from helpers.errors import OsemnError, UsageError
from helpers.export.registry import Registry
from helpers.interpret.calibration import at_temperature
from helpers.obtain import data
from helpers.obtain.images import formats, framing
from helpers.obtain.images.pictures import ImageOptions
from helpers.serving import offline


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first", drift=True)
    return tmp_path


def call(*arguments: str):
    return CliRunner().invoke(main.app, [*arguments, "--dataset", "digits"], catch_exceptions=False)


def test_files_are_classified_in_order_and_drawn(home):
    files = [home / f"{name}.png" for name in ("one", "two")]
    for seed, file in enumerate(files):
        file.write_bytes(service_support.png(service_support.pixels(seed)))
    lines = call("predict", *map(str, files), "--grid", str(home / "grid.png")).stdout.splitlines()
    model = Registry("digits").current().folder / "model.onnx"
    images = np.stack([service_support.pixels(seed) for seed in range(2)])[..., None]
    wanted = [
        registry_versions.CLASSES[label]
        for label in registry_versions.predict(model, images)[0].argmax(axis=1)
    ]
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [str(file), name] for file, name in zip(files, wanted, strict=True)
    ]
    with Image.open(home / "grid.png") as drawn:
        assert drawn.width > 100


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_full_disk_is_one_sentence_and_the_predictions_are_printed(home):
    file, full = home / "one.png", home / "grid.png"
    file.write_bytes(service_support.png(service_support.pixels()))
    full.symlink_to("/dev/full")
    done = osemn("predict", str(file), "--grid", str(full), "--dataset", "digits")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].startswith(str(file))
    assert done.stderr.startswith("Failed: there is no space left on the disk")
    assert "Free some space" in done.stderr
    assert "Traceback" not in done.stderr


def test_first_second_and_third_are_scaled_alike(home):
    """The three classes of these versions sum to one; the model's own probabilities beside a scaled first would not."""
    file = home / "one.png"
    dark = service_support.pixels() // 16  # in which these models are less confident
    file.write_bytes(service_support.png(dark))
    served = offline.current("digits")
    own = served.predict(dark[None, ..., None])[0][0]
    scaled = own ** (1 / served.temperature) / np.sum(own ** (1 / served.temperature))
    first, second, third = np.sort(scaled)[::-1]
    assert abs(second - np.sort(own)[-2]) > 0.001
    cells = call("predict", str(file)).stdout.splitlines()[1].split(",")
    assert [cell.split()[-1] for cell in cells[2:5]] == [f"{value:.3f}" for value in (first, second, third)]
    assert float(cells[2]) + sum(float(cell.split()[1]) for cell in cells[3:5]) == pytest.approx(1, abs=0.002)


def test_an_exponent_scales_as_on_the_test_images(home):
    served = replace(offline.current("digits"), exponent=1.7)
    own, embeddings = served.predict(service_support.pixels()[None, ..., None])
    (told,) = served.describe(own, embeddings)
    expected = at_temperature(own, served.temperature, 1.7)[0]
    assert list(told["calibrated"].values()) == pytest.approx(expected, abs=1e-5)


def test_file_that_cannot_be_read_is_named_and_the_others_are_classified(home):
    good, bad = home / "good.png", home / "bad.png"
    good.write_bytes(service_support.png(service_support.pixels()))
    bad.write_text("text", encoding="utf-8")
    with pytest.raises(OsemnError, match="2 of 3 images could not be read"):
        call("predict", str(bad), str(good), str(home / "nowhere.png"))


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PPM", "PNG", "WEBP"])
def test_every_format_that_the_series_reads_is_read(home, kind):
    pixels = service_support.pixels(3)
    path = home / f"picture.{kind.lower()}"
    lossless = {"lossless": True} if kind == "WEBP" else {}
    path.write_bytes(service_support.png(pixels, kind, **lossless))
    np.testing.assert_array_equal(offline.read(offline.current("digits"), path).image[..., 0], pixels)


def test_photograph_of_24_million_pixels_is_classified(home):
    Image.new("L", (6_000, 4_000), 200).save(home / "large.jpg")
    (prediction,) = offline.of_files(offline.current("digits"), [home / "large.jpg"])
    assert not prediction.problem
    assert prediction.image.shape == (8, 8, 1)


def test_file_that_is_empty_no_picture_missing_or_too_large_says_so(home, monkeypatch):
    monkeypatch.setattr(formats, "MAX_PIXELS", 100)
    content = {"empty": b"", "text": b"text", "large": service_support.png(service_support.pixels(side=11))}
    content["cut"] = service_support.png(service_support.pixels())[:60]
    for name, written in content.items():
        (home / name).write_bytes(written)
    files = [home / name for name in (*content, "missing")]
    problems = [prediction.problem for prediction in offline.of_files(offline.current("digits"), files)]
    assert problems[:3] == ["the file is empty", "it is not an image", "it has 11 × 11 pixels, more than 100"]
    assert problems[3]
    assert problems[4] == "no such file or directory"


def test_drawing_is_framed_unless_switched_off(home):
    content = registry_versions.content(home / "framed")
    registry = Registry("digits")
    registry.promote(
        registry.publish(content, registry_versions.facts(framing={"box": 8, "centre": "box"})).name
    )
    drawing, blank = np.full((90, 120), 250, np.uint8), np.full((30, 30), 250, np.uint8)
    drawing[20:80, 50:70] = 5
    for name, pixels in (("drawing", drawing), ("blank", blank)):
        (home / f"{name}.png").write_bytes(service_support.png(pixels))
    served = offline.current("digits")
    wanted = framing.frame(drawing, framing.Framing(8, "box"), 8)
    np.testing.assert_array_equal(offline.read(served, home / "drawing.png").image[..., 0], wanted)
    cut = offline.read(served, home / "drawing.png", ImageOptions(frame=False)).image
    assert not np.array_equal(cut[..., 0], wanted)
    (prediction,) = offline.of_files(served, [home / "blank.png"])
    assert "blank" in prediction.problem


def test_samples_come_with_their_true_class(home):
    folder = paths.run_folder("digits", "smoke")
    (folder / "01_acquire").mkdir(parents=True)
    (folder / "03_preprocess").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    data.save(
        folder / "01_acquire" / "train.npz",
        data.Dataset(images, np.arange(20) % 3, registry_versions.CLASSES),
    )
    np.savez(folder / "03_preprocess" / "split.npz", validation_index=np.arange(10, 20))
    lines = call("predict", "--samples", "4", "--grid", str(home / "grid.png")).stdout.splitlines()
    assert len(lines) == 5
    assert all(line.split(",")[-2] in registry_versions.CLASSES for line in lines[1:])
    assert lines == call("predict", "--samples", "4").stdout.splitlines()
    assert lines != call("predict", "--samples", "4", "--seed", "1").stdout.splitlines()


@pytest.mark.parametrize(
    ("above", "unknown"), [(-1e6, "none of the classes: 100%"), (1e6, "none of the classes: 0%")]
)
def test_drift_tells_how_many_images_are_of_none_of_the_classes(home, above, unknown):
    service_support.publish(home / "detecting", drift=True, unknown_above=above)
    (home / "folder").mkdir()
    for seed in range(60):
        (home / "folder" / f"{seed}.png").write_bytes(service_support.png(service_support.pixels(seed)))
    assert unknown in call("drift", str(home / "folder")).stdout


@pytest.mark.parametrize(("above", "unknown"), [(-1e6, "yes"), (1e6, "no"), (None, "")])
def test_an_image_of_none_of_the_classes_is_called_unknown(home, above, unknown):
    service_support.publish(home / "detecting", unknown_above=above)
    (home / "image.png").write_bytes(service_support.png(service_support.pixels()))
    header, row = call("predict", str(home / "image.png")).stdout.splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["unknown"] == unknown


def test_nothing_to_predict_and_samples_of_a_run_that_is_gone_are_errors(home):
    with pytest.raises(UsageError, match="nothing to predict"):
        call("predict")
    with pytest.raises(OsemnError, match="are missing"):
        call("predict", "--samples", "3")


def test_seed_below_zero_is_a_wrong_call(home):
    done = call("predict", "--samples", "1", "--seed", "-1")
    assert done.exit_code == 2
    assert "--seed" in done.stderr


def test_grid_that_cannot_be_written_is_refused_before_anything_is_predicted(home, monkeypatch):
    monkeypatch.setattr(offline, "current", lambda dataset: pytest.fail("the model was loaded"))
    with pytest.raises(UsageError, match=r"There is no folder .*missing for out\.png"):
        call("predict", "x.png", "--grid", str(home / "missing" / "out.png"))
    with pytest.raises(UsageError, match="is a folder"):
        call("predict", "x.png", "--grid", str(home))
    for name in ("grid", "grid.xyz", "grid.png.jpg"):
        with pytest.raises(UsageError, match=rf"{name} is not the name of a .png file"):
            call("predict", "x.png", "--grid", str(home / name))
    with pytest.raises(UsageError, match="Nothing can be written to /proc"):
        call("predict", "x.png", "--grid", "/proc/out.png")
    assert not list(home.glob("grid*"))


def test_invert_is_refused_where_it_would_change_nothing(home):
    file = home / "drawing.png"
    file.write_bytes(service_support.png(np.pad(np.full((20, 10), 200, np.uint8), 9)))
    assert call("predict", str(file), "--invert").exit_code == 0, "pictures of this data set are not framed"
    content = registry_versions.content(home / "framed")
    registry = Registry("digits")
    registry.promote(
        registry.publish(content, registry_versions.facts(framing={"box": 8, "centre": "box"})).name
    )
    with pytest.raises(UsageError, match="which makes them light on dark") as caught:
        call("predict", str(file), "--invert")
    assert "--no-frame" in caught.value.remedy
    assert call("predict", str(file), "--invert", "--no-frame").exit_code == 0


def folder_of(home: Path, images: np.ndarray) -> str:
    folder = home / "pictures"
    folder.mkdir()
    for number, image in enumerate(images):
        (folder / f"{number:03d}.png").write_bytes(service_support.png(image[..., 0]))
    return str(folder)


def test_folder_like_the_reference_shows_no_drift(home):
    images = np.random.default_rng(5).integers(0, 256, (600, 8, 8, 1), dtype=np.uint8)
    done = call("drift", folder_of(home, images[:60]), "--check")
    assert done.exit_code == 0
    assert done.stdout.startswith("No significant drift in 60 images.")
    assert "embeddings: p = " in done.stdout


def test_images_in_the_order_of_their_classes_show_no_drift(home):
    images = np.random.default_rng(5).integers(0, 256, (600, 8, 8, 1), dtype=np.uint8)
    model = Registry("digits").current().folder / "model.onnx"
    order = registry_versions.predict(model, images)[0][:, 0].argsort()
    done = call("drift", folder_of(home, images[order]), "--check")
    assert done.exit_code == 0
    assert done.stdout.startswith("No significant drift in 600 images.")


def test_folder_of_darker_images_shows_drift_and_the_check_fails(home):
    images = np.random.default_rng(6).integers(0, 64, (60, 8, 8, 1), dtype=np.uint8)
    folder = folder_of(home, images)
    done = call("drift", folder)
    assert done.exit_code == 0
    assert "brightness" in done.stdout.splitlines()[0]
    with pytest.raises(OsemnError, match="Drift in 60 images"):
        call("drift", folder, "--check")


def test_folder_that_is_not_there_empty_or_too_small_is_an_error(home):
    with pytest.raises(UsageError, match="There is no folder"):
        call("drift", str(home / "nowhere"))
    (home / "empty").mkdir()
    with pytest.raises(OsemnError, match="holds no readable image"):
        call("drift", str(home / "empty"))
    with pytest.raises(OsemnError, match="10 images are too few"):
        call("drift", folder_of(home, np.zeros((10, 8, 8, 1), np.uint8)))


def test_version_without_a_drift_reference_says_so(home, tmp_path):
    service_support.publish(tmp_path / "second", seed=1)
    with pytest.raises(OsemnError, match="has no drift reference"):
        call("drift", folder_of(home, np.zeros((40, 8, 8, 1), np.uint8)))
