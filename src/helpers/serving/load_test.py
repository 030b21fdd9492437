"""Tests the service as its users would: real HTTP, many senders at once, and bad input."""

import asyncio
import io
import itertools
import json
import struct
import timeit
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, perf_counter

import numpy as np
import pandas as pd

from helpers.serving import decode
from helpers.serving.model import Served
from helpers.serving.service_process import DIRECT
from helpers.serving.settings import Settings


def send(address: str, content: bytes, kind: str = "image/png") -> tuple[int, dict]:
    """Send one prediction request; return the status and the response.

    Example:
        `status, response = load_test.send(service.address, load_test.png(image))`
    """
    request = urllib.request.Request(f"{address}/v1/predict", content, {"Content-Type": kind})
    try:
        with DIRECT.open(request, timeout=30.0) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def post(content: bytes, kind: str = "image/png", path: str = "/v1/predict") -> bytes:
    """Return the bytes of an HTTP request, for `load`.

    Example:
        `load_test.post(load_test.png(image))`
    """
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@dataclass(frozen=True, eq=False)
class Load:
    """The responses to a load of requests.

    Attributes:
        seconds: how long it lasted.
        latency_ms: `[N] float64`, of the responses with status 200.
        statuses: how often each status came; 0 for a broken connection.
    """

    seconds: float
    latency_ms: np.ndarray
    statuses: dict[int, int]

    @property
    def per_second(self) -> float:
        """Responses with status 200 per second."""
        return len(self.latency_ms) / self.seconds

    def percentile(self, q: float) -> float:
        """Return a percentile of the latency in milliseconds."""
        return float(np.percentile(self.latency_ms, q)) if len(self.latency_ms) else float("nan")


def load(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    warm_up: float = 0.3,
    at_least: int = 0,
) -> Load:
    """Send requests over several connections that stay open, each as fast as responses come.

    Args:
        port: of a service on 127.0.0.1.
        requests: from `post`; taken in turn.
        connections: how many send at a time.
        seconds: how long.
        warm_up: seconds before that, which are not measured.
        at_least: responses to wait for if `seconds` brings fewer, for at most five times as long.

    Example:
        `load_test.load(service.port, [load_test.post(content)], connections=4, seconds=1.0).percentile(50)`
    """
    senders = _Senders(port, itertools.cycle(requests), monotonic() + warm_up)
    with ThreadPoolExecutor(1) as apart:  # in a notebook, this thread has an event loop already
        elapsed = apart.submit(asyncio.run, senders.run(connections, seconds, at_least)).result()
    return Load(elapsed, 1e3 * np.array(senders.latency), dict(senders.statuses))


class _Senders:
    """Connections that each send the next request when the last response has come; counted from `begin`."""

    def __init__(self, port: int, requests: Iterator[bytes], begin: float) -> None:
        self.port, self.requests, self.begin = port, requests, begin
        self.statuses: Counter[int] = Counter()
        self.latency: list[float] = []

    async def run(self, connections: int, seconds: float, at_least: int) -> float:
        """Send, and return how long it was measured."""
        tasks = [asyncio.create_task(self._send()) for _ in range(connections)]
        await asyncio.sleep(self.begin + seconds - monotonic())
        while len(self.latency) < at_least and monotonic() < self.begin + 5 * seconds:
            await asyncio.sleep(0.005)
        elapsed = monotonic() - self.begin
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return elapsed

    async def _send(self) -> None:
        """Send over one connection; one that breaks counts as status 0 and is opened again."""
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while True:
                    started = perf_counter()
                    writer.write(next(self.requests))
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(length or 0))
                    self._count(int(head[9:12]), perf_counter() - started)
            except (OSError, asyncio.IncompleteReadError):  # the service closed the connection
                self._count(0)
            finally:
                writer.close()

    def _count(self, status: int, latency: float = 0.0) -> None:
        if monotonic() >= self.begin:
            self.statuses[status] += 1
            if status == 200:
                self.latency.append(latency)


def measured(result: Load, *, workers: int, connections: int, images: int) -> dict[str, float]:
    """Return a row of a table of measurements; `images` is their number in a request.

    Example:
        `load_test.measured(result, workers=1, connections=4, images=1)`
    """
    return {
        "workers": workers,
        "connections": connections,
        "pictures": images,
        "answers": len(result.latency_ms),
        "per_second": result.per_second,
        **{f"p{q}": result.percentile(q) for q in (50, 95, 99)},
        "failed": sum(count for status, count in result.statuses.items() if status != 200),
    }


def compare(
    ways: Mapping[str, tuple[int, str]],
    contents: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    rounds: int,
) -> pd.DataFrame:
    """Return the responses per second of several endpoints, one column each and one row per round.

    The endpoints take turns within a round, so that what slows the machine down for a while slows all of them.

    Args:
        ways: port and path by name.
        contents: images as PNG.
        connections: how many send at a time.
        seconds: length of each measurement.
        rounds: how often each is measured.

    Example:
        `load_test.compare({"service": (service.port, "/v1/predict")}, pngs, connections=16, seconds=1.0, rounds=3)`
    """
    requests = {name: [post(content, path=path) for content in contents] for name, (_, path) in ways.items()}
    options = {"connections": connections, "seconds": seconds, "at_least": 1}
    results = [
        {name: load(port, requests[name], **options) for name, (port, _) in ways.items()}
        for _ in range(rounds)
    ]
    # one that gave no response in all this time might have given one
    rates = [
        {name: max(one.per_second, 1 / one.seconds) for name, one in of_round.items()} for of_round in results
    ]
    return pd.DataFrame(rates).rename_axis("round")


def png(pixels: np.ndarray) -> bytes:
    """Return `uint8 [H, W, C]` pixels as a PNG.

    Example:
        `load_test.png(test.images[0])`
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()


def bad_inputs(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Return what a service must refuse, by name: a body and its content type.

    Args:
        good: an image that it accepts.

    Example:
        `load_test.send(service.address, *load_test.bad_inputs(good)["an SVG"])`
    """
    return {
        "nothing": (b"", "image/png"),
        "text called a PNG": (b"not an image", "image/png"),
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
    """Return a PNG of a few bytes whose header announces 2.5 billion pixels."""
    content = bytearray(png(np.zeros((1, 1, 1), np.uint8)))
    content[16:24] = struct.pack(">II", 50_000, 50_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))  # of the header's name and content
    return bytes(content)


def parts_of_a_request(
    served: Served, good: bytes, settings: Settings, total_ms: float, calls: int
) -> dict[str, float]:
    """Return what the time of one request is spent on, in milliseconds (medians); HTTP takes the remainder.

    Args:
        served: the version, loaded in this process.
        good: an image.
        settings: of the service.
        total_ms: the request's latency as its sender sees it.
        calls: how often each part is timed.

    Example:
        `load_test.parts_of_a_request(served, content, Settings(), total_ms=0.4, calls=500)`
    """

    def decode_image() -> np.ndarray:
        return decode.prepare(decode.open_image(good, settings), served.shape)

    image = decode_image()[np.newaxis]
    outputs = served.predict(image)
    timed = {
        "decode": decode_image,
        "model": lambda: served.predict(image),
        "JSON": lambda: json.dumps(served.describe(*outputs)),
    }
    parts = {name: _median_ms(work, calls) for name, work in timed.items()}
    return {**parts, "HTTP and the rest": max(total_ms - sum(parts.values()), 0.0)}


def _median_ms(work: Callable[[], object], calls: int) -> float:
    return 1e3 * float(np.median(timeit.repeat(work, number=1, repeat=calls)))
