"""The API returns what the model predicts, and refuses everything else with a reason and without harm."""

import asyncio
import io
import json
import os
import struct
import sys
import threading
import time
import tracemalloc
import warnings
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import registry_versions
import service_support
from helpers.errors import OsemnError
from helpers.export.registry import Registry
from helpers.interpret import drift
from helpers.obtain.images import framing
from helpers.serving import app, decode, drift_monitor
from helpers.serving.model import Served
from helpers.serving.service import Service
from helpers.serving.settings import API_KEY


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.delenv(API_KEY, raising=False)
    return tmp_path


@pytest.fixture
def version(home) -> str:
    return service_support.publish(home / "first")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A client for tests that change nothing but counters."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSEMN_OUTPUT_DIR", str(folder / "out"))
        patch.delenv(API_KEY, raising=False)
        service_support.publish(folder / "first")
        with TestClient(app.create(service_support.settings()), raise_server_exceptions=False) as client:
            yield client


@pytest.fixture
def client(version):
    with TestClient(app.create(service_support.settings()), raise_server_exceptions=False) as client:
        yield client


def expected(images: np.ndarray) -> np.ndarray:
    model = Registry("digits").current().folder / "model.onnx"
    return registry_versions.predict(model, images.reshape(-1, 8, 8, 1))[0]


def post(client, content, kind="image/png", **options):
    return client.post("/v1/predict", content=content, headers={"Content-Type": kind}, **options)


def refused(answer, status: int, reason: str) -> str:
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert content["error"]["reason"] == reason
    assert content["request_id"] == answer.headers["x-request-id"]
    return content["error"]["message"]


