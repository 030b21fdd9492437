"""The service's pages in a browser: a picture is answered, a refusal is shown, and nothing comes from or goes elsewhere."""

import pytest

import service_support
from helpers.serving import load_test, service_process
from helpers.serving.settings import API_KEY

pytestmark = pytest.mark.browser


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first")
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        yield service


def test_picture_is_answered_and_text_refused(browser, service, tmp_path):
    picture, text = tmp_path / "picture.png", tmp_path / "text.png"
    picture.write_bytes(service_support.png(service_support.pixels()))
    text.write_text("no picture", encoding="utf-8")
    page, problems, asked = browser.new_page(), [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.address)
    page.wait_for_function("document.querySelector('#model').textContent.includes('90.0% of 1000')")
    page.set_input_files("#file", str(picture))
    page.get_by_role("button", name="Tell what it shows").click()
    page.wait_for_selector("#answer h2")
    _, wanted = load_test.send(service.address, picture.read_bytes())
    assert page.inner_text("#answer h2").startswith(wanted["predictions"][0]["class"])
    shares = [f"{100 * share:.1f}%" for share in wanted["predictions"][0]["calibrated"].values()]
    assert sorted(page.locator("#answer td:nth-child(2)").all_inner_texts()) == sorted(shares)
    page.set_input_files("#file", str(text))
    page.get_by_role("button", name="Tell what it shows").click()
    page.wait_for_function("document.querySelector('#answer').textContent.includes('415')")
    assert "no PNG" in page.inner_text("#answer")
    assert problems == []
    assert all(url.startswith((service.address, "data:", "blob:")) for url in asked)
    page.close()


def test_page_that_wants_a_key_asks_again_once_it_was_typed(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first")
    with service_process.running(
        service_process.serve_command("digits", "--quiet"), {API_KEY: "secret"}
    ) as service:
        page = browser.new_page()
        page.goto(service.address)

        def says(text):
            page.wait_for_function(f"document.querySelector('#model').textContent.includes('{text}')")

        says("wants a key")
        for typed, answer in (
            ("wrong", "not the service"),
            ("secret", "90.0% of 1000"),
            ("", "wants a key"),
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
    page.get_by_text("Tell what pictures show").wait_for()
    assert problems == []
    assert all(url.startswith((service.address, "data:", "blob:")) for url in asked), asked
    page.close()
