"""Runs the service: uvicorn with bounds, one worker or several, and an end that leaves nobody without an answer."""

import contextlib
import functools
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from time import sleep
from types import FrameType

import uvicorn

from helpers.errors import OsemnError
from helpers.serving import logs
from helpers.serving.metrics import SHARED
from helpers.serving.settings import Settings
from helpers.serving.workers import PATIENCE, Supervisor

BACKLOG = 2_048
MAX_CONNECTIONS = 2_048  # beyond, uvicorn itself answers 503; `Settings.max_requests` comes first
SETTLE_SECONDS = 0.5


class Server(uvicorn.Server):
    """uvicorn's server, which goes on for a moment when it is told to end.

    It is not ready any more from then on, so that balancers send nothing new, and what has been sent is read and answered.

    Args:
        config: uvicorn's.
        report: where a worker tells its supervisor that it is ready; None for a service of one process.
    """

    def __init__(self, config: uvicorn.Config, report: Connection | None = None) -> None:
        super().__init__(config)
        self._report = report

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
        if self._report is not None:
            with contextlib.suppress(OSError), self._report:  # a supervisor that is gone needs no word
                self._report.send_bytes(b"ready")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to end; a second Ctrl+C ends at once. A terminal sends Ctrl+C to workers, too: they leave it."""
        from helpers.serving.service import ending

        if self._report is not None and sig == signal.SIGINT:
            return
        if ending.is_set():
            self.should_exit = True  # what uvicorn goes by to know a second one
            super().handle_exit(sig, frame)
            return
        ending.set()
        # as SIGTERM, for uvicorn takes a SIGINT that comes after another signal as a second Ctrl+C
        threading.Timer(SETTLE_SECONDS, super().handle_exit, (signal.SIGTERM, frame)).start()


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
        _serve(settings)
        return
    with tempfile.TemporaryDirectory(prefix="osemn-metrics-") as shared:
        os.environ[SHARED] = shared
        _supervise(settings)


def _serve(
    settings: Settings, listening: socket.socket | None = None, report: Connection | None = None
) -> None:
    """Serve in this process, on a new socket, or as a worker on one that is listening already.

    Raises:
        OsemnError: there is no version to serve, or it is not whole; the port is taken or may not be used.
    """
    from helpers.serving import app

    http = "auto"
    if os.name == "posix":  # where httptools is
        from helpers.serving import http_limits

        http = functools.partial(http_limits.Protocol, head_seconds=settings.timeout)
    logs.set_up()
    application = app.create(settings)
    application.state.service.begin()  # before uvicorn, which would show an error's traceback in its place
    configuration = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        loop="uvloop" if os.name == "posix" else "auto",
        http=http,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=int(settings.drain),
        timeout_keep_alive=30,
        server_header=False,
    )
    Server(configuration, report).run(None if listening is None else [listening])


def _listen_to_signals(*, of_worker: bool = False) -> None:
    """End well where the end is asked for before uvicorn listens, and when it raises the signal again after the drain."""

    def end(*_: object) -> None:
        ending = getattr(
            sys.modules.get("helpers.serving.service"), "ending", None
        )  # not while it is imported
        if ending is None or not ending.is_set():
            os._exit(0)  # nothing has been served; what is being imported may catch an exception

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN if of_worker else end)


def _worker(settings: Settings, listening: socket.socket, report: Connection) -> None:
    """Serve as one of several; the supervisor's end is this one's."""
    _listen_to_signals(of_worker=True)
    threading.Thread(target=_end_with_supervisor, args=(settings,), daemon=True).start()
    try:
        _serve(settings, listening, report)
    except OsemnError as error:
        print(f"Failed: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def _end_with_supervisor(settings: Settings) -> None:
    """End as if told to when the supervisor is gone (killed with -9, say): nobody would replace or end this worker."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(settings.drain + PATIENCE)
    os._exit(1)


def _supervise(settings: Settings) -> None:
    """Listen, and let workers answer."""
    logs.set_up()
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _no_port(settings.host, settings.port, error) from None
    with listening:
        Supervisor(settings, listening, _worker).run()
