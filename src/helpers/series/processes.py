"""Makes a child process exit with its parent, even when the parent is killed with -9."""

import contextlib
import os
import threading

VARIABLE = "OSEMN_PARENT"


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
