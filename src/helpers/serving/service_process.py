"""Starts the service as a process of its own on a free port, for tests and measurements."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING

from helpers import paths
from helpers.errors import OsemnError
from helpers.export.registry import Registry
from helpers.series import processes
from helpers.serving.settings import API_KEY

if TYPE_CHECKING:
    # they run in processes of their own; imported so that `source_files` counts them, as the measurements depend on them
    from helpers.serving import naive_app, server  # noqa: F401

START_SECONDS = 60.0  # the naive service imports TensorFlow, which takes long on a slow machine
STOP_SECONDS = 40.0  # the service's drain takes up to 30
NAIVE = (sys.executable, "-m", "helpers.serving.naive_app")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Connects to this machine directly, even if the environment names a proxy."""


@contextlib.contextmanager
def registry_of(dataset: str, version: str) -> Iterator[Path]:
    """Yield a folder with a registry of its own that serves one version; set OSEMN_OUTPUT_DIR to it.

    The project's registry stays unchanged.

    Args:
        dataset: as the series is run for.
        version: its name.

    Raises:
        UsageError: the version is not in the registry any more.
        OsemnError: it is damaged.

    Example:
        `with service_process.registry_of("mnist", version.name) as home: …`
    """
    source = Registry(dataset).find(version).folder
    with tempfile.TemporaryDirectory(prefix="osemn-load-test-") as folder:
        target = Path(folder) / "models" / paths.dataset_slug(dataset)
        shutil.copytree(source, target / version)
        (target / "current").write_text(f"{version}\n", encoding="utf-8")
        yield Path(folder)


@dataclass
class Running:
    """A running service.

    Attributes:
        process: its process.
        port: where it listens on 127.0.0.1.
        seconds_to_ready: from the start of the process to the first response that it is ready.
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

        parent = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True))) / 1e6

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask the service to end (SIGTERM) and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextlib.contextmanager
def running(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a service, wait until it is ready, and end it on leaving.

    Args:
        command: the command to run, with `{port}` in the place of the port.
        environment: added to this process's own. The service's key is removed, as requests sent from here carry none.

    Raises:
        OsemnError: the service ended, or was not ready in time; the message ends with its own output.

    Example:
        `with service_process.running(service_process.serve_command("mnist")) as service: …`
    """
    port = _free_port()
    with tempfile.TemporaryFile() as output:
        started = perf_counter()
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            env={**os.environ, API_KEY: "", processes.VARIABLE: processes.token(), **(environment or {})},
            stdout=output,
            stderr=output,
        )
        try:
            while not _is_ready(port):
                if process.poll() is not None or perf_counter() - started > START_SECONDS:
                    output.seek(0)
                    last = output.read().decode(errors="replace").strip()[-400:]
                    raise OsemnError(f"The service did not become ready: {last}", "fix this and try again")
                sleep(0.02)
            yield Running(process, port, perf_counter() - started)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()


def serve_command(dataset: str, *options: str) -> list[str]:
    """Return the command line of `osemn serve` with this Python, for `running`.

    Example:
        `service_process.serve_command("mnist", "--quiet", "--workers", "2")`
    """
    return [sys.executable, "-m", "helpers.cli", "serve", "--dataset", dataset, "--port", "{port}", *options]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_ready(port: int) -> bool:
    try:
        with DIRECT.open(f"http://127.0.0.1:{port}/health/ready", timeout=2.0) as response:
            return response.status == 200
    except OSError:  # such as urllib's own errors
        return False
