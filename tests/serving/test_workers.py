"""Several workers: how they end, how they are replaced, and what becomes of their requests."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

import service_support
from helpers.errors import OsemnError
from helpers.serving import load_test, service_process
from helpers.serving import workers as supervisor

PNG = service_support.png(service_support.pixels())


def workers(service: service_process.Running) -> dict[int, psutil.Process]:
    children = psutil.Process(service.process.pid).children()
    alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return {child.pid: child for child in alive if "resource_tracker" not in " ".join(child.cmdline())}


def metric(service: service_process.Running, name: str) -> float:
    text = service_process.DIRECT.open(f"{service.address}/metrics", timeout=30).read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def wait_for(condition, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.1)


@contextlib.contextmanager
def in_a_terminal(command: list[str]) -> Iterator[service_process.Running]:
    """Start a service as the leader of a process group, which is what a terminal's Ctrl+C is sent to."""
    port = service_process._free_port()
    process = subprocess.Popen(
        [part.format(port=port) for part in command],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: service_process._is_ready(port), 60.0)
        yield service_process.Running(process, port, 0.0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("count", ["1", "2"])
def test_ctrl_c_lets_a_request_finish_whose_body_is_still_arriving(home, count):
    command = service_process.serve_command("digits", "--quiet", "--workers", count, "--timeout", "60")
    with in_a_terminal(command) as service:
        wait_for(lambda: len(workers(service)) == (2 if count == "2" else 0))
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as slow:
            request = load_test.post(PNG)
            slow.sendall(request[:-20])
            time.sleep(1.0)
            os.killpg(service.process.pid, signal.SIGINT)
            time.sleep(3.0)
            slow.sendall(request[-20:])
            assert slow.recv(65_536)[9:12] == b"200"
        _, said = service.process.communicate(timeout=40)
    assert service.process.returncode == 0
    assert "Traceback" not in said


def test_second_ctrl_c_ends_workers_that_wait_for_a_request_at_once(home):
    command = service_process.serve_command("digits", "--quiet", "--workers", "2", "--timeout", "60")
    with in_a_terminal(command) as service, socket.create_connection(("127.0.0.1", service.port)) as held:
        held.sendall(load_test.post(PNG)[:-1])
        time.sleep(1.0)
        began = time.monotonic()
        os.killpg(service.process.pid, signal.SIGINT)
        time.sleep(1.0)
        assert service.process.poll() is None
        os.killpg(service.process.pid, signal.SIGINT)
        service.process.communicate(timeout=20)
        assert time.monotonic() - began < 20  # the drain is 30 s


def test_workers_end_when_their_supervisor_was_killed(home):
    with in_a_terminal(service_process.serve_command("digits", "--quiet", "--workers", "2")) as service:
        before = workers(service)
        assert len(before) == 2
        service.process.kill()
        wait_for(lambda: not any(psutil.pid_exists(pid) for pid in before), 30.0)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_workers_listen_on_an_ipv6_address(home):
    command = service_process.serve_command("digits", "--quiet", "--workers", "2", "--host", "::1")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([part.format(port=port) for part in command], stdout=subprocess.DEVNULL)

    def is_ready() -> bool:
        with contextlib.suppress(OSError):
            return service_process.DIRECT.open(f"http://[::1]:{port}/health/ready", timeout=2.0).status == 200
        return process.poll() is not None

    try:
        wait_for(is_ready, 60.0)
        process.terminate()
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("count", ["1", "2"])
def test_workers_that_cannot_start_end_the_service_and_say_why(home, count):
    (model,) = (home / "out").rglob("model.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    command = [part.format(port=0) for part in service_process.serve_command("digits", "--workers", count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "model.onnx was changed" in done.stderr
    assert ("A worker ended with status" in done.stderr) == (count == "2")
    assert "Traceback" not in done.stderr


def fail_late(*_: object) -> None:
    time.sleep(6.0)
    sys.exit(3)


def test_workers_that_take_long_to_fail_are_not_started_again_for_ever():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    began = time.monotonic()
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            pytest.raises(OsemnError, match="A worker ended with status 3"),
        ):
            supervisor.Supervisor(service_support.settings(workers=2), listening, fail_late).run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert time.monotonic() - began < 60


def test_worker_that_cannot_be_replaced_leaves_the_others_running(home):
    with in_a_terminal(service_process.serve_command("digits", "--quiet", "--workers", "2")) as service:
        wait_for(lambda: metric(service, "osemn_workers") == 2, 60.0)  # both have read the model
        (model,) = (home / "out").rglob("model.onnx")
        complete = model.read_bytes()
        model.write_bytes(complete[:-1] + b"!")
        before = workers(service)
        victim, other = before.values()
        victim.kill()
        wait_for(lambda: workers(service).keys() - before.keys(), 30.0)  # the first attempt to replace it
        (attempt,) = workers(service).keys() - before.keys()
        wait_for(lambda: attempt not in workers(service), 30.0)
        assert service.process.poll() is None
        assert load_test.send(service.address, PNG)[0] == 200
        model.write_bytes(complete)
        wait_for(lambda: metric(service, "osemn_workers") == 2, 30.0)
        assert other.pid in workers(service)


def test_worker_that_is_killed_is_replaced_and_its_requests_are_no_longer_in_flight(home):
    command = service_process.serve_command("digits", "--quiet", "--workers", "2", "--timeout", "60")
    with service_process.running(command) as service:
        assert load_test.send(service.address, PNG)[0] == 200
        before = workers(service)
        with socket.create_connection(("127.0.0.1", service.port)) as held:
            held.sendall(load_test.post(PNG)[:-1])  # its worker waits for the rest
            wait_for(lambda: metric(service, "osemn_requests_in_flight") == 2)  # the other asks for metrics
            (victim,) = [
                worker
                for worker in before.values()
                if any(one.raddr and one.raddr == held.getsockname() for one in worker.net_connections())
            ]
            victim.kill()
            wait_for(lambda: len(workers(service).keys() - before.keys()) == 1)
            assert load_test.send(service.address, PNG)[0] == 200
            assert metric(service, "osemn_requests_in_flight") == 1
            assert metric(service, "osemn_pictures_total") == 2, "the counts of the dead worker remain"
        assert service.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_work_that_goes_on_after_its_refusal_does_not_keep_the_service_from_ending(home, tmp_path, workers):
    port = service_process._free_port()
    program = tmp_path / "endless.py"
    program.write_text(
        "import time\n"
        "from helpers.serving import decode, server\n"
        "from helpers.serving.settings import Settings\n"
        "decode.prepare = lambda *_: time.sleep(3600)\n"
        "if __name__ == '__main__':\n"
        f"    server.run(Settings(dataset='digits', port={port}, timeout=0.2, workers={workers}))\n",
        encoding="utf-8",
    )
    process = subprocess.Popen([sys.executable, str(program)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: service_process._is_ready(port), 60.0)
        # large enough for a thread
        status, answer = load_test.send(
            f"http://127.0.0.1:{port}", service_support.png(service_support.pixels(side=300))
        )
        assert (status, answer["error"]["reason"]) == (503, "timeout")
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_drift_is_reported_by_worker_and_alarms_of_all_workers_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first", drift=True)
    command = service_process.serve_command("digits", "--quiet", "--workers", "2", "--drift-every", "0")
    with service_process.running(command) as service:
        examined = {}

        def is_reported_by_both():
            # many connections at a time, so that both workers get some; black pictures are drift
            black = load_test.post(service_support.png(np.zeros((8, 8), np.uint8)))
            load_test.load(service.port, [black], connections=8, seconds=0.3, warm_up=0.0)
            with service_process.DIRECT.open(f"{service.address}/v1/drift", timeout=30) as answer:
                state = json.load(answer)
            examined[state["worker"]] = state["examined"]
            return len(examined) == 2 and min(examined.values()) > 0

        wait_for(is_reported_by_both, 60.0)
        assert examined.keys() == workers(service).keys()
        assert metric(service, 'osemn_drift_windows_total{drifted="yes"}') >= sum(examined.values())
