"""Requests that come together are predicted together, and each gets the prediction for its own image."""

import asyncio
import json
import threading

import numpy as np
import pytest
from starlette.testclient import TestClient

import service_support
from helpers.export.registry import Registry
from helpers.serving import app, model
from helpers.serving.model import Served

# dark, so that no probability is rounded to 1
IMAGES = [service_support.pixels(seed) // 16 for seed in range(12)]
SCOPE = {
    "type": "http", "method": "POST", "path": "/v1/predict", "raw_path": b"/v1/predict", "query_string": b"",
    "headers": [(b"content-type", b"image/png")], "http_version": "1.1", "scheme": "http", "server": ("test", 80),
    "client": ("test", 1), "root_path": "",
}  # fmt: skip


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first")
    return app.create(service_support.settings())


@pytest.fixture
def calls(made, monkeypatch) -> list[tuple[int, str]]:
    """How many images each call of the model gets, and in which thread."""
    service, seen = made.state.service, []
    predict = service.predict

    def counting(served, images):
        seen.append((len(images), threading.current_thread().name.partition("_")[0]))
        return predict(served, images)

    monkeypatch.setattr(service, "predict", counting)
    return seen


async def ask(made, pixels: np.ndarray) -> tuple[int, dict]:
    """Call the application as a server does; return the status and the response."""
    messages = []

    async def receive():
        return {"type": "http.request", "body": service_support.png(pixels)}

    async def send(message):
        messages.append(message)

    await made(dict(SCOPE), receive, send)
    return messages[0]["status"], json.loads(messages[1]["body"])


def ask_together(made, images=IMAGES) -> list[tuple[int, dict]]:
    async def all_at_once():
        return await asyncio.gather(*(ask(made, pixels) for pixels in images))

    return asyncio.run(all_at_once())


def predictions(answers) -> list[dict]:
    assert [status for status, _ in answers] == [200] * len(answers)
    return [content["predictions"][0] for _, content in answers]


def test_requests_that_come_together_share_a_call_and_each_gets_its_own_prediction(made, calls):
    alone = predictions([asyncio.run(ask(made, pixels)) for pixels in IMAGES])
    assert [count for count, _ in calls] == [1] * len(IMAGES)
    calls.clear()
    assert predictions(ask_together(made)) == alone
    assert [count for count, _ in calls] == [len(IMAGES)]
    assert len({json.dumps(one["probabilities"]) for one in alone}) == len(IMAGES)


def test_version_swapped_between_two_requests_answers_only_its_own(made, calls, tmp_path):
    service = made.state.service
    first = service.holder.served
    second = Served.load(Registry("digits").find(service_support.publish(tmp_path / "second", seed=1)))

    async def with_swap():
        asked = asyncio.create_task(service.predict_together(first, IMAGES[0][..., None]))
        await asyncio.sleep(0)
        other = await service.predict_together(second, IMAGES[0][..., None])
        return await asked, other

    by_first, by_second = asyncio.run(with_swap())
    assert [count for count, _ in calls] == [1, 1]
    for served, given in ((first, by_first), (second, by_second)):
        assert given == served.describe(*served.predict(IMAGES[0][None, ..., None]))
    assert by_first != by_second


def test_defect_in_a_shared_call_is_reported_to_each_and_the_service_goes_on(made, monkeypatch):
    service, predict = made.state.service, made.state.service.predict
    monkeypatch.setattr(service, "predict", lambda *_: 1 / 0)
    answers = ask_together(made)
    assert [(status, content["error"]["reason"]) for status, content in answers] == [(500, "failed")] * 12
    assert len({content["request_id"] for _, content in answers}) == 12
    monkeypatch.setattr(service, "predict", predict)
    assert len(predictions(ask_together(made))) == 12


def test_slow_model_is_run_off_the_event_loop(made, calls):
    object.__setattr__(made.state.service.holder.served, "quick", False)
    with TestClient(made) as client:
        content = service_support.png(IMAGES[0])
        assert (
            client.post("/v1/predict", content=content, headers={"Content-Type": "image/png"}).status_code
            == 200
        )
    assert [thread for _, thread in calls] == ["predict"]


def test_one_core_and_all_cores_predict_the_same(made, monkeypatch):
    version = Registry("digits").current()
    monkeypatch.setattr("helpers.series.records.usable_cores", lambda: 4)
    images = np.stack(IMAGES)[..., None]
    served = Served.load(version, processes=2)
    one, all_cores = served.predict(images, alone=False), served.predict(images)
    assert served.wide is not None
    for given, wanted in zip(one, all_cores, strict=True):
        np.testing.assert_allclose(given, wanted, atol=1e-6)
    assert Served.load(version, processes=4).wide is None


def test_chunks_give_the_same_as_all_images_at_once(made, monkeypatch):
    served, images = made.state.service.holder.served, np.stack(IMAGES)[..., None]
    complete = served.predict(images)
    monkeypatch.setattr(model, "CHUNK", 5)
    for given, wanted in zip(served.predict(images), complete, strict=True):
        np.testing.assert_allclose(given, wanted, atol=1e-6)
