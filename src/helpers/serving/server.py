"""Runs the service: uvicorn with bounds, one worker or several, and an end that leaves nobody without an answer."""

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from time import monotonic
from types import FrameType

import uvicorn
from prometheus_client.multiprocess import mark_process_dead

from helpers.errors import OsemnError
from helpers.serving import logs
from helpers.serving.metrics import SHARED
from helpers.serving.settings import Settings

BACKLOG = 2_048
MAX_CONNECTIONS = 2_048  # beyond, uvicorn itself answers 503; `Settings.max_requests` comes first
SHORTEST_LIFE = 5.0
SETTLE_SECONDS = 0.5


class Server(uvicorn.Server):
    """uvicorn's server, which goes on for a moment when it is told to end.

    It is not ready any more from then on, so that balancers send nothing new, and what has been sent is read and answered.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen.

        Raises:
            OsemnError: the port is taken or may not be used.
        """
        try:
            await super().startup(sockets)
        except SystemExit as end:
            if isinstance(end.__context__, OSError):  # uvicorn has logged it
                raise _no_port(self.config.host, self.config.port, end.__context__) from None
            raise

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to end; a second one ends at once."""
        from helpers.serving.service import ending

        if ending.is_set():
            super().handle_exit(sig, frame)
            return
        ending.set()
        threading.Timer(SETTLE_SECONDS, super().handle_exit, (sig, frame)).start()


def _no_port(host: str, port: int, error: OSError) -> OsemnError:
    by_system = (error.errno or 0) > 0  # names that are not found have negative numbers
    reason = os.strerror(error.errno) if by_system else str(error.strerror).partition(" (")[0]
    return OsemnError(
        f"Port {port} on {host} is taken or may not be used: {reason}.", "choose another --port or --host"
    )


def run(settings: Settings) -> None:
    """Serve until the process is told to end (SIGTERM, Ctrl+C); requests at work are answered first.

    Raises:
        OsemnError: there is no version to serve, or it is not whole; the port is taken or may not be used.
    """
    _listen_to_signals()
    if settings.workers == 1:
        _serve(settings, None)
        return
    with tempfile.TemporaryDirectory(prefix="osemn-metrics-") as shared:
        os.environ[SHARED] = shared
        _supervise(settings)


def _serve(settings: Settings, listening: socket.socket | None) -> None:
    """Serve in this process, on a socket that is listening already or on a new one."""
    from helpers.serving import app

    logs.set_up()
    configuration = uvicorn.Config(
        app.create(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop" if os.name == "posix" else "auto",
        http="httptools" if os.name == "posix" else "auto",
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=int(settings.drain),
        timeout_keep_alive=30,
        server_header=False,
    )
    Server(configuration).run(None if listening is None else [listening])


def _listen_to_signals() -> None:
    """End well where the end is asked for before uvicorn listens, and when it raises the signal again after the drain."""

    def end(*_: object) -> None:
        ending = getattr(
            sys.modules.get("helpers.serving.service"), "ending", None
        )  # not while it is imported
        if ending is None or not ending.is_set():
            os._exit(0)  # nothing has been served; what is being imported may catch an exception

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _worker(settings: Settings, listening: socket.socket) -> None:
    _listen_to_signals()
    _serve(settings, listening)


def _supervise(settings: Settings) -> None:
    """Keep so many workers at work on one socket; a worker that dies is replaced, unless it never became ready."""
    end, apart = threading.Event(), multiprocessing.get_context("spawn")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    try:
        listening = socket.create_server((settings.host, settings.port), backlog=BACKLOG)
    except OSError as error:
        raise _no_port(settings.host, settings.port, error) from None
    with listening:

        def begin() -> tuple[float, multiprocessing.process.BaseProcess]:
            process = apart.Process(target=_worker, args=(settings, listening), daemon=False)
            process.start()
            return monotonic(), process

        workers = [begin() for _ in range(settings.workers)]
        while not end.wait(0.2):
            for place, (started, process) in enumerate(workers):
                if process.is_alive():
                    continue
                if monotonic() - started < SHORTEST_LIFE:
                    end.set()  # what keeps one from starting keeps all
                    break
                mark_process_dead(process.pid, os.environ[SHARED])  # its requests are at work no more
                workers[place] = begin()
        for _, process in workers:
            if process.is_alive():
                process.terminate()
        for _, process in workers:
            process.join(settings.drain + 10.0)
        # one that had only just been started is ended by the signal itself; it held no request
        ended_well = (0, -signal.SIGTERM)
        failed = [process.exitcode for _, process in workers if process.exitcode not in ended_well]
    if failed:
        raise OsemnError(f"A worker ended with status {failed[0]}.", "the lines above say why")
