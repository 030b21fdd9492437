"""The service as a process starts without TensorFlow, answers what it accepted before it ends, and distributes load over workers."""

import contextlib
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest
from starlette.testclient import TestClient

import service_support
from helpers.errors import OsemnError
from helpers.serving import app, load_test, service_process

PNG = service_support.png(service_support.pixels())


def test_it_is_ready_soon_and_answers_every_request_that_it_took_when_told_to_end(home):
    large = service_support.png(service_support.pixels(side=600))
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        assert service.seconds_to_ready < 10  # the figure to reach is measured by notebook 11
        connections = [socket.create_connection(("127.0.0.1", service.port), timeout=20) for _ in range(20)]
        for connection in connections:
            connection.sendall(load_test.post(large))
        time.sleep(0.01)
        status = service.stop()
        answers = []
        for connection in connections:
            with connection:
                pieces = iter(lambda connection=connection: connection.recv(65_536), b"")
                answers.append(b"".join(pieces)[9:12])
    assert status == 0
    assert set(answers) == {b"200"}


def test_it_never_imports_tensorflow(home):
    program = (
        "import sys; from helpers.serving import app, server; from helpers.serving.settings import Settings\n"
        "app.create(Settings(dataset='digits'))\n"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_workers_answer_and_their_counts_are_added_up(home):
    with service_process.running(
        service_process.serve_command("digits", "--quiet", "--workers", "2")
    ) as service:
        result = load_test.load(service.port, [load_test.post(PNG)], connections=8, seconds=1.0, warm_up=0.0)
        assert set(result.statuses) == {200}
        status, _ = load_test.send(service.address, b"")
        assert status == 400
        text = service_process.DIRECT.open(f"{service.address}/metrics", timeout=30).read().decode()
        counted = [
            float(line.split()[-1]) for line in text.splitlines() if line.startswith("osemn_pictures_total{")
        ]
        assert sum(counted) >= sum(result.statuses.values())
        assert 'osemn_refused_total{reason="empty"} 1.0' in text
        assert service.stop() == 0


def test_a_proxy_in_the_environment_is_not_asked_for_this_machine(home, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        assert load_test.send(service.address, PNG)[0] == 200


def test_too_many_connections_are_told_to_come_again_not_dropped(home):
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        result = load_test.load(
            service.port, [load_test.post(PNG)], connections=600, seconds=1.0, warm_up=0.0
        )
        assert set(result.statuses) <= {200, 503}
        assert result.statuses[200] > 0
        assert load_test.send(service.address, PNG)[0] == 200


def test_logs_are_json_with_the_request_id_and_without_the_picture(home):
    port = service_process._free_port()
    command = [part.format(port=port) for part in service_process.serve_command("digits")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while not service_process._is_ready(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        _, answer = load_test.send(f"http://127.0.0.1:{port}", PNG)
        process.terminate()
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    lines = [json.loads(line) for line in err.decode().splitlines()]
    (request,) = [line for line in lines if line["event"] == "request"]
    assert request["request_id"] == answer["request_id"]
    assert request["status"] == 200
    assert request["pictures"] == 1
    assert b"PNG" not in err
    assert out.decode().startswith("Serving ")


@pytest.mark.parametrize("key", ["", "secret"])
def test_log_says_whether_a_key_is_wanted_not_which(home, monkeypatch, caplog, key):
    monkeypatch.setenv("OSEMN_API_KEY", key)
    monkeypatch.setattr(logging.getLogger("osemn.serving"), "propagate", True)
    with caplog.at_level(logging.INFO, "osemn.serving"), TestClient(app.create(service_support.settings())):
        pass
    (ready,) = [record for record in caplog.records if record.message == "ready"]
    assert ready.facts["key"] is bool(key)
    assert "secret" not in str(ready.facts)


def test_without_a_version_it_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    done = serve()
    assert done.returncode == 1
    assert "osemn run --dataset digits --until 10_export" in done.stderr
    assert "Traceback" not in done.stderr


def serve(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "helpers.cli", "serve", "--dataset", "digits", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_port_that_is_taken_is_said_without_a_traceback(home, workers):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve("--port", str(port), "--workers", workers)
    assert done.returncode == 1
    assert (
        f"Failed: Port {port} on 127.0.0.1 is taken or may not be used: Address already in use."
        in done.stderr
    )
    assert "choose another --port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_timeout_that_no_request_could_keep_is_refused(home, seconds):
    done = serve("--timeout", seconds)
    assert done.returncode == 2
    assert "--timeout" in done.stderr
    assert "Traceback" not in done.stderr


def test_service_that_does_not_start_is_an_error_that_says_why(home, monkeypatch):
    folder = home / "out" / "models" / "digits"
    (folder / "current").write_text("20260101-000000-00000000\n", encoding="utf-8")
    with (
        pytest.raises(OsemnError, match="There is no version '20260101-000000-00000000'"),
        service_process.running(service_process.serve_command("digits")),
    ):
        pass


def test_load_counts_what_it_meets():
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = server.accept()
        server.close()  # the next connection is refused
        for status in (b"200 OK", b"503 Busy"):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(65_536)
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    result = load_test.load(
        server.getsockname()[1], [load_test.post(b"x")], connections=1, seconds=0.5, warm_up=0.0
    )
    thread.join()
    assert result.statuses == {200: 1, 503: 1, 0: 1}
    assert len(result.latency_ms) == 1


@pytest.mark.parametrize(("workers", "seconds"), [("1", 0.1), ("1", 0.4), ("1", 0.7), ("2", 0.5), ("2", 1.0)])
def test_service_that_is_told_to_end_while_it_starts_ends_well(home, workers, seconds):
    process = subprocess.Popen(
        [
            part.format(port=0)
            for part in service_process.serve_command("digits", "--quiet", "--workers", workers)
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("Serving")
    time.sleep(seconds)
    process.terminate()
    assert process.wait(20) in (0, -signal.SIGTERM)  # by the signal itself if it came first


def test_a_service_that_answers_and_hangs_up_is_counted_and_no_error():
    listening = socket.create_server(("127.0.0.1", 0))

    def answer():
        with contextlib.suppress(OSError):  # until the socket is closed
            while True:
                connection, _ = listening.accept()
                connection.recv(100)  # only a part of the request
                connection.sendall(
                    b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
                )
                connection.close()

    threading.Thread(target=answer, daemon=True).start()
    large = [load_test.post(b"x" * 3_000_000)]
    result = load_test.load(listening.getsockname()[1], large, connections=2, seconds=0.5, warm_up=0.0)
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    assert not len(result.latency_ms)
    assert set(result.statuses) <= {0, 413}


def test_few_answers_are_waited_for_but_not_for_ever():
    listening = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listening.accept()
        for _ in range(8):
            if not connection.recv(65_536):
                break
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.close()
        listening.close()

    thread = threading.Thread(target=answer)
    thread.start()
    result = load_test.load(
        listening.getsockname()[1],
        [load_test.post(b"x")],
        connections=1,
        seconds=0.5,
        warm_up=0.0,
        at_least=7,
    )
    thread.join()
    assert len(result.latency_ms) >= 7
    assert 0.6 < result.seconds < 3.0
    assert result.per_second == pytest.approx(len(result.latency_ms) / result.seconds)


def test_the_service_of_a_measurement_wants_no_key_whatever_the_environment_says(home, monkeypatch):
    monkeypatch.setenv("OSEMN_API_KEY", "secret")
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        assert load_test.send(service.address, PNG)[0] == 200


def test_it_ends_when_the_kernel_that_started_it_was_killed(home):
    code = (
        "import time\nfrom helpers.serving import service_process\n"
        "with service_process.running(service_process.serve_command('digits', '--quiet', '--workers', '2')) as service:\n"
        "    print(service.process.pid, flush=True)\n"
        "    time.sleep(60)"
    )
    kernel = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        service = psutil.Process(int(kernel.stdout.readline()))
        workers = service.children()
        kernel.kill()
        kernel.wait()
        deadline = time.monotonic() + 30
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in (service, *workers)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        kernel.kill()
        kernel.wait()
