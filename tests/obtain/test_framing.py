"""Framing in Python, and the same in the browser's JavaScript: byte for byte."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import drawings
from conftest import REPOSITORY
from helpers.obtain.images import framing, pictures
from helpers.obtain.images.framing import BlankError, Framing
from helpers.obtain.images.pictures import ImageOptions, Preparation
from helpers.obtain.places import package_registries

SCRIPT = REPOSITORY / "web" / "framing.js"
MASS, BOX = Framing(20, "mass"), Framing(28, "box")


def stroke(size: tuple[int, int] = (280, 280), paper: int = 0, ink: int = 255) -> np.ndarray:
    grey = np.full(size, paper, np.uint8)
    grey[40:180, 100:140] = ink
    return grey


def in_javascript(images: list[Image.Image], jobs: list[tuple], folder: Path) -> list[np.ndarray]:
    """Return what web/framing.js makes of pictures, each with the shape and the preparation of its job."""
    content, listed = [], []
    for image, (shape, preparation) in zip(images, jobs, strict=True):
        paper = Image.new("RGBA", image.size, "white")
        rgba = np.asarray(Image.alpha_composite(paper, image.convert("RGBA")))
        listed.append(
            {
                "start": sum(map(len, content)),
                "width": image.width,
                "height": image.height,
                "shape": shape,
                "framing": asdict(preparation)["framing"],
                "fit": preparation.fit,
            }
        )
        content.append(rgba.tobytes())
    (folder / "pictures.bin").write_bytes(b"".join(content))
    (folder / "jobs.json").write_text(json.dumps(listed), encoding="utf-8")
    program = Path(__file__).with_name("framing_run.mjs")
    files = [folder / name for name in ("pictures.bin", "jobs.json", "prepared.bin")]
    subprocess.run([package_registries.node(), program, SCRIPT, *files], check=True, timeout=300)
    results, flat, start = [], np.fromfile(files[2], np.uint8), 0
    for shape, _ in jobs:
        size = int(np.prod(shape))
        results.append(flat[start : start + size].reshape(shape))
        start += size
    return results


def in_python(image: Image.Image, shape: tuple[int, int, int], preparation: Preparation) -> np.ndarray:
    try:
        return pictures.prepare(image, *shape, preparation=preparation)
    except BlankError:
        return np.ones(shape, np.uint8)


def test_browser_gives_the_same_bytes_for_a_thousand_pictures(tmp_path):
    images = drawings.pictures(1_000, seed=0)
    kinds = [
        ((28, 28, 1), Preparation(framing=MASS)),
        ((28, 28, 1), Preparation(framing=BOX)),
        ((8, 8, 1), Preparation(framing=Framing(8, "box"))),
        ((32, 32, 3), Preparation()),
        ((28, 20, 1), Preparation()),
        ((32, 32, 3), Preparation("pad")),
        ((28, 20, 1), Preparation("pad")),
        ((32, 32, 3), Preparation("squash")),
    ]
    jobs = [kinds[number % len(kinds)] for number in range(len(images))]
    results = in_javascript(images, jobs, tmp_path)
    wanted = [in_python(image, *job) for image, job in zip(images, jobs, strict=True)]
    differences = [np.abs(one.astype(int) - other).max() for one, other in zip(results, wanted, strict=True)]
    assert max(differences) == 0
    assert sum(picture.max() > 1 for picture in wanted) > 900


def test_small_and_thin_pictures_are_the_same_in_the_browser(tmp_path):
    images = [
        Image.fromarray(np.arange(h * w, dtype=np.uint8).reshape(h, w) * 9)
        for h, w in ((1, 1), (1, 9), (9, 1), (2, 3), (1, 3_000), (900, 2))
    ]
    for preparation in (Preparation(framing=MASS), *map(Preparation, pictures.FITS)):
        jobs = [((28, 28, 1), preparation)] * len(images)
        for one, image in zip(in_javascript(images, jobs, tmp_path), images, strict=True):
            np.testing.assert_array_equal(one, in_python(image, *jobs[0]))


@pytest.mark.parametrize(("paper", "ink"), [(0, 255), (255, 0), (240, 30), (15, 225)])
def test_ink_is_light_on_black_whatever_the_paper(paper, ink):
    framed = framing.frame(stroke(paper=paper, ink=ink), MASS, 28)
    assert framed[0].max() == 0
    assert framed.max() > 220


@pytest.mark.parametrize(("framed", "longer"), [(MASS, 20), (BOX, 28)])
def test_longer_side_of_the_ink_fills_the_box_and_the_ratio_stays(framed, longer):
    rows, columns = np.nonzero(framing.frame(stroke(), framed, 28))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (longer, round(longer * 40 / 140))


def test_centre_is_that_of_mass_or_of_the_box():
    grey = stroke()
    grey[40:50, 140:180] = 255  # a bar to the right: the box's centre leaves the mass's
    for framed, offset in ((MASS, 0.0), (Framing(20, "box"), 0.5)):
        light = framing.frame(grey, framed, 28).astype(float)
        rows, columns = np.nonzero(light)
        mass = (light.sum(axis=1) @ np.arange(28), light.sum(axis=0) @ np.arange(28)) / light.sum()
        box = ((rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2)
        middle = mass if framed.centre == "mass" else box
        assert np.abs(np.subtract(middle, 14 - offset)).max() <= 0.5


def test_framing_leaves_scikit_learns_digits_as_they_are():
    """They were framed so: most of them come out as they went in."""
    images = (load_digits().images[:300] * 255 / 16).round().astype(np.uint8)
    same = [np.array_equal(framing.frame(image, framing.FRAMINGS["digits"], 8), image) for image in images]
    assert np.mean(same) > 0.65


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_picture_is_refused(value):
    with pytest.raises(BlankError, match="nothing on it"):
        framing.frame(np.full((50, 50), value, np.uint8), MASS, 28)


def test_picture_of_the_models_size_stays_as_it_is_and_another_is_framed_unless_unwished():
    grey = Image.fromarray(np.pad(np.full((10, 10), 200, np.uint8), 9))
    as_is = pictures.prepare(grey, 28, 28, 1, preparation=Preparation(framing=MASS))
    np.testing.assert_array_equal(as_is[..., 0], np.asarray(grey))
    large = grey.resize((140, 140), Image.Resampling.NEAREST)
    assert np.count_nonzero(pictures.prepare(large, 28, 28, 1, preparation=Preparation(framing=MASS))) == 400
    cut = pictures.prepare(large, 28, 28, 1, ImageOptions(frame=False), Preparation(framing=MASS))
    np.testing.assert_array_equal(cut, pictures.prepare(large, 28, 28, 1))
