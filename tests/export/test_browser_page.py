"""The page that tries a version: its content, and its behaviour in a real browser, offline and served."""

import contextlib
import functools
import http.server
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

import demo_versions
import image_files
from conftest import REPOSITORY, osemn
from helpers.errors import OsemnError, UsageError
from helpers.export import browser_page, versions
from helpers.export.versions import Version
from helpers.obtain.images import framing, pictures
from helpers.obtain.images.pictures import Preparation
from helpers.report import render
from hostile_names import READS_RIGHT, RUNS, TURNED

CLASSES = (
    "zero",
    "one",
    "two",
    "</script><b>three",
    TURNED,
    f'<img src=x onerror="{RUNS}">',
    r"six & a half, US$$ and $\frac{1}{2}$, `${1}`, {{ 7*7 }}",
    "seven",
    "n" * 200,
    "תשע 9",
)
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
POLICY = "default-src 'self'; script-src 'self'"
AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
RING = [(140 + 80 * np.cos(turn), 140 - 110 * np.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 30)]
SEVEN = [(70, 40), (140, 40), (210, 40), (165, 145), (120, 250)]
BAR = [(140, 20 + 8 * step) for step in range(30)]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("output")
        patch.setenv("OSEMN_OUTPUT_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def model():
    return demo_versions.train()


@pytest.fixture(scope="module")
def version(model, output) -> Version:
    return demo_versions.publish(model, output / "content", CLASSES)


@pytest.fixture(scope="module")
def page_file(version, output) -> Path:
    return browser_page.write(version, output / "page" / browser_page.NAME)


class Visitor:
    """Opens the page and records its errors and requests."""

    def __init__(
        self, browser, address: str, *, size: str = "desk", scheme: str = "light", wasm: bool = True
    ) -> None:
        width, height = SIZES[size]
        self.problems: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page = self.context.new_page()
        if not wasm:
            self.page.add_init_script("delete globalThis.WebAssembly")
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("body[data-state]")

    @property
    def answer(self) -> str:
        return self.page.inner_text("#answer")

    @property
    def label(self) -> str:
        return self.page.get_attribute("body", "data-label")

    def stroke(self, points) -> None:
        box = self.page.locator("#pad").bounding_box()
        scale = box["width"] / 280
        places = [(box["x"] + scale * x, box["y"] + scale * y) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place)
        self.page.mouse.up()
        self.settle()

    def settle(self) -> None:
        """Wait until the drawing is classified."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def choose(self, name: str, content: bytes) -> None:
        self.page.evaluate("document.querySelector('#answer').textContent = ''")
        kind = "image/png" if name.endswith("png") else "application/octet-stream"
        self.page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})
        self.page.locator(
            "#answer:not(:empty)"
        ).wait_for()  # wait_for_function evaluates text, which the page forbids

    def labels(self, images: np.ndarray) -> np.ndarray:
        """Return the labels that the page's model gives to pixels."""
        script = """(images) => images.map((pixels) => {
            const probabilities = osemn.model.predict(Uint8Array.from(pixels)).probabilities;
            return probabilities.indexOf(Math.max(...probabilities));
        })"""
        return np.array(self.page.evaluate(script, [image.ravel().tolist() for image in images]))


@pytest.fixture
def visit(browser, page_file) -> Iterator:
    visitors: list[Visitor] = []

    def start(address: str = "", **options) -> Visitor:
        visitors.append(Visitor(browser, address or page_file.as_uri(), **options))
        return visitors[-1]

    yield start
    for visitor in visitors:
        visitor.context.close()


@contextlib.contextmanager
def served(folder: Path, **headers: str) -> Iterator[str]:
    """Serve a folder, with further headers in every response; yield its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def drawn(points, size: int = 280, paper: int = 255, ink: int = 0) -> Image.Image:
    image = Image.new("L", (size, size), paper)
    scaled = [(x * size / 280, y * size / 280) for x, y in points]
    ImageDraw.Draw(image).line(scaled, fill=ink, width=size // 12, joint="curve")
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def expected(model, image: Image.Image) -> int:
    """Return the label that Keras predicts for an image that Python prepared."""
    pixels = pictures.prepare(image, 8, 8, 1, preparation=Preparation(framing=framing.FRAMINGS["digits"]))
    return int(np.argmax(model(pixels[np.newaxis].astype(np.float32), training=False)))


def test_page_holds_everything_and_is_small(page_file):
    content = page_file.read_text(encoding="utf-8")
    assert len(content.encode()) <= 3_000_000
    assert not re.findall(r'(?:src|href)="(?!data:)', content)
    assert "Apache License" in content
    assert content.count("</script>") == content.count("<script"), "no class name or library ends a script"


def test_modules_become_one_script_without_clashes():
    script = browser_page.script()
    assert not re.search("^(import|export) ", script, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|class|const) (\w+)", script, re.MULTILINE)
    assert len(names) > 30
    assert len(set(names)) == len(names), "two functions of one name would silently become one"


def test_half_precision_is_taken_only_where_it_keeps_the_labels(version):
    known = version.manifest
    assert browser_page.model_format(known) == "tfjs_half"
    assert (
        browser_page.model_format({"formats": [{"format": "tfjs_half", "n": 1000, "same_labels": 998}]})
        == "tfjs"
    )
    assert browser_page.model_format({"formats": []}) == "tfjs"
    sizes = [
        sum(file.stat().st_size for file in (version.folder / name).glob("*.bin"))
        for name in ("tfjs", "tfjs_half")
    ]
    assert 0.49 < sizes[1] / sizes[0] < 0.51


def test_version_from_before_the_page_says_to_export_again(version, tmp_path):
    old = {name: value for name, value in version.manifest.items() if name != "framing"}
    with pytest.raises(OsemnError, match="export the model again"):
        browser_page.facts(Version(version.name, version.folder, old))
    with pytest.raises(OsemnError, match="cannot be tried in the browser"):
        browser_page.facts(Version(version.name, tmp_path, version.manifest))


def test_gallery_holds_the_least_certain_images_of_every_class(version, model):
    images, labels = (part[demo_versions.TRAINED :] for part in demo_versions.digits())
    with np.load(version.folder / versions.GALLERY) as content:
        shown, of_class = content["images"], content["labels"]
    assert of_class.tolist() == [*range(10), *range(10)]
    first_two = np.sort(model(images.astype(np.float32), training=False), axis=1)[:, -2:]
    doubt = first_two[:, 0] - first_two[:, 1]
    hardest = np.flatnonzero(labels == 3)[np.argmax(doubt[labels == 3])]
    np.testing.assert_array_equal(shown[3], images[hardest])


def test_links_lead_to_the_pages_of_a_report_that_are_there(version, tmp_path):
    report = tmp_path / "reports" / "smoke"
    report.mkdir(parents=True)
    (report / "10_export.html").write_text("", encoding="utf-8")
    content = browser_page.write(version, tmp_path / "reports" / browser_page.NAME, report).read_text(
        encoding="utf-8"
    )
    assert re.findall(r'<li><a href="([^"]*)"', content) == ["smoke/10_export.html"]
    content = browser_page.write(version, report / browser_page.NAME, report).read_text(encoding="utf-8")
    assert re.findall(r'<li><a href="([^"]*)"', content) == ["10_export.html"]
    odd = tmp_path / "50% #1" / "smoke"
    odd.mkdir(parents=True)
    (odd / "10_export.html").write_text("", encoding="utf-8")
    content = browser_page.write(version, tmp_path / browser_page.NAME, odd).read_text(encoding="utf-8")
    assert re.findall(r'<li><a href="([^"]*)"', content) == ["50%25%20%231/smoke/10_export.html"]


def test_report_has_the_page_of_the_version_that_it_is_about(version, tmp_path):
    def series(name: str) -> SimpleNamespace:
        metrics = {"version": name} if name else {}
        return SimpleNamespace(dataset="digits", by_name={"10_export": SimpleNamespace(metrics=metrics)})

    for name in ("", "20200101-000000-00000000"):
        assert render.write_demo(series(name), tmp_path) == ""
        assert not list(tmp_path.iterdir())
    assert render.write_demo(series(version.name), tmp_path) == browser_page.NAME
    assert version.name in (tmp_path / browser_page.NAME).read_text(encoding="utf-8")


def test_command_writes_a_page_or_a_folder_and_refuses_other_targets(version, output, tmp_path):
    done = osemn("demo", "--dataset", "digits", cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert (
        Path(done.stdout.strip()) == (output / "reports/digits/try_it.html").resolve()
    )  # opens from any folder
    assert Path(done.stdout.strip()).is_file()
    done = osemn("demo", "--dataset", "digits", "--files", str(tmp_path / "files"), cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "files" / "index.html").is_file()
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "d.html").mkdir()
    for page, folder, words in (
        (Path("page.txt"), None, r"ends in \.html"),
        (Path("page.html"), tmp_path, "not both"),
        (None, tmp_path / "file", "not a directory"),
        (tmp_path / "d.html", None, "is a folder"),
        (tmp_path / "file" / "page.html", None, "not a directory"),
        (Path("/proc/page.html"), None, "Nothing can be written to /proc"),
        (Path("/proc/none/page.html"), None, "Nothing can be written to /proc"),
        (None, Path("/proc"), "Nothing can be written to /proc"),
    ):
        with pytest.raises(UsageError, match=words):
            browser_page.check_target(page, folder)
    browser_page.check_target(tmp_path / "new" / "page.html", None)
    assert not (tmp_path / "new").exists()
    done = osemn("demo", "--dataset", "mnist", cwd=REPOSITORY)
    assert done.returncode == 1
    assert "No version of mnist is promoted yet" in done.stderr


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_page_opens_quietly_offline_and_fits_the_screen(visit, page_file, tmp_path, size, scheme):
    visitor = visit(size=size, scheme=scheme)
    assert visitor.page.get_attribute("body", "data-state") == "ready"
    assert visitor.page.inner_text("#took").endswith("WebAssembly")
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visitor.page.locator("#gallery button").count() == 20
    assert visitor.page.locator("#bars li").count() == 10
    visitor.page.screenshot(path=tmp_path / f"demo_{size}_{scheme}.png", full_page=True)
    assert visitor.problems == []
    assert {address.partition(":")[0] for address in visitor.asked} <= {"file", "blob"}


@pytest.mark.browser
@pytest.mark.parametrize("wasm", [True, False])
def test_model_gives_the_labels_of_keras_with_webassembly_and_without(visit, model, wasm):
    visitor = visit(wasm=wasm)
    assert visitor.page.inner_text("#took").endswith("WebAssembly" if wasm else "JavaScript")
    images = demo_versions.digits()[0][demo_versions.TRAINED :][: 797 if wasm else 60]
    wanted = np.argmax(model(images.astype(np.float32), training=False), axis=1)
    assert (visitor.labels(images) == wanted).mean() >= 0.999


@pytest.mark.browser
@pytest.mark.parametrize(("half", "agreement"), [(True, 0.999), (False, 1.0)])
def test_both_precisions_give_the_labels_of_keras(visit, model, tmp_path, monkeypatch, half, agreement):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    made = demo_versions.publish(model, tmp_path / "content", CLASSES, half_agrees=half)
    visitor = visit(browser_page.write(made, tmp_path / "page.html").as_uri())
    images = demo_versions.digits()[0]
    wanted = np.argmax(model(images.astype(np.float32), training=False), axis=1)
    assert (visitor.labels(images) == wanted).mean() >= agreement


@pytest.mark.browser
@pytest.mark.parametrize("preparation", [None, *({"fit": fit, "window": "auto"} for fit in pictures.FITS)])
def test_photographs_are_fitted_as_the_version_was_trained(visit, version, tmp_path, preparation):
    manifest = {**version.manifest, "framing": None, "preparation": preparation}
    photographs = Version(version.name, version.folder, manifest)
    visitor = visit(browser_page.write(photographs, tmp_path / "page.html").as_uri())
    for name in ("photo.png", "animated.gif", "photo.webp", "photo.jpg"):
        content = image_files.colour_files()[name]
        visitor.choose(name, content)
        with Image.open(io.BytesIO(content)) as image:
            wanted = pictures.prepare(image, 8, 8, 1, preparation=Preparation.of(preparation))
        np.testing.assert_array_equal(seen(visitor), wanted[..., 0], name)


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
def test_strokes_are_classified_while_they_are_drawn_and_undone(visit, size):
    visitor = visit(size=size)
    visitor.stroke(BAR)
    assert visitor.label == "1"
    assert "one" in visitor.answer
    visitor.page.click("#clear")
    visitor.settle()
    assert visitor.answer == "Draw something, or choose an image."
    visitor.stroke(SEVEN)
    assert visitor.label == "7"
    assert visitor.page.inner_text("#note") == "Your drawing."
    visitor.stroke([(40, 40), (240, 240)])
    crossed = visitor.page.evaluate("Array.from(osemn.page.pad.image.data)")
    visitor.page.click("#undo")
    visitor.settle()
    assert visitor.label == "7"
    assert visitor.page.evaluate("Array.from(osemn.page.pad.image.data)") != crossed
    assert visitor.problems == []


@pytest.mark.browser
def test_the_pad_is_prepared_to_the_same_pixels_as_in_python(visit, model):
    visitor = visit()
    visitor.stroke(RING)
    rgba = np.array(visitor.page.evaluate("Array.from(osemn.page.pad.image.data)"), np.uint8).reshape(
        280, 280, 4
    )
    wanted = pictures.prepare(
        Image.fromarray(rgba), 8, 8, 1, preparation=Preparation(framing=framing.FRAMINGS["digits"])
    )
    script = "Array.from(osemn.prepare(osemn.page.pad.image, osemn.facts.shape, osemn.facts.framing))"
    np.testing.assert_array_equal(np.array(visitor.page.evaluate(script)), wanted.ravel())


@pytest.mark.browser
def test_controls_are_reached_and_used_by_the_keyboard(visit):
    visitor = visit()
    visitor.stroke(BAR)
    visited = []
    for _ in range(6):
        visitor.page.keyboard.press("Tab")
        visited.append(visitor.page.evaluate("document.activeElement.id"))
    assert visited[:4] == ["undo", "clear", "brush", "file"]
    visitor.page.focus("#brush")
    visitor.page.keyboard.press("End")
    visitor.stroke(BAR)
    assert visitor.page.evaluate("osemn.page.pad.strokes.map((stroke) => stroke.brush)") == [20, 60]
    visitor.page.focus("#undo")
    visitor.page.keyboard.press("Enter")
    visitor.page.focus("#undo")
    visitor.page.keyboard.press("Enter")
    visitor.settle()
    assert "Draw something" in visitor.answer
    visitor.page.focus("#card-open")
    visitor.page.keyboard.press("Enter")
    assert visitor.page.locator("#card").is_visible()
    assert visitor.page.locator("#card table").count() == 1
    visitor.page.keyboard.press("Escape")
    assert not visitor.page.locator("#card").is_visible()


@pytest.mark.browser
def test_images_are_classified_as_in_python(visit, model):
    visitor = visit()
    random = np.random.default_rng(0)
    colour = Image.merge("RGB", [drawn(RING, 200, paper=245, ink=shade) for shade in (10, 40, 20)])
    clear = Image.new("RGBA", (120, 120), (0, 0, 0, 0))
    ImageDraw.Draw(clear).line([(x * 0.4, y * 0.4) for x, y in BAR], fill=(0, 0, 0, 255), width=9)
    turned = drawn([(60, 40), (220, 40), (100, 240)])
    exif = turned.getexif()
    exif[0x0112] = 6
    shown = Image.fromarray(random.integers(0, 256, (8, 8), np.uint8))
    files = {
        "ring.png": (encoded(colour), colour),
        "ring.jpg": (encoded(colour, "JPEG", quality=95), colour),
        "ring.webp": (encoded(colour, "WEBP", lossless=True), colour),
        "clear.png": (encoded(clear), clear),
        "turned.jpg": (
            encoded(turned, "JPEG", quality=95, exif=exif),
            turned.transpose(Image.Transpose.ROTATE_270),
        ),
        "as_it_is.png": (encoded(shown), shown),
        "animated.gif": (encoded(drawn(RING), "GIF", save_all=True, append_images=[drawn(BAR)]), drawn(RING)),
    }
    for name, (content, image) in files.items():
        visitor.choose(name, content)
        assert visitor.label == str(expected(model, image)), name
        assert name in visitor.page.inner_text("#note")
    assert visitor.problems == []


@pytest.mark.browser
def test_webp_images_are_rotated_to_the_pixel_as_in_python(visit):
    visitor = visit()
    shades = [drawn(SEVEN, 200, paper=245, ink=ink).crop((0, 0, 150, 200)) for ink in (9, 90, 40)]
    for orientation in range(1, 9):
        for order, heading in (("<", b""), (">", b""), ("<", b"Exif\0\0")):
            exif = Image.Exif()
            exif.endian = order
            exif[0x0110], exif[0x0112] = "a camera", orientation
            known = heading + exif.tobytes().removeprefix(b"Exif\0\0")
            content = encoded(Image.merge("RGB", shades), "WEBP", lossless=True, exif=known)
            visitor.choose("turned.webp", content)
            with Image.open(io.BytesIO(content)) as image:
                wanted = pictures.prepare(
                    image, 8, 8, 1, preparation=Preparation(framing=framing.FRAMINGS["digits"])
                )
            np.testing.assert_array_equal(seen(visitor), wanted[..., 0], f"{orientation} {order} {heading}")
    assert visitor.problems == []


@pytest.mark.browser
def test_webp_image_with_truncated_or_odd_exif_data_is_not_rotated(visit, model):
    visitor = visit()
    picture = drawn(SEVEN, 200).crop((0, 0, 150, 200)).convert("RGB")
    nine = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x09\0\0\0\0\0\0"  # an orientation that does not exist
    for exif in (b"II", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x09\0", nine):
        visitor.choose("odd.webp", encoded(picture, "WEBP", lossless=True, exif=exif))
        assert visitor.label == str(expected(model, picture)), exif
    assert visitor.problems == []


def seen(visitor: Visitor) -> np.ndarray:
    """Return the pixels that the page shows as those that the model sees, `uint8 [8, 8]`."""
    script = """() => {
        const canvas = document.getElementById("seen");
        return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
    }"""
    return np.array(visitor.page.evaluate(script), np.uint8).reshape(8, 8, 4)[..., 0]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("text.png", b"this is not an image", "is not a PNG, JPEG, WebP or GIF image"),
        ("empty.png", b"", "is not a PNG"),
        (
            "scan.png",
            encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8))),
            "has 16 bits of grey",
        ),
        (
            "scan.tif",
            encoded(Image.new("L", (8, 8)), "TIFF"),
            "is a TIFF image, which this page cannot decode",
        ),
        ("photo.avif", encoded(Image.new("L", (8, 8)), "AVIF"), "is an AVIF or HEIC image"),
        ("photo.jp2", encoded(Image.new("L", (8, 8)), "JPEG2000"), "is a JPEG 2000 image"),
        ("scan.dcm", bytes(128) + b"DICM", "is a DICOM image"),
        (
            "huge.png",
            encoded(Image.new("L", (12_000, 12_000))),
            "has 12000 × 12000 pixels; each side may have at most 4096",
        ),
        ("half.png", encoded(drawn(RING))[:300], "is damaged"),
        ("header.jpg", b"\xff\xd8\xff", "is not a PNG"),
        ("large.png", b"\x89PNG" + bytes(21 * 2**20), "is larger than 20 MB"),
        ("white.png", encoded(Image.new("L", (50, 50), 255)), "only its background"),
    ],
)
def test_bad_file_gives_a_sentence_and_the_page_goes_on(visit, name, content, sentence):
    visitor = visit()
    visitor.choose(name, content)
    assert sentence in visitor.answer
    assert not visitor.page.locator("#evidence").is_visible()
    visitor.stroke(BAR)
    assert visitor.label == "1"
    assert visitor.problems == []


@pytest.mark.browser
@pytest.mark.parametrize(("event", "field"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_image_may_be_dropped_and_pasted(visit, model, event, field):
    visitor = visit()
    image = drawn(BAR)
    script = """([event, field, bytes]) => {
        const held = new DataTransfer();
        held.items.add(new File([Uint8Array.from(bytes)], "given.png", { type: "image/png" }));
        const kind = event === "drop" ? DragEvent : ClipboardEvent;
        document.body.dispatchEvent(new kind(event, { [field]: held, bubbles: true, cancelable: true }));
    }"""
    visitor.page.evaluate(script, [event, field, list(encoded(image))])
    visitor.page.locator("#note", has_text="given.png").wait_for()
    assert visitor.label == str(expected(model, image))


@pytest.mark.browser
def test_second_finger_neither_joins_nor_ends_a_stroke(visit):
    visitor = visit()
    visitor.page.evaluate(
        "HTMLElement.prototype.setPointerCapture = () => {}"
    )  # it refuses fingers from scripts
    touch = """([kind, pointerId, x, y]) => {
        const shown = document.querySelector("#pad").getBoundingClientRect();
        const place = { clientX: shown.left + x, clientY: shown.top + y };
        document.querySelector("#pad").dispatchEvent(new PointerEvent(kind, { pointerId, ...place, button: 0 }));
    }"""
    events = [
        ("down", 1, 50),
        ("down", 2, 250),
        ("move", 1, 60),
        ("move", 2, 251),
        ("up", 2, 251),
        ("move", 1, 70),
    ]
    for kind, finger, place in [*events, ("up", 1, 70), ("move", 1, 99)]:
        visitor.page.evaluate(touch, [f"pointer{kind}", finger, place, place])
    points = visitor.page.evaluate("osemn.page.pad.strokes.map((stroke) => stroke.points)")
    np.testing.assert_allclose(points, [[[50, 50], [60, 60], [70, 70]]], atol=0.01)


@pytest.mark.browser
def test_folder_or_nothing_dropped_gives_a_sentence_and_the_newest_image_wins(visit, model):
    visitor = visit()
    visitor.page.evaluate("osemn.page.take(undefined)")
    assert "Drop an image file" in visitor.answer
    gone = "Object.assign(new File([], 'folder'), { arrayBuffer: () => Promise.reject(new Error('gone')) })"
    visitor.page.evaluate(f"osemn.page.take({gone})")
    assert "“folder” cannot be read" in visitor.answer
    slow = """async (bytes) => {
        const late = new File([Uint8Array.from(bytes)], "late.png");
        const content = await late.arrayBuffer();
        late.arrayBuffer = () => new Promise((done) => setTimeout(() => done(content), 200));
        const reading = osemn.page.take(late);
        document.querySelector("#gallery button").click();
        await reading;
    }"""
    visitor.page.evaluate(slow, list(encoded(drawn(BAR))))
    assert "A test image" in visitor.page.inner_text("#note")


@pytest.mark.browser
def test_prediction_is_worded_by_its_confidence(visit):
    visitor = visit()
    visitor.page.locator("#gallery button").first.click()
    assert "labelled zero" in visitor.page.inner_text("#note")
    say = """(confidence) => {
        osemn.model.predict = () => ({ confidence, maps: null, ms: 1 });
        osemn.page.classify(new Uint8Array(64), "", osemn.page.turn);
        return [...document.querySelectorAll("#answer, #next")].map((part) => part.textContent).join(" ");
    }"""
    rest = [0.0] * 7
    said = {
        (0.97, 0.02, 0.01): "zero: 97% confidence Next: one (2.0%), two (1.0%).",
        (0.9996, 0.0004, 0.0): "zero: over 99% confidence Next: one (0.0%), two (0.0%).",
        (0.1, 0.7, 0.2): "Probably one (70%) Next: two (20%), zero (10.0%).",
        (0.4, 0.15, 0.45): "Uncertain: perhaps two or zero Next: zero (40%), one (15%).",
    }
    for confidence, words in said.items():
        assert visitor.page.evaluate(say, [*confidence, *rest]) == words
    nasty = visitor.page.evaluate(say, [0.25, 0.2, 0.25, 0.3, *rest[1:]])
    assert nasty.startswith("Uncertain: perhaps </script><b>three or zero or two")
    assert visitor.page.locator("#looked").is_hidden(), "without a map there is no figure"


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
def test_names_of_classes_are_text(visit, size):
    visitor = visit(size=size)
    page = visitor.page
    page.locator("#gallery button").last.click()
    assert page.locator("#bars .name").all_text_contents() == [isolated(name) for name in CLASSES]
    titles = {button.get_attribute("title") for button in page.locator("#gallery button").all()}
    assert titles <= {f"labelled {isolated(name)}" for name in CLASSES}
    assert page.evaluate("document.body.dataset.ran") is None
    assert page.evaluate("document.images.length") == 0
    say = """(label) => {
        osemn.model.predict = () => ({ confidence: osemn.page.names.map((_, place) => Number(place === label)), ms: 1 });
        osemn.page.classify(new Uint8Array(64), "", osemn.page.turn);
    }"""
    for label, name in enumerate(CLASSES):
        page.evaluate(say, label)
        assert visitor.answer == f"{isolated(name)}: over 99% confidence"
        if len(name) < 20:
            assert page.evaluate(READS_RIGHT, ["#answer", "over 99"]), name
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], name
    assert visitor.problems == []


def isolated(name: str) -> str:
    """Return a name with the marks that keep its direction from the text around it, if it needs them."""
    return f"\u2068{name.replace(chr(0x2069), '')}\u2069" if name in (TURNED, CLASSES[-1]) else name


@pytest.mark.browser
def test_map_shows_the_evidence_for_the_prediction(visit, model):
    visitor = visit()
    visitor.stroke(BAR)
    assert "one" in visitor.page.get_attribute("#map", "aria-label")
    pixels = np.array(
        visitor.page.evaluate(
            "Array.from(document.querySelector('#map').getContext('2d').getImageData(0, 0, 168, 168).data)"
        )
    ).reshape(168, 168, 4)
    orange = (pixels[..., 0] - pixels[..., 2]) > 60
    assert 0 < orange.mean() < 0.9


@pytest.mark.browser
def test_files_work_under_a_policy_that_forbids_scripts_inside(visit, version, tmp_path, model):
    browser_page.write_folder(version, tmp_path / "files")
    with served(tmp_path / "files", **{"Content-Security-Policy": POLICY}) as address:
        visitor = visit(address)
        assert visitor.page.get_attribute("body", "data-state") == "ready"
        assert visitor.page.inner_text("#took").endswith("JavaScript")
        visitor.stroke(SEVEN)
        assert visitor.label == "7"
        visitor.choose("bar.png", encoded(drawn(BAR)))
        assert visitor.label == str(expected(model, drawn(BAR)))
        assert visitor.problems == []
    with served(tmp_path / "files") as address:
        visitor = visit(address)
        assert visitor.page.inner_text("#took").endswith("WebAssembly")
        assert {url.rpartition("/")[0] + "/" for url in visitor.asked if not url.startswith("data:")} == {
            address
        }


@pytest.mark.browser
def test_files_work_on_a_server_that_isolates_them_and_by_double_click(visit, version, tmp_path):
    browser_page.write_folder(version, tmp_path)
    isolated = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    with served(tmp_path, **isolated) as address:
        visitor = visit(address)
        assert visitor.page.evaluate("crossOriginIsolated")
        assert visitor.page.inner_text("#took").endswith("WebAssembly")
    visitor = visit((tmp_path / "index.html").as_uri())
    visitor.stroke(SEVEN)
    assert visitor.label == "7"


@pytest.mark.browser
def test_model_that_does_not_load_says_so_and_how_to_build_it_again(visit, page_file, tmp_path):
    broken = re.sub(r'"weights":"[^"]{1000}', '"weights":"', page_file.read_text(encoding="utf-8"))
    (tmp_path / "broken.html").write_text(broken, encoding="utf-8")
    visitor = visit((tmp_path / "broken.html").as_uri())
    assert visitor.page.get_attribute("body", "data-state") == "failed"
    assert "cannot be loaded" in visitor.answer
    assert "osemn demo --dataset digits" in visitor.answer


@pytest.mark.browser
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: python tools/web_tools.py")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_no_violation(browser, version, tmp_path, size, scheme):
    browser_page.write_folder(version, tmp_path)
    (tmp_path / "demo.js").write_text(
        AXE.read_text(encoding="utf-8") + browser_page.script(), encoding="utf-8"
    )
    with served(tmp_path) as address:
        visitor = Visitor(browser, address, size=size, scheme=scheme)
        for opened in ("page", "card"):
            if opened == "card":
                visitor.page.click("#card-open")
            violations = visitor.page.evaluate("axe.run()")["violations"]
            listed = [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in violations]
            assert listed == [], opened
        visitor.context.close()
