"""Ends a process with the one that it was started for, be that killed with -9: nobody else would."""

import os
import threading
import time

VARIABLE = "OSEMN_PARENT"


def token() -> str:
    """Return what `end_with` needs to know this process: the value of `VARIABLE` for those that it starts."""
    import psutil  # not above: a container's service has no use for it, and does not install it

    return f"{os.getpid()}:{psutil.Process().create_time()}"


def end_with(interval: float = 0.5) -> None:
    """End this process and all below it when the one that `VARIABLE` names is gone; do nothing where none is named.

    Args:
        interval: seconds between two looks.
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
