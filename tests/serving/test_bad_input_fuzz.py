"""Whatever is sent, the service responds with a status of its description, and never with an error of its own.

`OSEMN_FUZZ_CASES` sets the number of cases of each kind; `benchmarks/serving_fuzz.py` runs ten thousand.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks as specification
from starlette.testclient import TestClient

import service_support
from helpers.serving import app

CASES = int(os.environ.get("OSEMN_FUZZ_CASES", "150"))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    specification.status_code_conformance,
    specification.content_type_conformance,
    specification.response_schema_conformance,
]
KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
BASES = [
    (service_support.png(pixels, kind), content_type)
    for kind, content_type in KINDS.items()
    for pixels in (
        service_support.pixels(),
        np.repeat(service_support.pixels(1, side=40)[..., None], 3, axis=2),
    )
]
RELAXED = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSEMN_OUTPUT_DIR", str(folder / "out"))
        service_support.publish(Path(folder) / "first")
        yield app.create(service_support.settings())


@pytest.fixture(scope="module")
def client(application):
    with TestClient(application, raise_server_exceptions=False) as client:
        yield client


@st.composite
def mutated(draw) -> tuple[bytes, str]:
    """Draw an image file with bytes changed, removed, doubled or inserted."""
    content, kind = draw(st.sampled_from(BASES))
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(("change", "cut", "double", "insert", "end"))):
            case "change" if place < len(content):
                content[place] = draw(st.integers(0, 255))
            case "cut":
                del content[place : place + draw(st.integers(1, 40))]
            case "double":
                content[place:place] = content[place : place + 20]
            case "insert":
                content[place:place] = draw(st.binary(max_size=12))
            case "end":
                del content[max(place, 1) :]
    return bytes(content), draw(st.sampled_from((kind, *KINDS.values(), "application/octet-stream")))


def test_mutated_images_are_classified_or_refused(client):
    seen = set()

    @RELAXED
    @given(mutated())
    def send(case):
        content, kind = case
        response = client.post("/v1/predict", content=content, headers={"Content-Type": kind})
        assert response.status_code in (200, 400, 413, 415, 422), response.text
        seen.add(response.status_code)

    send()
    assert {200, 422} <= seen


def test_any_bytes_as_json_or_multipart_are_refused(client):
    @RELAXED
    @given(st.binary(max_size=400), st.sampled_from(("application/json", "multipart/form-data; boundary=b")))
    def send(content, kind):
        for body in (content, b"--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n" + content):
            response = client.post("/v1/predict", content=body, headers={"Content-Type": kind})
            assert 400 <= response.status_code < 500, response.text

    send()


def test_requests_generated_from_the_description_get_responses_of_the_description(application, client):
    schema = schemathesis.openapi.from_asgi("/openapi.json", application)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/v1/predict", "/v1/model", "/health/ready"}
    statuses: set[int] = set()
    for operation in operations:

        @settings(RELAXED, max_examples=CASES if operation.path == "/v1/predict" else 5)
        @given(operation.as_strategy())
        def send(case):
            response = case.call(session=client)
            assert response.status_code < 500, case.as_curl_command()
            case.validate_response(response, checks=CHECKS)
            statuses.add(response.status_code)

        send()
    assert {200, 415, 422} <= statuses, "the description leads to predictions and refusals"
