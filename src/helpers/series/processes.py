"""Makes a child process exit with its parent, even when the parent is killed with -9, and lets it open enough files."""

import contextlib
import os
import threading

from helpers.errors import OsemnError

VARIABLE = "OSEMN_PARENT"
FILES = 256  # open at once: a kernel's sockets, TensorFlow and Matplotlib's fonts need some 80, and macOS allows 256


def allow_open_files() -> None:
    """Let this process and its children have `FILES` files open at once.

    Raises:
        OsemnError: the system allows fewer.
    """
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < FILES:  # negative: without a limit
        raise OsemnError(
            f"A process may have only {hard} files open at once here; the series needs {FILES}.",
            f"raise the limit, in a shell by ulimit -n {FILES}, or ask the administrator",
        )
    if 0 <= soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def token() -> str:
    """Return the value of `VARIABLE` by which child processes recognise this process."""
    import psutil  # not at the top: the service in a container does not install it

    return f"{os.getpid()}:{psutil.Process().create_time()}"


def end_with() -> None:
    """End this process and its children when the process that `VARIABLE` names is gone; do nothing if it is unset."""
    named = os.environ.get(VARIABLE)
    if not named:
        return
    import psutil

    pid, created = named.split(":")

    def watch() -> None:
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(int(pid))
            # otherwise another process has its number now
            if abs(parent.create_time() - float(created)) < 1.0:
                parent.wait()
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
