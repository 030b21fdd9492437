"""Stores on this machine: an S3 server, an emulator of Google's storage, nginx, and a stand-in for the hub."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LOCATE = """
import sys
from helpers.obtain import options
from helpers.obtain.places import locations
print(locations.locate(sys.argv[1], options.Options()).path)
"""
SECRET = "hunter2-a-secret"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def content(files: int = 12, size: int = 3_000) -> dict[str, bytes]:
    """Files of two classes by name, the same at each call; not images, as nothing here opens them."""
    return {
        f"{('cat', 'dog')[number % 2]}/{number:03}.png": hashlib.shake_128(b"%d" % number).digest(
            size + number
        )
        for number in range(files)
    }


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def s3() -> Iterator[str]:
    """Run moto's S3 server; yield its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextlib.contextmanager
def google() -> Iterator[str]:
    """Run the emulator of Google's storage; yield its address."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", free_port(), in_memory=True)
    server.start()
    try:
        host, port = server._api._httpd.server_address[:2]
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextlib.contextmanager
def nginx(folder: Path, work: Path) -> Iterator[tuple[str, str]]:
    """Serve a folder by nginx; yield the addresses for http and https, whose certificate is `work / "cert.pem"`.

    `/bare/` is the same folder without pages of links, `/private/` with a password: `me`, `SECRET`.
    """
    plain, secure = free_port(), free_port()
    work.mkdir(parents=True, exist_ok=True)
    key, certificate = work / "key.pem", work / "cert.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout {key} -out {certificate} -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True
    )
    (work / "users").write_text(f"me:{{PLAIN}}{SECRET}\n")
    (work / "nginx.conf").write_text(
        f"""{"user root;" if os.getuid() == 0 else ""}
daemon off; pid {work}/pid; error_log {work}/error.log; events {{}} worker_processes 1;
http {{
  access_log {work}/access.log;
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
  uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl; root {folder}; autoindex on;
    location /bare/ {{ alias {folder}/; autoindex off; }}
    location /private/ {{ alias {folder}/; auth_basic "x"; auth_basic_user_file {work}/users; }}
    ssl_certificate {certificate}; ssl_certificate_key {key};
  }}
}}
"""
    )
    process = subprocess.Popen([NGINX, "-c", str(work / "nginx.conf"), "-e", str(work / "error.log")])
    try:
        _wait_for(plain)
        yield f"http://127.0.0.1:{plain}", f"https://localhost:{secure}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


class HubStandIn(BaseHTTPRequestHandler):
    """The few endpoints of the Hugging Face hub that `HfFileSystem` asks for one data set, `owner/pets`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None: ...

    def do_GET(self) -> None:
        files, path = self.server.files, unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._send(b'{"error": "Repository not found"}', 401, {"X-Error-Code": "RepoNotFound"})
        elif path in ("/api/datasets/owner/pets", "/api/datasets/owner/pets/revision/main"):
            self._send_json({"id": "owner/pets", "sha": "1" * 40, "siblings": [], "private": False})
        elif path.startswith("/api/datasets/owner/pets/tree/main"):
            self._send_tree(path.removeprefix("/api/datasets/owner/pets/tree/main").strip("/"))
        elif path == "/api/datasets/owner/pets/paths-info/main":
            self._send_json([])
        elif (name := path.removeprefix("/datasets/owner/pets/resolve/main/")) in files:
            self._send_part(files[name])
        else:
            self._send(b'{"error": "Repository not found"}', 404, {"X-Error-Code": "RepoNotFound"})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        names = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode())["paths"]
        self._send_json([self._entry(name) for name in names if name in self.server.files])

    def _send_tree(self, folder: str) -> None:
        recursive = "recursive=True" in self.path or "recursive=true" in self.path
        inside = [name for name in self.server.files if name.startswith(f"{folder}/" if folder else "")]
        if not inside:
            self._send(b'{"error": "Entry not found"}', 404, {"X-Error-Code": "EntryNotFound"})
        else:
            deep = len(folder) + 1 if folder else 0
            self._send_json([self._entry(name) for name in inside if recursive or "/" not in name[deep:]])

    def _entry(self, name: str) -> dict:
        data = self.server.files[name]
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry = {"type": "file", "path": name, "size": len(data), "oid": blob}
        if name.endswith((".png", ".zip")):  # as the hub stores images
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def _send_part(self, data: bytes) -> None:
        wanted = self.headers.get("Range")
        if not wanted:
            self._send(data)
            return
        start, _, end = wanted.removeprefix("bytes=").partition("-")
        part = data[int(start) : int(end) + 1 if end else None]
        self._send(part, 206, {"Content-Range": f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}"})

    def _send_json(self, content: object) -> None:
        self._send(json.dumps(content).encode(), 200, {"Content-Type": "application/json"})

    def _send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **state: object) -> Iterator[ThreadingHTTPServer]:
    """Run a handler in a thread; `state` becomes attributes of the server, and `address` is where it listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    for name, value in {"address": f"http://127.0.0.1:{server.server_port}", **state}.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of a process that downloads into a cache."""
    return {**os.environ, "OSEMN_CACHE_DIR": str(cache)}


def killed(address: str, cache: Path, at_bytes: int, environment: dict[str, str]) -> bool:
    """Start a download in a process and kill it when the cache holds `at_bytes`; return False if it ended before."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCATE, address], env=environment, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and size(cache) < at_bytes:
        time.sleep(0.001)
    process.kill()
    return process.wait() == -signal.SIGKILL


def size(folder: Path) -> int:
    """Return the number of bytes in a folder that a process writes to."""
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(here) / name).stat().st_size
    return total


def half_taken(cache: Path, files: dict[str, bytes]) -> list[str]:
    """Return what a killed download left that would be taken for complete although it is not."""
    halves = [str(path) for path in cache.glob("images/*/place.json")]
    for folder in cache.glob("images/*/files"):
        halves += [name for name, data in read(folder).items() if data != files[name]]
    return halves
