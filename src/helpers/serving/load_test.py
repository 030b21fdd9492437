"""Tries the service as its users would: a real process on a free port, real HTTP, and many of them at once."""

import contextlib
import io
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING

import numpy as np

from helpers import paths
from helpers.errors import OsemnError
from helpers.export.registry import Registry
from helpers.series import processes
from helpers.serving import decode as reading
from helpers.serving.model import Served
from helpers.serving.settings import API_KEY, Settings

if TYPE_CHECKING:
    # started as processes of their own; named here, as what is measured depends on their code, too (`source_files`)
    from helpers.serving import naive_app, server  # noqa: F401

START_SECONDS = 60.0
BEGINNER = (sys.executable, "-m", "helpers.serving.naive_app")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks this machine itself, whatever proxy the environment names."""


@contextlib.contextmanager
def registry_of(dataset: str, version: str) -> Iterator[Path]:
    """Give a folder with a registry of its own that serves one version; set OSEMN_OUTPUT_DIR to it.

    What the project's registry serves stays as it is.

    Args:
        dataset: as the series is run for.
        version: its name.

    Raises:
        UsageError: the version is not in the registry any more.
        OsemnError: it is not whole.
    """
    found = Registry(dataset).find(version)
    with tempfile.TemporaryDirectory(prefix="osemn-trial-") as folder:
        target = Path(folder) / "models" / paths.dataset_slug(dataset)
        shutil.copytree(found.folder, target / version)
        (target / "current").write_text(f"{version}\n", encoding="utf-8")
        yield Path(folder)


@contextlib.contextmanager
def registry_copy(version: Path) -> Iterator[Path]:
    """Give a folder with the files of a version but its manifest, to be published again."""
    with tempfile.TemporaryDirectory(prefix="osemn-trial-") as folder:
        copy = shutil.copytree(version, Path(folder) / "version")
        (copy / "manifest.json").unlink()
        yield copy


@dataclass
class Running:
    """A service at work.

    Attributes:
        process: its process.
        port: where it listens on 127.0.0.1.
        seconds_to_ready: from the start of the process to the first answer that it is ready.
    """

    process: subprocess.Popen
    port: int
    seconds_to_ready: float

    @property
    def address(self) -> str:
        """Where to send requests."""
        return f"http://127.0.0.1:{self.port}"

    def memory_mb(self) -> float:
        """Return the resident memory of the process and its workers, in MB."""
        import psutil

        whole = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (whole, *whole.children(recursive=True))) / 1e6

    def stop(self, seconds: float = 40.0) -> int:
        """Ask it to end (SIGTERM) and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextlib.contextmanager
def running(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a service and wait until it is ready; it is ended at the end.

    Args:
        command: what to call, with `{port}` in the place of the port.
        environment: added to this process's own, less its key of the service, which requests made here do not send.

    Raises:
        OsemnError: it ended, or was not ready in time; the message ends with what it said.
    """
    port = _free_port()
    with tempfile.TemporaryFile() as said:
        started = perf_counter()
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            env={**os.environ, API_KEY: "", processes.VARIABLE: processes.token(), **(environment or {})},
            stdout=said,
            stderr=said,
        )
        try:
            while not _is_ready(port):
                if process.poll() is not None or perf_counter() - started > START_SECONDS:
                    said.seek(0)
                    last = said.read().decode(errors="replace").strip()[-400:]
                    raise OsemnError(
                        f"The service did not become ready: {last}", "mend what it says and try again"
                    )
                sleep(0.02)
            yield Running(process, port, perf_counter() - started)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(40)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def serve_command(dataset: str, *options: str) -> list[str]:
    """Return how to call `osemn serve` with this Python, for `running`."""
    return [sys.executable, "-m", "helpers.cli", "serve", "--dataset", dataset, "--port", "{port}", *options]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_ready(port: int) -> bool:
    try:
        with DIRECT.open(f"http://127.0.0.1:{port}/health/ready", timeout=2.0) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def send(address: str, content: bytes, kind: str = "image/png") -> tuple[int, dict]:
    """Send one prediction request; return status and answer."""
    request = urllib.request.Request(f"{address}/v1/predict", content, {"Content-Type": kind})
    try:
        with DIRECT.open(request, timeout=30.0) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def post(content: bytes, kind: str = "image/png", path: str = "/v1/predict") -> bytes:
    """Return the bytes of an HTTP request, for `load`."""
    head = f"POST {path} HTTP/1.1\r\nHost: trial\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@dataclass(frozen=True, eq=False)
class Load:
    """What a load of requests met.

    Attributes:
        seconds: how long it went on.
        latency_ms: `[N] float64`, of the answers with status 200.
        statuses: how often each status came; 0 where a connection broke.
    """

    seconds: float
    latency_ms: np.ndarray
    statuses: dict[int, int]

    @property
    def per_second(self) -> float:
        """Answers with status 200 in a second."""
        return len(self.latency_ms) / self.seconds

    def percentile(self, q: float) -> float:
        """Return a percentile of the latency in milliseconds."""
        return float(np.percentile(self.latency_ms, q)) if len(self.latency_ms) else float("nan")


class _Connection:
    """One connection that sends the next request when the answer to the last has come."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received, self.wanted, self.status, self.started = b"", 0, 0, 0.0

    def send(self, request: bytes) -> None:
        self.received, self.wanted = b"", 0
        self.started = perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what has come; tell whether the answer is whole. A broken connection counts as status 0."""
        piece = self.socket.recv(65_536)
        self.received += piece
        if not self.wanted and b"\r\n\r\n" in self.received:
            head, _, _ = self.received.partition(b"\r\n\r\n")
            self.status = int(head[9:12])
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.wanted = len(head) + 4 + int(length or 0)
        if not piece:
            self.status = 0
            return True
        return bool(self.wanted) and len(self.received) >= self.wanted


def load(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    warm_up: float = 0.3,
    at_least: int = 0,
) -> Load:
    """Send requests over several connections that stay open, as fast as answers come.

    Args:
        port: of a service on 127.0.0.1.
        requests: from `post`; taken in turn.
        connections: how many send at a time.
        seconds: how long.
        warm_up: seconds before that count for nothing.
        at_least: answers to wait for where `seconds` brings fewer, for at most five times as long.
    """
    selector, statuses, latency = selectors.DefaultSelector(), Counter(), []
    turn = 0

    def begin(connection: _Connection) -> None:
        nonlocal turn
        with contextlib.suppress(OSError):  # the service hung up: found and counted when its answer is read
            connection.send(requests[turn % len(requests)])
        turn += 1

    def open_one() -> None:
        connection = _Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        begin(connection)

    for _ in range(connections):
        open_one()
    measured = monotonic() + warm_up
    while (now := monotonic()) < measured + seconds or (
        len(latency) < at_least and now < measured + 5 * seconds
    ):
        for key, _ in selector.select(0.5):
            connection: _Connection = key.data
            try:
                whole = connection.receive()
            except OSError:
                connection.status, whole = 0, True
            if not whole:
                continue
            if monotonic() >= measured:
                statuses[connection.status] += 1
                if connection.status == 200:
                    latency.append(perf_counter() - connection.started)
            if connection.status == 0:
                selector.unregister(connection.socket)
                connection.socket.close()
                with contextlib.suppress(OSError):
                    open_one()
            else:
                begin(connection)
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    return Load(max(seconds, now - measured), 1e3 * np.array(latency), dict(statuses))


def measured(found: Load, *, workers: int, connections: int, pictures: int) -> dict[str, float]:
    """Return a row of a table of measurements."""
    return {
        "workers": workers,
        "connections": connections,
        "pictures": pictures,
        "answers": len(found.latency_ms),
        "per_second": found.per_second,
        "p50": found.percentile(50),
        "p95": found.percentile(95),
        "p99": found.percentile(99),
        "failed": sum(count for status, count in found.statuses.items() if status != 200),
    }


def png(pixels: np.ndarray) -> bytes:
    """Return `uint8 [H, W, C]` pixels as a PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()


def bad_inputs(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Return what a service must refuse, by name: a body and its content type.

    Args:
        good: a picture that it answers.
    """
    return {
        "nothing": (b"", "image/png"),
        "text called a PNG": (b"not a picture", "image/png"),
        "half a PNG": (good[: len(good) // 2], "image/png"),
        "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png"),
        "another type": (good, "text/plain"),
        "six megabytes": (bytes(6_000_000), "image/png"),
        "50,000 × 50,000 pixels": (_bomb(), "image/png"),
        "JSON with NaN": (b'{"images": [[[NaN]]]}', "application/json"),
        "JSON nested 100,000 deep": (b"[" * 100_000, "application/json"),
        "pixels of another shape": (b'{"images": [[[1, 2], [3, 4]]]}', "application/json"),
    }


def _bomb() -> bytes:
    """Return a PNG of a few bytes that announces 2.5 billion pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    size = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def parts_of_a_request(
    served: Served, good: bytes, settings: Settings, whole_ms: float, calls: int
) -> dict[str, float]:
    """Return what one request's time is spent on, in milliseconds (medians); HTTP is what is left of the whole.

    Args:
        served: the version, loaded in this process.
        good: a picture.
        settings: of the service.
        whole_ms: the request's latency as its sender sees it.
        calls: how often each part is timed.
    """

    def decode() -> np.ndarray:
        return reading.prepared(reading.opened(good, settings), served.shape)

    image = decode()[np.newaxis]
    probabilities = served.predict(image)[0]
    timed = {
        "decode": decode,
        "model": lambda: served.predict(image),
        "JSON": lambda: json.dumps(served.answers(probabilities)),
    }
    found = {name: _median_ms(work, calls) for name, work in timed.items()}
    return {**found, "HTTP and the rest": max(whole_ms - sum(found.values()), 0.0)}


def _median_ms(work: Callable[[], object], calls: int) -> float:
    seconds = []
    for _ in range(calls):
        started = perf_counter()
        work()
        seconds.append(perf_counter() - started)
    return 1e3 * float(np.median(seconds))
