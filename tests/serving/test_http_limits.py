"""Request headers are limited in size and in the time to receive them."""

import contextlib
import http.client
import socket
import time

import psutil
import pytest

import service_support
from helpers.serving import load_test, service_process

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
TIMEOUT = 2.0


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("OSEMN_OUTPUT_DIR", str(folder / "out"))
        service_support.publish(folder / "first")
        with service_process.running(
            service_process.serve_command("digits", "--quiet", "--timeout", str(TIMEOUT))
        ) as service:
            yield service


@pytest.fixture
def connection(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        yield connection


def receive(connection: socket.socket) -> bytes:
    """Return what comes until the service closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):  # closed while more was arriving
        while piece := connection.recv(65_536):
            received += piece
    return received


def test_head_of_60_kib_is_taken(connection):
    connection.sendall(LIVE + b"a: " + b"b" * 60_000 + b"\r\nConnection: close\r\n\r\n")
    assert receive(connection)[9:12] == b"200"


@pytest.mark.parametrize(
    "head",
    [LIVE + b"a: " + b"b" * 70_000, LIVE + b"a: bcdef\r\n" * 8_000, b"GET /" + b"a" * 70_000],
    ids=["one line", "many lines", "address"],
)
def test_larger_head_is_refused_in_the_form_of_all_errors(connection, head):
    connection.sendall(head + (b" HTTP/1.1" if b" HTTP" not in head else b"") + b"\r\n\r\n")
    response = receive(connection)
    assert response.startswith(b"HTTP/1.1 431 ")
    assert b'"reason": "head"' in response


TRAILED = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (LIVE, b"a:b\r\n"),
        (LIVE + b"a: ", b"bbbbb"),
        (b"", b"\r\n"),
        (TRAILED, b"a:b\r\n"),
        (TRAILED + b"a: ", b"b"),
    ],
    ids=["lines", "one line", "nothing but line ends", "lines after a body", "one line after a body"],
)
def test_20_mb_before_or_after_a_request_cost_no_memory(service, connection, begin, more):
    process = psutil.Process(service.process.pid)
    before, megabyte = process.memory_info().rss, more * (1_000_000 // len(more))
    with contextlib.suppress(OSError):  # the service closed the connection
        connection.sendall(begin)
        for _ in range(20):
            connection.sendall(megabyte)
        time.sleep(0.5)
    assert process.memory_info().rss - before < 10e6
    assert load_test.send(service.address, service_support.png(service_support.pixels()))[0] == 200


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", LIVE, b"\r\n", LIVE + b"\r\n" + b"\r\n", LIVE + b"\r\n" + b"GET"],
    ids=["nothing", "a letter", "half a head", "line ends", "line ends later", "half a second head"],
)
def test_connection_that_makes_no_request_is_closed_after_the_timeout(connection, sent):
    began = time.monotonic()
    first, end, later = sent.partition(b"\r\n\r\n")
    connection.sendall(first + end)
    time.sleep(0.2)
    connection.sendall(later)
    receive(connection)
    assert TIMEOUT - 0.5 < time.monotonic() - began < 3 * TIMEOUT


def test_head_that_trickles_is_not_waited_for_any_longer(connection):
    began = time.monotonic()
    connection.sendall(LIVE)
    with contextlib.suppress(OSError):  # the service closed the connection
        while time.monotonic() - began < 5 * TIMEOUT:
            connection.sendall(b"a:b\r\n")
            time.sleep(0.2)
    assert time.monotonic() - began < 3 * TIMEOUT


def test_response_without_a_body_is_complete(connection):
    for _ in range(2):
        connection.sendall(LIVE.replace(b"GET", b"HEAD") + b"\r\n")
        head = connection.recv(65_536)
        assert head.startswith(b"HTTP/1.1 ")
        assert head.endswith(b"\r\n\r\n")
    connection.sendall(LIVE + b"\r\n")
    assert status_of(connection) == 200


def test_sender_that_asks_first_is_told_to_continue(connection):
    content = service_support.png(service_support.pixels())
    head, _, _ = load_test.post(content).partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
    connection.sendall(content)
    assert status_of(connection) == 200


def status_of(connection: socket.socket) -> int:
    with http.client.HTTPResponse(connection) as response:  # a response may come in several pieces
        response.begin()
        response.read()
        return response.status


def test_connection_that_has_made_a_request_may_wait_for_its_next(connection):
    for _ in range(2):
        connection.sendall(LIVE + b"\r\n")
        assert status_of(connection) == 200
        time.sleep(2 * TIMEOUT)
    connection.sendall(load_test.post(service_support.png(service_support.pixels(side=600))))
    assert status_of(connection) == 200
