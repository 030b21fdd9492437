"""Keeps settings that a user made for other work away from a stage's kernel."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_SOCKET = 90  # characters: systems allow 103 or 107, and the kernel adds a number to the name

# A kernel would run a user's file, turn warnings into errors, or leave out docstrings.
_UNSET = ("PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT")
_KERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


@contextmanager
def kernel(variables: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Set the environment for a kernel of this Python, and return the options of its manager.

    Its profile, its connection file and its description lie in a temporary folder, so that neither IPython's start-up
    files nor a kernel named `python3` on `JUPYTER_PATH` takes part, and the home folder need not exist. Unix sockets in
    that folder, where the system has them and the path is short enough, open no ports.

    Args:
        variables: more variables for the kernel.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="osemn-", ignore_cleanup_errors=True) as folder:
        described = Path(folder, "kernels", "python3", "kernel.json")
        described.parent.mkdir(parents=True)
        kernel = {"argv": _KERNEL, "display_name": "Python 3", "language": "python"}
        described.write_text(json.dumps(kernel), encoding="utf-8")
        folders = ("JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        os.environ.update(dict.fromkeys(folders, folder), **variables)
        os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
        for name in _UNSET:
            os.environ.pop(name, None)
        private = os.name == "posix" and len(folder) < LONGEST_SOCKET
        try:
            yield {"transport": "ipc", "ip": f"{folder}/kernel"} if private else {}
        finally:
            os.environ.clear()
            os.environ.update(before)
