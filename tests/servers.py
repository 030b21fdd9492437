"""A faulty local HTTP server, and a small synthetic data set for it to serve."""

import dataclasses
import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from helpers.obtain.places import idx
from helpers.obtain.places.files import PackageSource


def made_content() -> dict[str, bytes]:
    """Four small IDX files by name; the same at each call."""
    generator = np.random.default_rng(7)
    content = {}
    for name, count in (("train", 90), ("t10k", 30)):
        images = generator.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 3
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            content[f"{name}-{kind}-ubyte"] = idx.header(values.shape) + values.tobytes()
    return content


def made_spec(*addresses: str, package: PackageSource | None = None) -> idx.IdxDataset:
    """A data set of `made_content` that the addresses serve."""
    files = tuple(
        idx.IdxFile.of(name, _shape(content), hashlib.sha256(content).hexdigest())
        for name, content in made_content().items()
    )
    return idx.IdxDataset(
        "mnist",
        "Made data",
        files,
        addresses,
        package,
        class_names=("a", "b", "c"),
        licence="none",
        about="Made up.",
    )


def _shape(content: bytes) -> tuple[int, ...]:
    return tuple(int(n) for n in np.frombuffer(content, ">u4", count=content[3], offset=4))


@dataclasses.dataclass
class FaultyServer:
    """Serves `made_content` gzipped at `address`; `faults` says by file name what goes wrong.

    Faults: "missing" (404), "broken" (500), "wrong" (other content), "truncated" (fewer bytes than
    announced), "short" (cut short without saying so), "stalled" (half, then silence), "slow" (half, a
    pause of half a second, then the rest), "html" (a page in place of the file).
    """

    faults: dict[str, str] = dataclasses.field(default_factory=dict)
    requests: list[str] = dataclasses.field(default_factory=list)
    arrived: threading.Event = dataclasses.field(default_factory=threading.Event)
    closing: threading.Event = dataclasses.field(default_factory=threading.Event)

    def __enter__(self) -> "FaultyServer":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/data/"

    def fail_all(self, fault: str) -> None:
        self.faults = dict.fromkeys(made_content(), fault)

    def respond(self, name: str) -> tuple[int, bytes, int, str]:
        """Status, body, the length to announce, and the fault."""
        fault = self.faults.get(name, "")
        if name not in made_content() or fault == "missing":
            return 404, b"not here", 8, ""
        if fault == "broken":
            return 500, b"oh no", 5, ""
        if fault == "html":
            return 200, b"<html>Please log in</html>", 26, ""
        content = made_content()[name]
        if fault == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        body = gzip.compress(content, mtime=0)
        if fault == "short":
            body = body[: len(body) // 2]
        return 200, body, len(body), fault

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1].removesuffix(".gz")
                server.requests.append(name)
                status, body, length, fault = server.respond(name)
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if fault in ("truncated", "stalled", "slow"):
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    server.arrived.set()
                    if fault != "truncated":
                        server.closing.wait(0.5 if fault == "slow" else 60)
                    if fault != "slow":
                        self.close_connection = True
                        return
                    body = body[len(body) // 2 :]
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler
