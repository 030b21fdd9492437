"""The service's pages in a browser classify an image, show a refusal, and connect to the service alone."""

import numpy as np
import pytest

import registry_versions
import service_support
from helpers.export.registry import Registry
from helpers.serving import load_test, service_process
from helpers.serving.settings import API_KEY
from hostile_names import NAMES, READS_RIGHT, TURNED

pytestmark = pytest.mark.browser


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first")
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        yield service


def test_image_is_classified_and_text_refused(browser, service, tmp_path):
    image, text = tmp_path / "image.png", tmp_path / "text.png"
    image.write_bytes(service_support.png(service_support.pixels()))
    text.write_text("not an image", encoding="utf-8")
    page, problems, asked = browser.new_page(), [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.address)
    page.wait_for_function("document.querySelector('#model').textContent.includes('90.0% of 1000')")
    assert "(95% interval 89.0 to 91.0%)" in page.inner_text("#model")
    assert page.locator("#frame").is_hidden(), "the images of this version are not framed"
    page.set_input_files("#file", str(image))
    page.get_by_role("button", name="Classify").click()
    page.wait_for_selector("#result h2")
    _, wanted = load_test.send(service.address, image.read_bytes())
    assert page.inner_text("#result h2").startswith(wanted["predictions"][0]["class"])
    percentages = [
        f"{100 * probability:.1f}%" for probability in wanted["predictions"][0]["calibrated"].values()
    ]
    assert sorted(page.locator("#result td:nth-child(2)").all_inner_texts()) == sorted(percentages)
    page.set_input_files("#file", str(text))
    page.get_by_role("button", name="Classify").click()
    page.wait_for_function("document.querySelector('#result').textContent.includes('415')")
    assert "not an image" in page.inner_text("#result")
    assert problems == []
    assert all(url.startswith((service.address, "data:", "blob:")) for url in asked)
    page.close()


def test_names_of_classes_are_text(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    content = registry_versions.content(tmp_path / "content", classes=len(NAMES))
    pixels = service_support.pixels()
    probabilities, _ = registry_versions.predict(content / "model.onnx", pixels[None, ..., None])
    classes = [*np.roll(np.array(NAMES, object), int(np.argmax(probabilities)) - NAMES.index(TURNED))]
    registry = Registry("digits")
    framed = registry_versions.facts(classes=classes, framing={"box": 8, "centre": "box"})
    registry.promote(registry.publish(content, framed).name)
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        page, problems = browser.new_page(viewport={"width": 390, "height": 844}), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(service.address)
        file = {"name": f"{NAMES[1]}.png", "mimeType": "image/png", "buffer": service_support.png(pixels)}
        page.set_input_files("#file", file)
        page.get_by_role("button", name="Classify").click()
        page.wait_for_selector("#result h2")
        page.wait_for_selector("#frame")
        assert sorted(page.locator("#result td:first-child").all_text_contents()) == sorted(NAMES)
        assert page.text_content("#result h2").startswith("\u202eturned (confidence")
        assert page.evaluate(READS_RIGHT, ["#result h2", "(confidence"])
        assert page.evaluate("document.body.dataset.ran") is None
        assert page.locator("#result img").count() == 1, "the classified image alone"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert problems == []
        page.close()


def test_page_asks_again_once_a_key_was_typed(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first")
    with service_process.running(
        service_process.serve_command("digits", "--quiet"), {API_KEY: "secret"}
    ) as service:
        page = browser.new_page()
        page.goto(service.address)

        def says(text):
            page.wait_for_function(f"document.querySelector('#model').textContent.includes('{text}')")

        says("requires a key")
        for typed, answer in (
            ("wrong", "not the service"),
            ("secret", "90.0% of 1000"),
            ("", "requires a key"),
        ):
            page.fill("#key", typed)
            page.locator("#key").blur()
            says(answer)
        page.goto(f"{service.address}/docs")
        page.get_by_role("button", name="Authorize").first.wait_for()
        page.close()


def test_the_interface_is_described_without_the_internet(browser, service):
    page, problems, asked = browser.new_page(), [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.address}/docs")
    page.get_by_text("Classify images").wait_for()
    assert problems == []
    assert all(url.startswith((service.address, "data:", "blob:")) for url in asked), asked
    page.close()
