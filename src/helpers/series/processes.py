"""Makes a child process exit with its parent, even when the parent is killed with -9."""

import os
import threading
import time

VARIABLE = "OSEMN_PARENT"


def token() -> str:
    """Return the value of `VARIABLE` by which child processes recognise this process."""
    import psutil  # not at the top: the service in a container does not install it

    return f"{os.getpid()}:{psutil.Process().create_time()}"


def end_with(interval: float = 0.5) -> None:
    """End this process and its children when the process that `VARIABLE` names is gone; do nothing if it is unset.

    Args:
        interval: seconds between checks.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return
    import psutil

    pid, created = named.split(":")

    def alive() -> bool:
        try:
            return abs(psutil.Process(int(pid)).create_time() - float(created)) < 1.0
        except psutil.Error:
            return False

    def watch() -> None:
        while alive():
            time.sleep(interval)
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
