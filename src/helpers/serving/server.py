"""Runs the service: uvicorn with bounds, one worker or several, and an end that leaves nobody without an answer."""

import os
import signal
import tempfile

import uvicorn

from helpers.serving import logs
from helpers.serving.metrics import SHARED
from helpers.serving.settings import ENVIRONMENT, Settings

MAX_CONNECTIONS = 512


def run(settings: Settings) -> None:
    """Serve until the process is told to end (SIGTERM, Ctrl+C); requests at work are answered first.

    Raises:
        OsemnError: there is no version to serve, or it is not whole.
    """
    os.environ[ENVIRONMENT] = settings.model_dump_json()
    options = {
        "host": settings.host,
        "port": settings.port,
        "loop": "uvloop" if os.name == "posix" else "auto",
        "http": "httptools",
        "access_log": False,
        "log_config": None,
        "backlog": 2_048,
        "limit_concurrency": MAX_CONNECTIONS,
        "timeout_graceful_shutdown": int(settings.drain),
        "timeout_keep_alive": 30,
        "server_header": False,
    }
    # uvicorn raises the signal once more after the drain; an end that went well is no failure
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if settings.workers == 1:
        logs.set_up()
        from helpers.serving import app

        uvicorn.Server(uvicorn.Config(app.create(settings), **options)).run()
        return
    with tempfile.TemporaryDirectory(prefix="osemn-metrics-") as shared:
        os.environ[SHARED] = shared
        uvicorn.run("helpers.serving.server:worker", factory=True, workers=settings.workers, **options)


def worker():
    """Return the application for one of several workers."""
    logs.set_up()
    from helpers.serving import app

    return app.create()