def test_picture_is_answered_with_the_models_own_probabilities(client, version):
    answer = post(client, service_support.png(service_support.pixels()))
    assert answer.status_code == 200
    content = answer.json()
    (prediction,) = content["predictions"]
    (wanted,) = expected(service_support.pixels())
    assert list(prediction["probabilities"]) == list(registry_versions.CLASSES)
    assert list(prediction["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-6)
    assert prediction["label"] == int(wanted.argmax())
    assert (
        prediction["class"] == registry_versions.CLASSES[prediction["label"]] == prediction["top"][0]["class"]
    )
    assert [entry["probability"] for entry in prediction["top"]] == sorted(
        prediction["calibrated"].values(), reverse=True
    )
    scaled = wanted ** (1 / 1.2)
    assert list(prediction["calibrated"]) == list(registry_versions.CLASSES)
    assert list(prediction["calibrated"].values()) == pytest.approx(
        (scaled / scaled.sum()).tolist(), abs=1e-5
    )
    assert (
        prediction["confidence"]
        == prediction["top"][0]["probability"]
        == max(prediction["calibrated"].values())
    )
    assert content["model"] == {"dataset": "digits", "version": version}
    assert content["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(("above", "unknown"), [(-1e6, True), (1e6, False), (None, None)])
def test_an_image_of_none_of_the_classes_is_called_unknown_and_counted(home, above, unknown):
    service_support.publish(home / "detecting", unknown_above=above)
    with TestClient(app.create(service_support.settings())) as client:
        content = post(client, service_support.png(service_support.pixels())).json()
        assert content["predictions"][0]["unknown"] is unknown
        assert f"osemn_unknown_total {float(unknown is True)}" in client.get("/metrics").text


def test_a_damaged_detector_is_refused_with_the_way_out(home):
    content = registry_versions.content(home / "damaged")
    (content / "unknown.npz").write_bytes(b"no arrays")
    published = Registry("digits").publish(content, registry_versions.facts())
    with pytest.raises(OsemnError, match=r"(?s)unknown.npz.*export the model again"):
        Served.load(published)


def test_several_files_and_json_pixels_are_answered_in_order(client):
    images = np.stack([service_support.pixels(seed) for seed in range(3)])
    files = [
        ("files", (f"{k}.png", service_support.png(image), "image/png")) for k, image in enumerate(images)
    ]
    by_files = client.post("/v1/predict", files=files).json()["predictions"]
    by_json = client.post("/v1/predict", json={"images": images.tolist()}).json()["predictions"]
    with_channel = client.post("/v1/predict", json={"images": images[..., None].tolist()}).json()[
        "predictions"
    ]
    assert by_files == by_json == with_channel
    assert [prediction["label"] for prediction in by_files] == expected(images).argmax(axis=1).tolist()


def test_any_picture_is_prepared_as_for_training(shared):
    base = service_support.pixels(1)
    wanted = post(shared, service_support.png(base)).json()["predictions"]
    colour = np.repeat(base[..., None], 3, axis=2)
    assert post(shared, service_support.png(colour)).json()["predictions"] == wanted
    assert (
        post(shared, service_support.png(base, "WEBP", lossless=True), "image/webp").json()["predictions"]
        == wanted
    )
    assert post(shared, service_support.png(base), "application/octet-stream").json()["predictions"] == wanted
    deep = base.astype(np.uint16) * 257
    assert post(shared, service_support.png(deep)).json()["predictions"] == wanted
    clear = np.dstack([colour, np.full((8, 8), 255, np.uint8)])
    clear[:4, :, 3] = 0
    for background, value in (("white", 255), ("black", 0)):
        laid = base.copy()
        laid[:4] = value
        answer = post(shared, service_support.png(clear), params={"background": background})
        assert answer.json()["predictions"] == post(shared, service_support.png(laid)).json()["predictions"]
    inverted = post(shared, service_support.png(255 - base), params={"invert": "true"}).json()["predictions"]
    assert inverted == wanted
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = post(shared, service_support.png(np.rot90(base).copy(), exif=exif)).json()["predictions"]
    assert turned == wanted
    frames = [Image.fromarray(frame) for frame in (colour, 255 - colour)]
    stream = io.BytesIO()
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert post(shared, stream.getvalue(), "image/webp").json()["predictions"] == wanted
    large = np.kron(base, np.ones((40, 40), np.uint8))
    answer = post(shared, service_support.png(large, "JPEG", quality=95), "image/jpeg")
    assert answer.status_code == 200


def header_of(width: int, height: int) -> bytes:
    """Return a PNG whose header announces a size that its pixels do not have."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    start = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", start)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


PNG = service_support.png(service_support.pixels())
LARGE = service_support.png(
    service_support.pixels(side=300)
)  # goes to the pool; small ones are predicted at once
JPEG = service_support.png(np.kron(service_support.pixels(), np.ones((8, 8), np.uint8)), "JPEG")
ICON = service_support.png(service_support.pixels(), "ICO")
BAD = {
    "empty": (b"", "image/png", 400, "empty"),
    "text called png": (b"hello, I am not an image", "image/png", 415, "format"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", 415, "format"),
    "icon": (ICON, "image/png", 415, "format"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/png", 415, "format"),
    "PNM as text": (b"P2 2 2 255 1 2 3 4", "image/png", 415, "format"),
    "truncated PNG": (PNG[: len(PNG) // 2], "image/png", 422, "damaged"),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "image/jpeg", 422, "damaged"),
    "PNG of half a header": (PNG[:20], "image/png", 422, "damaged"),
    "decompression bomb": (header_of(50_000, 50_000), "image/png", 413, "pixels"),
    "one side too long": (header_of(4_097, 10), "image/png", 413, "pixels"),
    "too many pixels": (header_of(4_096, 4_000), "image/png", 413, "pixels"),
    "too many bytes": (PNG + bytes(5 * 2**20), "image/png", 413, "body"),
    "a type that is not read": (PNG, "text/plain", 415, "type"),
    "no type": (PNG, "", 415, "type"),
    "no JSON": (b"{", "application/json", 400, "json"),
    "NaN in JSON": (b'{"images": [[[NaN]]]}', "application/json", 400, "json"),
    "deep nesting": (b"[" * 100_000, "application/json", 400, "json"),
    "text that is not UTF-8": (b'{"images": "\xff"}', "application/json", 400, "json"),
    "another object": (b'{"pictures": []}', "application/json", 422, "json"),
    "more in it": (b'{"images": [], "more": 1}', "application/json", 422, "json"),
    "no images": (b'{"images": []}', "application/json", 422, "count"),
    "65 images": (json.dumps({"images": [[]] * 65}).encode(), "application/json", 422, "count"),
    "wrong shape": (b'{"images": [[[1, 2], [3, 4]]]}', "application/json", 422, "shape"),
    "ragged": (b'{"images": [[[1, 2], [3]]]}', "application/json", 422, "shape"),
    "ragged images": (b'{"images": [[[1, 2], [3, 4]], [[1, 2]]]}', "application/json", 422, "shape"),
    "numbers beside lists": (b'{"images": [[1, [2]], [3, 4]]}', "application/json", 422, "shape"),
    "an object in it": (b'{"images": [[[1, 2], {"a": 1}]]}', "application/json", 422, "shape"),
    "a text in it": (b'{"images": [[[1, 2], "ab"]]}', "application/json", 422, "shape"),
    "null in it": (json.dumps({"images": [[[None] * 8] * 8]}).encode(), "application/json", 422, "shape"),
    "nested beyond arrays": (b'{"images": ' + b"[" * 100 + b"1" + b"]" * 100 + b"}", "application/json", 422, "shape"),
    "texts": (json.dumps({"images": [[["a"] * 8] * 8]}).encode(), "application/json", 422, "shape"),
    "one long text among empty ones": (json.dumps({"images": [["A" * 20_000] + [""] * 10_000]}).encode(), "application/json", 422, "shape"),
    "a text among numbers": (json.dumps({"images": [[[1] * 8] * 7 + [[1] * 7 + ["1"]]]}).encode(), "application/json", 422, "shape"),
    "a boolean among numbers": (json.dumps({"images": [[[1] * 8] * 7 + [[1] * 7 + [True]]]}).encode(), "application/json", 422, "shape"),
    "one image with a channel, one without": (json.dumps({"images": [[[1] * 8] * 8, [[[1]] * 8] * 8]}).encode(), "application/json", 422, "shape"),
    "booleans": (json.dumps({"images": [[[True] * 8] * 8]}).encode(), "application/json", 422, "shape"),
    "huge numbers": (json.dumps({"images": [[[10**400] * 8] * 8]}).encode(), "application/json", 422, "shape"),
    "too bright": (json.dumps({"images": [[[256] * 8] * 8]}).encode(), "application/json", 422, "range"),
    "infinite": (b'{"images": [' + json.dumps([[1e308 * 10] * 8] * 8).encode() + b"]}", "application/json", 400, "json"),
    "large exponent": (b'{"images": [[' + b",".join([b"[" + b",".join([b"1e999"] * 8) + b"]"] * 8) + b"]]}", "application/json", 422, "range"),
    "no multipart": (b"hello", "multipart/form-data; boundary=x", 400, "parts"),
    "multipart without boundary": (b"hello", "multipart/form-data", 400, "parts"),
}  # fmt: skip


def test_many_requests_at_a_time_leave_the_filters_of_warnings_as_they_were():
    ragged = json.dumps({"images": [[[1.5] * 64] * 64, [[1]]]}).encode()
    before, interval = list(warnings.filters), sys.getswitchinterval()

    def read(_):
        with pytest.raises(decode.RefusedError, match="Each image must be"):
            decode.read_json(ragged, (64, 64, 1), service_support.settings())

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(400)))
        assert list(warnings.filters) == before
    finally:
        sys.setswitchinterval(interval)
        warnings.filters[:] = before


def test_text_in_place_of_pixels_takes_no_more_memory_than_its_json():
    body = json.dumps({"images": [["A" * 20_000] + [""] * 2_000]}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(decode.RefusedError, match="Each image must be"):
            decode.read_json(body, (8, 8, 1), service_support.settings())
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def counted(client, reason: str) -> float:
    start = f'osemn_refused_total{{reason="{reason}"}} '
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0.0)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_its_reason_and_the_service_goes_on(shared, name):
    content, kind, status, reason = BAD[name]
    before = counted(shared, reason)
    message = refused(post(shared, content, kind), status, reason)
    assert message.endswith(".")
    assert post(shared, PNG).status_code == 200
    assert counted(shared, reason) == before + 1


def test_polyglot_file_is_read_as_the_picture_that_it_is(shared):
    assert (
        post(shared, PNG + b"PK\x03\x04<script>").json()["predictions"]
        == post(shared, PNG).json()["predictions"]
    )


@pytest.mark.parametrize(("count", "status"), [(64, 200), (65, 413), (1001, 413)])
def test_number_of_parts_is_bounded(shared, count, status):
    files = [("files", (f"{k}.png", PNG, "image/png")) for k in range(count)]
    answer = shared.post("/v1/predict", files=files)
    assert answer.status_code == status
    if status == 200:
        assert len(answer.json()["predictions"]) == 64


def test_only_small_files_of_formats_that_need_no_import_are_opened_on_the_event_loop(client, monkeypatch):
    opened, threads = decode.open_image, []

    def spied(*arguments):
        threads.append(threading.current_thread().name.partition("_")[0])
        return opened(*arguments)

    monkeypatch.setattr(decode, "open_image", spied)
    # a picture of few pixels, with much behind them
    for content in (PNG, PNG + bytes(100_000), LARGE, service_support.png(service_support.pixels(), "AVIF")):
        assert post(client, content).status_code == 200
    assert threads[0] != "predict"
    assert threads[1:] == ["predict"] * 3


def test_files_of_a_request_are_held_decoded_one_at_a_time(client, monkeypatch):
    opened, prepared, seen, alive = decode.open_image, decode.prepare, [], []

    def spied(*arguments):
        image = opened(*arguments)
        seen.append(weakref.ref(image))
        return image

    def counting(*arguments):
        pixels = prepared(*arguments)
        alive.append(sum(image() is not None for image in seen))
        return pixels

    monkeypatch.setattr(decode, "open_image", spied)
    monkeypatch.setattr(decode, "prepare", counting)
    files = [("files", (f"{k}.png", LARGE, "image/png")) for k in range(12)]
    answer = client.post("/v1/predict", files=files)
    assert answer.status_code == 200, answer.text
    assert alive == [1] * 12


def test_nothing_is_decoded_where_one_file_of_several_has_a_bad_header(client, monkeypatch):
    monkeypatch.setattr(decode, "prepare", lambda *_: pytest.fail("a picture was decoded"))
    files = [("files", ("a.png", content, "image/png")) for content in (LARGE, header_of(4_097, 10))]
    refused(client.post("/v1/predict", files=files), 413, "pixels")


@pytest.mark.parametrize("bad", [PNG[: len(PNG) // 2], b"hello"])
def test_bad_file_of_several_is_named(shared, bad):
    contents = {"a.png": PNG, "b.png": PNG, "c.png": bad, "d.png": PNG}
    files = [("files", (name, content, "image/png")) for name, content in contents.items()]
    answer = shared.post("/v1/predict", files=files)
    assert answer.status_code in (415, 422)
    message = answer.json()["error"]["message"]
    assert message.startswith("File 3 (c.png): ")
    assert not post(shared, bad).json()["error"]["message"].startswith("File")


def test_pixels_of_all_files_of_a_request_are_bounded(version, monkeypatch):
    monkeypatch.setattr(decode, "TOTAL_PIXELS", 2)
    with TestClient(app.create(service_support.settings(max_pixels=90_000))) as client:

        def answer(count):
            files = [("files", (f"{k}.png", LARGE, "image/png")) for k in range(count)]
            return client.post("/v1/predict", files=files)

        assert answer(2).status_code == 200
        monkeypatch.setattr(decode, "prepare", lambda *_: pytest.fail("a picture was decoded"))
        assert "180,000 pixels together" in refused(answer(3), 413, "pixels")


def test_limits_are_stated_in_the_description(shared):
    description = shared.get("/openapi.json").json()["info"]["description"]
    for limit in ("up to 64 files", "4,096 pixels a side", "16,000,000 in all", "64,000,000 together"):
        assert limit in description


def test_body_without_announced_length_is_bounded_too(shared):
    def pieces():
        for _ in range(100):
            yield bytes(2**17)

    refused(post(shared, pieces()), 413, "body")


def test_drawing_is_framed_as_the_data_sets_pictures_were(home):
    content = registry_versions.content(home / "framed")
    registry = Registry("digits")
    registry.promote(
        registry.publish(content, registry_versions.facts(framing={"box": 8, "centre": "box"})).name
    )
    drawing = np.full((90, 120), 250, np.uint8)
    drawing[20:80, 50:70] = 5
    framed = framing.frame(drawing, framing.Framing(8, "box"), 8)
    with TestClient(app.create(service_support.settings())) as client:
        predictions = post(client, service_support.png(drawing)).json()["predictions"]
        assert predictions == post(client, service_support.png(framed)).json()["predictions"]
        cut = post(client, service_support.png(drawing), params={"frame": "false"}).json()["predictions"]
        assert cut != predictions
        assert "blank" in refused(
            post(client, service_support.png(np.full((50, 50), 9, np.uint8))), 422, "blank"
        )
        assert post(client, service_support.png(np.full((8, 8), 9, np.uint8))).status_code == 200, (
            "of the model's own size"
        )


@pytest.mark.parametrize(
    ("query", "value"), [("background", "green"), ("invert", "perhaps"), ("frame", "maybe")]
)
def test_wrong_query_is_refused(shared, query, value):
    assert value not in refused(post(shared, PNG, params={query: value}), 422, "query")


def test_ids_are_taken_over_only_where_they_are_harmless(shared):
    def answered(wished: str) -> str:
        return shared.get("/health/live", headers={"X-Request-ID": wished}).headers["x-request-id"]

    assert answered("order-66.a_b") == "order-66.a_b"
    for harmful in ("a b", "x" * 65, '"}{', ""):
        assert answered(harmful) != harmful


def test_model_health_page_and_description(client, version):
    model = client.get("/v1/model").json()
    assert model["version"] == version
    assert model["classes"] == list(registry_versions.CLASSES)
    assert model["metrics"]["accuracy"] == 0.9
    assert model["framed"] is False
    assert len(model["sha256"]) == 64
    assert client.get("/health/ready").json() == {"status": "ready", "version": version}
    assert client.get("/health/live").status_code == 200
    assert "Try the service" in client.get("/").text
    description = client.get("/openapi.json").json()
    assert set(description["paths"]["/v1/predict"]["post"]["requestBody"]["content"]) >= {
        "image/png",
        "application/json",
    }
    assert f'osemn_model_info{{version="{version}"}} 1.0' in client.get("/metrics").text
    refused(client.get("/nowhere"), 404, "route")
    assert "/docs" in refused(client.get("/v1/predict"), 405, "route")


def publish_of_shape(folder: Path, *shape: int) -> str:
    signature = {"input": {"name": "image", "shape": [None, *shape]}}
    registry = Registry("digits")
    content = registry_versions.content(folder, shape=shape)
    return registry.promote(registry.publish(content, registry_versions.facts(signature=signature)).name).name


def json_examples(client) -> dict[str, dict]:
    body = client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    return body["application/json"].get("examples", {})


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((8, 8, 1), "one image of 8 × 8 grey pixels"),
        ((6, 5, 3), "one image of 6 × 5 coloured pixels"),
        ((64, 64, 3), "one image of 64 × 64 coloured pixels"),
    ],
)
def test_example_of_the_description_is_answered_by_the_served_model(home, shape, name):
    publish_of_shape(home / "first", *shape)
    with TestClient(app.create(service_support.settings())) as client:
        examples = json_examples(client)
        assert list(examples) == [name]
        answer = client.post("/v1/predict", json=examples[name]["value"])
        assert answer.status_code == 200, answer.text


def test_example_follows_a_promotion_and_is_left_out_where_it_would_be_long(client, home):
    assert list(json_examples(client)) == ["one image of 8 × 8 grey pixels"]
    for shape, names in (((6, 5, 3), ["one image of 6 × 5 coloured pixels"]), ((100, 100, 3), [])):
        version = publish_of_shape(home / str(shape), *shape)
        wait_for(lambda version=version: client.get("/health/ready").json()["version"] == version)
        assert list(json_examples(client)) == names


def test_key_is_required_if_one_is_set(version, monkeypatch):
    monkeypatch.setenv(API_KEY, "secret")
    with TestClient(app.create(service_support.settings())) as client:
        refused(post(client, PNG), 401, "key")
        refused(client.get("/v1/model", headers={"X-API-Key": "guess"}), 401, "key")
        assert client.get("/v1/model", headers={"X-API-Key": "secret"}).status_code == 200
        assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("key", ["", "secret"])
def test_description_names_the_key_only_where_one_is_wanted(version, monkeypatch, key):
    monkeypatch.setenv(API_KEY, key)
    with TestClient(app.create(service_support.settings())) as client:
        description = client.get("/openapi.json").json()
        schemes = description.get("components", {}).get("securitySchemes", {})
        wanted = [path for path, operations in description["paths"].items() if "security" in str(operations)]
        if not key:
            assert (schemes, wanted) == ({}, [])
            return
        ((name, scheme),) = schemes.items()
        assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
        assert set(wanted) == {"/v1/predict", "/v1/model", "/v1/drift"}
        assert description["paths"]["/v1/predict"]["post"]["security"] == [{name: []}]


def wait_for(condition, seconds: float = 10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("the condition was not met in time")


def test_promotion_is_taken_over_and_a_damaged_one_refused_while_serving(client, version, home):
    def serves() -> str:
        return post(client, PNG).json()["model"]["version"]

    second = service_support.publish(home / "second", seed=1)
    wait_for(lambda: serves() == second)
    # the gauge follows the swap as soon as the drift monitor of the new version is built
    wait_for(lambda: f'osemn_model_info{{version="{second}"}} 1.0' in client.get("/metrics").text)
    registry = Registry("digits")
    third = service_support.publish(home / "third", seed=2, promote=False)
    model = registry.find(third).folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    (registry.folder / "current").write_text(f"{third}\n{second}\n", encoding="utf-8")
    wait_for(lambda: "osemn_versions_refused_total 1.0" in client.get("/metrics").text)
    time.sleep(0.3)
    assert "osemn_versions_refused_total 1.0" in client.get("/metrics").text, "counted once"
    assert serves() == second
    registry.promote(version)
    wait_for(lambda: serves() == version)


def test_no_request_fails_while_good_and_damaged_versions_come(client, version, home):
    registry = Registry("digits")
    other = service_support.publish(home / "second", seed=1, promote=False)
    bad = service_support.publish(home / "third", seed=2, promote=False)
    (registry.find(bad).folder / "model.keras").write_bytes(b"damaged")
    statuses, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            statuses.append(post(client, PNG).status_code)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for turn in range(20):
        good = (other, version)[turn % 2]
        (registry.folder / "current").write_text(f"{bad}\n", encoding="utf-8")
        time.sleep(0.06)
        registry.promote(good)
        wait_for(lambda good=good: client.get("/health/ready").json()["version"] == good)
    ended.set()
    for thread in asking:
        thread.join()
    assert len(statuses) > 50
    assert set(statuses) == {200}


def test_full_queue_and_slow_work_ask_the_sender_to_try_again(version):
    made = app.create(service_support.settings(threads=1, queue=1, timeout=0.3))
    service = made.state.service
    with TestClient(made) as client:
        predict, begun, freed = service.predict, threading.Event(), threading.Event()

        def slow(served, images):
            begun.set()
            freed.wait(60)
            return predict(served, images)

        service.predict = slow
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(post(client, LARGE))) for _ in range(2)]
        for thread in asking:
            thread.start()
            begun.wait(5)
        wait_for(lambda: service.pool.pending == 2)
        answer = post(client, LARGE)
        refused(answer, 503, "queue")
        assert answer.headers["retry-after"] == "1"
        for thread in asking:
            thread.join()
        for answer in answers:
            refused(answer, 503, "timeout")
        freed.set()
        wait_for(lambda: service.pool.pending == 0)
        service.predict = predict
        wait_for(lambda: post(client, LARGE).status_code == 200)


async def call(made, receive) -> list[dict]:
    """Call the application as a server does, with a client that the test controls."""
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/predict",
        "raw_path": b"/v1/predict",
        "query_string": b"",
        "headers": [(b"content-type", b"image/png")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }
    await made(scope, receive, send)
    return sent


def test_slow_client_is_given_up_and_one_that_leaves_is_counted(version):
    made = app.create(service_support.settings(timeout=0.2))
    with TestClient(made) as client:

        async def never():
            await asyncio.sleep(60)

        sent = asyncio.run(call(made, never))
        assert sent[0]["status"] == 408

        async def leaves():
            return {"type": "http.disconnect"}

        assert asyncio.run(call(made, leaves)) == []
        assert 'osemn_refused_total{reason="left"} 1.0' in client.get("/metrics").text
        assert made.state.service.buffered == 0


def test_requests_in_progress_are_bounded(version):
    made = app.create(service_support.settings(max_requests=1, timeout=0.5))
    with TestClient(made) as client:
        sent = []

        async def both():
            async def never():
                await asyncio.sleep(60)

            first = asyncio.create_task(call(made, never))
            await asyncio.sleep(0.05)
            sent.extend(await call(made, never))
            await first

        asyncio.run(both())
        assert sent[0]["status"] == 503
        assert (b"retry-after", b"1") in sent[0]["headers"]
        wait_for(lambda: post(client, PNG).status_code == 200)


def test_memory_for_bodies_is_bounded(version):
    with TestClient(app.create(service_support.settings(max_buffered=10))) as client:
        refused(post(client, PNG), 503, "memory")


def test_defect_is_logged_and_answered_without_its_details(client, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("inside")

    monkeypatch.setattr(client.app.state.service, "predict", broken)
    answer = post(client, PNG)
    assert "inside" not in refused(answer, 500, "failed")


def test_drift_is_examined_window_by_window(home):
    content = registry_versions.content(home / "first")
    images = registry_versions.write_drift_reference(content)
    registry = Registry("digits")
    registry.promote(registry.publish(content, registry_versions.facts()).name)
    with TestClient(app.create(service_support.settings(drift_window=50))) as client:
        client.post("/v1/predict", json={"images": images[:49, ..., 0].tolist()})
        state = client.get("/v1/drift").json()
        assert (state["collected"], state["worker"], state["workers"]) == (49, os.getpid(), 1)
        client.post("/v1/predict", json={"images": images[49:50, ..., 0].tolist()})
        wait_for(lambda: client.get("/v1/drift").json()["examined"] == 1)
        assert client.get("/v1/drift").json()["last"]["drifted"] is False
        client.post("/v1/predict", json={"images": (images[:50, ..., 0] // 4).tolist()})
        wait_for(lambda: client.get("/v1/drift").json()["examined"] == 2)
        last = client.get("/v1/drift").json()["last"]
        assert last["drifted"]
        assert "brightness" in last["sentence"]
        text = client.get("/metrics").text
        assert 'osemn_drift_windows_total{drifted="yes"} 1.0' in text
        assert 'osemn_drift_p_value{test="brightness"}' in text


def test_windows_are_no_more_frequent_than_the_thresholds_allow(home):
    content = registry_versions.content(home / "first")
    images = registry_versions.write_drift_reference(content)
    registry = Registry("digits")
    registry.promote(registry.publish(content, registry_versions.facts()).name)
    with TestClient(app.create(service_support.settings(drift_window=50, drift_every=3600.0))) as client:
        for _ in range(4):
            client.post("/v1/predict", json={"images": images[:60, ..., 0].tolist()[:50]})
        wait_for(lambda: client.get("/v1/drift").json()["examined"] == 1)
        state = client.get("/v1/drift").json()
        assert (state["examined"], state["collected"]) == (1, 0)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_together_examine_no_more_windows_a_day_than_the_thresholds_allow(home, monkeypatch, workers):
    service_support.publish(home / "first", drift=True)
    clock = [0.0]
    monkeypatch.setattr(drift_monitor, "monotonic", lambda: clock[0])
    services = [
        Service(service_support.settings(workers=workers, drift_every=3600.0)) for _ in range(workers)
    ]
    examined = []
    for service in services:
        monkeypatch.setattr(service.monitor, "_examine", examined.append)
    images = np.zeros((30, 8, 8, 1), np.uint8)
    for hour in range(24):
        for part in range(10):
            clock[0] = 3600.0 * hour + 360.0 * part
            for service in services:
                for _ in range(7):
                    service.predict(service.holder.served, images)
    for service in services:
        service.monitor._thread.shutdown(wait=True)
    assert len(examined) == drift.WINDOWS_PER_DAY


def test_version_without_a_drift_reference_is_served_unwatched(home):
    service_support.publish(home / "first")
    with TestClient(app.create(service_support.settings())) as client:
        assert post(client, PNG).status_code == 200
        assert client.get("/v1/drift").json()["watched"] is False
