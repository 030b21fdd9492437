"""Runs the service: uvicorn with limits, one worker or several, and an end that answers every request in progress."""

import functools
import gc
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from time import sleep
from types import FrameType
from typing import Any

import uvicorn

from helpers.errors import OsemnError
from helpers.serving import logs
from helpers.serving.metrics import SHARED
from helpers.serving.settings import Settings
from helpers.serving.workers import PATIENCE, Supervisor

BACKLOG = 2_048  # connections that wait to be accepted; uvicorn's default
MAX_CONNECTIONS = 2_048  # beyond, uvicorn itself responds with 503; `Settings.max_requests` is lower
SETTLE_SECONDS = 0.5  # from "not ready" to the drain, so that what has just been sent is still read


class Server(uvicorn.Server):
    """uvicorn's server, which continues for a moment when it is asked to end.

    From then on it is not ready, so that load balancers send nothing new, and requests that have been sent are read and answered.

    Args:
        config: uvicorn's.
        ready: the flag that a worker sets for its supervisor; None for a service of one process.
    """

    def __init__(self, config: uvicorn.Config, ready: Any = None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to respond; a worker reports that it is ready."""
        await super().startup(sockets)
        if self._ready is not None:
            self._ready.value = 1

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal to end; a second Ctrl+C ends at once. A worker leaves a terminal's Ctrl+C to its supervisor."""
        from helpers.serving.service import ending

        if self._ready is not None and sig == signal.SIGINT:
            return
        if ending.is_set():
            self.should_exit = True  # by this uvicorn recognises a second signal
            super().handle_exit(sig, frame)
            return
        ending.set()
        # as SIGTERM, since uvicorn takes a SIGINT after another signal as a second Ctrl+C
        threading.Timer(SETTLE_SECONDS, super().handle_exit, (signal.SIGTERM, frame)).start()


def _listen(settings: Settings) -> socket.socket:
    """Return a listening socket.

    Raises:
        OsemnError: the port is taken or may not be used.
    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        by_system = (error.errno or 0) > 0  # names that cannot be resolved have negative numbers
        reason = os.strerror(error.errno) if by_system else str(error.strerror).partition(" (")[0]
        problem = f"Port {port} on {host} is taken or may not be used: {reason}."
        raise OsemnError(problem, "choose another --port or --host") from None


def run(settings: Settings) -> None:
    """Serve until the process is asked to end (SIGTERM, Ctrl+C); requests in progress are answered first.

    Raises:
        OsemnError: there is no version to serve, or it is damaged; or the port is taken or may not be used.
    """
    _handle_signals()
    if settings.workers == 1:
        _serve(settings)
        return
    logs.set_up()
    with tempfile.TemporaryDirectory(prefix="osemn-metrics-") as shared, _listen(settings) as listening:
        os.environ[SHARED] = shared
        Supervisor(settings, listening, _work).run()


def _serve(settings: Settings, listening: socket.socket | None = None, ready: Any = None) -> None:
    """Serve in this process, on a new socket, or as a worker on one that is listening already."""
    from helpers.serving import app

    http = "auto"
    if os.name == "posix":  # where httptools is installed
        from helpers.serving import http_limits

        http = functools.partial(http_limits.Protocol, head_seconds=settings.timeout)
    logs.set_up()
    made = app.create(settings)
    configuration = uvicorn.Config(
        made,
        loop="uvloop" if os.name == "posix" else "auto",
        http=http,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=int(settings.drain),
        timeout_keep_alive=30,  # seconds; clients that send now and then keep their connection
        server_header=False,
    )
    server = Server(configuration, ready)
    made.state.service.tasks = server.server_state.tasks
    gc.freeze()  # what was loaded so far stays, so no collection needs to look at it
    with listening or _listen(settings) as bound:
        server.run([bound])


def _handle_signals(*, of_worker: bool = False) -> None:
    """End well if asked to before uvicorn listens, and when uvicorn raises the signal again after the drain."""

    def end(*_: object) -> None:
        service = sys.modules.get("helpers.serving.service")
        ending = getattr(service, "ending", None)  # absent while the module is being imported
        if ending is None or not ending.is_set():
            os._exit(0)  # nothing has been served; an exception could be caught by what is being imported

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN if of_worker else end)


def _work(settings: Settings, listening: socket.socket, ready: Any) -> None:
    """Serve as one of several workers."""
    _handle_signals(of_worker=True)
    threading.Thread(target=_end_with_supervisor, args=(settings,), daemon=True).start()
    try:
        _serve(settings, listening, ready)
    except OsemnError as error:
        print(f"Failed: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def _end_with_supervisor(settings: Settings) -> None:
    """End as if asked to when the supervisor is gone, for example killed: nothing else would replace or end this worker."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(settings.drain + PATIENCE)
    os._exit(1)
